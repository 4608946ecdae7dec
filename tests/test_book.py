"""The workflow on a small book, and the pages of every book that has been rendered."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from small_book import ROOT, notebook, run, write_project
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import save_cohort
from workflow.assemble import BookError, fill_in, glued_numbers
from workflow.intact import book_changes
from workflow.printout import join
from workflow.profile import fingerprint_files, read_profile
from workflow.slides import make_slides


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("project"))
    done = run(folder, "book")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def made(project: Path) -> dict[str, float]:
    return {path.stem: path.stat().st_mtime for path in (project / "runs/demo/notebooks").glob("*.ipynb")}


def test_only_what_changed_is_executed_again(project):
    before = made(project)
    first = project / "notebooks" / "01_first.ipynb"
    first.touch()
    assert run(project, "notebooks").returncode == 0
    assert made(project) == before, "a newer file with the same cells is not a change"
    changed = nbformat.read(first, as_version=4)
    changed.cells[2].source = "seed + 1"
    nbformat.write(changed, first)
    assert run(project, "notebooks").returncode == 0
    after = made(project)
    assert after["02_second"] == before["02_second"]
    assert after["01_first"] > before["01_first"]


def test_numbers_and_title_reach_the_page(project):
    page = (project / "runs/demo/html/index.html").read_text()
    assert "The best is 0.50" in page
    assert "<title>" in page
    assert "Small" in page


def test_exercises_have_a_page_with_folded_answers_that_offers_them_without(project, monkeypatch):
    html = project / "runs/demo/html"
    page = (html / "notebooks/solutions/02_second.html").read_text()
    assert page.count("sd-dropdown") == page.count("<details") - page.count("hide above-input") >= 6
    offered = re.search(r'href="([^"]*_downloads/[^"]*02_second\.ipynb)"', page)[1]
    assert "# Your code" in (html / "notebooks/solutions" / offered).read_text()
    monkeypatch.chdir(project)
    sheet = project / "notebooks" / "solutions" / "02_second.ipynb"
    text = sheet.read_text()
    before = book_changes(read_profile("demo"))  # other tests may have changed a chapter
    assert "exercises" not in before
    sheet.write_text(text.replace("It is four", "That is four"))
    assert sorted(book_changes(read_profile("demo"))) == sorted([*before, "exercises"])
    sheet.write_text(text)


def test_a_rendered_book_becomes_slides_and_one_page_to_print(project, monkeypatch):
    monkeypatch.chdir(project)
    index = make_slides(read_profile("demo"))
    deck = (index.parent / "01_first.html").read_text()
    assert deck.count("<section") == 2
    assert "x^2" in deck
    pages = {path.resolve(): Page(path) for path in index.parent.glob("*.html")}
    test_nothing_is_loaded_from_the_network(index.parent, pages)
    test_every_internal_link_leads_somewhere(pages)
    whole = join(read_profile("demo"))
    assert "The best is 0.50" in whole
    assert 'href="#notebooks-02_second"' in whole
    assert "a comment, no heading" in whole  # of an answer, which is open


def test_outputs_are_kept_without_times_and_everything_is_current_then(project):
    assert run(project, "notebooks").returncode == 0
    kept = project / "notebooks" / "02_second.ipynb"
    texts = []
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "workflow.keep"], cwd=project, check=True, capture_output=True)
        texts.append(kept.read_text())
    assert texts[0] == texts[1]
    assert "papermill" not in nbformat.read(kept, as_version=4).metadata
    assert [cell.get("execution_count") for cell in nbformat.read(kept, as_version=4).cells] == [None, 1, 2]
    said = subprocess.run([sys.executable, "-m", "workflow.status"], cwd=project, capture_output=True, text=True).stdout
    states = [line.split(maxsplit=1) for line in said.splitlines() if ".ipynb" in line and "exercises" not in line]
    assert (project / "book" / "images" / "result.png").read_bytes() == b"the picture of this run"
    assert len(states) == 4
    assert {state for _, state in states} == {"current"}


def test_a_failing_cell_is_named_and_leaves_the_notebook_to_look_at(project):
    nbformat.write(notebook("Third", "seed: int = 0", "1 / (seed - seed)"), project / "notebooks" / "03_third.ipynb")
    try:
        done = run(project, "notebooks")
    finally:
        (project / "notebooks" / "03_third.ipynb").unlink()
    assert done.returncode != 0
    assert "notebooks/03_third.ipynb, cell [2] failed" in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "ZeroDivisionError" in (project / "runs/demo/unfinished/03_third.ipynb").read_text()
    assert not (project / "runs/demo/notebooks/03_third.ipynb").exists()


@pytest.fixture
def controlled(project):
    """A chapter of the small book, at whose own defaults people are named whose data are under controlled access."""
    cohort = planted_cohort(n=40).assign_attrs(access="controlled")
    cohort["subject"] = [f"NDAR{number:04d}" for number in range(40)]
    save_cohort(cohort, project / "mine.nc")
    third = project / "notebooks" / "03_third.ipynb"
    nbformat.write(notebook("Third", 'cohort: str = "mine.nc"', 'print("NDAR0003 moved", cohort)'), third)
    yield third
    third.unlink()
    (project / "mine.nc").unlink()
    (project / "runs/demo/notebooks/03_third.ipynb").unlink()


def test_of_controlled_people_no_book_is_built_and_no_output_is_kept(project, controlled):
    index = project / "runs/demo/html/index.html"
    before = index.stat().st_mtime_ns
    done = run(project, "book")
    assert done.returncode != 0
    assert "would leave: 03_third, cell 2 names the subject NDAR0003" in done.stderr
    assert index.stat().st_mtime_ns == before
    kept = controlled.read_bytes()
    done = subprocess.run([sys.executable, "-m", "workflow.keep"], cwd=project, capture_output=True, text=True)
    assert done.returncode != 0
    assert "mine.nc is a controlled cohort; outputs made of it are never kept in notebooks/" in done.stderr
    assert controlled.read_bytes() == kept


def test_a_study_whose_files_change_is_another(tmp_path):
    (tmp_path / "derivatives").mkdir()
    scan = tmp_path / "derivatives" / "scan.nii"
    scan.write_bytes(b"12")
    first = fingerprint_files(tmp_path)
    assert fingerprint_files(tmp_path) == first
    scan.write_bytes(b"123")
    second = fingerprint_files(tmp_path)
    scan.rename(scan.with_name("other.nii"))
    assert len({first, second, fingerprint_files(tmp_path)}) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parameters: {sede: 1}", "unknown parameter 'sede'; did you mean 'seed'?"),
        ("notebooks: {01_frist: {seed: 1}}", "unknown notebook '01_frist'; did you mean '01_first'?"),
        ("notebooks: {01_first: {speed: 1}}", "unknown parameter of 01_first 'speed'; did you mean 'seed'?"),
        ("parametres: {}", "unknown section 'parametres'; did you mean 'parameters'?"),
        ("parameters: {run_folder: here}", "leave run_folder out"),
    ],
)
def test_a_profile_that_asks_for_the_unknown_is_refused(project, text, said, monkeypatch):
    from workflow.profile import ProfileError, read_profile

    monkeypatch.chdir(project)
    (project / "profiles" / "wrong.yaml").write_text(text)
    with pytest.raises(ProfileError, match=re.escape(said)):
        read_profile("wrong")
    with pytest.raises(ProfileError, match=r"there is no profiles/dmeo.yaml; did you mean 'demo'\?"):
        read_profile("dmeo")


def test_a_page_that_quotes_what_nothing_made_is_refused(tmp_path):
    for name in ("index.md", "departures.md"):
        (tmp_path / name).write_text("{{ accuracy }} against {{ best }} and $\\mathbf{{x}}$")
    with pytest.raises(BookError, match=r"'accuracy' \(in departures.md, index.md\)"):
        fill_in(tmp_path, {"best": "1"})
    (tmp_path / "index.md").write_text(":alt: {{ best }} of {{best}} and $\\mathbf{{x}}$")
    (tmp_path / "departures.md").unlink()
    fill_in(tmp_path, {"best": "0.9"})
    assert (tmp_path / "index.md").read_text() == ":alt: 0.9 of {{best}} and $\\mathbf{{x}}$"


def test_two_notebooks_that_disagree_on_a_number_are_refused(tmp_path):
    paths = []
    for value in ("1", "2"):
        record = {"application/papermill.record/text/plain": value}
        output = nbformat.v4.new_output("display_data", record, metadata={"scrapbook": {"name": "best"}})
        paths.append(tmp_path / f"{value}.ipynb")
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output])]), paths[-1])
    assert glued_numbers(paths[:1]) == {"best": "1"}
    with pytest.raises(BookError, match=r"'best' is 1 in .* and 2 in"):
        glued_numbers(paths)


class Page(HTMLParser):
    """What a page loads, where it links to, its anchors, and its pictures' descriptions."""

    def __init__(self, path: Path):
        super().__init__()
        self.loads, self.links, self.anchors, self.pictures = [], [], {"", "top"}, []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.update(value for key in ("id", "name") if (value := attributes.get(key)))
        if tag == "a" and attributes.get("href") is not None:
            self.links.append(attributes["href"])
        if tag == "link" and attributes.get("rel") not in ("canonical", "author", "license"):
            self.loads.append(attributes.get("href"))
        if tag in ("script", "img", "iframe", "source", "video", "object", "embed"):
            self.loads += [value for key in ("src", "data", "srcset") if (value := attributes.get(key))]
        if tag == "img":
            self.pictures.append((attributes.get("src"), attributes.get("alt")))


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("runs/*/notebooks/*.ipynb")), ids=lambda path: f"{path.parts[-3]} {path.stem}"
)
def test_no_warning_hides_among_the_progress_bars(path):
    for cell in nbformat.read(path, as_version=4).cells:
        said = "".join(output.text for output in cell.get("outputs", []) if output.get("name") == "stderr")
        assert not re.search(r"\w+Warning\b", said), said


