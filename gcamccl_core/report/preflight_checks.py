"""What a page before a long run looks at: one function for each kind of finding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import chi2_contingency, kruskal
from scipy.stats.contingency import association

from gcamccl_core.data.checks import class_names, name_some, view_names, without_name
from gcamccl_core.data.cohort import make_split
from gcamccl_core.data.genome_builds import GenomeBuildError, name_build
from gcamccl_core.data.manifest import region_table
from gcamccl_core.model.smallest_effects import LEVEL, smallest_auc, smallest_difference

GOOD, DOUBT, FAULT = "good", "look", "fault"
FEW_PER_CLASS, FEW_IN_TEST = 20, 8
ALIKE = 0.97  # correlation from which two people's data are nearly the same
FEW_LEVELS = 10  # up to so many whole numbers may be codes, as of sites
LARGEST_RATIO = 3.0  # of the classes' sizes


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Parameters
    ----------
    check : str
        What was looked at.
    verdict : {"good", "look", "fault"}
        Whether it will work, should be looked at, or will not work.
    found : str
        In words, with numbers.
    """

    check: str
    verdict: str
    found: str


def _labelled(cohort: xr.Dataset) -> np.ndarray:
    return np.flatnonzero(cohort["label"].to_numpy() >= 0)


def find_views(cohort: xr.Dataset) -> list[Finding]:
    """Say what there is, and how much memory it takes."""
    sizes = [f"{name} {' x '.join(map(str, cohort[name].shape[1:]))}" for name in view_names(cohort)]
    memory = sum(cohort[name].nbytes for name in view_names(cohort)) / 2**30
    n = cohort.sizes["subject"]
    text = f"{n} people ({len(_labelled(cohort))} in the contrast), {', '.join(sizes)}; {memory:.2f} GiB in memory"
    return [Finding("views", GOOD, text)]


def find_people_twice(cohort: xr.Dataset) -> list[Finding]:
    """Find people under two ids: the same data to the last bit, or nearly, as where one call or volume differs."""
    found = []
    ids = cohort["subject"].to_numpy().astype(str)
    for name in view_names(cohort):
        rows = cohort[name].to_numpy().reshape(len(ids), -1)
        if rows.shape[1] <= 20:  # a few measures can be alike by chance
            continue
        same: list[str] = []
        alike: list[str] = []
        for one, other in _pairs_alike(rows):
            identical = np.array_equal(rows[one], rows[other], equal_nan=True)
            (same if identical else alike).append(f"{ids[one]} and {ids[other]}")
        if same:
            found.append(Finding("people twice", FAULT, f"{name} is the same in {name_some(same)}; leave one out"))
        if alike:
            text = f"{name} is nearly the same in {name_some(alike)}: twins, or one person under two ids"
            found.append(Finding("people twice", DOUBT, text))
    return found or [Finding("people twice", GOOD, "no two people have the same data")]


