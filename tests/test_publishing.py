"""A figure leaves the notebook whole: files, alt text, caption, and the alt text again in the built page."""

import base64
import json

import nbformat
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from gcamccl_core.report.alt_text import AltTextImages
from gcamccl_core.report.publishing import render_png, save_figure, show_figure
from gcamccl_core.report.style import house_style, new_figure

ALT = 'A line that rises from 1 to 2, "as planned", <quickly>.'


@house_style()
def draw():
    ax = new_figure(2).subplots()
    ax.plot([1, 2])
    return ax


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would store of the figure: data and metadata of one output."""
    outputs = []
    monkeypatch.setattr("gcamccl_core.report.publishing.display", outputs.append)
    show_figure(draw(), ALT)
    (image,) = outputs
    return DisplayFormatter().format(image)


def test_files_hold_figure_alt_text_and_caption(tmp_path):
    paths = save_figure(draw(), "line", tmp_path / "figures", alt=ALT, caption="A line.")
    assert json.loads(paths["json"].read_text()) == {"name": "line", "alt": ALT, "caption": "A line."}
    png = Image.open(paths["png"])
    assert png.size == (700, 200)
    assert png.info["Description"] == ALT
    svg = paths["svg"].read_text()
    assert "&lt;quickly&gt;" in svg
    assert "<text" not in svg.replace("<text>", "")  # letters are outlines, the same without the font
    assert "http://www.w3.org" in svg


def test_same_figure_gives_same_files(tmp_path):
    first, second = (save_figure(draw(), "line", tmp_path / name, alt=ALT, caption="A line.") for name in "ab")
    for kind in first:
        assert first[kind].read_bytes() == second[kind].read_bytes(), kind


def test_words_are_required(tmp_path):
    with pytest.raises(ValueError, match="alt text"):
        save_figure(draw(), "line", tmp_path, alt=" ", caption="A line.")
    with pytest.raises(ValueError, match="'line' needs a caption"):
        save_figure(draw(), "line", tmp_path, alt=ALT, caption="")
    assert not list(tmp_path.iterdir())


def test_part_of_a_figure_saves_the_whole():
    figure = new_figure(2)
    part = figure.subfigures(1, 2)[1]
    assert render_png(part.subplots(), ALT) == render_png(figure, ALT)


def test_shown_figure_carries_alt_text_in_its_metadata(shown):
    data, metadata = shown
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"] == ALT


def test_built_page_shows_alt_text(shown, monkeypatch):
    core = pytest.importorskip("docutils.core")
    docutils_ = pytest.importorskip("myst_nb.docutils_")
    monkeypatch.setattr("myst_nb.core.render.load_mime_renders", lambda: [AltTextImages])
    data, metadata = shown
    outputs = [
        nbformat.v4.new_output("display_data", data=data, metadata=metadata),
        nbformat.v4.new_output("display_data", data=data),
        nbformat.v4.new_output("display_data", data={"text/plain": "words"}),
    ]
    cell = nbformat.v4.new_code_cell("draw()", outputs=outputs, execution_count=1)
    document = core.publish_doctree(
        nbformat.writes(nbformat.v4.new_notebook(cells=[cell])),
        parser=docutils_.Parser(),
        settings_overrides={"nb_execution_mode": "off", "nb_output_folder": "", "report_level": 5},
    )
    images = [node for node in document.findall() if node.tagname == "image"]
    assert [image.get("alt") for image in images] == [ALT, None]
    assert "words" in document.astext()
