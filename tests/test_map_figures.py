"""Figures 2 to 4, maps along SNPs, scorecard, pathways and the title figure show the values that they are given."""

import copy

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from report_examples import example_cohort, example_maps, example_method_maps, example_scorecard, example_scores
from scipy.stats import spearmanr

from gcamccl_core.report.evidence_figures import alt_scorecard, plot_scorecard
from gcamccl_core.report.labels import number
from gcamccl_core.report.map_figures import (
    alt_class_maps,
    alt_map_histogram,
    color_scale,
    plot_class_maps,
    plot_map_histogram,
)
from gcamccl_core.report.matrix import arrange
from gcamccl_core.report.method_figures import alt_map_methods, caption_map_methods, plot_map_methods
from gcamccl_core.report.pathway_figures import alt_enrichment, plot_enrichment
from gcamccl_core.report.publishing import render_png
from gcamccl_core.report.result_figure import alt_result, plot_result
from gcamccl_core.report.snp_figures import alt_vector_maps, plot_vector_maps

TABLE = pd.DataFrame(
    {
        "term": ["synapse", "growth", "empty"],
        "overlap": [4, 1, 0],
        "p_value": [1e-4, 0.5, np.nan],
        "q_value": [1e-3, 0.6, np.nan],
        "testable": [True, True, False],
    }
)


def images(figure):
    return [ax for ax in figure.axes if ax.images]


def test_maps_of_subjects_and_class_mean_in_network_order():
    maps = example_maps()
    maps["fc"][1] *= 3  # the first subject of class low
    axes = images(plot_class_maps(maps, "low"))
    assert len(axes) == 2 * 4
    order = arrange(maps["roi_network"].to_numpy()).order
    of_class = (
        maps["fc"].sel({"target_class": "low", "map_method": "grad_cam"})[maps["label"].to_numpy() == 0].to_numpy()
    )
    for ax, expected in zip(axes, [*of_class[:3], of_class.mean(axis=0)], strict=False):
        np.testing.assert_allclose(ax.images[0].get_array().data, expected[np.ix_(order, order)])
    assert [ax.get_title("center") for ax in axes[:4]] == ["s01", "s04", "s07", "mean of 8"]


def test_one_scale_per_method_for_all_panels_and_classes():
    maps = example_maps()
    limits = [[ax.images[0].get_clim() for ax in images(plot_class_maps(maps, name))] for name in ("low", "high")]
    for row in (slice(0, 4), slice(4, 8)):
        assert len({*limits[0][row], *limits[1][row]}) == 1
    assert limits[0][0] != limits[0][4]
    assert limits[0][0][0] == 0


def test_scale_of_signed_maps_is_centred_on_zero():
    norm, cmap = color_scale(example_maps(signed=True), "fc", "grad_cam")
    assert norm.vmin == -norm.vmax
    assert cmap == "RdBu_r"


def test_maps_that_are_zero_everywhere_are_said_to_be():
    maps = example_maps()
    maps["fc"][:] = 0
    assert len(render_png(plot_class_maps(maps, "low"), "alt")) > 0
    assert "class mean zero everywhere" in alt_class_maps(maps, "low")
    assert "No value is above zero" in alt_map_histogram(maps)
    plot_map_histogram(maps)


def test_words_name_the_network_and_the_numbers():
    alt = alt_class_maps(example_maps(), "high", methods=["grad_cam"])
    assert "for the class high: 3 of its subjects and the mean of all 8" in alt
    assert "from 2 to 5" in alt
    assert "network Visual" in alt  # region 0 holds the high value


def test_class_without_subjects_is_refused():
    maps = example_maps().isel(subject=[0, 1])
    with pytest.raises(ValueError, match="no subject of class 'high'"):
        plot_class_maps(maps, "high")


def example_pattern(shift=0.0):
    """Two maps with a row per class, as activation patterns have them: random, symmetric, class high five times low."""
    half = np.random.default_rng(2).normal(size=(2, 8, 8))
    values = (half + half.swapaxes(-1, -2)) * np.array([1, 5])[:, None, None] + shift
    maps = example_maps().isel(subject=[1, 2], map_method=[0]).assign_coords(map_method=["activation_pattern"])
    maps["fc"] = maps["fc"].copy(data=np.broadcast_to(values[None, :, None], (2, 2, 1, 8, 8)).copy())
    return maps


