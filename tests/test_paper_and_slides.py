"""A rendered book as one file to print, and as slides: nothing of either needs a network or another file."""

import re
import subprocess
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from gcamccl_core.kept_files import write_sealed
from workflow import printout, slides
from workflow.profile import read_profile
from workflow.rendered_pages import NotRenderedError, Page, beside, rendered_pages

FIRST = """<h1><span class="section-number">1. </span>First<a class="headerlink" href="#first">#</a></h1>
<p><strong>Question.</strong> What is it?</p><p><em>Under a minute on a laptop.</em></p>
<p>After this chapter you can</p><ul><li>say it.</li></ul>
<p>Words before the equation.</p><div class="math notranslate">\\[ a = b \\]</div>
<section id="data"><h2>The data</h2>
<p><em>Why.</em> Because. See <a href="02_second.html#data">there</a>, <a href="../_static/tables/x.csv">the table</a>
and <a href="https://example.org/x">the world</a>.</p>
<div class="cell"><details class="hide"><summary>Show</summary>
<div class="cell_input"><pre>secret = 1</pre></div></details>
<div class="cell_output"><div class="output stream"><pre>a line that was printed</pre></div>
<img src="../_images/dot.svg" alt="A dot."/><table><tr><th>n</th></tr><tr><td>3</td></tr></table>
<iframe src="../_static/views/brain.html"></iframe></div></div>
<p><em>How to read it.</em> It is a dot.</p><p>More words for the reader.</p></section>
<section id="break-it"><h2>Break it</h2><p><em>Why.</em> To see.</p>
<div class="cell"><div class="cell_output">
<div class="output stream"><pre>it is refused</pre></div></div></div></section>
<section id="take-aways"><h2>Take-aways</h2><ul><li>Take this.</li></ul></section>
<section id="stamp"><h2>Stamp</h2><div class="cell"><table><tr><td>hash</td></tr></table></div></section>"""
SECOND = (
    '<h1>Second</h1><p>Short.</p><section id="data"><h2>Its data</h2><p>Back to <a href="#data">it</a>.</p></section>'
)


