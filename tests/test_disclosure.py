"""Controlled data stay in: whatever points at a person in the outputs of a run is found, and the build stops."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import load_cohort, save_cohort
from gcamccl_core.report.disclosure import DisclosureError, find_disclosures, refuse_disclosures
from workflow import controlled as controlled_runs
from workflow.keep import refuse_controlled
from workflow.profile import Profile

SUBJECTS = ["sub-0001", "sub-0002", "50952", "7", "8", "9"]


def search(tmp_path, *cells, **figures):
    """Search a notebook of these cells and figures of these words."""
    path = tmp_path / "03_training.ipynb"
    nbformat.write(new_notebook(cells=list(cells)), path)
    (tmp_path / "figures").mkdir(exist_ok=True)
    for name, text in figures.items():
        (tmp_path / "figures" / name.replace("_", ".")).write_text(text)
    return [f"{each.where}: {each.what}" for each in find_disclosures([path], tmp_path / "figures", SUBJECTS)]


def shown(value):
    data = {"text/plain": str(value)}
    if isinstance(value, pd.DataFrame):
        data["text/html"] = value.to_html()
    return new_code_cell("value", outputs=[new_output("display_data", data=data)])


def printed(text):
    return new_code_cell("print(text)", outputs=[new_output("stream", name="stdout", text=text)])


def test_what_is_of_groups_may_be_shown(tmp_path):
    table = pd.DataFrame({"accuracy": [0.7, 0.8], "n_test": [56, 56]}, index=["linear SVM", "network"])
    cells = [shown(table), printed("56 of 342 people; area under the curve 0.84"), new_markdown_cell("Why 7?")]
    assert search(tmp_path, *cells, map_json=json.dumps({"alt": "Mean map of 120 subjects."})) == []


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        (printed("view 'fc' is missing in sub-0001"), ["cell 0: names the subject sub-0001"]),
        (printed("sub-00011 and xsub-0001 are others"), []),
        (printed("sub-0001_task-nback_bold.nii.gz"), ["cell 0: names the subject sub-0001"]),
        (printed("subject_50952 moved"), ["cell 0: names the subject 50952"]),
        (printed("sub-7 has two scans"), ["cell 0: names the subject sub-7"]),
        (printed("file:///home/u/x.nc"), ["cell 0: names the place file:///home/u/x.nc"]),
        (printed("cohort:/data/x.nc"), ["cell 0: names the place /data/x.nc"]),
        (new_code_cell('f"{run_folder}/raw/scans.csv"'), []),
        (printed("subject 50952 moved"), ["cell 0: names the subject 50952"]),
        (printed("0.50952 of 7"), []),
        (new_code_cell("data.sel(subject='sub-0002')"), ["cell 0: names the subject sub-0002"]),
        (new_markdown_cell("We see it in sub-0002."), ["cell 0: names the subject sub-0002"]),
        (printed("wrote /data/pnc/cohort.nc"), ["cell 0: names the place /data/pnc/cohort.nc"]),
        (printed(r"wrote C:\pnc\cohort.nc"), [r"cell 0: names the place C:\pnc\cohort.nc"]),
        (printed("wrote runs/mine/cohort.nc and/or https://example.org/a/b"), []),
        (new_code_cell('cohort = "/data/pnc/cohort.nc"'), ["cell 0: names the place /data/pnc/cohort.nc"]),
    ],
)
def test_a_person_or_a_place_in_words_is_found(tmp_path, cell, found):
    assert [f"{each.split(';')[0]}" for each in search(tmp_path, cell)] == [f"03_training, {each}" for each in found]


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (pd.DataFrame({"score": [1.5]}, index=pd.Index(["7"], name="subject")), "a row for every subject"),
        (pd.DataFrame({"subject": ["7"], "score": [1.5]}), "a row for every subject"),
        (pd.DataFrame({"score": range(4)}, index=["7", "8", "9", "10"]), "a row for every subject"),
        (pd.DataFrame({"n": [120, 5.0]}), "counts 5.0 under 'n', fewer than 10 people"),
        (pd.DataFrame({"n": [120, 9]}), "counts 9 under 'n', fewer than 10 people"),
        (pd.DataFrame({"subjects": [3]}), "counts 3 under 'subjects'"),
        (pd.DataFrame({"low": [4], "high": [120]}, index=["people"]), "counts 4 under 'people'"),
        (pd.DataFrame({("test", "n_test"): [8]}), "counts 8 under 'test n_test'"),
        (
            pd.DataFrame({"n": [50, 60, 2, 70]}, index=pd.MultiIndex.from_product([["a", "b"], ["low", "high"]])),
            "counts 2 under 'n'",
        ),
    ],
)
def test_a_table_of_one_person_or_of_few_is_found(tmp_path, table, what):
    found = search(tmp_path, shown(table))
    assert len(found) == 1
    assert what in found[0]


def test_no_people_and_numbers_that_count_no_people_are_let_through(tmp_path):
    table = pd.DataFrame({"n": [0, 100], "rank": [1, 2], "n_splits": 3, "shape of one subject": "4 x 4"})
    assert search(tmp_path, shown(table)) == []


def test_the_chapters_as_they_are_stored_would_pass():
    """Of people whom they do not name: what is in them is of groups, and speaks of no place."""
    notebooks = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
    found = find_disclosures(notebooks, None, ["nobody-at-all"])
    own = [each for each in found if not each.where.startswith("11_")]  # shows simulated people one by one, on purpose
    assert own == []


def test_words_of_figures_are_searched(tmp_path):
    found = search(tmp_path, map_json=json.dumps({"alt": "Map of sub-0001."}), map_svg="<text>sub-0002</text>")
    assert sorted(found) == ["map.json: names the subject sub-0001", "map.svg: names the subject sub-0002"]


def test_the_build_stops_and_says_where(tmp_path):
    path = tmp_path / "04_maps.ipynb"
    nbformat.write(new_notebook(cells=[printed("sub-0001"), printed("/data/pnc/x")]), path)
    with pytest.raises(DisclosureError, match=r"would leave: 04_maps, cell 0 names the subject sub-0001; 04_maps,"):
        refuse_disclosures(find_disclosures([path], None, SUBJECTS))
    refuse_disclosures([])
    many = [new_markdown_cell(f"id{number:04d}") for number in range(30)]
    nbformat.write(new_notebook(cells=many), path)
    with pytest.raises(DisclosureError, match="and 10 more"):
        refuse_disclosures(find_disclosures([path], None, [f"id{number:04d}" for number in np.arange(30)]))


@pytest.fixture
def controlled(tmp_path, monkeypatch):
    """A profile of one chapter on a controlled cohort, and its executed notebook."""
    cohort = planted_cohort(n=40).assign_attrs(access="controlled")
    cohort["subject"] = [f"sub-{number:04d}" for number in range(40)]
    path = save_cohort(cohort, tmp_path / "mine.nc")
    monkeypatch.chdir(tmp_path)
    profile = Profile("mine", "Mine", {"cohort": str(path)}, {})
    monkeypatch.setattr(controlled_runs, "notebook_names", lambda: ["03_training"])
    monkeypatch.setattr(controlled_runs, "declared", lambda name: {"cohort": "simulated"})
    monkeypatch.setattr(controlled_runs, "parameters_for", lambda profile, name: {"cohort": str(path)})
    return profile, path


def test_a_book_of_a_controlled_cohort_is_not_built_if_a_subject_slips_through(controlled, tmp_path):
    profile, path = controlled
    executed = tmp_path / "03_training.ipynb"
    nbformat.write(new_notebook(cells=[printed("all is well")]), executed)
    controlled_runs.refuse_to_disclose(profile, [executed])
    nbformat.write(new_notebook(cells=[printed("sub-0007 is the farthest")]), executed)
    with pytest.raises(DisclosureError, match="03_training, cell 0 names the subject sub-0007"):
        controlled_runs.refuse_to_disclose(profile, [executed])
    save_cohort(load_cohort(path).assign_attrs(access="Controlled"), path, overwrite=True)
    with pytest.raises(DisclosureError):  # whatever does not say that it is open
        controlled_runs.refuse_to_disclose(profile, [executed])
    save_cohort(load_cohort(path).assign_attrs(access="open"), path, overwrite=True)
    controlled_runs.refuse_to_disclose(profile, [executed])


def test_outputs_of_a_controlled_cohort_are_never_kept_in_the_repository(controlled):
    _, path = controlled
    with pytest.raises(ValueError, match=r"mine\.nc is a controlled cohort; outputs made of it are never kept"):
        refuse_controlled(str(path))
    save_cohort(load_cohort(path).assign_attrs(access="open"), path, overwrite=True)
    refuse_controlled(str(path))
    refuse_controlled("simulated")
