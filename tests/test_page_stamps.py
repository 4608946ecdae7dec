"""The stamp at the foot of every page, and the word at the top of those that are stale, and of no other."""

import json
import os
from html import escape

import nbformat
import pytest
from run_artefacts import differences, of_json, without_times
from small_book import ROOT, notebook, write_project

from gcamccl_core.kept_files import digest_file, write_sealed
from workflow.page_stamps import STAMPS, StampError, page_states, stamp_pages
from workflow.profile import made_from, notebook_names, read_profile
from workflow.quoted_tables import hash_makers, table_stamps, table_states, tables_read_by
from workflow.results import made_from as table_made_from
from workflow.results import tables

TABLE = "abide_ridge"
PAGE = (
    '<body><div id="jb-print-docs-body"><h1>Small</h1></div><article class="bd-article">\n'
    '<section id="a">\n<h1>Small</h1>\n<p>Text.</p></section>\n</article><footer>next</footer></body>'
)
PAGES = {
    "index": "# Small\n\nThe best is {{ best }} in run {{ profile }}.\n",
    "claims": "# Claims\n\nRidge has {{ ridge_auc }}.\n",
    "notation": "# Notation\n\nNo number, and {{no_number}} in braces.\n",
}


def execute(project, name, name_of_number="best"):
    """Lay down an executed notebook with its stamp, as the workflow does, without a kernel."""
    executed = project / "runs/demo/notebooks" / f"{name}.ipynb"
    executed.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(executed_copy(project / "notebooks" / f"{name}.ipynb", name_of_number), executed)
    files = {f"notebooks/{name}.ipynb": digest_file(executed)}
    basis = made_from(read_profile("demo"), name)
    write_sealed(executed.with_suffix(".stamp.json"), {**basis, "date": "2026-11-27T10:00:00+00:00", "files": files})


def executed_copy(path, name):
    """Give the cells what they glue and what they show: a number, and the chapter's own stamp."""
    made = nbformat.read(path, as_version=4)
    for cell in made.cells:
        if "glue(" in cell.source:
            record = {"application/papermill.record/text/plain": "'0.5'"}
            glued = nbformat.v4.new_output("display_data", record, metadata={"scrapbook": {"name": name}})
            cell.outputs = [glued]
        if "stamp_table(" in cell.source:
            rows = "<table><tr><th></th><th>this run</th></tr><tr><th>data</th><td>e2d5</td></tr></table>"
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/html": rows})]
    return made


def store_table(project, **basis):
    """Lay down a stored table, current unless told otherwise."""
    folder = project / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{TABLE}.csv").write_text("auc\n0.7\n")
    made = {**table_made_from(TABLE, tables()[TABLE]), "data": "7ab1", "date": "2026-11-26T10:00:00+00:00", **basis}
    numbers = {"ridge_auc": "0.70"}
    write_sealed(
        folder / f"{TABLE}.json",
        {**made, "numbers": numbers, "files": {f"{TABLE}.csv": digest_file(folder / f"{TABLE}.csv")}},
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = write_project(tmp_path)
    monkeypatch.chdir(folder)
    (folder / "profiles/demo.yaml").write_text("title: Small\nparameters: {seed: 3}\nnotebooks: {}\n")
    second = notebook("Second", "seed: int = 0", 'glue("best", "0.5")', "stamp_table({}, data).T")
    nbformat.write(second, folder / "notebooks/02_second.ipynb")
    opens = 'from pathlib import Path\nridge = resolve("results/abide_ridge.csv")'
    nbformat.write(notebook("Third", "seed: int = 0", opens), folder / "notebooks/03_third.ipynb")
    for name, text in PAGES.items():
        (folder / "book" / f"{name}.md").write_text(text)
    store_table(folder)
    for name in notebook_names():
        execute(folder, name)
    return folder


def render(project, into="runs/demo/html"):
    """Lay down the pages as the theme writes them, and stamp them."""
    html = project / into
    names = [*PAGES, *(f"notebooks/{name}" for name in notebook_names()), "genindex"]
    for name in names:
        path = html / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGE)
    stamp_pages(read_profile("demo"), html)
    return {name: (html / f"{name}.html").read_text() for name in names}


