"""Figures of cohort, views and learning show the values that they are given, and their words agree with them."""

import copy
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from report_examples import example_cohort, example_scores, example_training

from gcamccl_core.report.cohort_figures import alt_cohort, plot_cohort
from gcamccl_core.report.learning_figures import alt_metrics, alt_training, plot_metrics, plot_training
from gcamccl_core.report.matrix import arrange
from gcamccl_core.report.publishing import render_png
from gcamccl_core.report.style import class_looks, pretty
from gcamccl_core.report.view_figures import (
    alt_allele_frequency,
    alt_linkage,
    alt_mean_connectivity,
    plot_allele_frequency,
    plot_linkage,
    plot_mean_connectivity,
)


@pytest.fixture(params=[2, 3], ids=["two classes", "three classes"])
def cohort(request):
    return example_cohort(request.param)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def panels(figure):
    """Axes by title, without colour bars."""
    return {ax.get_title(loc): ax for ax in figure.axes for loc in ("left", "center") if ax.get_title(loc)}


def image_of(ax):
    return ax.images[0].get_array().data


def test_cohort_counts_everyone_once(cohort):
    figure = plot_cohort(cohort)
    ax = panels(figure)["Score"]
    assert sum(bar.get_height() for bar in ax.patches) == cohort.sizes["subject"]
    names = [*cohort["label"].attrs["classes"], "not in contrast"]
    for label, name in zip([*range(len(names) - 1), -1], names, strict=True):
        count = int((cohort["label"] == label).sum())
        assert f"{name} (n = {count})" in legend(figure)
        assert f"{count} {name}" in alt_cohort(cohort)


def test_bars_of_a_class_stand_where_its_scores_are(cohort):
    cohort["score"][:] = 100.0 + 10 * cohort["label"]
    ax = panels(plot_cohort(cohort))["Score"]
    for number, (name, look) in enumerate(class_looks(cohort["label"].attrs["classes"]).items()):
        bars = [bar for bar in ax.patches if mpl.colors.to_hex(bar.get_facecolor()) == look.color.lower()]
        bars = [bar for bar in bars if bar.get_height()]
        assert {bar.get_hatch() or "" for bar in bars} == {look.hatch}, name
        assert sum(bar.get_height() for bar in bars) == int((cohort["label"] == number).sum())
        assert all(abs(bar.get_x() + bar.get_width() / 2 - 100 - 10 * number) < 1.5 for bar in bars)


def test_shares_of_a_covariate_add_to_one(cohort):
    ax = panels(plot_cohort(cohort))["Sex"]
    groups = len(cohort["label"].attrs["classes"]) + 1
    heights = np.array([bar.get_height() for bar in ax.patches]).reshape(groups, -1)
    assert heights.sum(axis=1) == pytest.approx(np.ones(groups))
    first = (cohort["sex"].to_numpy() == "female")[cohort["label"].to_numpy() == 0].mean()
    assert heights[0, 0] == pytest.approx(first)


def test_cohort_without_score_or_covariates_is_refused():
    cohort = example_cohort().drop_vars(["score", "age", "sex"])
    with pytest.raises(ValueError, match="neither a score nor covariates"):
        plot_cohort(cohort)


def test_mean_connectivity_is_the_mean_in_network_order(cohort):
    figure = plot_mean_connectivity(cohort)
    classes = cohort["label"].attrs["classes"]
    order = arrange(cohort["roi_network"].to_numpy()).order
    means = [cohort["fc"].isel(subject=cohort["label"].to_numpy() == c).mean("subject") for c in range(len(classes))]
    for name, mean in zip(classes, means, strict=True):
        np.testing.assert_allclose(image_of(panels(figure)[f"{name} (mean)"]), mean.to_numpy()[np.ix_(order, order)])
    difference = (means[-1] - means[0]).to_numpy()[np.ix_(order, order)]
    np.testing.assert_allclose(image_of(panels(figure)[f"{classes[-1]} − {classes[0]}"]), difference, atol=1e-7)


def test_class_means_share_one_scale_around_zero(cohort):
    figure = plot_mean_connectivity(cohort)
    limits = [ax.images[0].get_clim() for title, ax in panels(figure).items() if "(mean)" in title]
    assert len(limits) == len(cohort["label"].attrs["classes"])
    assert set(limits) == {(-limits[0][1], limits[0][1])}


def test_networks_are_named_once_and_apart(cohort):
    figure = plot_mean_connectivity(cohort)
    names = figure.axes[0].texts
    assert [text.get_text() for text in names] == ["Auditory", "Default mode", "Visual", "Uncertain"]
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in names), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
    assert all(box.x0 >= 0 for box in boxes)


def test_cohort_without_networks_is_drawn_in_stored_order():
    cohort = example_cohort().drop_vars("roi_network")
    ax = plot_mean_connectivity(cohort).axes[0]
    assert not ax.texts
    first = cohort["fc"].isel(subject=cohort["label"].to_numpy() == 0).mean("subject")
    np.testing.assert_allclose(image_of(ax), first)


def test_words_name_the_stronger_class():
    cohort = example_cohort()
    assert "the class high is stronger on average" in alt_mean_connectivity(cohort)
    label = cohort["label"]
    swapped = cohort.assign(label=label.copy(data=np.where(label >= 0, 1 - label, -1)))
    assert "the class low is stronger on average" in alt_mean_connectivity(swapped)


