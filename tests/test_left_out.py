"""Chapters that a cohort has no view for: by hand they say why they stop, and in a book they stop nothing."""

import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import xarray as xr
from small_book import ROOT, environment, notebook, write_project
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import assemble_cohort, save_cohort
from gcamccl_core.report.needed_views import MissingViewError, need_view
from workflow import left_out as module
from workflow.assemble import QUOTED
from workflow.intact import stamp_of
from workflow.left_out import left_out, stand_in, why_left_out, write_left_out
from workflow.profile import made_from, notebook_names, read_profile, write_if_changed

ABOUT = 'data = cohort\nimage = need_view(data, "image")\nglue("best", "0.5")'


def two_tables(n=12):
    ids = [f"P{number:03d}" for number in range(n)]
    views = {
        name: xr.DataArray(np.eye(n, 4), dims=("subject", f"{name}_feature"), coords={"subject": ids})
        for name in ("first", "second")
    }
    return assemble_cohort(views, {each: number % 2 for number, each in enumerate(ids)}, attrs={"access": "open"})


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = write_project(tmp_path)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(module, "resolve", lambda path: folder / path)
    save_cohort(two_tables(), folder / "two.nc")
    save_cohort(planted_cohort(n=40), folder / "image.nc")
    nbformat.write(notebook("Third", 'cohort: str = "two.nc"', ABOUT), folder / "notebooks/03_third.ipynb")
    return folder


def test_by_hand_the_error_says_which_view_is_missing_and_which_are_there():
    assert need_view(two_tables(), "vector") == "first"
    assert need_view(planted_cohort(n=20), "image") == "fc"
    with pytest.raises(MissingViewError, match=r"needs an image view .*has first \(2 dimensions\), second \(2 dim"):
        need_view(two_tables(), "image")


def test_a_chapter_is_left_out_if_its_view_is_missing_and_only_then(project):
    third = project / "notebooks/03_third.ipynb"
    assert why_left_out(third, {"cohort": "two.nc"}).startswith("needs an image view")
    assert why_left_out(third, {"cohort": "image.nc"}) is None
    assert why_left_out(third, {"cohort": "simulated"}) is None
    assert why_left_out(project / "notebooks/01_first.ipynb", {"cohort": "two.nc"}) is None


def test_it_keeps_its_words_and_says_why_it_has_no_results(project):
    output = project / "third.ipynb"
    write_left_out(project / "notebooks/03_third.ipynb", output, {"cohort": "two.nc"}, "needs an image")
    made = nbformat.read(output, as_version=4)
    assert made.cells[0].source.startswith("# Third")
    assert "This chapter has no results in this book" in made.cells[1].source
    assert "It needs an image. Its code was not run." in made.cells[1].source
    assert all(not cell.outputs for cell in made.cells if cell.cell_type == "code")
    assert left_out([output]) == [project.joinpath("notebooks/third.ipynb").relative_to(project)]


def test_the_workflow_writes_it_with_a_stamp_instead_of_failing(project):
    (project / "profiles/demo.yaml").write_text("title: Small\nparameters: {cohort: two.nc}\nnotebooks: {}\n")
    profile = read_profile("demo")
    basis = write_if_changed(project / "runs/demo/made_from/03_third.json", made_from(profile, "03_third"))
    output = "runs/demo/notebooks/03_third.ipynb"
    command = [sys.executable, "-m", "workflow.execute", "notebooks/03_third.ipynb", output, str(basis)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert "notebooks/03_third.ipynb is left out: it needs an image view" in done.stderr
    assert stamp_of(project / output)["cohort"] == "two.nc"


def test_pages_that_quote_it_get_words_and_a_picture_in_its_place(project):
    figure = "```{figure} figures/lost.svg\n:alt: {{ figure_lost_alt }}\n{{ figure_lost_caption }}\n```\n"
    shown = f"# Small\n\n{{{{ best }}}}\n\n{figure}"
    (project / "book/index.md").write_text(shown)
    source = project / "source"
    source.mkdir()
    words = stand_in(["best"], source)
    assert words["best"] == "(not in this book)"
    assert set(QUOTED.findall(shown)) == set(words)
    assert "cannot be made of this cohort" in (source / "figures/lost.svg").read_text()
    assert stand_in([], project / "elsewhere") == {}


def test_the_figure_that_a_chapter_itself_opens_with_has_a_picture_in_its_place(project):
    cell = nbformat.v4.new_markdown_cell("```{figure} ../figures/own.svg\n:alt: {{ figure_own_alt }}\n```")
    (project / "source/notebooks").mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), project / "source/notebooks/03_third.ipynb")
    words = stand_in(["best"], project / "source")
    assert {"figure_own_alt", "figure_own_caption"} <= set(words)
    assert (project / "source/figures/own.svg").is_file()


def test_no_chapter_looks_for_an_image_in_another_way(monkeypatch):
    """Or it would fail on a cohort without one, with an error that says nothing."""
    monkeypatch.chdir(ROOT)
    for name in notebook_names():
        cells = nbformat.read(f"notebooks/{name}.ipynb", as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        assert not re.search(r"next\(name for name in view_names\(data\)[^,]*\.ndim == \d\)", code), name
        assert "keep_regions" not in code or "need_view" in code, name