def stale(pages):
    return {name for name, text in pages.items() if "This page is stale" in text}


def test_every_page_shows_what_it_comes_from_and_links_to_its_stamp(project):
    pages = render(project)
    assert pages.pop("genindex") == PAGE, "nobody wrote that page"
    for name, text in pages.items():
        path = project / "runs/demo/html" / STAMPS / f"{name}.json"
        address = os.path.relpath(path, (project / "runs/demo/html" / name).parent)
        assert f'<a href="{address}">' in text
        assert text.index("<h1>Small</h1>\n") < text.index("page-stamp") < text.index("</article>")
        held = json.loads(path.read_text())
        assert held["profile"] == "demo"
        assert held["page"] == name
        assert all(f"<code>{core}</code>" in text for core in held["core"])
        assert f"torch {held['versions']['torch']}" in text
    chapter = pages["notebooks/02_second"]
    assert "<code>seed = 3</code>" in chapter, "which is not its default"
    assert "data <code>e2d5</code>" in chapter, "as its closing stamp says"
    assert '<time datetime="2026-11-27T10:00:00+00:00">' in chapter
    assert "data <code>e2d5</code>" in pages["index"], "which quotes that chapter"
    assert "<code>02_second</code>" in pages["index"]
    assert "<code>abide_ridge</code>" in pages["claims"]
    assert "data <code>7ab1</code>" in pages["claims"]
    assert "no data" in pages["notation"]
    assert stale(pages) == set()
    assert page_states(read_profile("demo")) == []


def test_two_runs_that_find_the_same_give_pages_that_differ_in_the_date_alone(project, monkeypatch):
    one, other = render(project, "one"), render(project, "other")
    assert differences(*({name: without_times(text) for name, text in pages.items()} for pages in (one, other))) == []
    stamps = [{p.name: of_json(p) for p in (project / folder / STAMPS).rglob("*.json")} for folder in ("one", "other")]
    assert stamps[0] == stamps[1]


def test_a_stale_table_is_said_on_the_pages_that_quote_or_read_it_and_on_no_other(project):
    before = hash_makers()
    current = render(project)
    store_table(project, script="another", core="another")
    rows = dict(page_states(read_profile("demo")))
    pages = {"claims", "notebooks/03_third"}
    assert set(rows) == {f"runs/demo/html/{name}.html" for name in pages}
    said = "it quotes stale tables: abide_ridge (the script that makes it and the core's code changed)"
    assert set(rows.values()) == {f"stale: {said}"}
    later = render(project)
    assert stale(later) == pages
    assert f"<li>I{escape(said[1:])}.</li>" in later["claims"]
    assert "<code>make results</code> makes them again" in later["claims"]
    assert later["claims"].index("This page is stale") > later["claims"].index('<section id="a">')
    assert stale(current) == set()
    assert hash_makers() == before, "the code is as it was"
    script = project / "workflow/tables/abide_ridge.py"
    script.write_text(script.read_text() + "\nCHANGED = 1\n")
    assert hash_makers() != before, "so that the book is laid out again"


def test_a_number_that_a_chapter_computes_of_a_table_makes_the_page_that_quotes_it_stale(project):
    path = project / "notebooks/03_third.ipynb"
    chapter = nbformat.read(path, as_version=4)
    chapter.cells.append(nbformat.v4.new_code_cell('glue("abide_ridge_best", "0.5")'))
    nbformat.write(chapter, path)
    execute(project, "03_third", name_of_number="abide_ridge_best")
    (project / "book/notation.md").write_text("# Notation\n\nThe best is {{ abide_ridge_best }}.\n")
    assert stale(render(project)) == set()
    store_table(project, script="another")
    assert stale(render(project)) == {"claims", "notation", "notebooks/03_third"}


