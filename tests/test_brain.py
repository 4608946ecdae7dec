"""Figure 6 shows the selected connections where they belong in the brain, and an empty brain where there is none."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from report_examples import example_cohort, example_connections

from gcamccl_core.report.brain import alt_brain, draw_projection, plot_brain
from gcamccl_core.report.connections import EDGE_COLORS, LOBE_COLORS, weight_scale
from gcamccl_core.report.publishing import render_png

HUBS = {"high": ["Lingual Gyrus", "Cuneus"]}


def titles(figure):
    return [text.get_text() for text in figure.texts]


def nodes(ax):
    return next(each for each in ax.collections if isinstance(each, PathCollection))


def names(ax):
    return [text for text in ax.texts if text.get_text() in ("Lingual", "Cuneus")]


def projection(axis="z", hubs=(), **more):
    edges = example_connections().query("target_class == 'high'")
    return draw_projection(Figure().subplots(), axis, edges.assign(**more), example_cohort(), hubs=hubs)


def test_nodes_edges_and_the_number_of_them_are_drawn():
    figure = plot_brain(example_connections(), example_cohort(), top=2)
    assert titles(figure) == ["low: 1 connection", "high: the strongest 2 of 3 connections"]
    brains = [ax for ax in figure.axes if any(isinstance(each, PathCollection) for each in ax.collections)]
    assert [len(ax.lines) for ax in brains] == [1, 1, 1, 2, 2, 2]
    assert [len(nodes(ax).get_offsets()) for ax in brains] == [2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize(("axis", "first", "second"), [("z", "x", "y"), ("y", "x", "z"), ("x", "y", "z")])
def test_nodes_lie_at_their_regions(axis, first, second):
    cohort = example_cohort()
    expected = np.column_stack([cohort[f"roi_{each}"].to_numpy()[[0, 3, 6, 4]] for each in (first, second)])
    found = np.asarray(nodes(projection(axis)).get_offsets())
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected[[0, 1, 3, 2]], axis=0))


def test_nodes_grow_with_their_connections_and_have_the_colours_of_lobes():
    drawn = nodes(projection())
    sizes = drawn.get_sizes()
    assert sizes.tolist() == [11, 15, 11, 11]  # roi_3 has three
    colours = [mpl.colors.to_hex(colour).upper() for colour in drawn.get_facecolor()]
    assert colours == [LOBE_COLORS[lobe].upper() for lobe in ("Occipital", "Occipital", "Occipital", "Parietal")]


def test_strong_lines_are_wider_darker_and_above_weak_ones():
    lines = sorted(projection(frequency=[0.7, 0.8, 0.9]).lines, key=lambda line: line.get_zorder())
    widths = [line.get_linewidth() for line in lines]
    assert widths == sorted(set(widths))
    assert [mpl.colors.to_hex(line.get_color()) for line in lines][::2] == [
        mpl.colors.to_hex(EDGE_COLORS(share)) for share in (0.0, 1.0)
    ]


def test_weak_lines_among_many_are_faint():
    pairs = [("high", i, j) for i in range(8) for j in range(i)]
    brain = draw_projection(Figure().subplots(), "z", example_connections(pairs), example_cohort())
    lines = sorted(brain.lines, key=lambda line: line.get_zorder())
    alphas = [line.get_alpha() for line in lines]
    assert alphas == sorted(alphas)
    assert alphas[0] < 0.7 < alphas[-1]


def test_connections_of_weight_zero_are_drawn():
    assert len(projection(frequency=[0.0, 0.5, 0.9]).lines) == 3


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_hubs_are_named_once_bold_apart_and_on_the_page(axis):
    brain = projection(axis, hubs=HUBS["high"])
    found = names(brain)
    assert sorted(text.get_text() for text in found) == ["Cuneus", "Lingual"]
    assert {text.get_fontweight() for text in found} == {"bold"}
    brain.figure.draw_without_rendering()
    first, second = (mpl.text.Text.get_window_extent(text) for text in found)
    assert not first.overlaps(second)
    assert all(box.x0 >= 0 and box.x1 <= brain.figure.bbox.x1 for box in (first, second))


def test_hubs_of_other_classes_are_not_named():
    figure = plot_brain(example_connections(), example_cohort(), hubs=HUBS)
    assert [len(names(ax)) for ax in figure.axes if ax.lines] == [0] * 3 + [2] * 3


def test_cohort_without_coordinates_is_refused():
    with pytest.raises(ValueError, match="no roi_x and roi_z; add the regions' MNI coordinates"):
        plot_brain(example_connections(), example_cohort().drop_vars(["roi_x", "roi_z"]))


def test_cohort_without_lobes_is_drawn_without_their_legend():
    figure = plot_brain(example_connections(), example_cohort().drop_vars("roi_lobe"))
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == []


def test_nothing_selected_is_said():
    figure = plot_brain(example_connections().head(0), example_cohort())
    assert titles(figure) == [f"{name}: no connection was selected" for name in ("low", "high")]
    assert 0 < len(render_png(figure, "alt")) < 120_000


def test_one_connection_of_three_classes():
    figure = plot_brain(example_connections().tail(1), example_cohort(n_classes=3))
    none = "no connection was selected"
    assert titles(figure) == [f"low: {none}", "high: 1 connection", f"middle: {none}"]
    render_png(figure, "alt")


def test_words_name_numbers_hubs_and_colours():
    cohort, edges = example_cohort(), example_connections()
    words = alt_brain(edges, cohort, hubs=HUBS)
    assert "Class high: 3 connections among 4 ROIs, most at roi_3 (3)" in words
    assert "named as hubs: Lingual Gyrus and Cuneus. Lines coloured by share of subjects, 0.85 to 1." in words
    assert "Class high: 2 of 3 connections" in alt_brain(edges, cohort, top=2)
    assert "Class low: no connection selected" in alt_brain(edges[1:], cohort)


def test_scale_leaves_the_outermost_out_and_has_a_range():
    many = pd.DataFrame({"frequency": [0.0, *np.linspace(0.7, 0.9, 98), 5.0]})
    norm = weight_scale(many, "frequency")
    assert 0.69 < norm.vmin < norm.vmax < 0.91
    same = weight_scale(pd.DataFrame({"frequency": [0.8, 0.8]}), "frequency")
    assert (same.vmin, same.vmax) == (0.4, 0.8)


def test_drawing_is_small_and_leaves_everything_alone():
    edges = example_connections()
    before = edges.copy()
    with mpl.rc_context({"font.size": 3, "axes.titlesize": 2}):
        settings = dict(mpl.rcParams)
        assert len(render_png(plot_brain(edges, example_cohort(), hubs=HUBS), "alt")) < 120_000
        assert dict(mpl.rcParams) == settings
    pd.testing.assert_frame_equal(edges, before)
    assert plt.get_fignums() == []
