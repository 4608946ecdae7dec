"""A cohort from tables of one's own (CSV): one of numbers for each view, and one of people with a score.

``python -m gcamccl_core.data.own_tables first.csv second.csv --people people.csv --out my_cohort.nc`` does it from a
shell; ``--help`` lists the rest.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
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
        Share of the people in each class, as in :func:`.extreme_groups`; if None, one half, or as much less as people
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
    if Path(people) in map(Path, views.values()):
        raise CohortError(f"{people} cannot be a view as well: a model would read the score")
    tables = {Path(path): _read(Path(path), subject) for path in [*views.values(), people]}
    kept = _people_of(tables, common)
    of_people = tables[Path(people)].loc[kept]
    for column in (score, *covariates, *([group] if group else [])):
        if column not in of_people:
            raise CohortError(f"{people} has no column '{column}'; it has {name_some(of_people.columns, 12)}")
    arrays = {}
    for name, path in views.items():
        if score in tables[Path(path)]:
            raise CohortError(f"{path} has the column '{score}': a model would read the score; take it out of the view")
        values = _numbers(Path(path), tables[Path(path)].loc[kept])
        coords = {"subject": kept, f"{name}_feature": list(values.columns)}
        arrays[name] = xr.DataArray(values.to_numpy("float32"), coords, ("subject", f"{name}_feature"))
    scores = _numbers(Path(people), of_people[[score]])[score]
    beside = pd.DataFrame({name: _covariate(Path(people), of_people[name]) for name in covariates}, index=kept)
    sites = of_people[group].where(~of_people[group].str.lower().isin(EMPTY), "") if group else None
    return assemble_cohort(
        arrays,
        label=pd.Series(_label(scores, fraction), index=kept),
        score=scores,
        covariates=beside if len(covariates) else None,
        group=sites,
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
    """Read a table as text, by id; commas, semicolons or tabs stand between cells."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        raise CohortError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise CohortError(f"{path} cannot be read as a table (CSV): {fault}") from None
    first = next((line for line in lines if line.strip()), "")
    between = max(",;\t", key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    reader = csv.reader(lines, delimiter=between)
    rows = [([cell.strip() for cell in row], reader.line_num) for row in reader if any(map(str.strip, row))]
    if len(rows) < 2:
        raise CohortError(f"{path} has no people")
    head = rows.pop(0)[0]
    _check_head(path, head, subject)
    for row, line in rows:
        if len(row) != len(head):
            raise CohortError(
                f"{path}, line {line}: {len(row)} cells, where the first line names {len(head)} columns; a comma "
                "inside a cell (also of a decimal number) needs quotes, or semicolons between cells"
            )
    place = head.index(subject)
    ids, line_of = [row[place] for row, _ in rows], [line for _, line in rows]
    if "" in ids:
        raise CohortError(f"{path}, line {line_of[ids.index('')]}: no id")
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        where = ", ".join(str(line) for name, line in zip(ids, line_of, strict=True) if name == twice[0])
        raise CohortError(f"{path} lists more than once: {name_some(twice)} (lines {where}); keep one row each")
    table = pd.DataFrame([row for row, _ in rows], columns=head, index=pd.Index(ids, name="subject"), dtype=object)
    return table.drop(columns=subject)


def _check_head(path: Path, head: list[str], subject: str) -> None:
    if "" in head:
        raise CohortError(f"{path}: column {head.index('') + 1} has no name (pandas' numbers of rows? index=False)")
    twice = [name for name, count in Counter(head).items() if count > 1]
    if twice:
        raise CohortError(f"{path} has more than one column '{twice[0]}'; rename them")
    if subject not in head:
        raise CohortError(
            f"{path} has no column '{subject}' of ids; it has {name_some(head, 12)}. "
            "Name yours: subject='…' (--subject …)"
        )


def _people_of(tables: Mapping[Path, pd.DataFrame], common: bool) -> list[str]:
    """List the people, if all tables have the same, or those whom all have."""
    first = next(iter(tables.values())).index
    in_all = set.intersection(*(set(table.index) for table in tables.values()))
    everybody = list(dict.fromkeys(name for table in tables.values() for name in table.index))
    lacking = {path: [name for name in everybody if name not in table.index] for path, table in tables.items()}
    said = "; ".join(f"{path} lacks {name_some(map(repr, names))}" for path, names in lacking.items() if names)
    if said and not common:
        raise CohortError(
            f"the files are not of the same people: {said} ({len(in_all)} are in all files). If they are the same "
            "people, write their ids alike; if not, keep those whom all files have: common=True (--common)"
        )
    if not in_all:
        raise CohortError(f"no id is in all of {', '.join(map(str, tables))}")
    return [each for each in first if each in in_all]


def _numbers(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Take cells as numbers, or say which is none."""
    if table.shape[1] == 0:
        raise CohortError(f"{path} has no column beside the ids")
    values = np.full(table.shape, np.nan)
    for column, cells in enumerate(table.to_numpy().T):
        values[:, column] = pd.to_numeric(pd.Series(cells), errors="coerce")
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        cell = table.iloc[row, column]
        what = (
            "is empty"
            if cell.lower() in EMPTY
            else "is not a number"
            if np.isnan(values[row, column])
            else "is infinite"
        )
        more = f" (and {len(wrong) - 1} more cells)" if len(wrong) > 1 else ""
        said = f"{path}, column '{table.columns[column]}', {table.index[row]}: {cell!r} {what}{more}"
        raise CohortError(f"{said}; correct it, or leave the column or the person out")
    return pd.DataFrame(values, table.index, table.columns)


def _covariate(path: Path, cells: pd.Series) -> pd.Series:
    """Take a covariate as numbers if it has any, else as words; what is missing stays so."""
    there = ~cells.str.lower().isin(EMPTY)
    values = pd.to_numeric(cells.where(there), errors="coerce")
    if values.notna().any():
        wrong = there & values.isna()
        if wrong.any():
            person, cell = next(each for each, fault in zip(cells.items(), wrong, strict=True) if fault)
            raise CohortError(
                f"{path}, column '{cells.name}', {person}: {cell!r} among numbers; correct it, or leave the cell empty"
            )
        return values
    return cells.where(there, "")


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
    parser.add_argument("--covariates", nargs="*", default=[], help="columns of people to keep, such as: age sex")
    parser.add_argument("--group", help="the column of the site or family that no split may divide")
    parser.add_argument("--access", choices=("controlled", "open"), default="controlled", help="who may see people")
    parser.add_argument("--common", action="store_true", help="keep the people whom all files have")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    given = vars(parser.parse_args(arguments))
    given["covariates"] = [name for each in given["covariates"] for name in each.split(",") if name]
    paths, out, overwrite = given.pop("tables"), given.pop("out"), given.pop("overwrite")
    try:
        views = {path.stem.replace("-", "_"): path for path in paths}
        if len(views) < len(paths):
            raise CohortError("two tables have the same name, which names their views; rename one")
        cohort = cohort_from_tables(views, **given)
        save_cohort(cohort, out, overwrite=overwrite)
    except (CohortError, FileExistsError, ValueError) as fault:
        print(str(fault).replace("pass overwrite=True", "pass --overwrite"), file=sys.stderr)
        return 1
    if given["common"]:
        listed = {name for path in (*paths, given["people"]) for name in _read(path, given["subject"]).index}
        lost = sorted(listed - set(cohort["subject"].to_numpy()))
        print(f"left out, since not in all files: {name_some(lost, 20) or 'nobody'}")
    sizes = ", ".join(f"{name} ({cohort[name].shape[1]} features)" for name in views)
    if given["access"] == "controlled" and any(name.isdigit() for name in cohort["subject"].to_numpy()):
        print("Some ids are mere numbers, like rows of tables; a book will be refused. Better: PX1017", file=sys.stderr)
    print(f"{out}: {describe_classes(cohort)}; views {sizes}; access {given['access']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
