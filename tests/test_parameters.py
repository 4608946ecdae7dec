"""The parameters' check: what it refuses, what it says, and that a real papermill run hits it."""

import math
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from gcamccl_core.parameters import CATALOGUE, ParameterError, check_parameters

DECLARATION = "regime: str = 'clear'  # how the cohort was made\nseed: int = 0\nfrequency: float = 0.7"
SETUP = "import math\nfrom gcamccl_core.parameters import check_parameters\ncheck_parameters(globals())"


def test_furniture_of_a_notebook_is_no_parameter():
    namespace = {"In": ["", "seed = 3"], "Out": {}, "_": 1, "_i1": "x", "math": math, "sqrt": math.sqrt, "seed": 3}
    assert check_parameters(namespace) == {"seed": 3}


def test_numbers_come_back_in_the_type_of_the_catalogue():
    checked = check_parameters({"frequency": 0, "seed": np.int64(4)})
    assert checked == {"seed": 4, "frequency": 0.0}
    assert [type(value) for value in checked.values()] == [int, float]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("regime", "clera", "did you mean 'clear'?"),
        ("regime", 3, "one of 'clear'"),
        ("seed", 1.5, "int, 0 to"),
        ("seed", True, "int, 0 to"),
        ("seed", -1, "int, 0 to"),
        ("seed", "1", "int, 0 to"),
        ("frequency", 1.01, "float, 0.0 to 0.999"),
        ("frequency", float("nan"), "float, 0.0 to 0.999"),
        ("cohort", "people.csv", "path of a .nc file"),
        ("thresold", 0.05, "did you mean 'threshold'?"),
        ("zzz", 1, "known: cohort, regime"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name_with_what_is_allowed(name, value, said):
    with pytest.raises(ParameterError, match=name) as caught:
        check_parameters({name: value})
    assert said in str(caught.value)


def test_a_label_must_belong_to_the_cohort():
    with pytest.raises(ParameterError, match=r"'abide' has: fiq, diagnosis, sex, age"):
        check_parameters({"cohort": "abide", "label": "wrat"})
    assert check_parameters({"cohort": "runs/mine.nc", "label": "wrat"})["cohort"] == "runs/mine.nc"


def test_an_injected_parameter_must_be_one_that_the_notebook_declares():
    history = ["", "import os", "seed: int = 0", "# Parameters\nepochs = 3\n", "check"]
    with pytest.raises(ParameterError, match="'epochs' is not declared by this notebook; known: seed"):
        check_parameters({"In": history, "seed": 0, "epochs": 3})


def test_the_setup_cell_can_be_run_again_in_a_live_session():
    history = ["", "seed: int = 0", "check_parameters(globals())", "fitted = 1", "check_parameters(globals())"]
    assert check_parameters({"In": history, "seed": 5, "fitted": 1}) == {"seed": 5}


def test_a_notebook_with_magic_before_its_parameters_is_read():
    history = ["", "%matplotlib inline", "# Parameters\nseed = 3\n"]
    with pytest.raises(ParameterError, match="'seed' is not declared"):
        check_parameters({"In": history, "seed": 3})


def test_the_catalogue_explains_every_parameter_in_one_line():
    for name, rule in CATALOGUE.items():
        assert rule.help, name
        assert len(rule.help) < 80, name


@pytest.fixture(scope="module")
def notebook(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("papermill") / "tiny.ipynb"
    cells = [nbformat.v4.new_code_cell(DECLARATION), nbformat.v4.new_code_cell(SETUP)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def papermill(notebook: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "papermill", str(notebook), str(notebook.with_suffix(".out.ipynb")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=notebook.parent, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-p", "regmie", "null"), "did you mean 'regime'?"),
        (("-p", "n_subjects", "100"), "parameter 'n_subjects' is not declared by this notebook"),
        (("-p", "seed", "many"), "parameter 'seed' is 'many'; allowed: int"),
    ],
)
def test_papermill_fails_on_a_wrong_parameter_and_says_which_was_meant(notebook, arguments, said):
    done = papermill(notebook, *arguments)
    assert done.returncode != 0
    assert said in done.stderr


def test_papermill_passes_on_right_parameters(notebook):
    done = papermill(notebook, "-p", "regime", "null", "-p", "frequency", "0")
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(notebook.with_suffix(".out.ipynb"), as_version=4)
    assert "{'regime': 'null', 'seed': 0, 'frequency': 0.0}" in str(executed.cells[-1].outputs)


def test_warnings_of_a_notebook_name_no_place_and_count_no_few():
    code = f"In = ['', 'check']\n{SETUP}\nimport warnings\nwarnings.warn('8 subjects are few, 12 subjects are not')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "UserWarning: <10 subjects are few, 12 subjects are not\n"
