"""Hubs stand at their counts beside their draws, and names at the share of runs that found them."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color, to_rgba
from matplotlib.figure import Figure
from test_hubs import edge_list, scattered_cohort

from gcamccl_core.maps.hubs import find_hubs
from gcamccl_core.maps.returning_features import count_returns
from gcamccl_core.report.hub_figures import alt_hubs, alt_returns, draw_hubs, plot_hubs, plot_returns
from gcamccl_core.report.labels import shorten_region
from gcamccl_core.report.publishing import render_png
from gcamccl_core.report.style import GREY, HIGHLIGHT, class_looks

CLASSES = ["low", "high", "middle"]
LOOKS = class_looks(CLASSES)
HUBS = pd.DataFrame(
    [
        ("high", "Lingual Gyrus", 31, 12.3456, 8, 17, 0.001),
        ("high", "Middle Occipital Gyrus", 20, 11, 7, 15, 0.049),
        ("high", "Cuneus", 9, 10, 4, 16, 0.05),
        ("low", "Insula", 5, 5.5, 2, 9, 0.9),
    ],
    columns=["target_class", "region", "connections", "expected", "lower", "upper", "p_adjusted"],
)
PLANTED = {"high": ["Lingual Gyrus", "Inferior Occipital Gyrus"], "low": []}


def marks(ax):
    return [line for line in ax.lines if line.get_marker() not in ("None", None, "")]


def ranges(ax):
    return [line for line in ax.lines if same_color(line.get_color(), GREY)]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_marks_stand_at_the_counts_and_lines_span_the_draws():
    low, high, middle = plot_hubs(HUBS, CLASSES).axes
    for ax, name in ((low, "low"), (high, "high"), (middle, "middle")):
        table = HUBS[HUBS["target_class"] == name]
        assert ax.get_title("left") == name
        assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks(ax)] == [
            (count, place) for place, count in enumerate(table["connections"])
        ]
        assert [list(line.get_xdata()) for line in ranges(ax)] == table[["lower", "upper"]].to_numpy().tolist()
        assert [line.get_ydata()[0] for line in ranges(ax)] == list(range(len(table)))
        assert [label.get_text() for label in ax.get_yticklabels()] == [shorten_region(r) for r in table["region"]]
        assert {line.get_marker() for line in marks(ax)} <= {LOOKS[name].marker}
        assert all(same_color(line.get_color(), LOOKS[name].color) for line in marks(ax))
        assert ax.get_xlim()[0] == 0
        lowest, highest = ax.get_ylim()
        assert lowest > highest  # the first of the table on top
    assert {ax.get_ylim() for ax in (low, high, middle)} == {(2.6, -0.6)}


def test_marks_are_filled_if_the_adjusted_p_is_below_the_level():
    _, high, _ = plot_hubs(HUBS, CLASSES).axes
    filled = [same_color(line.get_markerfacecolor(), LOOKS["high"].color) for line in marks(high)]
    empty = [same_color(line.get_markerfacecolor(), "white") for line in marks(high)]
    assert filled == [True, True, False]
    assert empty == [False, False, True]


def test_planted_regions_have_coloured_labels_in_their_class_alone():
    figure = plot_hubs(HUBS, CLASSES, {**PLANTED, "low": ["Cuneus"]})
    low, high, _ = figure.axes
    for ax, expected in ((low, [False]), (high, [True, False, False])):
        assert [same_color(label.get_color(), HIGHLIGHT) for label in ax.get_yticklabels()] == expected
        assert [label.get_fontweight() == "bold" for label in ax.get_yticklabels()] == expected
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["95 % of the draws", "p adjusted < 0.05", "not below", "hub of what was planted"]
    plain = plot_hubs(HUBS, CLASSES)
    assert [text.get_text() for text in plain.legends[0].get_texts()] == named[:3]
    assert not any(same_color(label.get_color(), HIGHLIGHT) for label in plain.axes[1].get_yticklabels())


def test_a_class_without_connections_says_so():
    low, high, middle = plot_hubs(HUBS, CLASSES).axes
    assert texts(middle) == ["no connection was selected"]
    assert texts(low) == texts(high) == []
    assert not middle.lines
    assert "Class middle: no connection selected." in alt_hubs(HUBS, CLASSES)


def test_the_least_probable_regions_are_drawn():
    cohort = scattered_cohort(regions=[f"region {k}" for k in range(30)])
    hubs = find_hubs(edge_list([(0, k) for k in range(1, 30)]), cohort, n_draws=99)
    (ax,) = plot_hubs(hubs, ["high"], top=4).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == hubs["region"].head(4).tolist()
    assert [line.get_xdata()[0] for line in marks(ax)] == hubs["connections"].head(4).tolist()
    assert [line.get_xdata()[1] for line in ranges(ax)] == hubs["upper"].head(4).tolist()


def test_regions_are_drawn_into_given_axes():
    ax = Figure().subplots()
    draw_hubs(ax, HUBS.iloc[2:3], "#123456", "D", ["Cuneus"])
    (mark,) = marks(ax)
    assert (mark.get_marker(), mark.get_xdata()[0], to_rgba(mark.get_color())) == ("D", 9, to_rgba("#123456"))
    assert same_color(ax.get_yticklabels()[0].get_color(), HIGHLIGHT)


def test_words_on_hubs_are_the_numbers_drawn():
    alt = alt_hubs(HUBS, CLASSES)
    assert "Class low: 0 of 1 regions are hubs." in alt
    assert (
        "Class high: 2 of 3 regions are hubs, Lingual Gyrus (31 connections, 12.3 expected) and Middle Occipital Gyrus "
        "(20 connections, 11 expected)."
    ) in alt
    assert "planted" not in alt
    told = alt_hubs(HUBS, CLASSES, PLANTED)
    assert "; 1 of 2 hubs of what was planted are among them" in told
    assert "Class low: 0 of 1 regions are hubs; 0 of 0 hubs of what was planted" in told
    many = pd.concat([HUBS.iloc[[0]].assign(region=f"region {k}") for k in range(6)])
    listed = alt_hubs(many, ["high"])
    assert "6 of 6 regions are hubs, region 0 (" in listed
    assert "region 3 (31 connections, 12.3 expected) and others" in listed
    assert "region 4" not in listed


def test_a_table_without_hubs_columns_or_rows_is_refused():
    with pytest.raises(ValueError, match="lacks upper; pass what find_hubs gives"):
        plot_hubs(HUBS.drop(columns="upper"), CLASSES)
    with pytest.raises(ValueError, match="has no row; pass what find_hubs gives"):
        plot_hubs(HUBS.head(0), CLASSES)
    with pytest.raises(ValueError, match="lacks source; pass what count_returns gives"):
        plot_returns(returns().drop(columns="source"), CLASSES)


def returns():
    """Two lists of four runs: the first finds Cuneus in 4, Insula in 2, Uvula in 1, the second Insula in 3; low: A."""
    runs = {
        "paper": [["Cuneus", "Insula"], ["Cuneus", "Insula"], ["Cuneus", "Uvula"], ["Cuneus"]],
        "ours": [["Insula"], ["Insula"], ["Insula"], []],
    }
    tables = []
    for source, found in runs.items():
        lists = [pd.DataFrame({"name": names}, dtype="str").assign(target_class="high") for names in found]
        if source == "paper":
            lists[0].loc[len(lists[0])] = ["A" * 40, "low"]
        lists = [table.assign(view="fc", level="hub") for table in lists]
        tables.append(count_returns(lists).assign(source=source))
    return pd.concat(tables, ignore_index=True)


def points(ax):
    """Drawn marks by colour: name and share; a list that did not find a name has no mark there."""
    labels = [label.get_text() for label in ax.get_yticklabels()]
    found = {}
    for line in ax.lines:
        at = np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float)
        at = at[np.isfinite(at).all(axis=1)]
        if len(at) and line.get_marker() not in ("None", None, "", "_"):
            shares = {labels[round(place)]: round(float(share), 6) for share, place in at}
            found.setdefault(mpl.colors.to_hex(line.get_color()), {}).update(shares)
    return list(found.values())


def test_names_stand_at_the_share_of_runs_of_every_list():
    low, high, middle = plot_returns(returns(), CLASSES).axes
    assert points(high) == [{"Cuneus": 1, "Insula": 0.5, "Uvula": 0.25}, {"Insula": 0.75}]
    assert points(low) == [{"A" * 33 + "…": 0.25}]
    assert [label.get_text() for label in high.get_yticklabels()] == ["Cuneus", "Insula", "Uvula"]
    assert [ax.get_title("left") for ax in (low, high, middle)] == CLASSES
    assert all(ax.get_xlim() == (-0.03, 1.03) and ax.get_xlabel() == "share of the runs" for ax in (low, high, middle))


def test_lists_are_told_apart_by_the_legend():
    figure = plot_returns(returns(), CLASSES)
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["paper", "ours"]
    colours = [mpl.colors.to_hex(handle.get_color()) for handle in legend.legend_handles]
    assert len(set(colours)) == 2
    drawn = {mpl.colors.to_hex(line.get_color()) for line in figure.axes[1].lines}
    assert set(colours) <= drawn


def test_a_class_in_which_nothing_was_found_says_so():
    *_, high, middle = plot_returns(returns(), CLASSES).axes
    assert texts(middle) == ["nothing was found"]
    assert texts(high) == []
    alt = alt_returns(returns(), CLASSES)
    assert "Paper, class middle: nothing found" in alt
    assert "Ours, class low: nothing found" in alt


def test_where_no_list_found_a_name_the_figure_says_so():
    nothing = returns().iloc[:0]
    figure = plot_returns(nothing, CLASSES)
    assert [texts(ax) for ax in figure.axes] == [["nothing was found"]] * 3
    assert figure.legends == []
    assert alt_returns(nothing, CLASSES).endswith("No list found a name.")
    assert render_png(figure, "alt")


def test_the_names_that_return_most_in_any_list_are_drawn():
    *_, high, _ = plot_returns(returns(), CLASSES, top=2).axes
    assert [label.get_text() for label in high.get_yticklabels()] == ["Cuneus", "Insula"]
    assert points(high) == [{"Cuneus": 1, "Insula": 0.5}, {"Insula": 0.75}]


def test_planted_names_are_coloured():
    counts = returns()
    counts["planted"] = counts["name"].eq("Insula").astype(float)
    *_, high, _ = plot_returns(counts, CLASSES).axes
    assert [same_color(label.get_color(), HIGHLIGHT) for label in high.get_yticklabels()] == [False, True, False]
    *_, high, _ = plot_returns(returns(), CLASSES).axes
    assert not any(same_color(label.get_color(), HIGHLIGHT) for label in high.get_yticklabels())


def test_words_on_what_returns_are_the_numbers_drawn():
    alt = alt_returns(returns(), CLASSES)
    assert "Paper, class high: 1 of 3 names in 90 % of the runs or more, most often Cuneus (100 %)" in alt
    assert "Ours, class high: 0 of 1 names in 90 % of the runs or more, most often Insula (75 %)" in alt
    assert "Paper, class high: 2 of 3 names in 50 % of the runs or more" in alt_returns(returns(), CLASSES, often=0.5)


def test_drawing_is_small_and_leaves_everything_alone():
    counts, hubs = returns(), HUBS.copy()
    with mpl.rc_context({"font.size": 3, "axes.titlesize": 2}):
        before, random = dict(mpl.rcParams), np.random.get_state()[1].tolist()  # noqa: NPY002
        for draw in (lambda: plot_hubs(hubs, CLASSES, PLANTED), lambda: plot_returns(counts, CLASSES)):
            assert len(render_png(draw(), "alt")) < 120_000
        assert dict(mpl.rcParams) == before
        assert np.random.get_state()[1].tolist() == random  # noqa: NPY002
    assert mpl.pyplot.get_fignums() == []
    pd.testing.assert_frame_equal(hubs, HUBS)
    pd.testing.assert_frame_equal(counts, returns())
