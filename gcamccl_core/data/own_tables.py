"""A cohort from tables of one's own (CSV): one of numbers for each view, and one of people with a score.

``python -m gcamccl_core.data.own_tables first.csv second.csv --people people.csv --out my_cohort.nc`` does it from a
shell; ``--help`` lists the rest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from gcamccl_core.data.checks import CohortError, name_some
from gcamccl_core.data.cohort import assemble_cohort, extreme_groups, save_cohort

EMPTY = ("", "na", "nan", "n/a", "null", "none")  # what programs write where there is no value


def cohort_from_tables(
    views: Mapping[str, str | Path],
    people: str | Path,
    subject: str = "subject",
    score: str = "score",
    fraction: float | None = None,
    covariates: Sequence[str] = (),
    group: str | None = None,
    access: str = "controlled",
    common: bool = False,
) -> xr.Dataset:
    r"""Read tables of the same people and join them into a cohort, low against high score.

    Parameters
    ----------
    views : mapping of str to path
        By the name of the view, a CSV file with one row per person: a column of ids, every other a feature.
    people : path
        A CSV file with one row per person: ids, the score, and what ``covariates`` and ``group`` name.
    subject, score : str
        The columns of ids (the same in all files) and of the score.
    fraction : float, optional
        Share of the people in each class, as in :func:`extreme_groups`; if None, one half, or as much less as people
        with one and the same score make necessary.
    covariates : sequence of str
        Columns of ``people`` to keep beside, such as age and sex.
    group : str, optional
        The column of the site or family that no split may divide.
    access : str
        ``"open"`` if anyone may see these people one by one.
    common : bool
        Keep the people whom all files have, instead of refusing files of different people.

    Returns
    -------
    xarray.Dataset
        The cohort, people in the order of the first file; its views are of kind "measure".

    Raises
    ------
    CohortError
        If a column is not there, an id is missing or stands twice, a cell is empty or no number, or files are of
        different people; with file, column and person.
    ValueError
        If a fraction is given that scores do not allow; with the largest that they do.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     one, two, people = (Path(folder, f"{name}.csv") for name in ("one", "two", "people"))
    ...     _ = one.write_text("subject,a,b\ns1,1,2\ns2,2,1\ns3,0,1\ns4,1,1\n")
    ...     _ = two.write_text("subject,c\ns4,1\ns3,5\ns2,3\ns1,4\n")
    ...     _ = people.write_text("subject,score\ns1,90\ns2,101\ns3,99\ns4,120\n")
    ...     cohort = cohort_from_tables({"one": one, "two": two}, people)
    >>> cohort["two"].to_numpy().ravel().tolist(), cohort["label"].to_numpy().tolist()
    ([4.0, 3.0, 5.0, 1.0], [0, 1, 0, 1])
    """
    if not views:
        raise CohortError("give at least one table as a view")
    tables = {Path(path): _read(Path(path), subject) for path in [*views.values(), people]}
    kept = _people_of(tables, common)
    of_people = tables[Path(people)].loc[kept]
    for column in (score, *covariates, *([group] if group else [])):
        if column not in of_people:
            raise CohortError(f"{people} has no column '{column}'; it has {name_some(of_people.columns, 12)}")
    arrays = {}
    for name, path in views.items():
        values = _numbers(Path(path), tables[Path(path)].loc[kept])
        coords = {"subject": kept, f"{name}_feature": list(values.columns)}
        arrays[name] = xr.DataArray(values.to_numpy("float32"), coords, ("subject", f"{name}_feature"))
    scores = _numbers(Path(people), of_people[[score]])[score]
    beside = of_people[list(covariates)].apply(_as_numbers)
    return assemble_cohort(
        arrays,
        label=pd.Series(_label(scores, fraction), index=kept),
        score=scores,
        covariates=beside if len(covariates) else None,
        group=of_people[group] if group else None,
        attrs={"source": "own tables", "access": access},
    )


def describe_classes(cohort: xr.Dataset) -> str:
    """Say how many people are in which class.

    Examples
    --------
    >>> describe_classes(xr.Dataset({"label": ("subject", [0, 1, 1, -1], {"classes": ["low", "high"]})}))
    '4 people: 1 low, 2 high, 1 between them, without a class'
    """
    label, names = cohort["label"].to_numpy(), list(cohort["label"].attrs["classes"])
    counts = [f"{int((label == number).sum())} {name}" for number, name in enumerate(names)]
    between = int((label < 0).sum())
    counts += [f"{between} between them, without a class"] if between else []
    return f"{len(label)} people: {', '.join(counts)}"


def _read(path: Path, subject: str) -> pd.DataFrame:
    """Read a table as text, by id."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            head = file.readline()
        between = max(",;\t", key=head.count)
        table = pd.read_csv(path, sep=between, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise CohortError(f"there is no file {path}") from None
    except (UnicodeDecodeError, ValueError, pd.errors.ParserError) as fault:
        raise CohortError(f"{path} cannot be read as a table (CSV): {fault}") from None
    table.columns = table.columns.str.strip()
    if subject not in table:
        raise CohortError(
            f"{path} has no column '{subject}' of ids; it has {name_some(table.columns, 12)}. "
            "Name yours: subject='…' (--subject …)"
        )
    ids = table[subject].str.strip()
    if (ids == "").any():
        raise CohortError(f"{path} has no id in row {int(np.flatnonzero(ids == '')[0]) + 2}")
    twice = ids[ids.duplicated(keep=False)]
    if len(twice):
        rows = ", ".join(str(row + 2) for row in np.flatnonzero(ids == twice.iloc[0]))
        raise CohortError(f"{path} lists more than once: {name_some(twice.unique())} (rows {rows}); keep one row each")
    return table.drop(columns=subject).set_index(pd.Index(ids, name="subject"))


def _people_of(tables: Mapping[Path, pd.DataFrame], common: bool) -> list[str]:
    """List the people, if all tables have the same, or those whom all have."""
    first = next(iter(tables.values())).index
    in_all = set.intersection(*(set(table.index) for table in tables.values()))
    lacking = {path: [each for each in table.index if each not in in_all] for path, table in tables.items()}
    if any(lacking.values()) and not common:
        said = "; ".join(f"{path} alone has {name_some(map(repr, more))}" for path, more in lacking.items() if more)
        raise CohortError(
            f"the files are not of the same people: {said} ({len(in_all)} are in all files). If they are the same "
            "people, write their ids alike; if not, keep those whom all files have: common=True (--common)"
        )
    if not in_all:
        raise CohortError(f"no id is in all of {', '.join(map(str, tables))}")
    return [each for each in first if each in in_all]


def _numbers(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Take cells as numbers, or say which are none."""
    if table.shape[1] == 0:
        raise CohortError(f"{path} has no column beside the ids")
    empty = table.apply(lambda column: column.str.strip().str.lower().isin(EMPTY))
    values = table.apply(pd.to_numeric, errors="coerce").where(~empty)
    for wrong, what in ((values.isna() & ~empty, "is not a number"), (empty, "is empty")):
        where = np.argwhere(wrong.to_numpy())
        if len(where):
            row, column = where[0]
            more = f" (and {len(where) - 1} more cells)" if len(where) > 1 else ""
            said = f"{path}, column '{table.columns[column]}', {table.index[row]}: {table.iloc[row, column]!r} {what}"
            raise CohortError(f"{said}{more}; correct it, or leave the column or the person out")
    return values.astype(float)


def _as_numbers(column: pd.Series) -> pd.Series:
    """Take a covariate as numbers if all of it that is there are numbers."""
    there = ~column.str.strip().str.lower().isin(EMPTY)
    values = pd.to_numeric(column, errors="coerce").where(there)
    return column.where(there, "") if values[there].isna().any() else values


def _label(scores: pd.Series, fraction: float | None) -> np.ndarray:
    """Label by score; a tie at the border makes the groups smaller, or the fraction that was asked for wrong."""
    if fraction is not None:
        try:
            return extreme_groups(scores.to_numpy(), fraction)
        except ValueError as fault:
            if "both low and high" not in str(fault):
                raise
            largest = _largest_fraction(scores)
            raise ValueError(f"{fault}: people share this score. The largest is {largest:.3f}") from None
    return extreme_groups(scores.to_numpy(), _largest_fraction(scores))


def _largest_fraction(scores: pd.Series) -> float:
    for size in range(len(scores) // 2, 0, -1):
        try:
            extreme_groups(scores.to_numpy(), size / len(scores))
        except ValueError:
            continue
        return size / len(scores)
    raise ValueError(f"all {len(scores)} people have nearly the same score, so there is no low and high")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a cohort of tables and write it; say what is in it, or what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m gcamccl_core.data.own_tables",
        description="A cohort from tables of your own, low against high score.",
    )
    parser.add_argument("tables", nargs="+", type=Path, help="a CSV file per view; the file's name names the view")
    parser.add_argument("--people", required=True, type=Path, help="a CSV file of people and their score")
    parser.add_argument("--out", type=Path, default=Path("my_cohort.nc"), help="the cohort's file (%(default)s)")
    parser.add_argument("--subject", default="subject", help="the column of ids in all files (%(default)s)")
    parser.add_argument("--score", default="score", help="the column of the score (%(default)s)")
    parser.add_argument("--fraction", type=float, help="share of people in each class (one half, less for ties)")
    parser.add_argument("--covariates", nargs="*", default=[], help="columns of people to keep beside, such as age")
    parser.add_argument("--group", help="the column of the site or family that no split may divide")
    parser.add_argument("--access", choices=("controlled", "open"), default="controlled", help="who may see people")
    parser.add_argument("--common", action="store_true", help="keep the people whom all files have")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    given = vars(parser.parse_args(arguments))
    paths, out, overwrite = given.pop("tables"), given.pop("out"), given.pop("overwrite")
    try:
        views = {path.stem.replace("-", "_"): path for path in paths}
        if len(views) < len(paths):
            raise CohortError("two tables have the same name, which names their views; rename one")
        cohort = cohort_from_tables(views, **given)
        save_cohort(cohort, out, overwrite=overwrite)
    except (CohortError, FileExistsError, ValueError) as fault:
        print(fault, file=sys.stderr)
        return 1
    sizes = ", ".join(f"{name} ({cohort[name].shape[1]} features)" for name in views)
    print(f"{out}: {describe_classes(cohort)}; views {sizes}; access {given['access']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
