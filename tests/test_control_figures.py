"""The strip of controls: the scorecard's own scores, in its order, and the numbers below each panel."""

import matplotlib as mpl
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.maps.activation import compute_maps
from gcamccl_core.maps.class_scores import truth_of_class
from gcamccl_core.maps.control_strips import control_strip, measure_strip
from gcamccl_core.maps.evidence import scorecard
from gcamccl_core.maps.random_weights import random_weights_like
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.report.control_figures import alt_control_strip, plot_control_strip

mpl.use("Agg")
TRAIN = range(40)


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(n_subjects=60, seed=0)


@pytest.fixture(scope="module")
def maps(cohort):
    views = {view: cohort[view].shape[1:] for view in ("fc", "snp")}
    net = CollaborativeNet(views, pathways={view: ["linear"] for view in views}).fit_scaling(cohort, TRAIN)
    nets = {"trained": random_weights_like(net, 5), "random weights": random_weights_like(net, 6)}
    some = np.flatnonzero(cohort["label"].to_numpy() >= 0)[-8:]
    return {
        name: compute_maps(each, cohort, ["gradient", "guided_backprop"], subjects=some, progress=False)
        for name, each in nets.items()
    }


@pytest.fixture(scope="module")
def strips(cohort, maps):
    controls = {"random weights": maps["random weights"]}
    return {
        view: control_strip(maps["trained"], cohort, view, "gradient", "low", TRAIN, controls) for view in ("fc", "snp")
    }


def test_a_strip_holds_what_the_scorecard_scores(cohort, maps, strips):
    names = ["the map", "the other class", "random weights", "t-test", "mean value"]
    scores = scorecard(maps["trained"], cohort, TRAIN, {"random weights": maps["random weights"]})
    scores = scores[
        (scores["view"] == "fc") & (scores["target_class"] == "low") & (scores["method"] != "guided_backprop")
    ]
    truth = truth_of_class(cohort, "fc", "low")
    assert list(strips["fc"]) == names
    found = [average_precision_score(truth, values) for values in strips["fc"].values()]
    assert found == pytest.approx(scores[scores["source"] != "chance"]["average_precision"].tolist(), abs=1e-6)


@pytest.mark.parametrize("view", ["fc", "snp"])
def test_numbers_are_the_scorecards_and_stand_below_the_panels_and_in_words(cohort, maps, strips, view):
    numbers = measure_strip(strips[view], cohort, view, "low")
    scores = scorecard(maps["trained"], cohort, TRAIN, {"random weights": maps["random weights"]})
    scores = scores.query(
        "view == @view and target_class == 'low' and method != 'guided_backprop' and source != 'chance'"
    )
    assert numbers["average_precision"].tolist() == pytest.approx(scores["average_precision"].tolist())
    likeness = [spearmanr(strips[view]["the map"], values).statistic for values in strips[view].values()]
    assert numbers["likeness"].tolist()[1:] == pytest.approx(likeness[1:])
    figure, alt = plot_control_strip(strips[view], numbers, maps["trained"], view), alt_control_strip(numbers, view)
    for ax, (name, row) in zip(figure.axes, numbers.iterrows(), strict=True):
        shown = ax.get_xlabel() if view == "fc" else ax.texts[0].get_text()
        assert f"finds {row['average_precision']:.2f}" in shown
        assert ("alike" in shown) == (name != "the map")
        assert name in alt.lower()


def test_without_a_truth_only_likeness_is_said(cohort, maps, strips):
    unknown = cohort.drop_vars(["truth_fc", "population_truth_fc"])
    numbers = measure_strip(strips["fc"], unknown, "fc")
    assert numbers["average_precision"].isna().all()
    assert "finds" not in alt_control_strip(numbers, "fc")


def test_an_image_is_drawn_as_a_symmetric_matrix(cohort, maps, strips):
    numbers = measure_strip(strips["fc"], cohort, "fc", "low")
    figure = plot_control_strip(strips["fc"], numbers, maps["trained"], "fc")
    drawn = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(drawn, drawn.T)
    np.testing.assert_allclose(np.sort(drawn[np.triu_indices(264, k=1)]), np.sort(strips["fc"]["the map"]))


def test_a_method_that_is_not_there_is_named(cohort, maps):
    with pytest.raises(ValueError, match="the maps have no method 'cam'"):
        control_strip(maps["trained"], cohort, "fc", "cam")
    fewer = {"random weights": maps["random weights"].sel(map_method=["gradient"])}
    with pytest.raises(ValueError, match="the control 'random weights' has no method 'guided_backprop'"):
        control_strip(maps["trained"], cohort, "fc", "guided_backprop", controls=fewer)
