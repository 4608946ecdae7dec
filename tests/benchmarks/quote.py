"""What the page on cost quotes of the tables: ratios, verdicts on goals, and tables laid out for reading."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .accuracy import MARGIN
from .goals import GOALS, MEMORY, SUBJECTS
from .growth import exponents
from .growth_figure import describe

DIMENSIONS = {"subjects": "subjects", "regions": "regions", "SNPs": "SNPs", "views": "views"}
STREAMED = "large_cohort"


def quote_ratios(table: pd.DataFrame, made_from: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Give the numbers of ``results/benchmarks.csv``, each under ``cost_`` and the row's key.

    Returns
    -------
    dict
        ``cost_machine`` and ``cost_dates``; by row ``_ratio``, ``_range``, ``_seconds``, ``_peer_seconds``, ``_share``
        and, where there is a goal, ``_goal`` and ``_verdict``; ``cost_table`` and ``cost_limits``, as Markdown.
    """
    dates = sorted(str(made["date"])[:10] for made in made_from.values())
    numbers: dict[str, object] = {
        "cost_machine": "; ".join(sorted(set(table["machine"]))),
        "cost_threads": ", ".join(sorted({str(made["machine"]["threads"]) for made in made_from.values()})),  # type: ignore[index]
        "cost_dates": dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}",
    }
    columns = ["ratio", "ratio_low", "ratio_high", "goal", "rate", "share_of_limit", "accuracy"]
    table = table.reindex(columns=[*table.columns, *(name for name in columns if name not in table)])
    for row in table.to_dict("records"):
        name = f"cost_{row['key']}"
        if np.isfinite(row["ratio"]):
            numbers |= {f"{name}_ratio": f"{row['ratio']:.2f}", f"{name}_range": _range(row)}
            numbers |= {f"{name}_{part}": _seconds(row[part]) for part in ("seconds", "peer_seconds")}
        if row["key"] in GOALS:
            numbers |= {f"{name}_goal": f"{GOALS[row['key']]:.2f}", f"{name}_verdict": _judge_ratio(row)}
        if np.isfinite(row["share_of_limit"]):
            numbers[f"{name}_share"] = f"{row['share_of_limit']:.0%}"
        elif np.isfinite(row["rate"]):
            numbers[name] = f"{row['rate']:.0f} {row['unit']}"
        if np.isfinite(row["accuracy"]):
            numbers |= _accuracy(row)
    numbers["cost_table"] = _ratio_table(table)
    numbers["cost_limits"] = _markdown(
        ["Limit", "Measured"],
        [[row["what"], f"{row['rate']:.0f} {row['unit']}"] for row in _of(table, "machine")],
    )
    return numbers


def _ratio_table(table: pd.DataFrame) -> str:
    rows = [
        [
            row["what"],
            row["ours"],
            row["peer"],
            _seconds(row["seconds"]),
            _seconds(row["peer_seconds"]),
            f"{row['ratio']:.2f} ({_range(row)})",
            f"{row['goal']:.2f}" if np.isfinite(row["goal"]) else "",
            f"{row['share_of_limit']:.0%}" if np.isfinite(row["share_of_limit"]) else "",
        ]
        for row in table[np.isfinite(table["ratio"])].to_dict("records")
    ]
    heads = ["What", "Ours", "Peer", "Ours, s", "Peer, s", "Ratio (range)", "Goal", "Of the limit"]
    return _markdown(heads, rows)


