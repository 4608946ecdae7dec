"""What holds the project together: import layers, the environment's three lists, profiles, commands, prose."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from workflow.profile import declared, notebook_names, parameters_for, read_profile

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """List the files under version control and those that could be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says which files belong to the project")
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def test_rooms_import_one_way():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_files_of_the_core_stay_readable():
    lengths = {path.name: len(path.read_text().splitlines()) for path in ROOT.glob("gcamccl_core/**/*.py")}
    assert {name: n for name, n in lengths.items() if n > 300} == {}


def test_environment_for_conda_is_that_of_the_package():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    by_pip = next(entry["pip"] for entry in environment if isinstance(entry, dict))
    assert sorted(by_pip) == sorted([*PROJECT["dependencies"], *EXTRAS["book"], *EXTRAS["test"]])
    assert "python=3.11" in environment


def test_every_dependency_is_pinned_exactly_and_within_what_the_package_asks_for():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pins = {canonical(name): version for name, version in (line.split("==") for line in lines)}
    assert len(pins) == len(lines)
    for text in [*PROJECT["dependencies"], *EXTRAS["book"], *EXTRAS["test"]]:
        wanted = Requirement(text)
        assert pins[canonical(wanted.name)] in wanted.specifier, text


def test_what_is_imported_is_declared():
    allowed = {
        "gcamccl_core": PROJECT["dependencies"],
        "workflow": [*PROJECT["dependencies"], *EXTRAS["book"]],
        "tests": [*PROJECT["dependencies"], *EXTRAS["book"], *EXTRAS["test"]],
    }
    providers = packages_distributions()
    missing = set()
    for folder, requirements in allowed.items():
        known = {canonical(Requirement(text).name) for text in requirements}
        for path in (ROOT / folder).rglob("*.py"):
            for module in imported_at_run_time(path):
                if (
                    module in sys.stdlib_module_names
                    or (ROOT / module).is_dir()
                    or (path.parent / f"{module}.py").exists()
                ):
                    continue
                if not known & {canonical(name) for name in providers.get(module, [module])}:
                    missing.add((folder, module))
    assert missing == set()


def imported_at_run_time(path: Path) -> set[str]:
    """Give the top-level packages that a file imports, those for type checking aside."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    nodes = [node for node in ast.walk(tree) if id(node) not in typing_only]
    plain = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {str(node.module).split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_asks_for_nothing_unknown_and_its_values_pass_the_check(name, monkeypatch):
    from gcamccl_core.parameters import check_parameters

    monkeypatch.chdir(ROOT)
    profile = read_profile(name)
    for notebook in notebook_names():
        given = {**declared(notebook), **parameters_for(profile, notebook)}
        assert check_parameters(given).keys() == given.keys()


def test_the_demo_changes_no_default_so_the_stored_outputs_are_its_own(monkeypatch):
    monkeypatch.chdir(ROOT)
    profile = read_profile("demo")
    assert {name: parameters_for(profile, name) for name in notebook_names()} == {name: {} for name in notebook_names()}


def test_help_lists_every_command():
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    makefile = (ROOT / "Makefile").read_text()
    commands = {name for line in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE) for name in line.split()}
    helped = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[1] for line in helped.splitlines() if line.startswith("  make ")} == commands
    assert all(name in helped for name in PROFILES)


def test_setup_refuses_another_python(tmp_path):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(["make", "setup", "PYTHON=false"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "This needs Python 3.11, and 'false' is not it" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_no_file_names_a_machine_or_a_registry(tracked):
    folders = "|".join(("home", "root", "Users", "work", "opt"))  # joined here, or this file would name them itself
    private = re.compile(
        rf"(?<![\w.~-])/(?:{folders})/|index-url|find-links|files\.pythonhosted|pypi\.org|conda\.anaconda"
    )
    named = []
    for path in tracked:
        if path == Path(__file__) or path.suffix in (".png", ".nc", ".npz"):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            named += [f"{path.relative_to(ROOT)}:{number}: {found[0]}" for found in private.finditer(line)]
    assert named == []


def test_links_in_the_papers_of_the_project_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), f"{name} links to {target}"


def test_citation_names_this_work_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper = "Interpretable multimodal fusion networks reveal mechanisms of brain cognition"
    assert citation["preferred-citation"]["title"] == paper
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert paper in (ROOT / "book" / "references.bib").read_text()


def test_only_papers_that_the_book_cites_are_in_its_references():
    cited = set()
    for path in [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]:
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", path.read_text()):
            cited |= {key.strip() for key in keys.split(",")}
    known = set(re.findall(r"@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text()))
    assert cited <= known


def example_of(word):
    """The code on the page about one's own run that holds a word."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "book" / "rerun.md").read_text(), re.DOTALL)
    return next(block for block in blocks if word in block)


