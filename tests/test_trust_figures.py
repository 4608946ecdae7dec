"""Whether maps can be trusted, as drawn: every value of a table in its panel, nothing cut off, words that agree."""

from itertools import combinations, product

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from gcamccl_core.maps.sanity_checks import passes
from gcamccl_core.report.labels import number
from gcamccl_core.report.panels import METHOD_LOOKS, method_looks
from gcamccl_core.report.perturbation_figures import alt_perturbation, plot_perturbation
from gcamccl_core.report.publishing import render_png
from gcamccl_core.report.style import GREY, pretty
from gcamccl_core.report.trust_figures import (
    STABILITY_COLUMNS,
    alt_randomisation,
    alt_stability,
    plot_randomisation,
    plot_stability,
)

mpl.use("Agg")

METHODS = ["grad_cam", "guided_backprop", "class_contrast", "grad_cam_relu", "guided_grad_cam_plain",
           "integrated_gradients", "expected_gradients_contrast", "gradient_x_input"]  # fmt: skip
VIEWS = ["fc", "snp", "thickness"]
CLASSES = ["low", "high", "middle"]
LAYERS = {view: ["untouched", "head", "conv4", "conv3", "conv2", "conv1"][: 6 - k] for k, view in enumerate(VIEWS)}
SHARES = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]


def randomised(n_views=2, n_methods=3, n_classes=2, n_seeds=3):
    """Grad-CAM falls far, every further method less far."""
    rng = np.random.default_rng(0)
    rows = [
        (view, name, method, stage, layer, seed, (1 if stage == 0 else end + 0.5 ** (3 * stage) + rng.normal(0, 0.01)))
        for view in VIEWS[:n_views]
        for stage, layer in enumerate(LAYERS[view])
        for seed in range(n_seeds)
        for name in CLASSES[:n_classes]
        for method, end in zip(METHODS[:n_methods], np.linspace(-0.15, 0.7, max(n_methods, 2)), strict=False)
    ]
    table = pd.DataFrame(rows, columns=["view", "target_class", "method", "stage", "layer", "seed", "rank_correlation"])
    return table.assign(absolute_rank_correlation=0.5, ssim=0.5, subjects=10)


def perturbed(n_views=2, n_methods=2, n_classes=2, controls=("random weights",)):
    """The first method finds most, then the next; a control finds little, random rankings least."""
    sources = [("model", method, 0.3 - 0.02 * place) for place, method in enumerate(METHODS[:n_methods])]
    sources += [(control, METHODS[0], 0.05) for control in controls] + [("random", "random", 0.0)]
    rows = [
        (view, name, source, method, direction, share, 0.4 + 0.4 * (found if direction == "insertion" else 1 - found))
        for view in VIEWS[:n_views]
        for name in CLASSES[:n_classes]
        for source, method, reach in sources
        for share in SHARES
        for found in [share + reach * (0 < share < 1) * (1 - share)]
        for direction in ("deletion", "insertion")
    ]
    return pd.DataFrame(rows, columns=["view", "target_class", "source", "method", "direction", "share", "probability"])


def stabilities(n_views=2, n_methods=3, n_classes=2, n_runs=5):
    """The last method is the most stable; the first is at chance."""
    reach = 0.08 if n_runs > 2 else np.nan
    rows = [
        (view, name, method, index + 0.02 * k, index + 0.02 * k - reach, index + 0.02 * k + reach, n_runs, 10.0 + k)
        for view in VIEWS[:n_views]
        for k, name in enumerate(CLASSES[:n_classes])
        for method, index in zip(METHODS[:n_methods], np.linspace(0, 0.95, max(n_methods, 2)), strict=False)
    ]
    return pd.DataFrame(rows, columns=STABILITY_COLUMNS)


def lost(table, column, **where):
    """The table with NaN in a column, in the rows where others have these values."""
    chosen = np.logical_and.reduce([table[name] == value for name, value in where.items()])
    return table.assign(**{column: table[column].mask(chosen)})


def shown(figure):
    return [ax for ax in figure.axes if ax.get_visible()]


