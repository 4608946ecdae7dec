"""A run as a Research Object Crate: read back, it says what made what, and every file is what it says."""

import hashlib
import json
import shutil
import socket
import zipfile

import nbformat
import numpy as np
import pytest
from PIL import Image
from rocrate.rocrate import ROCrate
from small_book import ROOT, notebook, write_project
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import save_cohort
from gcamccl_core.kept_files import digest_file, write_sealed
from workflow import controlled, executed_runs
from workflow.crate import main
from workflow.profile import made_from, notebook_names, read_profile


def execute(project, name, shown=""):
    """Lay down an executed chapter with its stamp, a figure, and its parameters as papermill notes them."""
    run = project / "runs/demo"
    executed = run / "notebooks" / f"{name}.ipynb"
    for folder in ("notebooks", "figures"):
        (run / folder).mkdir(parents=True, exist_ok=True)
    made = nbformat.read(project / "notebooks" / f"{name}.ipynb", as_version=4)
    basis = made_from(read_profile("demo"), name)
    made.metadata["papermill"] = {"parameters": basis["parameters"], "end_time": "2026"}
    made.cells[2].outputs = [nbformat.v4.new_output("stream", name="stdout", text=shown)] if shown else []
    nbformat.write(made, executed)
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(run / "figures" / f"{name}.png")
    (run / "figures" / f"{name}.json").write_text(json.dumps({"name": name, "alt": "Black.", "caption": "A square."}))
    files = {path: digest_file(run / path) for path in (f"notebooks/{name}.ipynb", f"figures/{name}.png")}
    stamp = {**basis, "date": "2026-11-27T10:00:00+00:00", "files": files}
    write_sealed(executed.with_suffix(".stamp.json"), stamp)


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = write_project(tmp_path)
    monkeypatch.chdir(folder)
    for name in ("CITATION.cff", "LICENSE", "constraints.txt", "pyproject.toml", "environment.yml"):
        shutil.copy(ROOT / name, folder)
    (folder / "profiles/demo.yaml").write_text("title: Small\nparameters: {seed: 3}\nnotebooks: {}\n")
    for name in notebook_names():
        execute(folder, name)
    (folder / "runs/demo/html").mkdir()
    (folder / "runs/demo/html/index.html").write_text("<h1>Small</h1>")
    stamp = {
        "date": "2026-11-27T11:00:00+00:00",
        "files": {"index.html": digest_file(folder / "runs/demo/html/index.html")},
    }
    write_sealed(folder / "runs/demo/html/stamp.json", stamp)
    (folder / "runs/demo/models").mkdir()
    (folder / "runs/demo/models/net.safetensors").write_bytes(b"of people")
    return folder


def refuse_network(*_):
    raise AssertionError("nothing may be fetched")


def test_a_crate_read_back_says_what_made_what_and_its_files_are_whole(project, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(socket.socket, "connect", refuse_network)
    main(["demo"])
    said = capsys.readouterr().out
    assert said.startswith("runs/demo/crate.zip, ")
    assert "figures (2), notebooks (2), files of the book (1)" in said
    with zipfile.ZipFile(project / "runs/demo/crate.zip") as packed:
        names = packed.namelist()
        packed.extractall(tmp_path / "read")
    assert len(names) == len(set(names))
    assert {"ro-crate-metadata.json", "html/index.html", "constraints.txt", "gcamccl_core/provenance.py"} <= set(names)
    assert not [name for name in names if "models" in name or "__pycache__" in name or name.endswith(".nc")]
    crate = ROCrate(tmp_path / "read")
    root = crate.root_dataset
    for name in ("name", "description", "datePublished", "license", "author", "citation", "hasPart", "mentions"):
        assert root.get(name), name
    assert root["license"].id.endswith("BSD-3-Clause")
    assert root["conformsTo"].id.startswith("https://w3id.org/ro/wfrun/process/")
    assert crate.metadata["conformsTo"] == "https://w3id.org/ro/crate/1.1" or crate.version == "1.1"
    actions = {action.id: action for action in crate.get_by_type("CreateAction")}
    assert set(actions) == {"#execution-of-01_first", "#execution-of-02_second", "#rendering"}
    assert {action.id for action in root["mentions"]} == set(actions)
    action = actions["#execution-of-01_first"]
    assert action["instrument"].id == "source/01_first.ipynb"
    assert action["instrument"]["softwareRequirements"]["softwareVersion"] == "0.1.0"
    assert {part.id for part in action["result"]} == {
        "notebooks/01_first.ipynb",
        "notebooks/01_first.stamp.json",
        "figures/01_first.png",
    }
    values = {part["name"]: part["value"] for part in action["object"] if part.type == "PropertyValue"}
    assert values == {"seed": 3}
    assert crate.dereference("figures/01_first.png")["description"] == "Black."
    checked = 0
    for entity in crate.get_entities():
        if entity.get("sha256"):
            content = (tmp_path / "read" / entity.id).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entity["sha256"]
            assert str(len(content)) == entity["contentSize"]
            checked += 1
    assert checked == 2 * 4 + 6, "source, executed, stamp and figure of each chapter; settings and environment"


def test_what_is_damaged_or_not_there_is_not_packed(project):
    (project / "runs/demo/figures/01_first.png").write_bytes(b"other")
    with pytest.raises(SystemExit, match=r"01_first.png is truncated.*make book PROFILE=demo makes it again"):
        main(["demo"])
    with pytest.raises(SystemExit, match=r"there is no run 'dmeo'.*did you mean 'demo'"):
        main(["dmeo"])
    assert not list((project / "runs/demo").glob("*crate*"))


def test_without_a_book_and_after_a_change_it_is_said(project, capsys):
    shutil.rmtree(project / "runs/demo/html")
    nbformat.write(notebook("First", "seed: int = 0", "seed + 1"), project / "notebooks/01_first.ipynb")
    main(["demo"])
    said = capsys.readouterr().out
    assert "There is no rendered book in it: make book PROFILE=demo" in said
    assert "have changed since these were executed: 01_first." in said


@pytest.mark.parametrize(("shown", "refused"), [("NDAR0003 moved", True), ("nobody", False)])
def test_controlled_people_stay_out(project, shown, refused, monkeypatch, capsys):
    for module in (executed_runs, controlled):
        monkeypatch.setattr(module, "resolve", lambda path: project / path)
    cohort = planted_cohort(n=40).assign_attrs(access="controlled")
    cohort["subject"] = [f"NDAR{number:04d}" for number in range(40)]
    save_cohort(cohort, project / "mine.nc")
    nbformat.write(notebook("First", 'cohort: str = "mine.nc"', "cohort"), project / "notebooks/01_first.ipynb")
    execute(project, "01_first", shown)
    if refused:
        with pytest.raises(SystemExit, match=r"names the subject NDAR0003.*archive where the data may be"):
            main(["demo"])
        assert not list((project / "runs/demo").glob("*crate*"))
    else:
        main(["demo"])
        assert "Ask who gave you the data before you hand it on." in capsys.readouterr().out
        with zipfile.ZipFile(project / "runs/demo/crate.zip") as packed:
            assert not [name for name in packed.namelist() if name.endswith(".nc")]
            held = packed.read("ro-crate-metadata.json").decode()
        assert "NDAR" not in held
        assert '"conditionsOfAccess": "controlled"' in held