@pytest.fixture(scope="module", params=["small", *sorted(path.parent.name for path in ROOT.glob("runs/*/html"))])
def html(request) -> Path:
    folder = request.getfixturevalue("project") / "runs/demo/html" if request.param == "small" else None
    return folder or ROOT / "runs" / request.param / "html"


@pytest.fixture(scope="module")
def pages(html) -> dict[Path, Page]:
    return {path.resolve(): Page(path) for path in html.rglob("*.html") if "_static" not in path.parts}


def test_nothing_is_loaded_from_the_network(html, pages):
    remote = [(path.name, address) for path, page in pages.items() for address in page.loads if is_remote(address)]
    styles = [*html.glob("_static/**/*.css"), *pages]
    inside = re.compile(r"""(?:@import\s+|url\()["']?\s*((?:https?:)?//[^"')\s]+)""")
    remote += [(path.name, address) for path in styles for address in inside.findall(path.read_text())]
    assert remote == []


def is_remote(address: str | None) -> bool:
    return bool(address) and bool(urlsplit(address).netloc)


def test_equations_are_set_by_a_local_script(html, pages):
    with_math = [page for path, page in pages.items() if 'class="math' in path.read_text()]
    assert with_math
    for page in with_math:
        scripts = [unquote(urlsplit(address).path) for address in page.loads if "mathjax" in (address or "").lower()]
        assert scripts
        assert all((html / script.lstrip("./")).is_file() for script in scripts)
    assert list(html.glob("_static/mathjax/output/chtml/fonts/**/*.woff"))


