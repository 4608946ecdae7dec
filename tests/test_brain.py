"""Figures 5 and 6 show every selected connection where it belongs, and an empty frame where there is none."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.patches import PathPatch, Rectangle
from report_examples import REGIONS, example_cohort, example_connections

from gcamccl_core.report.brain import alt_brain, alt_circle, plot_brain, plot_circle
from gcamccl_core.report.connections import LOBE_COLORS, arrange_ends, ends_of, lobe_of
from gcamccl_core.report.labels import spread_apart
from gcamccl_core.report.publishing import render_png


def circles(figure):
    return [ax for ax in figure.axes if ax.name == "polar"]


def curves(ax):
    return [patch for patch in ax.patches if isinstance(patch, PathPatch)]


def cells(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def titles(figure):
    return [text.get_text() for text in figure.texts]


def test_one_curve_per_connection_and_one_cell_per_end():
    figure = plot_circle(example_connections(), example_cohort())
    low, high = circles(figure)
    assert (len(curves(low)), len(curves(high))) == (1, 3)
    assert (len(cells(low)), len(cells(high))) == (2, 6)
    assert titles(figure) == ["low: 1 connection", "high: 3 connections"]


def test_arcs_are_as_long_as_their_regions_have_ends():
    _, high = circles(plot_circle(example_connections(), example_cohort()))
    by_lobe = pd.Series([mpl.colors.to_hex(cell.get_facecolor()).upper() for cell in cells(high)]).value_counts()
    assert by_lobe[LOBE_COLORS["Occipital"].upper()] == 5  # regions 0, 3 (three times) and 6
    assert by_lobe[LOBE_COLORS["Parietal"].upper()] == 1
    widths = [cell.get_width() for cell in cells(high)]
    assert widths == pytest.approx(np.full(6, np.deg2rad((360 - 1.5 * 3) / 6)))  # Cuneus, Lingual, Precuneus


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


def test_only_regions_with_connections_are_labelled():
    _, high = circles(plot_circle(example_connections(), example_cohort()))
    assert sorted(text.get_text() for text in high.texts if text.get_text()) == ["Cuneus", "Lingual", "Precuneus"]


def test_labels_of_a_full_circle_are_apart_and_on_the_page():
    rng = np.random.default_rng(0)
    names = [f"roi_{number}" for number in range(80)]
    pairs = rng.choice(80, (200, 2))
    edges = pd.DataFrame({"roi_i": np.take(names, pairs[:, 0]), "roi_j": np.take(names, pairs[:, 1])})
    edges = edges.assign(region_i=edges["roi_i"] + " Gyrus", region_j=edges["roi_j"] + " Gyrus", target_class="low")
    edges = edges.assign(frequency=rng.uniform(0.7, 1, 200), mean_value=0.1)
    cohort = example_cohort().drop_vars(["roi", "roi_lobe", "roi_region", "roi_network"], errors="ignore")
    figure = plot_circle(edges, cohort)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in circles(figure)[0].texts if text.get_text()]
    assert 30 < len(boxes) <= 40
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 / 2 for box in boxes)
    for box in boxes:
        assert sum(box.overlaps(other) for other in boxes) == 1  # with itself


def test_most_frequent_connections_are_kept():
    edges = example_connections()
    figure = plot_circle(edges, example_cohort(), top=2)
    assert titles(figure)[1] == "high: the strongest 2 of 3 connections"
    assert len(curves(circles(figure)[1])) == 2


def test_colours_are_on_one_scale_for_all_classes():
    low, high = circles(plot_circle(example_connections(), example_cohort()))
    darkness = [sum(curve.get_edgecolor()[:3]) for curve in [*curves(low), *curves(high)]]
    assert darkness[0] == min(darkness)  # the only one of low is the most frequent of all
    assert len(set(darkness)) == 4


def test_brain_draws_nodes_edges_and_the_number_of_them():
    figure = plot_brain(example_connections(), example_cohort(), top=2)
    assert "high: the strongest 2 of 3 connections" in titles(figure)
    nodes = [each for ax in figure.axes for each in ax.collections if isinstance(each, PathCollection)]
    sizes = [each.get_sizes().tolist() for each in nodes]
    assert sizes == [[9, 9]] * 3 + [[9, 14, 9]] * 3  # roi_3 has two connections
    x, y = np.linspace(-50, 50, 8), np.linspace(-90, 40, 8)
    np.testing.assert_allclose(nodes[3].get_offsets(), [[x[0], y[0]], [x[3], y[3]], [x[6], y[6]]])  # axial


def test_brain_needs_coordinates():
    with pytest.raises(ValueError, match="no roi_x and roi_z; add the regions' MNI coordinates"):
        plot_brain(example_connections(), example_cohort().drop_vars(["roi_x", "roi_z"]))


@pytest.mark.parametrize("draw", [plot_circle, plot_brain])
def test_nothing_selected_is_said(draw):
    figure = draw(example_connections().head(0), example_cohort())
    assert titles(figure) == [f"{name}: no connection was selected" for name in ("low", "high")]
    assert 0 < len(render_png(figure, "alt")) < 120_000


@pytest.mark.parametrize("draw", [plot_circle, plot_brain])
def test_one_connection_of_one_class(draw):
    figure = draw(example_connections().tail(1), example_cohort())
    assert titles(figure)[:2] == ["low: no connection was selected", "high: 1 connection"]
    render_png(figure, "alt")


@pytest.mark.parametrize("draw", [plot_circle, plot_brain])
def test_three_classes(draw):
    figure = draw(example_connections(), example_cohort(n_classes=3))
    assert titles(figure)[2] == "middle: no connection was selected"


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


def test_words_name_hubs_and_numbers():
    cohort, edges = example_cohort(), example_connections()
    circle = alt_circle(edges, cohort)
    assert "Class low: 1 connection among 2 regions" in circle
    assert "Class high: 3 connections among 3 regions; longest arcs, by ends: Lingual Gyrus (4)" in circle
    brain = alt_brain(edges, cohort)
    assert "Class high: 3 connections among 4 ROIs, most at roi_3 (3)" in brain
    assert "Class low: no connection selected" in alt_brain(edges[1:], cohort)


@pytest.mark.parametrize("draw", [plot_circle, plot_brain])
def test_drawing_is_small_and_leaves_everything_alone(draw):
    edges = example_connections()
    before = edges.copy()
    with mpl.rc_context({"font.size": 3, "axes.titlesize": 2}):
        settings = dict(mpl.rcParams)
        assert len(render_png(draw(edges, example_cohort()), "alt")) < 120_000
        assert dict(mpl.rcParams) == settings
    pd.testing.assert_frame_equal(edges, before)
    assert plt.get_fignums() == []


def test_spread_labels_keep_order_gap_and_range():
    rng = np.random.default_rng(0)
    for _ in range(20):
        wanted = np.sort(rng.uniform(0, 1, 9))
        found = spread_apart(wanted, 0.1, 0, 1)
        assert np.diff(found).min() >= 0.1 - 1e-9
        assert found.min() >= -1e-9
        assert found.max() <= 1 + 1e-9
    assert spread_apart([0.2, 0.9], 0.1, 0, 1).tolist() == [0.2, 0.9]