def test_maps_of_a_class_as_a_whole_are_a_last_row():
    maps, patterns = example_maps(), {"over 200 people": example_pattern(), "over test subjects": example_pattern(0.5)}
    figure = plot_class_maps(maps, "high", patterns=patterns)
    axes = images(figure)
    assert len(axes) == 2 * 4 + 2
    order = arrange(maps["roi_network"].to_numpy()).order
    for ax, (title, pattern) in zip(axes[8:], patterns.items(), strict=True):
        assert ax.get_title("center") == title
        expected = pattern["fc"].sel(target_class="high", map_method="activation_pattern")[1].to_numpy()
        np.testing.assert_allclose(ax.images[0].get_array().data, expected[np.ix_(order, order)])
    for with_row, without in zip(axes[:8], images(plot_class_maps(maps, "high")), strict=True):
        np.testing.assert_array_equal(with_row.images[0].get_array(), without.images[0].get_array())
        assert with_row.images[0].get_clim() == without.images[0].get_clim()
    upper = [ax.images[0].get_array().data[np.triu_indices(len(order), k=1)] for ax in axes[8:]]
    assert [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()] == [
        f"alike {spearmanr(*upper).statistic:.2f}",
        "Grad-CAM value",
        "guided Grad-CAM value",
        "activation pattern value",
    ]


def test_the_patterns_of_all_classes_share_one_scale_around_zero():
    maps, patterns = example_maps(), {"pattern": example_pattern(), "other": example_pattern(0.5)}
    asked = {"methods": ["grad_cam"], "n_subjects": 1, "patterns": patterns}
    axes = [images(plot_class_maps(maps, name, **asked))[2:] for name in ("low", "high")]
    limits = [[ax.images[0].get_clim() for ax in of_class] for of_class in axes]
    assert [len(each) for each in limits] == [2, 2]
    assert len({*limits[0], *limits[1]}) == 1
    low, high = limits[0][0]
    assert low == -high
    every = np.concatenate([pattern["fc"].to_numpy().ravel() for pattern in patterns.values()])
    assert high == pytest.approx(np.quantile(np.abs(every), 0.995))
    assert high > np.abs(patterns["pattern"]["fc"].sel(target_class="low")).max()  # the scale is the larger class's


def test_places_without_a_map_are_hidden():
    def hidden(figure):
        return [ax.get_visible() for ax in figure.axes if ax.get_label() != "<colorbar>"].count(False)

    maps, pattern = example_maps(), example_pattern()
    asked = {"target_class": "low", "methods": ["grad_cam"]}
    assert hidden(plot_class_maps(maps, **asked)) == 0
    assert hidden(plot_class_maps(maps, patterns={"one": pattern}, **asked)) == 3
    assert hidden(plot_class_maps(maps, n_subjects=1, patterns=dict.fromkeys("abc", pattern), **asked)) == 1


def test_words_say_how_alike_the_patterns_are():
    maps, pattern, other = example_maps(), example_pattern(), example_pattern()
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 4, (8, 8))
    other["fc"] = other["fc"] + (noise + noise.T)
    patterns = {"over all": pattern, "over few": other, "upside down": pattern.assign(fc=-pattern["fc"])}
    alt = alt_class_maps(maps, "high", methods=["grad_cam"], patterns=patterns)
    ends = np.triu_indices(8, k=1)
    one, two = (each["fc"].sel(target_class="high")[1, 0].to_numpy()[ends] for each in (pattern, other))
    ranks = [pd.Series(values).rank() for values in (one, two)]
    likeness = number(np.corrcoef(*ranks)[0, 1])
    assert f"; rank correlation with over few {likeness} and upside down -1." in alt
    of_class = pattern["fc"].sel(target_class="high").to_numpy()
    assert f"Activation pattern, over all: from {number(of_class.min())} to {number(of_class.max())}" in alt
    alone = alt_class_maps(maps, "high", methods=["grad_cam"], patterns={"over all": pattern})
    assert "Activation pattern, over all: from" in alone
    assert "rank correlation" not in alone
    assert "Activation pattern" not in alt_class_maps(maps, "high")


