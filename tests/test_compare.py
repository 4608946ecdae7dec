"""Two runs side by side: what differs is said, what is missing is said, and nobody is shown."""

import json
import re
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_book import KERNEL
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import save_cohort
from gcamccl_core.report.disclosure import DisclosureError
from gcamccl_core.report.list_overlap import compare_lists
from workflow import executed_runs
from workflow.compare import main, write
from workflow.executed_runs import RunError, find_run

ROWS = "<table><tr><th></th><th>this run</th></tr>{}</table>"


def lay_down(folder, *, numbers, parameters=None, stamp=None, picture=0, connections=("a -- b",), chapter="05_regions"):
    """Write a run of one executed chapter that made a table and two figures, beside one of another chapter."""
    cells = [nbformat.v4.new_code_cell("n_splits: int = 3\nregime: str = 'clear'\nrun_folder: str = 'x'")]
    cells[0].metadata["tags"] = ["parameters"]
    outputs = [
        nbformat.v4.new_output(
            "display_data",
            {"application/papermill.record/text/plain": repr(value)},
            metadata={"scrapbook": {"name": name}},
        )
        for name, value in numbers.items()
    ]
    link = '<a href="../_static/tables/connections.csv" download>'
    outputs.append(nbformat.v4.new_output("display_data", {"text/html": link}))
    outputs += [
        nbformat.v4.new_output(
            "display_data", {"text/plain": "figure"}, metadata={"image/png": {"alt": f"A {name} <i>"}}
        )
        for name in ("hubs", "circle")
    ]
    cells.append(nbformat.v4.new_code_cell("results", outputs=outputs))
    stamp = {"core": "1f", "data": "0a", "torch": "2.13.0", **(stamp or {})}
    rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in stamp.items())
    shown = nbformat.v4.new_output("execute_result", {"text/html": ROWS.format(rows)})
    cells.append(nbformat.v4.new_code_cell("stamp_table(parameters, data).T", outputs=[shown]))
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    made.metadata["papermill"] = {
        "parameters": {**(parameters or {}), "run_folder": str(folder)},
        "input_path": f"notebooks/{chapter}.ipynb",
        "end_time": "2026-11-27",
    }
    for name in ("notebooks", "figures", "tables"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / "notebooks" / f"{chapter}.ipynb"
    nbformat.write(made, path)
    pixels = np.zeros((10, 10, 3), dtype=np.uint8)
    for name, value in (("hubs", picture), ("circle", 0), ("of_another_chapter", picture)):
        pixels[:5] = value
        Image.fromarray(pixels).save(folder / "figures" / f"{name}.png")
        (folder / "figures" / f"{name}.json").write_text(
            json.dumps({"name": name, "alt": f"A {name} <i>", "caption": "b"})
        )
    rows = [{"target_class": "high", "feature": name, "splits": 3} for name in connections]
    rows.append({"target_class": "high", "feature": "rarely", "splits": 1})
    pd.DataFrame(rows).to_csv(folder / "tables" / "connections.csv", index=False)
    return path


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lay_down(
        tmp_path / "runs/demo",
        numbers={"regions_of_image": 5, "accuracy": "0.53", "same": "1"},
        connections=["a -- b", "a -- c", "b -- c"],
    )
    lay_down(
        tmp_path / "runs/mine",
        numbers={"regions_of_image": 5, "accuracy": "0.61", "same": "1"},
        parameters={"regime": "realistic"},
        stamp={"data": "7b", "torch": "2.14.0"},
        picture=200,
        connections=["a -- b", "a -- c", "d -- e"],
    )
    return tmp_path / "runs"


class Loads(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.loads, self.pictures = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.loads += [attributes[name] for name in ("src", "href") if name in attributes]
        self.pictures += [attributes.get("alt")] if tag == "img" else []


def rows_of(text, title):
    """Read a table of the Markdown report by its first column."""
    part = text.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line] for line in lines]


def test_what_differs_is_in_the_report(runs, capsys):
    main(["demo", "mine"])
    printed = capsys.readouterr().out
    text = (runs / "compare/demo-mine/compare.md").read_text()
    settings = {row[0]: row[2:] for row in rows_of(text, "Parameters, core, data, versions")}
    assert settings == {
        "what": ["A", "B"],
        "parameter regime": ["clear", "realistic"],
        "data (hash)": ["0a", "7b"],
        "version of torch": ["2.13.0", "2.14.0"],
    }, "and neither the run folder nor what is the same"
    assert rows_of(text, "Key numbers")[1:] == [["05_regions", "accuracy", "0.53", "0.61", "+0.08"]]
    assert "2 are the same, 1 differ." in text
    (selected,) = [row for row in rows_of(text, "Connections, regions, genes, pathways") if row[1] == "high"]
    assert selected[2:7] == ["1", "1", "2", "0.50", "0.9"], "3 of 10 possible pairs in each: 0.9 by chance"
    assert "Not compared: Pathways (gene sets with q < 0.05): A and B saved no table gene_sets.csv." in text
    assert rows_of(text, "Figures")[1:] == [["hubs", "differs", "50.0 %"]]
    assert rows_of(text, "Tables")[1:] == [["connections", "differs", "4", "4", "3"]]
    assert "rarely" not in text, "which was not selected"
    assert printed.startswith("# demo-mine\n")
    assert "0.61" in printed
    assert "compare/demo-mine/compare.html" in printed