def _pairs_alike(rows: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of rows that correlate above .97 once every column is standardised, a thousand rows at a time."""
    rows = np.where(np.isnan(rows), np.nanmean(rows, axis=0), rows).astype(np.float32)
    spread = rows.std(axis=0)
    rows = (rows - rows.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(rows), 1000):
        near = np.argwhere(rows[start : start + 1000] @ rows.T > ALIKE) + np.array([start, 0])
        pairs += [(int(one), int(other)) for one, other in near if one < other]
    return pairs


def find_missing(cohort: xr.Dataset) -> list[Finding]:
    """Say how many genotypes are missing, and in whom."""
    found = []
    for name in view_names(cohort):
        if cohort[name].attrs.get("kind") != "genotype":
            continue
        missing = np.isnan(cohort[name].to_numpy())
        by_person, by_snp = missing.mean(axis=1), missing.mean(axis=0)
        people = cohort["subject"].to_numpy()[by_person > 0.05]
        snps = cohort[name][cohort[name].dims[1]].to_numpy()[by_snp > 0.10]
        text = f"{missing.mean():.2%} of the genotypes of {name}"
        many = [f"more than 5 % in {name_some(people)}"] if len(people) else []
        many += [f"more than 10 % of {name_some(snps)}"] if len(snps) else []
        found.append(Finding("missing", DOUBT if many else GOOD, "; ".join([text, *many])))
    return found


def find_coverage(cohort: xr.Dataset) -> list[Finding]:
    """Say which regions and features there are, and which say nothing because they are alike in everybody."""
    found = []
    atlas = set(region_table()["roi"].astype(str))
    for name in view_names(cohort):
        values, features = cohort[name], cohort[name].dims[1]
        varies = (values.max("subject") > values.min("subject")).any(values.dims[2:])
        names = cohort[features].to_numpy().astype(str) if features in cohort.coords else np.arange(values.shape[1])
        alike = [str(each) for each in names[~varies.to_numpy()]]
        there = len(atlas & set(names.tolist()))
        text = [f"{there} of the {len(atlas)} regions of Power's atlas"] if there and values.ndim == 3 else []
        text += [f"{len(alike)} of {len(names)} features of {name} are alike in everybody: {name_some(alike)}"] * bool(
            alike
        )
        if text:
            found.append(Finding("coverage", DOUBT if alike else GOOD, "; ".join(text)))
    return found or [Finding("coverage", GOOD, "no feature is alike in everybody")]


def find_genome(cohort: xr.Dataset) -> list[Finding]:
    """Say whether the counted alleles, the build and the genes are known."""
    found = []
    for name in view_names(cohort):
        if cohort[name].attrs.get("kind") != "genotype":
            continue
        lacking = [what for what in ("counted_allele", "gene", "block") if f"{name}_{what}" not in cohort.coords]
        lacking += [
            f"{what} of {int(without_name(cohort[f'{name}_{what}'].to_numpy()).sum())} SNPs"
            for what in ("counted_allele", "gene")
            if f"{name}_{what}" in cohort.coords and without_name(cohort[f"{name}_{what}"].to_numpy()).any()
        ]
        try:
            build = f"on {name_build(str(cohort.attrs.get('genome_build', '')))}"
        except GenomeBuildError:
            build, lacking = "", [*lacking, "genome_build"]
        values = cohort[name].to_numpy()
        frequency = np.nanmean(values, axis=0) / 2
        rare = int((np.minimum(frequency, 1 - frequency) < 0.05).sum())
        text = "; ".join(
            [f"{name} {build}".strip()]
            + ([f"not known: {', '.join(lacking)}"] if lacking else [])
            + ([f"{rare} SNPs with a minor allele frequency below 5 %"] if rare else [])
        )
        found.append(Finding("genome", DOUBT if lacking or rare else GOOD, text))
    return found


def find_classes(cohort: xr.Dataset) -> list[Finding]:
    """Say how many people each class has, and the test part of a split."""
    label, names = cohort["label"].to_numpy(), class_names(cohort)
    counts = np.array([(label == number).sum() for number in range(len(names))])
    text = ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=True))
    if not counts.min():
        return [Finding("classes", FAULT, f"{text}; a class that nobody is in cannot be learnt")]
    try:
        test = np.bincount(label[make_split(cohort, seed=0).test], minlength=len(names))
    except ValueError as fault:
        return [Finding("classes", FAULT, f"{text}; they cannot be divided: {fault}; take group away, or mend it")]
    text += f"; a test part of {test.sum()}, the smallest class with {test.min()}"
    small = counts.min() < FEW_PER_CLASS or test.min() < FEW_IN_TEST
    unequal = counts.max() > LARGEST_RATIO * max(counts.min(), 1)
    text += "; few: one split says little, and neither do twenty" if small else ""
    text += "; unequal: look at sensitivity and specificity, not at accuracy" if unequal else ""
    return [Finding("classes", DOUBT if small or unequal else GOOD, text)]


def _compare_words(values: pd.Series, label: np.ndarray) -> tuple[float, float, str] | None:
    """Give p, strength and size of what groups have to do with the label; None if it cannot be told."""
    known = values.notna().to_numpy()
    table = pd.crosstab(values[known].astype(str), label[known])
    if min(table.shape) < 2:
        return None
    strength = float(association(table, method="cramer"))
    return float(chi2_contingency(table).pvalue), strength, f"goes with the label, Cramér's V {strength:.2f}"


def _compare_numbers(values: pd.Series, label: np.ndarray) -> tuple[float, float, str] | None:
    """Give the same of a number, by Kruskal and Wallis, and by the AUC between the first class and the last."""
    groups = [values[label == number].dropna() for number in np.unique(label)]
    if min(map(len, groups)) < 2 or values.nunique() < 2:
        return None
    first, last = groups[0].to_numpy(), groups[-1].to_numpy()
    above = (last[:, None] > first).mean() + 0.5 * (last[:, None] == first).mean()
    size = f"tells the classes apart with an AUC of {max(above, 1 - above):.2f}"
    return float(kruskal(*groups).pvalue), 2 * abs(float(above) - 0.5), size


def find_confounding(cohort: xr.Dataset) -> list[Finding]:
    """Hold the label against sites, motion and every other covariate."""
    chosen = cohort.isel(subject=_labelled(cohort))
    label = chosen["label"].to_numpy()
    others = ["group"] if "group" in cohort else []
    others += [str(name) for name, values in cohort.data_vars.items() if values.attrs.get("role") == "covariate"]
    rows: list[tuple[str, float, float, str]] = []
    untold = []
    for name in others:
        values = chosen[name].to_series()
        missing = values.isna() | (values.astype(str) == "")
        if missing.any() and not missing.all():
            table = pd.crosstab(missing, label)
            p, strength = float(chi2_contingency(table).pvalue), float(association(table, method="cramer"))
            rows.append((name, p, strength, f"is missing more in one class, Cramér's V {strength:.2f}"))
        values.index = pd.RangeIndex(len(values))
        numeric = pd.api.types.is_numeric_dtype(values) and name != "group"
        # few whole numbers may be codes, as of sites, which have no order
        coded = not numeric or (2 < values.nunique() <= FEW_LEVELS and bool((values.dropna() % 1 == 0).all()))
        tested = [_compare_words(values, label)] if coded else []
        tested += [_compare_numbers(values, label)] if numeric else []
        rows += [(name, *each) for each in tested if each]
        if not any(tested):
            untold.append(name)
    if not others:
        return [Finding("confounding", DOUBT, "no site and no covariate is known, so nothing can be said of it")]
    strong = [row for row in rows if row[1] * len(rows) < LEVEL and row[2] > 0.1]
    told = [name for name in others if name not in untold]
    said = [Finding("confounding", DOUBT, f"nothing can be said of {', '.join(untold)}")] if untold else []
    if not strong:
        return said + ([Finding("confounding", GOOD, f"the label goes with none of {', '.join(told)}")] if told else [])
    strongest_first = [
        Finding("confounding", DOUBT, f"{name} {size} (p {p:.1g}); remove it (confounds), or keep groups together")
        for name, p, _, size in sorted(strong, key=lambda row: -row[2])
    ]
    return [*strongest_first, *said]


def find_smallest_effect(cohort: xr.Dataset) -> list[Finding]:
    """Say what so many people could show."""
    label = cohort["label"].to_numpy()
    one, two = sorted((int((label == number).sum()) for number in range(len(class_names(cohort)))), reverse=True)[:2]
    found = []
    for name in view_names(cohort):
        shape = cohort[name].shape[1:]
        n_features = shape[0] * (shape[0] - 1) // 2 if len(shape) == 2 else shape[0]
        alone, corrected = (smallest_difference(one, two, LEVEL / tests) for tests in (1, n_features))
        text = f"a feature of {name} must differ by {alone:.2f} standard deviations to be found by itself, by "
        found.append(Finding("smallest effect", GOOD, f"{text}{corrected:.2f} among all {n_features}"))
    try:
        test = np.bincount(label[make_split(cohort, seed=0).test], minlength=len(class_names(cohort)))
    except ValueError:  # said already, with the classes
        return found
    of_test = sorted(test.tolist(), reverse=True)[:2]
    of_one, of_all = smallest_auc(*of_test), smallest_auc(one, two)
    text = (
        f"an area under the ROC curve must be {of_one:.2f} to be told from chance on one test part of {sum(of_test)}, "
        f"and {of_all:.2f} if everybody is predicted once"
    )
    return [*found, Finding("smallest effect", DOUBT if of_all > 0.7 else GOOD, text)]