def test_histogram_counts_every_value_of_the_own_class():
    maps = example_maps(n_classes=3)
    ax = plot_map_histogram(maps)
    outlines = [patch for patch in ax.patches if isinstance(patch, mpl.patches.StepPatch) and not patch.get_fill()]
    assert len(outlines) == 3
    for target, outline in enumerate(outlines):
        values, edges, _ = outline.get_data()
        assert values.sum() == pytest.approx(64)
        (tallest,) = np.flatnonzero(values == values.max())
        assert edges[tallest] <= target + 1 <= edges[tallest + 1]
    assert ax.get_yscale() == "log"
    assert "Mean: 1.05 (low), 2.05 (high) and 3.05 (middle)" in alt_map_histogram(maps)
    assert "most" not in alt_map_histogram(maps)  # one value of 64 in each
    maps["fc"][:, 1] = 5
    assert "100 % (high)" in alt_map_histogram(maps)
    assert "most in the class high" in alt_map_histogram(maps)


def test_vector_maps_show_means_subjects_blocks_and_planted():
    maps, cohort = example_maps(), example_cohort()
    figure = plot_vector_maps(maps, method="grad_cam", truth=cohort["truth_snp"])
    line, strip = figure.axes[:2]
    own = maps["snp"].sel({"target_class": "low", "map_method": "grad_cam"})[maps["label"].to_numpy() == 0].to_numpy()
    np.testing.assert_allclose(line.lines[0].get_ydata(), own.mean(axis=0))
    np.testing.assert_allclose(strip.images[0].get_array().data, own)
    assert line.lines[1].get_xdata().tolist() == [0]
    assert len([patch for patch in line.patches]) == 2  # every second of four blocks
    assert len({ax.images[0].get_clim() for ax in images(figure)}) == 1
    alt = alt_vector_maps(maps, method="grad_cam", truth=cohort["truth_snp"])
    assert f"mean highest at rs{own.mean(axis=0).argmax()}" in alt
    assert "1 planted features" in alt


def test_vector_maps_need_neither_truth_nor_blocks():
    maps = example_maps().drop_vars("snp_block")
    figure = plot_vector_maps(maps)
    assert not figure.axes[0].patches
    assert "planted" not in alt_vector_maps(maps)
    assert "linkage" not in figure.axes[3].get_xlabel()


@pytest.mark.parametrize("classes", [("low", "high"), ("low", "high", "middle")])
def test_scorecard_shows_every_score_inside_its_panel(classes):
    scores = example_scorecard(classes)
    figure = plot_scorecard(scores)
    assert len(figure.axes) == 2 * len(classes)
    figure.draw_without_rendering()
    for ax in figure.axes:
        view, target_class = ax.get_title("left").rsplit(", ", 1)
        chosen = scores[(scores["target_class"] == target_class) & scores["view"].eq("snp" if "SNP" in view else "fc")]
        drawn = sorted(line.get_xdata()[0] for line in ax.lines if line.get_marker() in "os^vD")
        assert drawn == pytest.approx(sorted(chosen.loc[chosen["source"] != "chance", "average_precision"]))
        low, high = ax.get_xlim()
        assert low <= 0
        assert high > max(drawn)
        assert [line.get_xdata() for line in ax.lines if line.get_marker() == "None"] == [[0.05, 0.05]]


def test_scorecard_words_name_the_best_map_and_the_best_control():
    alt = alt_scorecard(example_scorecard())
    assert "SNPs, low: best map guided Grad-CAM 0.3, best control t-test 0.15, chance 0.05" in alt
    assert "SNPs, high: best map guided Grad-CAM 0.3, best control t-test 0.9" in alt
    assert alt_scorecard(example_scorecard(), "auroc").startswith("Area under the ROC curve")


