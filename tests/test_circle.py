"""Figure 5 shows every selected connection between arcs as long as regions have ends."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from report_examples import REGIONS, example_cohort, example_connections

from gcamccl_core.report.brain import alt_brain
from gcamccl_core.report.circle import alt_circle, draw_circle, plot_circle
from gcamccl_core.report.connections import GAPS, LOBE_COLORS, arrange_ends, ends_of, lobe_of, varying_weight
from gcamccl_core.report.publishing import render_png

HUBS = {"high": ["Lingual Gyrus"]}


def circles(figure):
    return [ax for ax in figure.axes if ax.name == "polar"]


def curves(ax):
    return [patch for patch in ax.patches if isinstance(patch, PathPatch)]


def arcs(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def titles(figure):
    return [text.get_text() for text in figure.texts]


def labels(ax):
    return [text.get_text() for text in ax.texts]


def random_connections(n_rois, n_edges, n_regions=None, seed=0):
    rng = np.random.default_rng(seed)
    rois = np.array([f"roi_{number}" for number in range(n_rois)])
    first = rng.integers(0, n_rois, n_edges)
    second = (first + rng.integers(1, n_rois, n_edges)) % n_rois
    edges = pd.DataFrame({"target_class": "low", "roi_i": rois[first], "roi_j": rois[second]})
    edges = edges.assign(frequency=rng.uniform(0.7, 1, n_edges), mean_value=0.1, region_i="", region_j="")
    if n_regions is not None:
        edges["region_i"] = [f"Middle Occipital Gyrus {number % n_regions}" for number in first]
        edges["region_j"] = [f"Middle Occipital Gyrus {number % n_regions}" for number in second]
    return edges


def test_one_curve_per_connection_and_one_arc_per_roi():
    figure = plot_circle(example_connections(), example_cohort())
    low, high = circles(figure)
    assert (len(curves(low)), len(curves(high))) == (1, 3)
    assert (len(arcs(low)), len(arcs(high))) == (2, 4)
    assert titles(figure) == ["low: 1 connection", "high: 3 connections"]


def test_circles_are_large_and_arcs_round():
    figure = plot_circle(example_connections(), example_cohort())
    for ax in circles(figure):
        box = ax.get_window_extent()
        assert 2.0 <= box.width / figure.dpi <= 2.4
        assert box.width == pytest.approx(box.height)
        assert ax.get_ylim() == (0, 10)


def test_arcs_are_as_long_as_their_rois_have_ends():
    _, high = circles(plot_circle(example_connections(), example_cohort()))
    found = pd.DataFrame(
        {
            "width": [arc.get_width() for arc in arcs(high)],
            "lobe": [mpl.colors.to_hex(a.get_facecolor()) for a in arcs(high)],
        }
    )
    step = found["width"].min()
    assert (found["width"] / step).tolist() == pytest.approx([1, 1, 3, 1])  # Precuneus, Cuneus, Lingual: roi_3, roi_6
    colours = [LOBE_COLORS[lobe].lower() for lobe in ("Parietal", "Occipital", "Occipital", "Occipital")]
    assert found["lobe"].tolist() == colours


@pytest.mark.parametrize("n_edges", [8, 300])
def test_arcs_and_gaps_fill_the_circle(n_edges):
    ax = draw_circle(Figure().add_subplot(projection="polar"), random_connections(264, n_edges))
    ends = ends_of(random_connections(264, n_edges))["roi"].value_counts()
    widths = np.sort([arc.get_width() for arc in arcs(ax)])
    assert widths / widths.sum() == pytest.approx(np.sort(ends) / (2 * n_edges))
    assert 360 - GAPS - 1e-6 <= np.rad2deg(widths.sum()) < 360


def test_gaps_are_wider_between_lobes():
    edges = example_connections([("high", i, j) for i in range(8) for j in range(i)])
    ends = arrange_ends(edges, lobe_of(example_cohort()))
    gaps = -ends["angle"].diff()[1:] - ends["step"].iloc[0]
    new_lobe = ends["place"].diff()[1:] != 0
    new_region = ends["region"].ne(ends["region"].shift())[1:] & ~new_lobe
    assert gaps[new_lobe].min() > 2 * gaps[new_region].max() > 0
    assert gaps[~new_lobe & ~new_region].abs().max() < 1e-9


def test_curves_end_in_the_arcs_of_their_regions():
    cohort = example_cohort()
    edges = example_connections().query("target_class == 'high'")
    ends = arrange_ends(edges, lobe_of(cohort))
    _, high = circles(plot_circle(example_connections(), cohort))
    drawn = {frozenset(np.round(np.rad2deg(curve.get_path().vertices[[0, -1], 0]), 6)) for curve in curves(high)}
    assert drawn == {frozenset(np.round(of_edge["angle"], 6)) for _, of_edge in ends.groupby("edge")}
    assert ends.groupby("edge")["roi"].agg(set).tolist() == [
        {"roi_0", "roi_3"}, {"roi_3", "roi_6"}, {"roi_3", "roi_4"}
    ]  # fmt: skip
    assert ends["angle"].is_monotonic_decreasing
    assert ends["angle"].max() - ends["angle"].min() < 360


def test_regions_stand_together():
    edges = example_connections([("high", i, j) for i in range(8) for j in range(i)])
    regions = arrange_ends(edges, lobe_of(example_cohort()))["region"]
    assert regions.ne(regions.shift()).sum() == len(set(REGIONS))


def test_weak_connections_lie_below_strong_ones_and_are_thinner_and_fainter():
    ax = draw_circle(Figure().add_subplot(projection="polar"), random_connections(50, 300))
    drawn = curves(ax)
    assert len(drawn) == 300
    for strength in ("get_linewidth", "get_alpha"):
        found = [getattr(curve, strength)() for curve in drawn]
        assert found == sorted(found)
        assert found[0] < found[-1] <= 1
    brightness = np.array([sum(curve.get_edgecolor()[:3]) for curve in drawn])
    assert brightness[0] > brightness[-1] + 1  # the whole scale is in use
    assert drawn[0].get_linewidth() < 0.5


def test_most_frequent_connections_are_kept():
    edges = example_connections()
    figure = plot_circle(edges, example_cohort(), top=2)
    assert titles(figure)[1] == "high: the strongest 2 of 3 connections"
    assert len(curves(circles(figure)[1])) == 2


def test_colours_are_on_one_scale_for_all_classes():
    low, high = circles(plot_circle(example_connections(), example_cohort()))
    brightness = [sum(curve.get_edgecolor()[:3]) for curve in [*curves(low), *curves(high)]]
    assert brightness[0] == min(brightness)  # the only one of low is the most frequent of all
    assert len(set(brightness)) == 4


def test_scale_is_of_what_is_drawn():
    figure = plot_circle(example_connections(), example_cohort(), top=1)
    bar = next(ax for ax in figure.axes if ax.get_xlabel())
    assert bar.get_xlabel() == "line: share of subjects"
    assert bar.get_xlim() == pytest.approx((0.95, 1.0))


def test_mean_values_are_shown_where_frequencies_do_not_differ():
    edges = example_connections().assign(frequency=1.0, mean_value=[0.1, 0.2, 0.3, 0.4])
    assert varying_weight(edges, None) == "mean_value"
    assert varying_weight(edges, "frequency") == "frequency"
    assert varying_weight(example_connections(), None) == "frequency"
    figure = plot_circle(edges, example_cohort())
    assert "line: mean map value" in [ax.get_xlabel() for ax in figure.axes]
    assert "Lines coloured by mean map value, 0.1 to 0.4." in alt_circle(edges, example_cohort())


def test_nothing_selected_is_said():
    figure = plot_circle(example_connections().head(0), example_cohort())
    assert titles(figure) == [f"{name}: no connection was selected" for name in ("low", "high")]
    assert 0 < len(render_png(figure, "alt")) < 120_000
    assert "Lines" not in alt_circle(example_connections().head(0), example_cohort())


def test_one_connection_of_three_classes():
    figure = plot_circle(example_connections().tail(1), example_cohort(n_classes=3))
    none = "no connection was selected"
    assert titles(figure) == [f"low: {none}", "high: 1 connection", f"middle: {none}"]
    assert [len(curves(ax)) for ax in circles(figure)] == [0, 1, 0]
    render_png(figure, "alt")


def test_cohort_without_lobes_is_drawn_in_grey():
    figure = plot_circle(example_connections(), example_cohort().drop_vars("roi_lobe"))
    assert len({arc.get_facecolor() for ax in circles(figure) for arc in arcs(ax)}) == 1
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == []


def test_lobes_without_a_colour_are_named_as_other():
    cohort = example_cohort()
    cohort["roi_lobe"][4] = "Unnamed"
    figure = plot_circle(example_connections(), cohort)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Insula", "Occipital", "other"]


def test_other_views_among_the_selected_are_left_out():
    edges = example_connections()
    snp = pd.DataFrame({"view": ["snp"], "target_class": ["high"], "roi_i": [""], "roi_j": [""], "frequency": [0.1]})
    both = pd.concat([edges, snp], ignore_index=True)
    assert titles(plot_circle(both, example_cohort())) == titles(plot_circle(edges, example_cohort()))
    assert alt_brain(both, example_cohort()) == alt_brain(edges, example_cohort())


def test_regions_without_a_name_stand_for_themselves():
    edges = example_connections().assign(region_i="", region_j="")
    assert set(ends_of(edges)["region"]) == {"roi_0", "roi_1", "roi_3", "roi_4", "roi_6"}


def test_words_name_hubs_numbers_and_colours():
    cohort, edges = example_cohort(), example_connections()
    words = alt_circle(edges, cohort, hubs=HUBS)
    assert "Class low: 1 connection among 2 regions" in words
    assert "Class high: 3 connections among 3 regions; longest arcs, by ends: Lingual Gyrus (4)" in words
    assert "; marked by a star as the hub: Lingual Gyrus. Lines coloured by share of subjects, 0.85 to 1." in words
    assert "Class high: 2 of 3 connections among 2 regions" in alt_circle(edges, cohort, top=2)


def test_drawing_is_small_and_leaves_everything_alone():
    edges = example_connections()
    before = edges.copy()
    with mpl.rc_context({"font.size": 3, "axes.titlesize": 2}):
        settings = dict(mpl.rcParams)
        assert len(render_png(plot_circle(edges, example_cohort(), hubs=HUBS), "alt")) < 120_000
        assert dict(mpl.rcParams) == settings
    pd.testing.assert_frame_equal(edges, before)
    assert plt.get_fignums() == []
