"""Labels around the circle of Figure 5 are upright, apart and on the page, and mark the hubs."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from report_examples import example_cohort, example_connections
from test_circle import HUBS, circles, labels, random_connections

from gcamccl_core.report.circle import fit_label, plot_circle
from gcamccl_core.report.connections import ends_of
from gcamccl_core.report.labels import spread_apart, spread_around
from gcamccl_core.report.style import SMALL


def turned_box(text):
    """Corners of a label as it stands, in pixels."""
    turn = text.get_rotation()
    text.set_rotation(0)
    box = text.get_window_extent()
    text.set_rotation(turn)
    anchor = text.get_transform().transform(text.get_position())
    corners = box.corners()[[0, 1, 3, 2, 0]]
    return Path(Affine2D().rotate_deg_around(*anchor, turn).transform(corners), closed=True)


def check_labels(figure, ax):
    """Labels are upright, of a readable size, on the page and apart."""
    figure.draw_without_rendering()
    assert all(-90 <= (text.get_rotation() + 180) % 360 - 180 <= 90 for text in ax.texts)
    assert {text.get_fontsize() for text in ax.texts} == {SMALL}
    boxes = [turned_box(text) for text in ax.texts]
    for box in boxes:
        assert box.vertices.min() >= -1
        assert (box.vertices <= figure.bbox.max + 1).all()
    assert not any(one.intersects_path(other, filled=True) for one, other in combinations(boxes, 2))


def test_only_regions_with_connections_are_labelled():
    _, high = circles(plot_circle(example_connections(), example_cohort()))
    assert sorted(labels(high)) == ["Cuneus", "Lingual", "Precuneus"]


@pytest.mark.parametrize(("n_regions", "n_edges"), [(36, 8), (36, 300), (36, 500)])
def test_every_region_is_labelled_where_there_is_room(n_regions, n_edges):
    edges = random_connections(264, n_edges, n_regions)
    figure = plot_circle(edges, example_cohort().drop_vars("roi_lobe"), top=500)
    ax = circles(figure)[0]
    assert len(ax.texts) == ends_of(edges)["region"].nunique()
    check_labels(figure, ax)


def test_shortest_arcs_are_unlabelled_where_there_is_no_room():
    edges = random_connections(264, 500)
    hub = ends_of(edges)["roi"].value_counts().index[-1]
    figure = plot_circle(edges, example_cohort(), top=500, hubs={"low": [hub]})
    ax = circles(figure)[0]
    assert 60 < len(ax.texts) < 100
    counts = ends_of(edges)["roi"].value_counts()
    named = {text.removeprefix("★ ").replace(" ", "_") for text in labels(ax)}
    assert hub in named
    assert counts[list(named - {hub})].min() >= counts[~counts.index.isin(named)].max()
    check_labels(figure, ax)


def test_long_names_are_cut_where_they_do_not_fit():
    edges = random_connections(12, 40)
    edges[["region_i", "region_j"]] = "Extraordinarily long name of " + edges[["roi_i", "roi_j"]].to_numpy()
    figure = plot_circle(edges, example_cohort())
    check_labels(figure, circles(figure)[0])
    assert max(turned_box(text).vertices[:, 0].max() for text in circles(figure)[0].texts) <= figure.bbox.x1 / 2
    assert fit_label("Middle Occipital Gyrus", 0.01) == "M…"


def test_hubs_are_bold_and_starred_in_their_class_only():
    edges = example_connections([("low", 3, 4), ("high", 3, 4), ("high", 0, 3)])
    figure = plot_circle(edges, example_cohort(), hubs=HUBS)
    low, high = circles(figure)
    assert {text.get_text() for text in high.texts if text.get_fontweight() == "bold"} == {"★ Lingual"}
    assert {text.get_text() for text in low.texts if text.get_fontweight() == "bold"} == set()
    assert figure.legends[0].get_texts()[-1].get_text() == "hub"


def test_no_hub_in_the_key_without_one():
    figure = plot_circle(example_connections(), example_cohort(), hubs={"high": ["Uvula"]})
    assert "hub" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_spread_labels_keep_order_gap_and_range():
    rng = np.random.default_rng(0)
    for _ in range(20):
        wanted = np.sort(rng.uniform(0, 1, 9))
        found = spread_apart(wanted, 0.1, 0, 1)
        assert np.diff(found).min() >= 0.1 - 1e-9
        assert found.min() >= -1e-9
        assert found.max() <= 1 + 1e-9
    assert spread_apart([0.2, 0.9], 0.1, 0, 1).tolist() == [0.2, 0.9]


def test_labels_spread_around_a_circle_are_a_gap_apart():
    rng = np.random.default_rng(0)
    for count in (1, 2, 20, 60, 90):
        wanted = rng.uniform(-200, 500, count)
        found = np.sort(spread_around(wanted, 5) % 360)
        gaps = np.diff(found, append=found[0] + 360)
        assert gaps.min() >= min(5, 360 / count) - 1e-6
    assert spread_around([30, 200, -70], 5) % 360 == pytest.approx([30, 200, 290])
