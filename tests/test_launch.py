"""Launching: buttons that open the right notebook, a cell that prepares it there, and nothing without an address."""

import json
import os
import re
import stat
import subprocess
import sys
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from small_book import ROOT, run, write_project

from workflow import launch as launching
from workflow.hosted import installed, lacking, needed, pins
from workflow.launch import LaunchError, launch
from workflow.profile import LAUNCH, hash_notebook, launched, read_chapter

ADDRESS, HUB = "https://github.com/you/fork", "https://hub.school.edu"


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = write_project(tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def texts(folder):
    return {path.name: path.read_text() for path in [folder / "book/_config.yml", *folder.glob("notebooks/**/*.ipynb")]}


def test_an_address_is_written_renewed_and_taken_away_without_a_trace(project):
    (project / "notebooks" / "exercises").mkdir()
    exercise = project / "notebooks" / "exercises" / "01_first.ipynb"
    exercise.write_bytes((project / "notebooks" / "01_first.ipynb").read_bytes())
    before = texts(project)
    hashes = [hash_notebook(path) for path in sorted(project.glob("notebooks/*.ipynb"))]
    launch(f"{ADDRESS}.git/", "main", f"{HUB}/")
    config = yaml.safe_load((project / "book/_config.yml").read_text())
    assert config["repository"] == {"url": ADDRESS, "branch": "main", "path_to_book": ""}
    assert config["launch_buttons"]["jupyterhub_url"] == HUB
    assert "thebe" not in config["launch_buttons"]
    first = texts(project)
    launch(ADDRESS, "main", HUB)
    assert texts(project) == first
    launch(ADDRESS, "teaching/2027")
    config = yaml.safe_load((project / "book/_config.yml").read_text())
    assert config["repository"]["branch"] == "teaching/2027"
    assert "jupyterhub_url" not in config["launch_buttons"]
    for path in [exercise, *project.glob("notebooks/*.ipynb")]:
        cells = nbformat.read(path, as_version=4).cells
        assert [launched(cell) for cell in cells] == [False, True, *[False] * (len(cells) - 2)]
        assert '"teaching/2027"' in cells[1].source
        nbformat.validate(nbformat.read(path, as_version=4))
    assert [hash_notebook(path) for path in sorted(project.glob("notebooks/*.ipynb"))] == hashes
    launch("")
    assert texts(project) == before


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("github.com/you/fork", "is no address: it begins with https://"),
        ("http://github.com/you/fork", "is no address: it begins with https://"),
        ("git@github.com:you/fork", "is no address: it begins with https://"),
        ("https://gitlab.com/you/fork", "need a repository on github.com"),
        ("https://github.com/you", "an address is https://github.com/owner/name"),
        ("https://github.com/you/fork/tree/main", "an address is https://github.com/owner/name"),
        ("https://me:secret@github.com/you/fork", "leave out user, password"),
        ('https://github.com/you/fork"; rm', "leave out user, password"),
    ],
)
def test_a_wrong_address_is_refused_and_nothing_is_written(project, address, said):
    before = texts(project)
    with pytest.raises(LaunchError, match=re.escape(said)):
        launch(address)
    assert texts(project) == before


def test_a_wrong_branch_or_hub_is_refused(project):
    before = texts(project)
    for branch in ("two words", "a..b", '"', "", "main.lock"):
        with pytest.raises(LaunchError, match="is no name of a branch"):
            launch(ADDRESS, branch)
    with pytest.raises(LaunchError, match=r"leave out what follows the hub's own address"):
        launch(ADDRESS, hub=f"{HUB}/hub/spawn")
    with pytest.raises(LaunchError, match="JUPYTERHUB=hub is no address"):
        launch(ADDRESS, hub="hub")
    with pytest.raises(LaunchError, match="give REPOSITORY=, too"):
        launch("", hub=HUB)
    (project / "book/_config.yml").write_text("title: None\n")
    with pytest.raises(LaunchError, match="needs one section 'repository:'"):
        launch(ADDRESS)
    (project / "book/_config.yml").write_text(before["_config.yml"])
    assert texts(project) == before


