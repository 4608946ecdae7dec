"""What returns: how often each connection, region, SNP, gene or pathway is selected over splits and first weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

ENDS = {"region": ("region_i", "region_j"), "network": ("network_i", "network_j")}
LEVELS = ("connection", *ENDS, "SNP", "gene", "feature")
COLUMNS = ["view", "target_class", "level", "name", "runs", "n_runs", "share", "expected"]


def selected_names(selected: pd.DataFrame) -> pd.DataFrame:
    """List what one run selected, at every level that its table knows.

    Parameters
    ----------
    selected : pandas.DataFrame
        As :func:`.select_biomarkers` or :func:`.confirm_biomarkers` makes it.

    Returns
    -------
    pandas.DataFrame
        ``view``, ``target_class``, ``level`` and ``name``, each once: of a connection itself (``connection``), the
        regions at its ends and their networks; of a SNP itself and its gene; of any other feature itself (``feature``).
        What is not known is left out.

    Examples
    --------
    >>> one = {"view": "snp", "target_class": "high", "feature": "rs3787620", "gene": "APP", "block": "1"}
    >>> selected_names(pd.DataFrame([one, one | {"feature": "rs373521"}]))[["level", "name"]].to_numpy().tolist()
    [['SNP', 'rs3787620'], ['SNP', 'rs373521'], ['gene', 'APP']]
    """
    joined = _known(selected, "roi_i")
    genetic = ~joined & (_known(selected, "gene") | _known(selected, "block"))
    kinds = {"connection": joined, "SNP": genetic, "feature": ~joined & ~genetic}
    parts = [(level, "feature", rows) for level, rows in kinds.items()]
    for level, columns in {**ENDS, "gene": ("gene",)}.items():
        parts += [(level, column, _known(selected, column)) for column in columns]
    tables = [
        selected[rows].assign(level=level, name=selected.loc[rows, column])
        for level, column, rows in parts
        if rows.any()
    ]
    found = pd.concat(tables or [selected.assign(level="", name="").head(0)], ignore_index=True)[
        ["view", "target_class", "level", "name"]
    ].drop_duplicates()
    order = found["level"].map({level: place for place, level in enumerate(LEVELS)})
    return found.assign(order=order).sort_values("order", kind="stable", ignore_index=True).drop(columns="order")


def count_returns(runs: Sequence[pd.DataFrame], possible: Mapping[tuple[str, str], int] | None = None) -> pd.DataFrame:
    r"""Count in how many runs each name was found, beside what runs that choose at random would show.

    If run i found :math:`m_i` of the d names that it could have found, a name chosen at random by every run returns in
    a share :math:`\frac{1}{M} \sum_i m_i / d` of the M runs: ``expected``. Runs on splits of the same people return
    more often than that for reasons that have nothing to do with the class (the same brains, the same kernels), so the
    list of a network that has learnt nothing belongs beside it.

    Parameters
    ----------
    runs : sequence of pandas.DataFrame
        One per split or first weights: ``view``, ``target_class``, ``level`` and ``name``, as :func:`selected_names`
        gives them; of other kinds of lists (hubs, gene sets) as the caller names them. A run may be empty.
    possible : mapping of (view, level) to int, optional
        d, how many names there are to be found; without it ``expected`` is missing.

    Returns
    -------
    pandas.DataFrame
        One row per ``view``, ``target_class``, ``level`` and ``name`` that any run found, the most frequent first:
        ``runs`` that found it, of ``n_runs``, their ``share``, and ``expected``.

    Raises
    ------
    ValueError
        If there is no run.

    Examples
    --------
    >>> run = pd.DataFrame({"view": "snp", "target_class": "high", "level": "SNP", "name": ["rs373521", "rs3787620"]})
    >>> counts = count_returns([run, run.head(1), run.head(0)], {("snp", "SNP"): 750})
    >>> counts[["name", "runs", "share", "expected"]].round(3)
            name  runs  share  expected
    0   rs373521     2  0.667     0.001
    1  rs3787620     1  0.333     0.001
    """
    if not len(runs):
        raise ValueError("there is no run to count in; pass one table per split or first weights")
    keys = ["view", "target_class", "level"]
    found = pd.concat(
        [run[[*keys, "name"]].drop_duplicates().assign(run=number) for number, run in enumerate(runs)],
        ignore_index=True,
    )
    counts = found.groupby([*keys, "name"], sort=False).size().rename("runs").reset_index()
    sizes = found.groupby(keys).size() / len(runs)  # mean number of names that a run found
    number = pd.Series(dict(possible or {}), dtype=float)
    expected = [
        sizes[tuple(row)] / number.get((row[0], row[2]), np.nan) for row in counts[keys].itertuples(index=False)
    ]
    counts = counts.assign(n_runs=len(runs), share=counts["runs"] / len(runs), expected=expected)
    place = {level: k for k, level in enumerate(dict.fromkeys([*LEVELS, *counts["level"]]))}
    classes = {name: k for k, name in enumerate(dict.fromkeys(counts["target_class"]))}
    counts = counts.assign(by_level=counts["level"].map(place), by_class=counts["target_class"].map(classes))
    order = ["view", "by_level", "by_class", "runs", "name"]
    return counts.sort_values(order, ascending=[True, True, True, False, True], ignore_index=True)[COLUMNS]


def _known(table: pd.DataFrame, column: str) -> pd.Series:
    """Mark the rows in which a column says something."""
    if column not in table:
        return pd.Series(False, index=table.index)
    return table[column].fillna("").astype(str).ne("")