def test_scorecard_where_nothing_was_planted():
    scores = example_scorecard().assign(average_precision=np.nan)
    assert "nothing was planted" in alt_scorecard(scores)
    assert len(render_png(plot_scorecard(scores), "alt")) > 0


def test_enrichment_marks_planted_terms_and_leaves_untestable_out():
    figure = plot_enrichment({"low": TABLE, "high": TABLE}, {"low": ["growth"], "high": []})
    low, high = figure.axes
    points = low.collections[0]
    assert np.asarray(points.get_offsets())[:, 0] == pytest.approx(-np.log10([1e-3, 0.6]))
    assert [label.get_text() for label in low.get_yticklabels()] == ["synapse", "growth"]
    assert points.get_sizes()[0] > points.get_sizes()[1]
    assert points.get_linewidths()[1] > points.get_linewidths()[0]
    assert len(set(high.collections[0].get_linewidths())) == 1
    assert all(ax.get_xlim()[1] > 3 for ax in figure.axes)
    alt = alt_enrichment({"low": TABLE}, {"low": ["growth"]})
    assert "Class low: 1 of 2 gene sets below q = 0.05, first synapse (q = 0.001, 4 genes in common)" in alt
    assert "0 of 1 planted sets" in alt


def test_enrichment_of_nothing_says_so():
    figure = plot_enrichment({"low": TABLE.iloc[2:], "high": TABLE.iloc[2:]})
    assert "no gene set could be tested" in [text.get_text() for text in figure.axes[0].texts]
    assert "0 of 0 gene sets" in alt_enrichment({"low": TABLE.iloc[2:]})


def test_title_figure_averages_over_classes():
    scores, recovery = example_scores(), example_scorecard()
    figure = plot_result(scores, recovery)
    classification, brain, snp = figure.axes
    assert {round(line.get_xdata()[0], 3) for line in classification.lines} >= {0.81, 0.71}
    for ax in (brain, snp):
        large = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D" and line.get_markersize() > 5]
        assert large == pytest.approx([(0.15 + 0.9) / 2])
    alt = alt_result(scores, recovery)
    assert "linear SVM 0.81 and gCAM-CCL 0.71" in alt
    assert "best control t-test 0.525" in alt


@pytest.mark.parametrize("n_classes", [2, 3])
def test_methods_of_one_subject_stand_side_by_side_each_on_its_own_scale(n_classes):
    maps = example_method_maps(n_classes)
    subject = str(maps["subject"].to_numpy()[maps["label"].to_numpy() == n_classes - 1][0])
    axes = images(plot_map_methods(maps, subject))
    methods = maps["map_method"].to_numpy()
    assert [ax.get_title("left") for ax in axes] == [
        "CAM", "Grad-CAM", "Deconvnet", "Guided backprop", "Guided Grad-CAM"
    ]  # fmt: skip
    order = arrange(maps["roi_network"].to_numpy()).order
    for ax, method in zip(axes, methods, strict=True):
        own_class = maps["target_class"].to_numpy()[n_classes - 1]
        expected = maps["fc"].sel(subject=subject, target_class=own_class, map_method=method).to_numpy()
        np.testing.assert_allclose(ax.images[0].get_array().data, expected[np.ix_(order, order)])
        low, high = ax.images[0].get_clim()
        assert low == (-high if method == "deconvnet" else 0)
    assert len({ax.images[0].get_clim() for ax in axes}) == len(methods)
    labels = [ax.get_xlabel() for ax in axes[0].figure.axes if ax.get_xlabel()]
    assert labels[:2] == ["logits of the retrained head", "logits"]


def test_methods_of_a_vector_view_are_lines_of_the_class_asked_for():
    maps = example_method_maps()
    figure = plot_map_methods(maps, "s01", "snp", target_class="high", methods=["deconvnet", "cam"])
    assert [ax.get_title("left") for ax in figure.axes] == ["Deconvnet", "CAM"]
    for ax, method in zip(figure.axes, ["deconvnet", "cam"], strict=True):
        expected = maps["snp"].sel(subject="s01", target_class="high", map_method=method)
        np.testing.assert_array_equal(ax.lines[-1].get_ydata(), expected)
    assert "s01" in figure.get_suptitle()
    assert "class high" in figure.get_suptitle()


