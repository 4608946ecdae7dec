"""Figure 1 shows the network that it is given: its shapes, kernels, classes, where maps are read."""

import matplotlib as mpl
import pytest
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from gcamccl_core.model.layer_table import describe
from gcamccl_core.model.networks import CollaborativeNet
from gcamccl_core.report.architecture import alt_architecture, draw_architecture
from gcamccl_core.report.publishing import render_png
from gcamccl_core.report.style import new_figure

VIEWS = {
    "one view": ({"fc": (40, 40)}, 2),
    "the paper's": ({"fc": (264, 264), "snp": (750,)}, 2),
    "three views and classes": ({"fc": (40, 40), "snp": (120,), "morphometry": (90,)}, 3),
}


@pytest.fixture(params=VIEWS.values(), ids=VIEWS.keys())
def net(request):
    views, n_classes = request.param
    return CollaborativeNet(views, n_classes)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_every_shape_of_the_network_is_written(net):
    written = "\n".join(texts(draw_architecture(net)))
    table = describe(net)
    for row in table[table["layer"] != "head"].itertuples():
        assert " × ".join(map(str, row.output_shape[1:])) in written
    assert f"{net.n_classes} logits" in written
    assert f"{len(net.views)} view" in written


def test_paper_kernels_are_written():
    written = texts(draw_architecture(CollaborativeNet({"fc": (264, 264), "snp": (750,)})))
    assert "16 × 132 × 132\nkernel 7, pad 3\nmax pool 2" in written
    assert "32 × 15\nkernel 31\nmax pool 6" in written
    assert "64 × 1 × 1\nkernel 11" in written


def test_one_unit_per_class_and_view(net):
    ax = draw_architecture(net)
    units = [patch for patch in ax.patches if isinstance(patch, Circle)]
    assert len(units) == net.n_classes * len(net.views)
    assert sum(isinstance(patch, FancyBboxPatch) for patch in ax.patches) == 1  # one loss joins them all


def test_layers_whose_maps_are_read_are_bold(net):
    bold = [text.get_text() for text in draw_architecture(net).texts if text.get_fontweight() == "bold"]
    for view in net.views:
        assert net.default_layer(view) in bold
    assert "conv1" not in bold


def test_hatching_follows_dropout():
    hatched = {}
    for dropout in (0.0, 0.2):
        ax = draw_architecture(CollaborativeNet({"fc": (40, 40)}, dropout=dropout))
        assert any(f"dropout {dropout:g}" in text or "no dropout" in text for text in texts(ax))
        hatched[dropout] = sum(bool(p.get_hatch()) for p in ax.patches if isinstance(p, Rectangle))
    blocks = CollaborativeNet({"fc": (40, 40)}).encoders["fc"].children()
    assert hatched[0.2] == sum("dropout" in dict(block.named_children()) for block in blocks)


def test_agreement_is_only_drawn_between_views():
    one, two = (
        "\n".join(texts(draw_architecture(CollaborativeNet(views))))
        for views in ({"snp": (90,)}, {"snp": (90,), "fc": (40, 40)})
    )
    assert "agreement" not in one
    assert "agreement of the views" in two
    assert "composite gradient" in two


def test_drawing_leaves_network_and_settings_alone(net):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.train()
    with mpl.rc_context({"font.size": 3, "axes.titlesize": 2}):
        settings = dict(mpl.rcParams)
        draw_architecture(net)
        alt_architecture(net)
        assert dict(mpl.rcParams) == settings
    assert net.training
    assert all(bool((tensor == before[name]).all() | tensor.isnan().all()) for name, tensor in net.state_dict().items())


def test_given_axes_are_used():
    ax = new_figure(2).subplots()
    assert draw_architecture(CollaborativeNet({"snp": (90,)}), ax) is ax


def test_nothing_is_cut_off(net):
    ax = draw_architecture(net)
    figure = ax.figure
    figure.draw_without_rendering()
    page = figure.bbox
    for text in ax.texts:
        box = text.get_window_extent()
        assert box.x0 >= page.x0 - 1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y0 >= page.y0 - 1, text
        assert box.y1 <= page.y1 + 1, text
    assert len(render_png(ax, "alt")) < 60_000


def test_alt_text_says_shapes_and_parameters(net):
    alt = alt_architecture(net)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert f"{count:,} parameters" in alt
    assert ("agreement" in alt) == (len(net.views) > 1)
    assert f"{net.n_classes} logits" in alt


def test_other_pathways_are_refused_by_name():
    net = CollaborativeNet({"fc": (40, 40), "snp": (80,)}, pathways={"snp": ["linear"]})
    for draw in (draw_architecture, alt_architecture):
        with pytest.raises(ValueError, match="the figure draws ConvNets alone, and this network has snp: linear"):
            draw(net)