def test_an_edited_table_and_one_that_nothing_makes_are_stale(project):
    (project / "results" / f"{TABLE}.csv").write_text("auc\n0.9\n")
    (project / "results" / "lost.json").write_text('{"numbers": {"no_page": "1"}}')
    assert table_states() == {TABLE: ["edited since it was made"], "lost": ["nothing makes it any more"]}
    (project / "results" / f"{TABLE}.csv").unlink()
    assert table_states()[TABLE] == ["its values are missing"]


def test_a_chapter_that_changed_makes_its_page_and_those_that_quote_it_stale(project):
    render(project)
    path = project / "notebooks/02_second.ipynb"
    changed = nbformat.read(path, as_version=4)
    changed.cells[0].source += "\nMore."
    nbformat.write(changed, path)
    rows = dict(page_states(read_profile("demo")))
    assert rows == {
        "runs/demo/html/index.html": "stale: it quotes stale chapters: 02_second (the notebook's cells changed)",
        "runs/demo/html/notebooks/02_second.html": "stale: the notebook's cells changed since it was made",
    }
    pages = render(project)
    assert stale(pages) == {"index", "notebooks/02_second"}
    assert "make book PROFILE=demo" in pages["notebooks/02_second"]
    execute(project, "02_second")
    assert stale(render(project)) == set()


def test_a_page_whose_text_changed_since_it_was_rendered_is_named(project):
    render(project)
    (project / "book/notation.md").write_text("# Notation\n\nOther words.\n")
    assert page_states(read_profile("demo")) == [
        ("runs/demo/html/notation.html", "stale: the page's text changed since it was made")
    ]


def test_values_of_parameters_cannot_break_a_page(project):
    (project / "profiles/demo.yaml").write_text("title: Small\nparameters: {seed: '</article><b>'}\nnotebooks: {}\n")
    for name in notebook_names():
        execute(project, name)
    text = render(project)["notebooks/01_first"]
    assert text.count("</article>") == 1
    assert "seed = &#x27;&lt;/article&gt;&lt;b&gt;&#x27;" in text


def test_a_page_without_a_place_for_its_stamp_is_refused(project):
    html = project / "runs/demo/html"
    html.mkdir(parents=True)
    (html / "index.html").write_text("<h1>Small</h1>")
    with pytest.raises(StampError, match=r"index.html has no title or not one end of its text"):
        stamp_pages(read_profile("demo"), html)


@pytest.mark.parametrize(
    ("name", "parameters", "some", "not_these"),
    [
        ("07_earlier_fusion", {}, {"batch_size"}, {"order", "recipe"}),
        ("08_comparison", {}, {"classification_clear", "abide_ridge", "recipe", "order"}, {"returns_clear"}),
        ("13_what_returns", {"regime": "clear", "label": "wrat"}, {"returns_clear"}, {"returns_abide_fiq"}),
        ("13_what_returns", {"regime": "clear", "label": "fiq"}, {"returns_abide_fiq"}, {"batch_size"}),
        ("01_cohort", {}, set(), {"classification_clear"}),
    ],
)
def test_the_tables_that_a_chapter_opens_are_found(name, parameters, some, not_these):
    known = [path.stem for path in (ROOT / "results").glob("*.json")]
    found = set(tables_read_by(ROOT / "notebooks" / f"{name}.ipynb", parameters, known))
    assert some <= found
    assert not found & not_these


def test_every_stored_table_has_a_state_and_numbers_belong_to_one_alone(monkeypatch):
    monkeypatch.chdir(ROOT)
    stamps = table_stamps()
    assert stamps.keys() == table_states().keys()
    names = [name for stamp in stamps.values() for name in stamp["numbers"]]
    assert len(names) == len(set(names))
