"""The anatomy of a chapter: what every notebook holds, whoever wrote it. That it runs, nbval shows."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from gcamccl_core.parameters import CATALOGUE, assigned_names
from workflow.assemble import glued_numbers
from workflow.profile import launched

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.fixture
def code(notebook) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and not launched(cell)]


def test_it_is_valid_small_and_named_for_its_place(path, notebook):
    nbformat.validate(notebook)
    assert re.fullmatch(r"\d\d_[a-z_]+", path.stem)
    assert path.stat().st_size < 400_000
    assert notebook.metadata.kernelspec.name == "python3"


def test_it_opens_with_title_question_and_minutes(notebook):
    opening = notebook.cells[0].source
    assert opening.startswith("# ")
    assert "**Question.**" in opening
    assert re.search(r"minutes?\b", opening)


def test_one_cell_declares_typed_parameters_each_with_its_help(code):
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == [code[0]]
    body = ast.parse(tagged[0].source).body
    assert all(isinstance(statement, ast.AnnAssign) for statement in body)
    assert all(re.search(r"\S  # \S", line) for line in tagged[0].source.splitlines() if line.strip())
    assert set(assigned_names(tagged[0].source)) <= set(CATALOGUE)


def test_the_first_thing_after_the_parameters_is_their_check(code):
    assert "check_parameters(globals())" in code[1].source


def test_it_calls_and_does_not_define(code):
    assert len(code) <= 15
    for cell in code:
        defined = [
            node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)
        ]
        assert defined == []


def test_no_call_is_longer_than_a_reader_can_hold(code):
    assert all(len(cell.source.splitlines()) <= 25 for cell in code[2:])


def test_it_has_a_checked_cell_of_key_numbers_and_ends_with_its_stamp(code):
    assert any("NBVAL_CHECK_OUTPUT" in cell.source for cell in code)
    assert "stamp_table(" in code[-1].source
    assert "NBVAL_CHECK_OUTPUT" not in code[-1].source


def test_outputs_are_stored_in_order_without_faults_or_warnings(notebook, code):
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run `make notebooks`"
    assert "made_from" in notebook.metadata
    for output in (output for cell in code for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        assert not any("widget" in kind for kind in output.get("data", {})), (
            "use tqdm.std: widgets load from the network"
        )


def test_every_picture_has_alt_text(code):
    for output in (output for cell in code for output in cell.outputs):
        for kind in output.get("data", {}):
            if kind.startswith("image/"):
                assert output.metadata.get(kind, {}).get("alt"), "show it with show_figure(figure, alt)"


def test_this_machine_finds_about_what_is_stored(path):
    """Training amplifies rounding, so numbers that depend on it agree within a tolerance, not to the digit."""
    executed = path.parents[1] / "runs" / "demo" / "notebooks" / path.name
    if not executed.is_file():
        pytest.skip("the demo book is not made; run `make book`")
    stored, fresh = glued_numbers([path]), glued_numbers([executed])
    assert set(stored) == set(fresh)
    for name, value in stored.items():
        if re.fullmatch(r"-?\d+\.\d+", value):  # a share, a correlation or a score; counts follow from them
            assert float(fresh[name]) == pytest.approx(float(value), abs=0.2), name


def test_what_the_prose_says_of_the_maps_holds_in_the_stored_numbers():
    """Small shares pass any tolerance, so the order that chapter 4 and the README speak of is held by itself."""
    stored = glued_numbers(path for path in NOTEBOOKS if path.stem in ("03_training", "04_activation_maps"))
    found = {name: float(value) for name, value in stored.items() if re.fullmatch(r"-?\d+\.\d+", value)}
    maps = [found["maps_precision_guided_grad_cam"], found["maps_precision_class_contrast"]]
    assert found["maps_precision_t_test"] > 2 * max(maps)
    assert found["maps_precision_t_test"] > found["maps_precision_mean"] > found["maps_precision_chance"]
    assert found["maps_likeness_grad_cam_relu"] > 0.9 > found["maps_likeness_grad_cam"]
    assert found["training_svm_accuracy"] > found["training_accuracy"]