def test_words_of_the_methods_give_ranges_places_and_units():
    maps = example_method_maps()
    alt = alt_map_methods(maps, "s01", target_class="low")
    assert "of subject s01 for the class low, 5 methods, each on a scale of its own" in alt
    assert "CAM: from 1 to 4 logits of the retrained head, strongest at roi_0 – roi_3" in alt
    assert "Deconvnet: from -0.04 to 0.5 logits per input unit, strongest at roi_1 – roi_2" in alt
    caption = caption_map_methods(maps, "s01")
    assert "Units differ, so every panel has its own scale" in caption
    assert "deconvnet, guided backprop in logits per input unit" in caption
    maps["fc"][:] = 0
    assert "CAM: zero everywhere" in alt_map_methods(maps, "s01")
    assert len(render_png(plot_map_methods(maps, "s01", methods=["cam"]), "alt")) > 0


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"subject": "s99"}, "no subject 's99'; they have s00, s01"),
        ({"view": "eeg"}, "no view 'eeg'; they have fc, snp"),
        ({"methods": ["lime"]}, "no map_method 'lime'; they have cam, grad_cam"),
        ({"target_class": "tall"}, "no target_class 'tall'; they have low, high"),
        ({"subject": "s00"}, "'s00' belongs to no class; name the target_class: low, high"),
    ],
)
def test_methods_of_what_does_not_exist_are_refused(request_, message):
    with pytest.raises(ValueError, match=message):
        plot_map_methods(example_method_maps(), **{"subject": "s01", **request_})


def every_figure():
    maps, scores, recovery = example_maps(signed=True), example_scores(), example_scorecard()
    return {
        "maps": lambda: plot_class_maps(maps, "low"),
        "histogram": lambda: plot_map_histogram(maps),
        "snp": lambda: plot_vector_maps(maps),
        "methods": lambda: plot_map_methods(example_method_maps(), "s01"),
        "methods of a vector": lambda: plot_map_methods(example_method_maps(), "s01", "snp"),
        "scorecard": lambda: plot_scorecard(recovery),
        "enrichment": lambda: plot_enrichment({"low": TABLE}),
        "result": lambda: plot_result(scores, recovery),
    }


@pytest.mark.parametrize("name", every_figure())
def test_figures_are_small_and_leave_nothing_behind(name):
    with mpl.rc_context({"font.size": 3, "axes.titlesize": 2}):
        settings, random = dict(mpl.rcParams), np.random.get_state()[1].tolist()  # noqa: NPY002
        png = render_png(every_figure()[name](), "alt")
        assert len(png) < 120_000
        assert render_png(every_figure()[name](), "alt") == png
        assert np.random.get_state()[1].tolist() == random  # noqa: NPY002
        assert plt.get_fignums() == []
        assert dict(mpl.rcParams) == settings


def test_map_of_noise_at_the_papers_size_stays_small():
    rng = np.random.default_rng(0)
    side = 264
    noise = rng.normal(size=(4, 2, 2, side, side)).astype("float32")
    maps = xr.Dataset(
        {"fc": (("subject", "target_class", "map_method", "roi_i", "roi_j"), noise)},
        coords={"subject": list("abcd"), "target_class": ["low", "high"], "map_method": ["grad_cam", "guided_grad_cam"],
                "label": ("subject", [0, 0, 1, 1]), "roi_network": ("roi", rng.choice(["A", "B", "C"], side))},
    )  # fmt: skip
    assert len(render_png(plot_class_maps(maps, "low"), "alt")) < 120_000


def test_drawing_leaves_its_input_alone():
    maps, recovery = example_maps(), example_scorecard()
    before = copy.deepcopy((maps, recovery))
    for draw in (plot_map_histogram, plot_vector_maps, alt_map_histogram, alt_vector_maps):
        draw(maps)
    plot_class_maps(maps, "low")
    plot_scorecard(recovery)
    xr.testing.assert_identical(maps, before[0])
    pd.testing.assert_frame_equal(recovery, before[1])