def test_the_page_holds_everything_itself_and_its_pictures_say_what_they_show(runs):
    folder, _ = write("demo", "runs/mine")
    text = (folder / "compare.html").read_text()
    page = Loads(text)
    assert page.pictures == ["A: A hubs <i>", "B: A hubs <i>"]
    assert len(page.loads) == 2
    assert all(address.startswith("data:image/png;base64,") for address in page.loads)
    assert "A only (1)</summary><p>b -- c</p>" in text


def test_equal_runs_are_said_to_be_equal(runs):
    lay_down(runs / "again", numbers={"regions_of_image": 5, "accuracy": "0.53", "same": "1"})
    lay_down(runs / "twice", numbers={"regions_of_image": 5, "accuracy": "0.53", "same": "1"})
    text = (write("again", "twice")[0] / "compare.md").read_text()
    assert "Parameters, core, data and versions are the same in all chapters of both." in text
    assert "3 are the same, 0 differ." in text
    assert "2 are the same, 0 differ." in text


def test_one_notebook_of_papermill_is_compared_with_the_same_chapter(runs):
    made = runs / "mine/notebooks/05_regions.ipynb"
    made.rename(runs / "alone.ipynb")
    lay_down(runs / "demo", numbers={}, chapter="14_other")
    text = (write("demo", "runs/alone.ipynb")[0] / "compare.md").read_text()
    assert "In both: 05_regions." in text
    assert "In A alone: 14_other." in text
    assert "parameter regime" in text
    assert rows_of(text, "Figures")[1:] == [["hubs", "differs", "50.0 %"]], "found by the notebook's run folder"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            "demo",
            "mien",
            r"there is no run 'mien', neither runs/mien nor a notebook of that name; did you mean 'mine'?",
        ),
        ("demo", "runs/demo", "demo and runs/demo are the same run, runs/demo"),
        ("demo", "empty", "runs/empty has no executed chapters: make book PROFILE=empty"),
        ("demo", "runs/x.ipynb", "there is no runs/x.ipynb; did you mean 'runs/other.ipynb'?"),
        ("demo", "runs/other.ipynb", "runs/other.ipynb has not been executed"),
    ],
)
def test_a_run_that_cannot_be_compared_is_refused_with_what_to_do(runs, first, second, said):
    (runs / "empty").mkdir()
    nbformat.write(nbformat.v4.new_notebook(), runs / "other.ipynb")
    with pytest.raises(SystemExit, match=re.escape(said)):
        main([first, second])
    assert not (runs / "compare").exists()


@pytest.fixture
def controlled(runs, monkeypatch):
    """A cohort file under controlled access, of which both runs are made."""
    monkeypatch.setattr(executed_runs, "resolve", lambda path: runs.parent / path)
    cohort = planted_cohort(n=40).assign_attrs(access="controlled")
    cohort["subject"] = [f"NDAR{number:04d}" for number in range(40)]
    save_cohort(cohort, runs.parent / "mine.nc")
    given = {"cohort": str(runs.parent / "mine.nc")}
    for name, people, auc in (("demo", 240, "0.70"), ("mine", 237, "0.75")):
        numbers = {"cohort_train": people, "cohort_test": 200 + people, "training_auc": auc}
        lay_down(runs / name, numbers=numbers, parameters=given)
    return runs


def test_of_controlled_people_counts_that_differ_by_few_are_hidden(controlled):
    text = (write("demo", "mine")[0] / "compare.md").read_text()
    numbers = {row[1]: row[2:] for row in rows_of(text, "Key numbers")}
    assert numbers["cohort_train"] == ["hidden: fewer than ten apart"] * 3
    assert "240" not in text
    assert numbers["training_auc"] == ["0.70", "0.75", "+0.05"]


def test_of_controlled_people_who_are_shown_nothing_is_written(controlled):
    path = controlled / "mine/notebooks/05_regions.ipynb"
    made = nbformat.read(path, as_version=4)
    made.cells[1].outputs.append(nbformat.v4.new_output("stream", name="stdout", text="NDAR0003 moved"))
    nbformat.write(made, path)
    with pytest.raises(DisclosureError, match="names the subject NDAR0003"):
        write("demo", "mine")
    assert not (controlled / "compare").exists()


def test_a_run_whose_cohort_file_is_gone_is_refused(controlled):
    (controlled.parent / "mine.nc").unlink()
    with pytest.raises(RunError, match="which is not there: whether its people may be shown is not known"):
        write("demo", "mine")


def test_lists_are_held_against_chance():
    same = compare_lists(list("abc"), list("abc"), possible=10)
    assert same.jaccard == 1
    assert same.expected == pytest.approx(0.9)
    assert same.p_value == pytest.approx(1 / 120), "one of the 120 lists of three"
    assert compare_lists(list("abc"), list("def"), possible=10).p_value == 1
    assert compare_lists([], []).expected is None
    assert np.isnan(compare_lists([], []).jaccard)
    with pytest.raises(ValueError, match="hold 4 items together, of 3"):
        compare_lists(list("ab"), list("cd"), possible=3)


def test_runs_are_found_by_name_folder_and_notebook(runs):
    by = [find_run(asked) for asked in ("demo", "runs/demo", "runs/demo/notebooks/05_regions.ipynb")]
    assert {run.folder.resolve() for run in by} == {(runs / "demo").resolve()}
    assert [list(run.chapters) for run in by] == [["05_regions"]] * 3