def test_the_command_says_what_is_lacking(project):
    done = subprocess.run([sys.executable, "-m", "workflow.launch"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 1
    assert "say where: make launch REPOSITORY=https://github.com/owner/name" in done.stderr


def links_of(page):
    return [link["href"] for link in BeautifulSoup(page.read_text(), "html.parser").find_all("a", href=True)]


@pytest.mark.slow
def test_pages_lead_to_their_own_notebook_and_nowhere_without_an_address(project):
    for address in (ADDRESS, ""):
        launch(address, hub=HUB if address else "")
        done = run(project, "book")
        assert done.returncode == 0, done.stdout + done.stderr
        html = project / "runs/demo/html"
        for name in ("01_first", "02_second"):
            page = html / "notebooks" / f"{name}.html"
            found = {urlsplit(link).hostname: unquote(link) for link in links_of(page) if "://" in link}
            if not address:
                assert not {"mybinder.org", "colab.research.google.com", "hub.school.edu", "github.com"} & set(found)
                continue
            binder, colab, hub = (
                found[host] for host in ("mybinder.org", "colab.research.google.com", "hub.school.edu")
            )
            assert binder == f"https://mybinder.org/v2/gh/you/fork/main?urlpath=lab/tree/notebooks/{name}.ipynb"
            assert colab == f"https://colab.research.google.com/github/you/fork/blob/main/notebooks/{name}.ipynb"
            asked = parse_qs(urlsplit(hub).query)
            assert asked == {
                "repo": [ADDRESS], "urlpath": [f"lab/tree/fork/notebooks/{name}.ipynb"], "branch": ["main"]
            }  # fmt: skip
            text = page.read_text()
            assert "importlib.util.find_spec" not in text  # the cell is for the notebook there
            loads = [tag.get("src") or tag.get("href") or "" for tag in
                     BeautifulSoup(text, "html.parser").find_all(["script", "img", "link", "iframe"])]  # fmt: skip
            assert not [load for load in loads if urlsplit(load).netloc]
            assert "launch-thebe" not in text  # live code would load from elsewhere
        executed = nbformat.read(project / "runs/demo/notebooks/02_second.ipynb", as_version=4)
        assert not any(map(launched, executed.cells))
        assert not list((project / "runs/demo/unfinished").glob(".*.ipynb"))
    said = subprocess.run([sys.executable, "-m", "workflow.keep"], cwd=project, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    launch(ADDRESS)
    said = subprocess.run([sys.executable, "-m", "workflow.keep"], cwd=project, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr  # the outputs are kept around the cell
    kept = nbformat.read(project / "notebooks/02_second.ipynb", as_version=4)
    assert [cell.get("execution_count") for cell in kept.cells] == [None, None, 1, 2]
    assert launched(kept.cells[1])


FAKE_GIT = """#!/bin/sh
echo "$@" >> "$RECORD"
for last; do :; done
mkdir -p "$last/notebooks" "$last/gcamccl_core" "$last/workflow"
touch "$last/gcamccl_core/__init__.py"
echo 'import os; print("prepared", file=open(os.environ["RECORD"], "a"))' > "$last/workflow/hosted.py"
"""


def run_cell(folder, record, path=""):
    """Execute the cell in a folder with a git that only notes what it is asked."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "git").write_text(FAKE_GIT)
    (tools / "git").chmod(0o755)
    code = launching.launch_cell(ADDRESS, "fork", "main").source + "\nimport gcamccl_core\n"
    code += "print(Path.cwd()); print(Path(gcamccl_core.__file__).resolve())"
    environment = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "RECORD": str(record), "PYTHONPATH": path}
    here = folder / "here"
    here.mkdir(exist_ok=True)
    command = [sys.executable, "-S", "-c", code]  # without site-packages, where our own package is
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return here, done.stdout.splitlines()


def test_the_cell_fetches_prepares_and_enters_the_project_in_an_empty_runtime(tmp_path):
    record = tmp_path / "record"
    here, said = run_cell(tmp_path, record)
    assert record.read_text().splitlines() == [f"clone --depth 1 --branch main {ADDRESS} {here / 'fork'}", "prepared"]
    assert said == [str(here / "fork" / "notebooks"), str(here / "fork" / "gcamccl_core" / "__init__.py")]
    run_cell(tmp_path, record)  # a restarted kernel: the checkout is there
    assert record.read_text().count("clone") == 1


def test_the_cell_takes_a_checkout_that_is_around_it(tmp_path):
    record = tmp_path / "record"
    fake = tmp_path / "fake"
    fake.write_text(FAKE_GIT)
    subprocess.run(["sh", str(fake), str(tmp_path)], env={**os.environ, "RECORD": os.devnull}, check=True)
    _, said = run_cell(tmp_path, record)  # as on a JupyterHub, which has fetched the repository itself
    assert record.read_text() == "prepared\n"
    assert said[0] == str(tmp_path / "notebooks")


def test_the_cell_does_nothing_where_the_project_is_installed(tmp_path):
    record = tmp_path / "record"
    other = tmp_path / "installed" / "gcamccl_core"
    other.mkdir(parents=True)
    (other / "__init__.py").touch()
    here, said = run_cell(tmp_path, record, str(other.parent))
    assert not record.exists()
    assert said == [str(here), str(other / "__init__.py")]


def test_the_cell_is_in_the_style_of_the_chapters():
    source = launching.launch_cell(
        "https://github.com/someone-long/gcamccl-compendium", "gcamccl-compendium", "main"
    ).source
    lines = source.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 88
    settings = ["--line-length", "88", "--isolated", "--stdin-filename", "cell.py", "-"]
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", *settings], input=source, capture_output=True, text=True, check=True
    )
    assert formatted.stdout.rstrip() == source


def test_a_hosted_runtime_keeps_what_it_has_and_gets_what_it_lacks():
    names, wanted = needed(ROOT), pins(ROOT)
    assert {"torch", "numpy", "nilearn", "myst-nb"} <= set(names) <= set(wanted)
    there = dict.fromkeys(names, "0.0.1")
    assert lacking(names, wanted, {}) == [f"{name}=={wanted[name]}" for name in names]
    there |= {name: wanted[name].split(".")[0] + ".0" for name in names if name != "pandas"}
    assert lacking(names, wanted, there) == [f"pandas=={wanted['pandas']}"]
    assert installed(["no-such-package-here", "numpy"]).keys() == {"numpy"}


def test_it_needs_nothing_but_the_standard_library():
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import runpy; runpy.run_path('workflow/hosted.py', run_name='there')"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_binder_installs_what_is_pinned_for_the_python_that_we_test_with():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert f"python={(ROOT / 'binder/runtime.txt').read_text().strip().removeprefix('python-')}" in environment
    build = ROOT / "binder" / "postBuild"
    assert build.stat().st_mode & stat.S_IXUSR
    installs = [line for line in build.read_text().splitlines() if "pip install" in line]
    assert installs == ["python -m pip install --no-cache-dir --constraint constraints.txt --editable '.[book]'"]


def test_a_chapter_is_read_without_the_cell(project):
    path = project / "notebooks" / "01_first.ipynb"
    before = json.dumps(nbformat.read(path, as_version=4))
    launch(ADDRESS)
    assert LAUNCH in path.read_text()
    assert json.dumps(read_chapter(path)) == before