def page_of(content: str, following: str = "") -> str:
    link = f'<link rel="next" href="{following}"/>' if following else ""
    section = f'<section id="top">{content}</section>'
    return f"<html><head>{link}</head><body><article class='bd-article'>{section}</article></body></html>"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A book of three pages, two of them chapters, as if it had been rendered."""
    monkeypatch.chdir(tmp_path)
    html = tmp_path / "runs" / "demo" / "html"
    for folder in ("notebooks", "_images", "_static/mathjax", "_static/tables"):
        (html / folder).mkdir(parents=True)
    for folder in ("notebooks", "profiles"):
        (tmp_path / folder).mkdir()
    (tmp_path / "profiles" / "demo.yaml").write_text("title: A & B\n")
    for name in ("01_first", "02_second"):
        cell = '{"cell_type": "code", "metadata": {}, "outputs": [], "source": "", "execution_count": null}'
        text = f'{{"cells": [{cell}], "metadata": {{"kernelspec": {{"name": "python3", "language": "python"}}}}'
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(f'{text}, "nbformat": 4, "nbformat_minor": 4}}')
    (html / "index.html").write_text(page_of("<h1>Start</h1>", "notebooks/01_first.html"))
    (html / "notebooks" / "01_first.html").write_text(page_of(FIRST, "02_second.html"))
    (html / "notebooks" / "02_second.html").write_text(page_of(SECOND))
    (html / "_images" / "dot.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (html / "_static" / "mathjax" / "tex-svg.js").write_text("'</script>'; // sets equations")
    write_sealed(html / "stamp.json", {"date": "2026-01-02T03:04:05+00:00"})
    return tmp_path


def printed(project: Path) -> BeautifulSoup:
    return BeautifulSoup(printout.join(read_profile("demo")), "html.parser")


def test_pages_come_in_the_order_of_reading(project):
    pages = rendered_pages(read_profile("demo"))
    assert [(page.title, page.key) for page in pages] == [
        ("Start", "index"),
        ("1. First", "notebooks-01_first"),
        ("Second", "notebooks-02_second"),
    ]
    assert beside("notebooks/a.html", "#part") == "notebooks/a.html"
    (project / "runs/demo/html/notebooks/02_second.html").unlink()
    with pytest.raises(NotRenderedError, match=r"02_second.html is missing: run `make book PROFILE=demo` first"):
        rendered_pages(read_profile("demo"))


def test_the_whole_book_is_one_file_whose_links_lead_within_it(project):
    whole = printed(project)
    names = [part["id"] for part in whole.find_all(id=True)]
    assert len(names) == len(set(names))
    links = {link.get_text(): link["href"] for link in whole.select("article a")}
    assert links["there"] == links["it"] == "#notebooks-02_second--data"
    assert links["the world"] == "https://example.org/x"
    assert {link["href"][1:] for link in whole.select('a[href^="#"]')} <= set(names)
    assert whole.select_one(".offered")["data-file"] == "x.csv"
    assert [link.get_text() for link in whole.select("nav > ul > li > a")] == ["Start", "1. First", "Second"]


def test_the_whole_book_needs_no_other_file_and_hides_nothing(project):
    whole = printed(project)
    assert whole.select("[src]:not([src^='data:']), link, iframe") == []
    assert whole.select_one("img")["alt"] == "A dot."
    assert all(folded.has_attr("open") for folded in whole.find_all("details"))
    assert "secret = 1" in whole.get_text()
    assert any("sets equations" in part.get_text() for part in whole.find_all("script"))
    assert whole.title.get_text() == "A & B"
    assert "rendered on 2026-01-02" in whole.get_text()


def test_without_chromium_there_is_the_page_and_word_how_to_get_a_pdf(project, monkeypatch, capsys):
    monkeypatch.setattr(printout.shutil, "which", lambda name: None)
    assert printout.main("demo") == 1
    assert "a PDF needs Chromium, and none of chromium," in capsys.readouterr().err
    assert [path.name for path in (project / "runs/demo/print").iterdir()] == ["book.html"]


def test_a_browser_that_fails_leaves_no_pdf(project, monkeypatch, capsys):
    monkeypatch.setattr(printout, "find_browser", lambda: "/browser")
    failed = subprocess.CompletedProcess([], 1, "", "it crashed")
    monkeypatch.setattr(printout.subprocess, "run", lambda *given, **options: failed)
    assert printout.main("demo") == 1
    assert "/browser printed nothing:\nit crashed" in capsys.readouterr().err
    assert [path.name for path in (project / "runs/demo/print").iterdir()] == ["book.html"]


def test_a_chapter_is_cut_into_slides_by_rules(project):
    first = rendered_pages(read_profile("demo"))[1]
    cut = [" ".join(BeautifulSoup(slide, "html.parser").get_text(" ").split()) for slide in slides.slides_of(first)]
    assert cut == [
        "1. First Question. What is it? Under a minute on a laptop.",
        "After this chapter you can say it.",
        "In one equation \\[ a = b \\]",
        "The data Why. Because. See there , the table and the world .",
        "The data",  # the figure
        "The data n 3",
        "The data How to read it. It is a dot.",
        "Break it Why. To see.",
        "Break it it is refused",
        "Take-aways Take this.",
    ]


def test_a_long_paragraph_becomes_several_slides_at_ends_of_sentences():
    sentence = "This sentence is one of many and says <em>very</em> little."
    text = f"<section><h1>T</h1><section><h2>S</h2><p><em>Why.</em> {' '.join([sentence] * 40)}</p></section></section>"
    page = Page("notebooks/01_t.html", "T", BeautifulSoup(text, "html.parser"))
    cut = slides.slides_of(page)[1:]
    assert len(cut) == 2
    assert all(slide.endswith("little.</p></section>") for slide in cut)
    assert sum(slide.count("<em>very</em>") for slide in cut) == 40


def test_decks_need_no_network_and_lead_nowhere_else(project):
    index = slides.make_slides(read_profile("demo"))
    folder = index.parent
    assert sorted(path.name for path in folder.glob("*.html")) == ["01_first.html", "02_second.html", "index.html"]
    remote = re.compile(r"""(?:src|href)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import""")
    for path in [*folder.glob("*.html"), *folder.glob("_static/*.css")]:
        assert not remote.search(path.read_text()), path
    for path in folder.glob("*.html"):
        for name in re.findall(r"""(?:src|href)=["']((?!data:)[^"']+)["']""", path.read_text()):
            assert (folder / name).is_file(), name
    deck = BeautifulSoup((folder / "01_first.html").read_text(), "html.parser")
    assert deck.select_one("img")["alt"] == "A dot."
    assert "secret" not in deck.get_text()
    assert "hash" not in deck.select_one(".slides").get_text()
    assert deck.select(".slides a, .slides iframe") == []
