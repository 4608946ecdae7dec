"""Beside Figure 4: one dot per person and map, medians and quartiles, and the numbers of both tests in words."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from report_examples import example_maps

from gcamccl_core.maps.activated_share import activated_share, compare_shares
from gcamccl_core.report.activation_figures import alt_activated_share, plot_activated_share, plot_values_and_shares
from gcamccl_core.report.labels import number
from gcamccl_core.report.publishing import render_png
from gcamccl_core.report.style import class_looks

CLASSES = ["low", "high"]


def example_shares(classes=CLASSES, people=9):
    rng = np.random.default_rng(0)
    rows = [
        {"subject": f"{of}{k}", "class_of_person": of, "map_for": name, "share": rng.uniform(0.1, 0.9)}
        for name in classes
        for of in classes
        for k in range(people)
    ]
    return pd.DataFrame(rows)


def colours(classes=CLASSES):
    return {name: to_hex(look.color) for name, look in class_looks(list(classes)).items()}


def dots(ax):
    """Heights of the dots by group of people and colour of the map."""
    found = {}
    for each in ax.collections:
        if isinstance(each, PathCollection) and len(each.get_offsets()):
            at = np.asarray(each.get_offsets())
            key = (round(float(at[:, 0].mean())), to_hex(each.get_facecolor()[0]))
            found.setdefault(key, []).extend(at[:, 1])
    return {key: sorted(heights) for key, heights in found.items()}


def medians(ax):
    """Heights of the large marks by group of people and colour of the map."""
    found = {}
    for line in ax.lines:
        if line.get_marker() not in ("None", None, ""):
            at = np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float)
            found |= {(round(x), to_hex(line.get_color())): y for x, y in at if np.isfinite(y)}
    return found


@pytest.mark.parametrize("classes", [CLASSES, ["low", "high", "middle"]])
def test_everyone_is_a_dot_by_the_own_class_in_the_colour_of_the_map(classes):
    shares = example_shares(classes)
    ax = plot_activated_share(shares, classes)
    assert [label.get_text() for label in ax.get_xticklabels()] == [f"{name} people" for name in classes]
    expected = {
        (classes.index(of), colours(classes)[name]): sorted(100 * rows["share"])
        for (of, name), rows in shares.groupby(["class_of_person", "map_for"])
    }
    found = dots(ax)
    assert set(found) == set(expected)
    for key, heights in expected.items():
        assert found[key] == pytest.approx(heights)


@pytest.mark.parametrize("people", [True, False])
def test_large_marks_are_medians_and_lines_reach_to_the_quartiles(people):
    shares = example_shares()
    ax = plot_activated_share(shares, CLASSES, people)
    ends = {
        tuple(np.round(np.sort(line.get_ydata().astype(float)), 6)) for line in ax.lines if len(line.get_ydata()) == 2
    }
    for (of, name), rows in shares.groupby(["class_of_person", "map_for"]):
        assert medians(ax)[CLASSES.index(of), colours()[name]] == pytest.approx(100 * rows["share"].median())
        assert tuple((100 * rows["share"].quantile([0.25, 0.75])).round(6)) in ends
    assert len(medians(ax)) == 4


def test_nobody_is_drawn_where_people_may_not_be_shown():
    ax = plot_activated_share(example_shares(), CLASSES, people=False)
    assert dots(ax) == {}
    assert len(dots(plot_activated_share(example_shares(), CLASSES))) == 4
    shares = set(np.round(100 * example_shares()["share"], 6))
    drawn = {round(float(y), 6) for line in ax.lines for y in line.get_ydata()}
    assert len(drawn & shares) <= 12  # of nine people, median and quartiles are somebody's


def test_a_class_without_people_has_no_place_and_colours_stay():
    shares = example_shares().query("class_of_person == 'high'")
    ax = plot_activated_share(shares, CLASSES)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["high people"]
    assert {colour for _, colour in dots(ax)} == set(colours().values())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["map for low", "map for high"]
    handles = ax.get_legend().legend_handles
    assert [to_hex(handle.get_color()) for handle in handles] == list(colours().values())


def test_it_stands_beside_figure_4():
    maps = example_maps()
    turned = maps["fc"].to_numpy().swapaxes(-1, -2)
    symmetric = maps.assign(fc_symmetric=maps["fc"].copy(data=(maps["fc"].to_numpy() + turned) / 2))
    symmetric["fc_symmetric"].attrs["role"] = "symmetric map"
    shares = activated_share(symmetric, "fc", "grad_cam", 0.5)
    given = Figure(layout="constrained")
    figure = plot_values_and_shares(maps, shares, "fc", "grad_cam", fig=given)
    assert figure is given
    histogram, beside = figure.axes
    assert histogram.get_yscale() == "log"
    assert [text.get_text() for text in histogram.get_legend().get_texts()] == [
        "low (mean of 8 subjects)", "high (mean of 8 subjects)"
    ]  # fmt: skip
    # Of 28 connections all are 1 for low (2 for high), but one that is 2.5 (3.5): above half of it are 1 and 28.
    lit = {colours()["low"]: [pytest.approx(100 / 28)] * 8, colours()["high"]: [100] * 8}
    assert dots(beside) == {(place, colour): heights for place in (0, 1) for colour, heights in lit.items()}
    hidden = plot_values_and_shares(maps, shares, "fc", "grad_cam", people=False)
    assert dots(hidden.axes[1]) == {}
    assert len(render_png(hidden, "alt")) < 120_000


def test_words_give_means_and_both_tests():
    shares = example_shares()
    tests = compare_shares(shares)
    alt = alt_activated_share(shares, tests)
    for (of, name), rows in shares.groupby(["class_of_person", "map_for"]):
        assert f"{number(100 * rows['share'].mean())} % ({of}, map for {name})" in alt
    between, within = tests.to_dict("records")
    assert (
        f"Between people, each with the map of the own class, low less high is {number(100 * between['difference'])} "
        f"points, p = {number(between['p_value'])}. Within people, one map against the other, low less high is "
        f"{number(100 * within['difference'])} points, p = {number(within['p_value'])}."
    ) in alt
    assert alt.startswith("Share of the connections that light up, mean over people: ")


def test_drawing_is_repeated_exactly_and_leaves_everything_alone():
    shares = example_shares()
    before = shares.copy()
    with mpl.rc_context({"font.size": 3}):
        settings = dict(mpl.rcParams)
        one, two = (medians(plot_activated_share(shares, CLASSES)) for _ in range(2))
        assert dict(mpl.rcParams) == settings
    assert one == two
    pd.testing.assert_frame_equal(shares, before)
    assert mpl.pyplot.get_fignums() == []
