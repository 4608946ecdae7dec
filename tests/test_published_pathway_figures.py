"""The figure of the paper's own pathways, as drawn: every value in its place, nothing cut off, words that agree."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from gcamccl_core.maps.published_pathways import published_pathways
from gcamccl_core.report.published_pathway_figures import WORDS, alt_published_pathways, plot_published_pathways
from gcamccl_core.report.style import PAGE_WIDTH

mpl.use("Agg")


@pytest.fixture
def table():
    printed = published_pathways()
    rng = np.random.default_rng(0)
    ours = np.where(printed["term"] != "", rng.uniform(1e-7, 0.2, len(printed)), np.nan)
    panels = {name: rng.uniform(1e-9, 1, len(printed)) for name in ("q_best", "q_genome", "q_alike")}
    return printed.assign(our_q=ours, **panels, q_listed=np.where(np.isnan(ours), np.nan, 1.0))


def test_every_q_is_drawn_in_its_row(table):
    figure = plot_published_pathways(table)
    assert len(figure.axes) == 2
    for ax, name in zip(figure.axes, ("low", "high"), strict=True):
        rows = table[table["class"] == name]
        assert name in ax.get_title(loc="left")
        lines = {line.get_label(): line for line in ax.lines}
        for column, words in WORDS.items():
            np.testing.assert_allclose(lines[words].get_xdata(), -np.log10(rows[column]), atol=1e-12)
            assert list(lines[words].get_ydata()) == list(range(len(rows)))


def test_rows_that_cannot_be_tested_are_marked(table):
    labels = [label for ax in plot_published_pathways(table).axes for label in ax.get_yticklabels()]
    marked = [label.get_text().endswith("†") for label in labels]
    assert marked == table["our_q"].isna().tolist()
    colors = {label.get_color() for label, dagger in zip(labels, marked, strict=True) if dagger}
    assert len(colors) == 1
    assert colors.isdisjoint(label.get_color() for label, dagger in zip(labels, marked, strict=True) if not dagger)


def test_the_line_is_at_five_per_cent_and_measures_differ_by_marker(table):
    figure = plot_published_pathways(table)
    for ax in figure.axes:
        dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
        assert [line.get_xdata()[0] for line in dotted] == pytest.approx([-np.log10(0.05)])
        looks = {(line.get_marker(), line.get_markerfacecolor()) for line in ax.lines if line not in dotted}
        assert len(looks) == len(WORDS)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[: len(WORDS)] == list(WORDS.values())


def test_nothing_is_cut_off_at_the_width_of_the_page(table):
    figure = plot_published_pathways(table)
    figure.draw_without_rendering()
    assert figure.get_figwidth() == PAGE_WIDTH
    page = figure.bbox
    for ax in figure.axes:
        for label in ax.get_yticklabels():
            box = label.get_window_extent()
            assert box.x0 >= page.x0
            assert label.get_fontsize() >= 6.8
    box = figure.legends[0].get_window_extent()
    assert page.x0 <= box.x0 < box.x1 <= page.x1


def test_only_measures_that_the_table_has_are_drawn(table):
    figure = plot_published_pathways(table[["class", "pathway", "q_value", "our_q"]])
    assert {line.get_label() for line in figure.axes[0].lines} >= {"printed", "tested anew, annotated genome"}
    assert len(figure.axes[0].lines) == 3


def test_words_agree_with_the_values(table):
    alt = alt_published_pathways(table)
    for name, rows in table.groupby("class"):
        assert f"Class {name}, {len(rows)} rows" in alt
        for column, words in WORDS.items():
            had = rows[column].dropna()
            assert f"{(had < 0.05).sum()} of {len(had)} ({words})" in alt
    assert "5 cannot be tested" in alt
    assert "15 cannot be tested" in alt


def test_messages_say_what_is_missing(table):
    with pytest.raises(ValueError, match="no column our_q; pass what compare_with_published returns"):
        plot_published_pathways(table.drop(columns="our_q"))
    with pytest.raises(ValueError, match="no row to draw"):
        alt_published_pathways(pd.DataFrame(columns=["class", "pathway", "q_value", "our_q"]))