def curves_of(ax):
    """Labelled lines: x and y by label."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


@pytest.mark.parametrize(("n_views", "n_methods", "n_classes", "n_seeds"), [(1, 1, 3, 1), (2, 3, 2, 3), (3, 8, 3, 2)])
def test_every_mean_and_range_of_the_randomisation_is_drawn(n_views, n_methods, n_classes, n_seeds):
    table = randomised(n_views, n_methods, n_classes, n_seeds)
    panels = shown(plot_randomisation(table, limit=0.2))
    table["rank_correlation"] = table["rank_correlation"].abs()
    assert [ax.get_title("left") for ax in panels] == ["Functional connectivity", "SNPs", "Thickness"][:n_views]
    for ax, view in zip(panels, VIEWS, strict=False):
        of_view, lines = table[table["view"] == view], curves_of(ax)
        assert list(lines) == [pretty(method) for method in METHODS[:n_methods]]
        for band, method in zip(ax.collections, METHODS[:n_methods], strict=True):
            values = of_view[of_view["method"] == method]
            by_seed = values.groupby(["stage", "seed"])["rank_correlation"].mean()
            x, y = lines[pretty(method)].get_data()
            np.testing.assert_array_equal(x, range(len(LAYERS[view])))
            np.testing.assert_allclose(y, values.groupby("stage")["rank_correlation"].mean())
            edge = band.get_paths()[0].vertices
            for stage, seeds in by_seed.groupby(level="stage"):
                at = edge[edge[:, 0] == stage, 1]
                assert (at.min(), at.max()) == pytest.approx((seeds.min(), seeds.max()))
        named = [label.get_text() for label in ax.get_xticklabels()]
        assert named == ["trained", *LAYERS[view][1:-1], f"{LAYERS[view][-1]}\n(all layers)"]
        straight = [line for line in ax.lines if line.get_linestyle() == ":" and len(line.get_xdata()) == 2]
        assert [line.get_ydata()[0] for line in straight] == [0.2]
        assert "passes\nat ≤ 0.2" in [text.get_text() for text in ax.texts]


def test_methods_are_told_apart_by_colour_by_marker_and_by_line():
    for part in zip(*METHOD_LOOKS, strict=True):
        assert len(set(part)) == 8
    looks = {line.get_label(): line for line in shown(plot_randomisation(randomised(1, 8)))[0].lines}
    for method, look in method_looks(METHODS).items():
        line = looks[pretty(method)]
        assert (line.get_color(), line.get_marker()) == (look["color"], look["marker"])
    with pytest.raises(ValueError, match="at most 8 methods apart, got 9; draw fewer"):
        method_looks([*METHODS, "cam"])


@pytest.mark.parametrize("limit", [0.1, 0.4])
def test_words_of_the_randomisation_judge_as_the_check_does(limit):
    table = lost(randomised(2, 5), "rank_correlation", view="snp", method="class_contrast")
    said = alt_randomisation(table, limit)
    assert "over 2 classes and 3 seeds" in said
    assert f"at or below {number(limit)}" in said
    for view, words in zip(["fc", "snp"], said.split("Functional connectivity: ")[1].split("SNPs: "), strict=True):
        judged = passes(table, limit).query("view == @view").set_index("method")
        passed, failed = words.split("passed by ")[1].split("; failed by ")
        for method, row in judged.iterrows():
            place = passed if row["passes"] else failed
            value = "" if np.isnan(row["rank_correlation"]) else f" {number(row['rank_correlation'])}"
            assert f"{pretty(method)}{value}" in place
        first = table[(table["view"] == view) & (table["stage"] == 1)].set_index("method")["rank_correlation"].abs()
        first = first.groupby(level=0).mean()
        ends = f"{number(first.min())} (Grad-CAM) to {number(first.max())} (guided grad cam plain)"
        assert f"with the head alone drawn, {ends}" in words
    assert said.endswith("not judged, since maps are constant: class contrast.")


def test_constant_maps_have_no_line_and_are_named():
    table = lost(randomised(1, 3), "rank_correlation", method="guided_backprop")
    table = lost(table, "rank_correlation", method="class_contrast", stage=2)
    (ax,) = shown(plot_randomisation(table))
    assert list(curves_of(ax)) == ["Grad-CAM", "class contrast"]
    assert np.isnan(curves_of(ax)["class contrast"].get_ydata()).tolist() == [s == 2 for s in range(6)]
    label = ax.get_xlabel().replace("\n", " ")
    assert "(not drawn, constant maps: guided backprop)" in label
    assert "(gaps where maps are constant: class contrast)" in label
    nothing = table.assign(rank_correlation=np.nan)
    assert curves_of(shown(plot_randomisation(nothing))[0]) == {}
    assert "passed" not in alt_randomisation(nothing)


@pytest.mark.parametrize(("n_views", "n_methods", "n_classes"), [(1, 1, 2), (2, 5, 2), (3, 8, 3)])
def test_every_index_and_interval_stands_in_the_row_of_its_method(n_views, n_methods, n_classes):
    table = stabilities(n_views, n_methods, n_classes)
    panels = shown(plot_stability(table))
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [pretty(m) for m in METHODS[:n_methods]]
    for ax, view in zip(panels, VIEWS, strict=False):
        points = {
            (line.get_marker(), round(line.get_ydata()[0], 6)): line for line in ax.lines if line.get_marker() in "os^"
        }
        bars = {round(line.get_ydata()[0], 6): line.get_xdata() for line in ax.lines if line.get_linewidth() == 1.1}
        of_view = table[table["view"] == view]
        assert len(points) == len(bars) == len(of_view)
        for (marker, y), line in points.items():
            row = of_view[
                (of_view["method"] == METHODS[round(y)]) & (of_view["target_class"] == CLASSES["os^".index(marker)])
            ]
            assert line.get_xdata()[0] == row["stability"].item()
            assert list(bars[y]) == row[["low", "high"]].to_numpy()[0].tolist()
        assert [t.get_text() for t in ax.get_xticklabels()] == ["0\nchance", "0.5", "1\nsame features\nevery time"]
        assert {line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"} == {0, 1}
        assert ax.get_xlabel() == f"stability of the first\n10 to {9 + n_classes} features, 5 trainings"


def test_words_of_stability_name_the_most_and_the_least_stable():
    said = alt_stability(stabilities())
    assert "over 5 trainings, of 3 methods: 0 is chance, 1 the same features every time" in said
    most = "0.95 (0.87 to 1.03) for class low and 0.97 (0.89 to 1.05) for class high"
    least = "0 (-0.08 to 0.08) for class low and 0.02 (-0.06 to 0.1) for class high"
    for view in ("Functional connectivity", "SNPs"):
        assert f"{view}: most stable class contrast, {most}; least stable Grad-CAM, {least}." in said
    assert "SNPs: Grad-CAM, 0 (-0.08" in alt_stability(stabilities(2, 1))
    alike = alt_stability(stabilities().assign(stability=1.0, low=1.0, high=1.0))
    assert "SNPs: most stable Grad-CAM, 1 (1 to 1) for class low" in alike
    assert "least stable class contrast, 1 (1 to 1)" in alike


def test_what_is_undefined_or_has_no_interval_is_said():
    table = lost(stabilities(), "stability", view="snp", method="grad_cam", target_class="high")
    brain, snp = shown(plot_stability(table))
    assert [text.get_text() for text in (*brain.texts, *snp.texts)] == ["undefined"]
    assert snp.texts[0].get_position()[1] == pytest.approx(0.2)
    assert alt_stability(table).endswith("undefined, since nothing or everything is selected: Grad-CAM (high).")
    pair = stabilities(n_runs=2)
    assert "no interval" in shown(plot_stability(pair))[0].get_xlabel()
    assert [text.get_text() for text in plot_stability(pair).legends[0].get_texts()] == ["class low", "class high"]
    assert "class contrast, 0.95 for class low and 0.97 for class high" in alt_stability(pair)
    nothing = stabilities().assign(stability=np.nan, low=np.nan, high=np.nan)
    assert len(shown(plot_stability(nothing))[0].texts) == 6
    assert "stable " not in alt_stability(nothing).split("every time. ")[1]


@pytest.mark.parametrize(("n_views", "n_methods", "n_classes"), [(1, 1, 2), (2, 3, 2), (2, 8, 3)])
def test_every_curve_of_a_perturbation_stands_in_its_panel(n_views, n_methods, n_classes):
    curves = perturbed(n_views, n_methods, n_classes, ["random weights", "permuted labels"])
    panels = shown(plot_perturbation(curves))
    places = list(product(VIEWS[:n_views], CLASSES[:n_classes], ["deletion", "insertion"]))
    for ax, (view, target_class, direction) in zip(panels, places, strict=True):
        assert ax.get_title("left").endswith(f", {target_class}: {direction}")
        chosen = curves[(curves["view"] == view) & (curves["target_class"] == target_class)]
        chosen, lines = chosen[chosen["direction"] == direction], curves_of(ax)
        assert len(lines) == n_methods + 3
        for (source, method), rows in chosen.groupby(["source", "method"]):
            name = {"model": pretty(method), "random": "random rankings"}.get(source, f"{pretty(method)} of {source}")
            line = lines[name]
            np.testing.assert_array_equal(line.get_xdata(), rows["share"])
            np.testing.assert_array_equal(line.get_ydata(), rows["probability"])
            assert (line.get_color() == GREY) == (source == "random")
            assert (line.get_linestyle() == "-") == (source in ("model", "random"))
        assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2", "5", "10", "20", "50", "100"]
        pixels = np.diff(ax.transData.transform([(share, 0.5) for share in SHARES])[:, 0])
        assert pixels.min() > ax.bbox.width / 12
    assert [ax.get_xlabel() != "" for ax in panels] == [False] * (len(places) - 2) + [True] * 2


def test_words_of_a_perturbation_name_the_best_beside_controls():
    curves = perturbed(1)
    said = alt_perturbation(curves)
    at = curves[(curves["share"] == 0.1) & (curves["target_class"] == "high")].set_index(
        ["direction", "source", "method"]
    )
    for direction, how in (("deletion", "replaced, lowest"), ("insertion", "alone, highest")):
        value = at["probability"][direction]
        assert (
            f"with the first 10 % {how} by Grad-CAM {number(value['model', 'grad_cam'])}, against the best control "
            f"Grad-CAM of random weights {number(value['random weights', 'grad_cam'])} and random rankings "
            f"{number(value['random', 'random'])}"
        ) in said.split("high: ")[1]
    assert "Functional connectivity, low: 0.8 with every feature and 0.4 with none" in said
    assert "with the first 50 % alone" in alt_perturbation(curves[curves["share"].isin([0, 0.5, 1])])


def test_curves_without_values_are_named_and_what_is_left_is_drawn():
    curves = lost(perturbed(1), "probability", source="model", method="grad_cam", target_class="low")
    low, _, high, _ = shown(plot_perturbation(curves))
    assert "(not drawn, no values: Grad-CAM)" in low.get_xlabel()
    assert "not drawn" not in high.get_xlabel()
    assert "lowest by guided backprop" in alt_perturbation(curves)
    assert "no values of Grad-CAM. Functional connectivity, high" in alt_perturbation(curves)
    nothing = curves.assign(probability=np.nan)
    assert curves_of(shown(plot_perturbation(nothing))[0]) == {}
    assert "lowest" not in alt_perturbation(nothing)
    assert len(shown(plot_perturbation(curves[curves["direction"] == "deletion"]))) == 4


def test_a_control_of_its_own_method_is_named_in_the_legend():
    curves = perturbed(1)
    t_test = curves[curves["source"] == "random weights"].assign(source="univariate", method="t_test")
    legend = plot_perturbation(pd.concat([curves, t_test])).legends[0]
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["Grad-CAM", "guided backprop", "random rankings", "t-test", "control: random weights"]


PAIRS = {
    "randomisation": (plot_randomisation, alt_randomisation, randomised, "layer"),
    "perturbation_curves": (plot_perturbation, alt_perturbation, perturbed, "share"),
    "map_stability": (plot_stability, alt_stability, stabilities, "n_runs"),
}


@pytest.mark.parametrize("maker", PAIRS)
def test_tables_that_cannot_be_drawn_are_refused(maker):
    plot, alt, example, column = PAIRS[maker]
    for draw in (plot, alt):
        with pytest.raises(ValueError, match=f"the table lacks {column}; pass what {maker} gives"):
            draw(example().drop(columns=column))
        with pytest.raises(ValueError, match=f"the table has no row; pass what {maker} gives"):
            draw(example().iloc[:0])


def test_too_many_controls_are_refused():
    with pytest.raises(ValueError, match="at most 3 controls apart, got 4; draw fewer"):
        plot_perturbation(perturbed(controls=list("abcd")))


def texts_in_view(figure):
    """Every text that is drawn: of legends, and of panels without ticks beyond their limits."""
    found = [text for legend in figure.legends for text in legend.get_texts()]
    for ax in shown(figure):
        beyond = set()
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            beyond |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
        found += [text for text in ax.findobj(Text) if text not in beyond]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


CASES = {
    "randomisation of one view": lambda: plot_randomisation(randomised(1, 8)),
    "randomisation of three": lambda: plot_randomisation(
        lost(randomised(3, 8), "rank_correlation", view="fc", stage=1), limit=0.3
    ),
    "constant maps": lambda: plot_randomisation(randomised(2, 8).assign(rank_correlation=np.nan)),
    "perturbation of one view": lambda: plot_perturbation(perturbed(1, 1)),
    "perturbation of three classes": lambda: plot_perturbation(
        lost(perturbed(2, 8, 3, ["random weights", "permuted labels"]), "probability", view="fc", source="model")
    ),
    "stability of one view": lambda: plot_stability(stabilities(1, 1)),
    "stability of three": lambda: plot_stability(lost(stabilities(3, 8, 3), "stability", method="grad_cam")),
    "stability of two runs": lambda: plot_stability(stabilities(3, 2, 2, n_runs=2)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_cut_off_or_covers_another(case):
    figure = CASES[case]()
    figure.draw_without_rendering()
    texts = texts_in_view(figure)
    boxes = {text: text.get_window_extent() for text in texts}
    for text, box in boxes.items():
        assert min(box.x0, box.y0) >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    covered = [(a.get_text(), b.get_text()) for a, b in combinations(texts, 2) if boxes[a].fully_overlaps(boxes[b])]
    assert covered == []
    for ax in shown(figure):
        for line in ax.lines:
            if line.get_marker() != "None":
                inside = ax.bbox.padded(1)
                points = ax.transData.transform(line.get_xydata()[~np.isnan(line.get_xydata()).any(axis=1)])
                assert all(inside.contains(*point) for point in points)


@pytest.mark.parametrize("case", CASES)
def test_figures_are_small_equal_and_leave_nothing_behind(case):
    png = render_png(CASES[case](), "alt")
    assert len(png) < 120_000
    assert plt.get_fignums() == []
    if case.endswith("one view"):
        assert render_png(CASES[case](), "alt") == png


@pytest.mark.parametrize("maker", PAIRS)
def test_drawing_leaves_the_table_alone(maker):
    plot, alt, example, _ = PAIRS[maker]
    table = example()
    plot(table)
    alt(table)
    pd.testing.assert_frame_equal(table, example())


def test_an_interval_that_few_features_make_wide_does_not_flatten_the_others():
    rows = [("snp", "low", "gradient", 0.3, 0.2, 0.4, 3, 8.0), ("snp", "high", "gradient", 0.0, -1.07, 1.3, 3, 2.67)]
    axes = plot_stability(pd.DataFrame(rows, columns=STABILITY_COLUMNS)).axes[0]
    assert axes.get_xlim() == pytest.approx((-0.4, 1.12))
    assert axes.get_xlabel() == "stability of the first\n3 to 8 features, 3 trainings\n(intervals cut at the edge)"