def test_every_internal_link_leads_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for address in [*page.links, *filter(None, page.loads)]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (target in pages and anchor not in pages[target].anchors):
                broken.append((path.name, address))
    assert broken == []


def test_every_picture_says_what_it_shows(pages):
    silent = [(path.name, source) for path, page in pages.items() for source, alt in page.pictures if not alt]
    assert silent == []


def test_every_page_says_from_which_run_it_comes_and_links_to_its_stamp(html, pages):
    written = {path for path in pages if path.stem not in ("genindex", "py-modindex", "search")}
    assert written
    for path in written:
        assert path.read_text().count('class="page-stamp"') == 1, path
        stamps = [address for address in pages[path].links if "_static/stamps/" in address]
        assert [json.loads((path.parent / each).read_text())["page"] for each in stamps] == [
            path.relative_to(html.resolve()).with_suffix("").as_posix()
        ]


def test_search_works_from_files_beside_the_pages(html):
    index = (html / "searchindex.js").read_text()
    assert json.loads(index[len("Search.setIndex(") : -1])["docnames"]
    assert (html / "_static" / "searchtools.js").is_file()


def test_a_warning_of_the_renderer_is_an_error(project):  # last, since it leaves no book behind
    page = project / "book" / "bibliography.md"
    text = page.read_text()
    page.write_text(text + "\n{cite}`nobody1900`\n")
    try:
        done = run(project, "book")
    finally:
        page.write_text(text)
    assert done.returncode != 0
    assert "nobody1900" in done.stderr