def test_allele_frequencies_leave_missing_calls_out():
    cohort = example_cohort()
    cohort["label"][0] = 0  # the subject with a missing call
    ax = plot_allele_frequency(cohort)
    points = np.vstack([collection.get_offsets().data for collection in ax.collections])
    snp, label = cohort["snp"].to_numpy(), cohort["label"].to_numpy()
    expected = np.column_stack([np.nanmean(snp[label == number], axis=0) / 2 for number in (0, 1)]).astype(float)
    assert {tuple(np.round(point, 5)) for point in points} == {tuple(np.round(point, 5)) for point in expected}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "other SNPs",
        "planted for low",
        "planted for high",
    ]


def test_words_name_the_widest_difference():
    cohort = example_cohort()
    cohort["snp"][:] = 1
    cohort["snp"][cohort["label"].to_numpy() == 1, 7] = 2
    alt = alt_allele_frequency(cohort)
    assert "The widest difference is 0.5 at rs7" in alt
    assert "1 for low and 1 for high" in alt


def test_linkage_shows_values_and_blocks():
    names = [f"rs{number}" for number in range(6)]
    block = pd.Series([0, 0, 1, 1, 1, 2], index=names, name="snp_block")
    r2 = pd.DataFrame(np.where(block.to_numpy()[:, None] == block.to_numpy(), 0.5, 0.01), names, names)
    figure = plot_linkage(r2, block, first=4)
    np.testing.assert_array_equal(image_of(figure.axes[0]), r2.to_numpy()[:4, :4])
    assert [text.get_text() for text in figure.axes[0].texts] == ["0", "1"]
    alt = alt_linkage(r2, block)
    assert "same block 0.5, of different 0.01" in alt
    counts = panels(figure)["All pairs"].patches
    assert sum(patch.get_height() for patch in counts if isinstance(patch, mpl.patches.Rectangle)) == 11


def test_training_marks_the_selected_epochs():
    trainings = [example_training(), example_training(shift=1)]
    figure = plot_training(trainings)
    for ax in figure.axes:
        lines = [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1]
        assert 4.5 in lines  # median of 4 and 5
        assert 2 in lines
    assert "median epoch 4.5" in alt_training(trainings)
    accuracy = panels(figure)["Accuracy"]
    curves = [line for line in accuracy.lines if len(line.get_xdata()) == 5]
    assert all(line.get_ydata() == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9]) for line in curves)


@pytest.mark.parametrize("draw", [plot_training, alt_training])
def test_a_training_without_a_validation_part_has_no_curve(draw):
    training = example_training()
    training.history = training.history[training.history["part"] == "train"]
    with pytest.raises(ValueError, match="without a validation part has no curve"):
        draw([training])


def test_words_of_one_training_say_what_was_reached():
    alt = alt_training([example_training()])
    assert "the epoch 4 is selected, with a validation accuracy of 0.8." in alt
    assert "By Eq. 12 the epoch 2 is selected, with a validation accuracy of 0.6." in alt


def test_metrics_show_splits_means_and_the_paper():
    scores = example_scores()
    paper = pd.DataFrame({"method": ["gCAM-CCL", "MLP+SVM"], "accuracy": [0.75, 0.72], "sensitivity": 0.7})
    paper = paper.assign(specificity=0.6, f1=0.7)
    figure = plot_metrics(scores, paper)
    ax = panels(figure)["Accuracy"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["linear SVM", "gCAM-CCL", "MLP+SVM"]
    drawn = {(round(float(line.get_xdata()[0]), 4), line.get_marker()) for line in ax.lines}
    assert {(0.81, "o"), (0.71, "o"), (0.75, "D"), (0.72, "D"), (0.5, "None")} <= drawn
    points = np.vstack([np.asarray(c.get_offsets()) for c in ax.collections if len(c.get_offsets())])
    assert sorted(points[:, 0]) == pytest.approx(sorted(scores["accuracy"]))
    alt = alt_metrics(scores, paper)
    assert "best first: linear SVM 0.81 and gCAM-CCL 0.71" in alt
    assert "specificity 0.6" in alt
    assert "MLP+SVM 0.72" in alt


def every_figure():
    cohort = example_cohort()
    r2, block = cohort["snp"].to_pandas().corr() ** 2, cohort["snp_block"].to_series()
    trainings = [example_training()]
    return {
        "cohort": lambda: plot_cohort(cohort),
        "connectivity": lambda: plot_mean_connectivity(cohort),
        "alleles": lambda: plot_allele_frequency(cohort),
        "linkage": lambda: plot_linkage(r2, block),
        "training": lambda: plot_training(trainings),
        "metrics": lambda: plot_metrics(example_scores()),
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


def test_drawing_leaves_its_input_alone():
    cohort, scores, training = example_cohort(), example_scores(), example_training()
    before = copy.deepcopy((cohort, scores, training.history))
    for draw in (plot_cohort, plot_mean_connectivity, plot_allele_frequency, alt_cohort, alt_mean_connectivity):
        draw(cohort)
    plot_metrics(scores)
    plot_training([training])
    xr.testing.assert_identical(cohort, before[0])
    pd.testing.assert_frame_equal(scores, before[1])
    pd.testing.assert_frame_equal(training.history, before[2])


def test_too_many_classes_are_refused():
    with pytest.raises(ValueError, match="at most 6 classes"):
        class_looks("abcdefg")


def test_classes_differ_without_colour():
    looks = class_looks("abcdef").values()
    assert len({look.hatch for look in looks}) == len({look.marker for look in looks}) == 6


def test_unknown_names_are_readable():
    assert pretty("cortical_thickness") == "cortical thickness"