def test_the_code_for_scikit_learn_runs():
    namespace = {}
    exec(compile(example_of("cross_validate(").replace("epochs=3", "epochs=1"), "rerun.md", "exec"), namespace)
    assert len(namespace["scores"]["test_score"]) == 3


def test_the_code_for_ones_own_cohort_runs(tmp_path, monkeypatch):
    import numpy as np
    import pandas as pd

    code = example_of('read_csv("connectivity.csv"')
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    ids = [f"{n:03d}" for n in range(80)]
    rows = [(s, i, j, rng.uniform(-1, 1)) for s in ids for i, j in (("A", "B"), ("C", "A"), ("B", "C"))]
    edges = pd.DataFrame(rows, columns=["subject", "roi_i", "roi_j", "r"])
    edges.to_csv("connectivity.csv", index=False)
    people = pd.DataFrame({"subject": ids, "score": rng.normal(100, 15, 80), "thickness": rng.normal(2.5, 0.1, 80)})
    people.sample(frac=1, random_state=0).to_csv("people.csv", index=False)
    exec(compile(code, "rerun.md", "exec"), {})

    from gcamccl_core.data.cohort import load_cohort

    cohort = load_cohort("my_cohort.nc")
    first = cohort["fc"].sel(subject="000")
    expected = edges.query("subject == '000' and roi_i == 'C'")["r"].item()
    assert float(first.sel(roi_i="A", roi_j="C")) == pytest.approx(expected)
    assert float(first.sel(roi_i="B", roi_j="B")) == 1
    highest = people.nlargest(16, "score")["subject"]
    assert sorted(cohort["subject"][cohort["label"] == 1].to_numpy()) == sorted(highest)
    namespace = {}
    exec(compile(example_of("confirm_biomarkers("), "rerun.md", "exec"), namespace)
    assert namespace["score"] == {"fc": "fused", "morphometry": "others"}


def test_two_tables_become_a_cohort_with_the_command_on_the_page(tmp_path, monkeypatch, capsys):
    import numpy as np
    import pandas as pd

    from gcamccl_core.data.cohort import load_cohort, view_names
    from gcamccl_core.data.own_tables import main

    command = re.search(r"-m gcamccl_core\.data\.own_tables (.+)", (ROOT / "book" / "rerun.md").read_text())[1].split()
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    ids = pd.Index([f"{n:03d}" for n in range(60)], name="subject")
    tables = {}
    for name, width in (("first", 9), ("second", 4)):
        tables[name] = pd.DataFrame(rng.normal(size=(60, width)), ids, [f"{name}{n}" for n in range(width)])
        tables[name].sample(frac=1, random_state=width).to_csv(f"{name}.csv")
    people = pd.DataFrame({"score": rng.normal(size=60)}, ids)
    people.to_csv("people.csv")
    assert main(command) == 0
    cohort = load_cohort("my_cohort.nc")
    assert view_names(cohort) == ["first", "second"]
    person = cohort.sel(subject="007")
    assert float(person["first"].sel(first_feature="first3")) == pytest.approx(tables["first"].loc["007", "first3"])
    assert int((cohort["label"] == 1).sum()) == 30
    assert int(cohort["label"].sel(subject=people["score"].idxmax())) == 1
    tables["second"].drop("007").to_csv("second.csv")
    assert main([*command, "--overwrite"]) == 1
    assert "'007'" in capsys.readouterr().err