def quote_growth(table: pd.DataFrame, made_from: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Give the numbers of ``results/growth.csv``.

    Returns
    -------
    dict
        ``cost_growth_table``, the exponents as Markdown; ``cost_growth_linear``, what grows faster with subjects;
        ``cost_growth_<stage>_<dimension>``, each for time; ``cost_growth_alt``, the words for who cannot see the
        figure; and of streamed cohorts ``cost_streamed_*``.
    """
    numbers: dict[str, object] = {}
    local = table[table["benchmark"] == "growth"]
    if len(local):
        fits = exponents(local)
        rows = []
        for (stage, dimension), pair in fits.groupby(["stage", "dimension"], sort=False):
            by = {row["quantity"]: row for row in pair.to_dict("records")}
            time, memory = (_exponent(by.get(quantity)) for quantity in ("seconds", "mebibytes"))
            points = local[(local["stage"] == stage) & (local["dimension"] == dimension)].sort_values("size")
            first, last = points.iloc[0], points.iloc[-1]
            sizes = f"{first['size']:,} to {last['size']:,} {dimension}"
            rows.append([stage, sizes, f"{_seconds(first['seconds'])} to {_seconds(last['seconds'])}", time, memory])
            numbers[f"cost_growth_{stage}_{str(dimension).lower()}"] = time
        heads = ["Stage", "Grows", "Seconds", "Exponent of time", "Exponent of memory"]
        numbers["cost_growth_linear"] = judge_linear(fits[fits["dimension"] == "subjects"])
        numbers |= {"cost_growth_table": _markdown(heads, rows), "cost_growth_alt": describe(fits)}
        numbers["cost_growth_machine"] = "; ".join(sorted(set(local["machine"])))
    streamed = table[table["benchmark"] == STREAMED]
    return {**numbers, **(quote_streamed(streamed) if len(streamed) else {})}


def quote_streamed(table: pd.DataFrame) -> dict[str, object]:
    """Give the numbers of cohorts larger than memory: the largest one's seconds and memory, and the power of time."""
    largest = table[table["size"] == table["size"].max()]
    most = largest["mebibytes"].max() / 1024
    fits = exponents(table).query("quantity == 'seconds'").set_index("stage")
    rows = [
        [
            row["stage"],
            _seconds(row["seconds"]),
            f"{row['mebibytes'] / 1024:.1f}",
            _exponent(fits.loc[row["stage"]].to_dict() if row["stage"] in fits.index else None),
        ]
        for row in largest.to_dict("records")
    ]
    return {
        "cost_streamed_subjects": f"{int(largest['size'].iloc[0]):,}",
        "cost_streamed_memory": f"{most:.1f} GiB",
        "cost_streamed_verdict": _judge_memory(largest["size"].iloc[0], most),
        "cost_streamed_minutes": f"{largest['seconds'].sum() / 60:.0f}",
        "cost_streamed_table": _markdown(["Step", "Seconds", "Most memory, GiB", "Exponent of time"], rows),
        "cost_streamed_machine": "; ".join(sorted(set(table["machine"]))),
    }


def judge_linear(fits: pd.DataFrame) -> str:
    """Say of which stages time or memory grows faster than linearly, as far as their intervals tell."""
    faster = [f"{row.quantity} of {row.stage}" for row in fits.itertuples() if round(row.low, 2) > 1]
    if not fits["low"].notna().any():
        return "nothing can be said from so few sizes"
    if faster:
        return f"**faster than linear**: {', '.join(faster)}"
    return "none of them grows faster than linearly, as far as the intervals tell"


def _judge_ratio(row: Mapping[str, float]) -> str:
    if not np.isfinite(row["goal"]):
        return "not tried at its size"
    return "met" if row["ratio"] <= row["goal"] else "**not met**"


def _judge_memory(n_subjects: int, gibibytes: float) -> str:
    if gibibytes > MEMORY:
        return "**not met**"
    return "met" if n_subjects >= SUBJECTS else "not tried at its size"


def _accuracy(row: Mapping[str, float]) -> dict[str, object]:
    """Word the comparison of accuracies; not worse means as elsewhere in the book, with the interval in view."""
    within = row["difference_low"] <= 0 <= row["difference_high"]
    verdict = f"the interval {'includes' if within else '**excludes**'} no difference"
    if row["difference_low"] < -MARGIN:
        verdict += f", and does not exclude a loss of more than {MARGIN:.2f}"
    return {
        "cost_accuracy": f"{row['accuracy']:.2f}",
        "cost_accuracy_peer": f"{row['peer_accuracy']:.2f}",
        "cost_accuracy_difference": f"{row['difference']:+.3f}",
        "cost_accuracy_interval": f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}",
        "cost_accuracy_n_splits": int(row["repeats"]),
        "cost_accuracy_verdict": verdict,
    }


def _of(table: pd.DataFrame, benchmark: str) -> list[dict]:
    return table[table["benchmark"] == benchmark].to_dict("records")


def _range(row: Mapping[str, float]) -> str:
    return f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}"


def _seconds(value: float) -> str:
    """Seconds with two digits or more that matter."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def _exponent(row: Mapping[str, float] | None) -> str:
    if row is None:
        return ""
    interval = f" ({row['low']:.2f} to {row['high']:.2f})" if np.isfinite(row["low"]) else ""
    return f"{row['exponent']:.2f}{interval}"


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    """Lay a table out as Markdown, for a line of its own in a page."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
