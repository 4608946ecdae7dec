"""Controlled data stay in: whatever points at a person in the outputs of a run is found, and the build stops."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from small_cohorts import planted_cohort

from gcamccl_core.data.cohort import load_cohort, save_cohort
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.report.cohort_figures import alt_cohort, plot_cohort
from gcamccl_core.report.disclosure import (
    DisclosureError,
    average_people,
    find_disclosures,
    is_controlled,
    mask_small_counts,
    refuse_disclosures,
)
from gcamccl_core.report.style import new_figure
from workflow import controlled as controlled_runs
from workflow.keep import refuse_controlled
from workflow.profile import Profile

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
SUBJECTS = ["sub-0001", "sub-0002", "50952", "0061234", "7", "8", "9"]
CONTROLLED = xr.Dataset(attrs={"access": "controlled"})


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
        (printed("file:///data/u/x.nc"), ["cell 0: names the place file:///data/u/x.nc"]),
        (printed("cohort:/data/x.nc"), ["cell 0: names the place /data/x.nc"]),
        (new_code_cell('f"{run_folder}/raw/scans.csv"'), []),
        (printed("subject 50952 moved"), ["cell 0: names the subject 50952"]),
        (printed("subject 7 moved; subject_8 did not, 9 did"), [f"cell 0: names the subject {n}" for n in "78"]),
        (printed("61234 moved"), ["cell 0: names the subject 61234"]),
        (printed("0061234.0 and 0050952"), [f"cell 0: names the subject {n}" for n in ("0061234", "0050952")]),
        (printed("subjects: 7.5 and subject 70; 7 subjects-8x"), ["cell 0: counts 7 people, fewer than 10, in"]),
        (
            printed("wrote ~/pnc/x.nc and ~me/x.nc"),
            [f"cell 0: names the place {p}" for p in ("~/pnc/x.nc", "~me/x.nc")],
        ),
        (printed("wrote /1000brains/x/y"), ["cell 0: names the place /1000brains/x/y"]),
        (printed("1/2, 3 /4/5, a /2026/11/27 and $a ~/ b$"), []),
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
    said = [each.split(";")[0].split(" '")[0] for each in search(tmp_path, cell)]
    assert said == [f"03_training, {each}" for each in found]


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (pd.DataFrame({"score": [1.5]}, index=pd.Index(["7"], name="subject")), "a row for every subject"),
        (pd.DataFrame({"subject": ["7"], "score": [1.5]}), "a row for every subject"),
        (pd.DataFrame({"score": range(4)}, index=["7", "8", "9", "10"]), "a row for every subject"),
        (pd.DataFrame({"n": [120, 5.0]}), "counts 5.0 under 'n' in row '1', fewer than 10 people"),
        (pd.DataFrame({"n": [120, 9]}), "counts 9 under 'n' in row '1', fewer than 10 people"),
        (pd.DataFrame({"subjects": [3]}), "counts 3 under 'subjects'"),
        (pd.DataFrame({"low": [4], "high": [120]}, index=["people"]), "counts 4 under 'low' in row 'people'"),
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
    scores = pd.DataFrame({"age": [4.0, 3.5, 14.2], "sex": [0.5, 1.0, 0.4], "fc": [1.0, 0.91, -0.2]})
    by_split = pd.DataFrame([[4, 7]], index=["low"], columns=pd.MultiIndex.from_product([["connections"], [0, 1]]))
    settings = pd.Series({"cohort": "mine", "seed": 0, "epochs": 5}, name="this run").to_frame()
    text = "seed 0:  67%|###  | 2/3 [00:05<00:02,  2.60s/it]\n\nepoch  4\nseed   1\n\n3 splits of 56 people"
    assert search(tmp_path, shown(table), shown(scores), shown(by_split), shown(settings), printed(text)) == []


def test_whatever_does_not_say_that_it_is_open_is_controlled():
    attrs = ({}, {"access": "Controlled"}, {"access": "restricted"}, {"access": "Open"}, {"access": "controlled"})
    assert all(is_controlled(xr.Dataset(attrs=each)) for each in attrs)
    assert not is_controlled(xr.Dataset(attrs={"access": "open"}))
    assert not is_controlled(simulate_cohort(n_subjects=40, progress=False))


def test_the_chapters_as_they_are_stored_would_pass():
    """Of people whom they do not name, but for what they show of open cohorts alone, or hide of others."""
    notebooks = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if not path.stem.startswith("14_")]  # printed genes
    found = find_disclosures(notebooks, None, ["nobody-at-all"])
    own = [each for each in found if not each.where.startswith("11_")]  # shows simulated people one by one, on purpose
    hidden = (
        "1 of 60 subjects",
        "3 of its subjects",
        "with 4 subjects",
        "3 subjects are fewer",
        "8 subjects are fewer",
    )
    assert [each for each in own if not any(words in each.what for words in hidden)] == []


def test_figures_of_a_controlled_cohort_show_no_person_and_no_group_of_few():
    cohort = simulate_cohort(n_subjects=120, progress=False).assign_attrs(access="controlled")
    score, age, *_ = plot_cohort(cohort).axes
    counted = [bar.get_height() * bar.get_width() for bar in score.patches if bar.get_height()]
    assert sum(counted) == pytest.approx(120)
    assert min(counted) > 10 - 1e-6
    assert score.get_xlim()[0] < cohort["score"].min() - 1
    assert {tuple(line.get_ydata()) for line in age.lines if len(set(line.get_ydata())) > 1} == set()  # no whiskers
    few = simulate_cohort(n_subjects=40, progress=False).assign_attrs(access="controlled")
    figure = plot_cohort(few)
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["low (n < 10)", "high (n < 10)"]
    assert len(figure.axes[1].patches) == 1
    assert "fewer than 10 low" in alt_cohort(few)
    nobody = plot_cohort(few.isel(subject=slice(0, 8)))
    assert all(len(ax.patches) == 0 for ax in nobody.axes)


def test_words_and_strips_of_a_figure_are_hidden():
    figure = new_figure(1)
    ax = figure.subplots()
    ax.imshow(np.arange(6.0).reshape(2, 3))
    ax.set(ylabel="subject", title="low: map of 8 subjects")
    same, alt = mask_small_counts((average_people(figure, CONTROLLED), "8 subjects"), CONTROLLED)
    assert (same, alt, ax.get_title(), ax.get_ylabel()) == (figure, "<10 subjects", "low: map of <10 subjects", "mean")
    assert ax.images[0].get_array().tolist() == [[1.5, 2.5, 3.5]]
    assert mask_small_counts(ax, CONTROLLED) is ax
    with pytest.raises(TypeError, match="no rule says how to hide counts in int"):
        mask_small_counts(3, CONTROLLED)


def test_words_of_figures_are_searched(tmp_path):
    found = search(
        tmp_path,
        map_json=json.dumps({"alt": "Map of sub-0001."}),
        map_svg='<g><!-- mean of 8 -->\n<path d="L 50952 1"/></g><text>subject 7</text><text>sub-0002</text>',
    )
    assert sorted(found) == [
        "map.json: names the subject sub-0001",
        "map.svg: counts 8 people, fewer than 10, in 'mean of 8 subject 7 sub-'",
        "map.svg: names the subject 7",
        "map.svg: names the subject sub-0002",
    ]


@pytest.fixture
def files(tmp_path):
    """Search files of a page, written from tables, or HTML, by name."""

    def search_files(**files):
        for name, content in files.items():
            of_table = isinstance(content, pd.DataFrame)
            path = tmp_path / ("tables" if of_table else "views") / f"{name}.{'csv' if of_table else 'html'}"
            path.parent.mkdir(exist_ok=True)
            path.write_text(content.to_csv(index=False) if of_table else content)
        written = sorted(tmp_path.glob("*/*"))
        return [f"{each.where}: {each.what}" for each in find_disclosures([], None, SUBJECTS, files=written)]

    return search_files


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (pd.DataFrame({"note": ["sub-0001 moved"], "accuracy": [0.5]}), ["names the subject sub-0001"]),
        (pd.DataFrame({"accuracy": [0.5], "id": ["61234"]}), ["names the subject 61234"]),
        (pd.DataFrame({"made by": ["/data/pnc/x"], "auc": [0.5]}), ["names the place /data/pnc/x"]),
        (pd.DataFrame({"group": ["a", "b"], "n": [120, 9]}), ["counts 9 under 'n' in row 'b', fewer than 10 people"]),
        (pd.DataFrame({"people": [3], "low": [4]}), ["counts 3 under 'people'", "counts 4 under 'low' in row '3'"]),
        (pd.DataFrame({"subject": ["7"], "score": [1.5]}), ["has a table with a row for every subject"]),
        (pd.DataFrame({"score": [1.5], "subject": ["x"]}), ["has a table with a row for every subject"]),
        (
            pd.DataFrame({"who": ["0007", "8", "sub-9"], "score": [1.5] * 3}),
            ["names the subject sub-9", "a row for every"],
        ),
    ],
)
def test_a_person_few_people_or_a_place_in_a_table_to_download_is_found(files, table, found):
    said = files(mine=table, clean=pd.DataFrame({"region": ["Cuneus"], "rois": [7]}))
    assert len(said) == len(found)
    for each, what in zip(said, found, strict=True):
        assert each.startswith("mine.csv: ")
        assert what in each


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("<p>Brain of sub-0002</p>", ["names the subject sub-0002"]),
        ("<p>subject<b>_7</b></p>", ["names the subject 7"]),
        ("<p><b>4</b> subjects</p>", ["counts 4 people, fewer than 10, in '4 subjects'"]),
        ('<p title="mean of 8">brain</p>', ["counts 8 people, fewer than 10, in 'brain mean of 8'"]),
        ("<h1>mean of 8</h1>", ["counts 8 people, fewer than 10, in 'mean of 8'"]),
        ("<p>Of <i>4 test subjects</i></p>", ["counts 4 people, fewer than 10, in 'Of 4 test subjects'"]),
        (
            "<p>made of /data/pnc/cohort.nc</p>",
            ["names the place /data/pnc/cohort.nc; give paths relative to the project"],
        ),
        ("<script>a = 1;</script><p>50952</p><script>b</script>", ["names the subject 50952"]),
    ],
)
def test_a_person_few_people_or_a_place_in_a_view_is_found(files, page, found):
    said = [each.replace("  ", " ") for each in files(brain=f"<html><body>{page}</body></html>")]
    assert said == [f"brain.html: {what}" for what in found]


def test_clean_tables_and_views_are_let_through_and_scripts_are_not_read(files):
    table = pd.DataFrame(
        {"region": ["Cuneus", "Insula"], "connections": [4, 12], "p_value": [0.5, 0.001], "low": [50, 120]}
    )
    script = "var x = '/data/pnc/x'; // sub-0001, mean of 8 subjects\nlet people = '3 subjects';"
    page = (
        f"<style>.a {{src: '/data/a/b'}}</style><SCRIPT type='x'>{script}</SCRIPT><p>Mean of 120 subjects, 3 views.</p>"
    )
    assert files(table=table, hidden=pd.DataFrame({"people": ["<10", "12"]}), brain=page) == []
    assert files(brain=f"<p>{script}</p>") != []


def test_only_the_files_that_are_named_are_searched(files, tmp_path):
    assert files() == []
    assert len(files(mine=pd.DataFrame({"note": ["sub-0001"]}), brain="<p>sub-0002</p>")) == 2
    alone = [find_disclosures([], None, SUBJECTS, files=[path]) for path in sorted(tmp_path.glob("*/*"))]
    assert [[each.where for each in found] for found in alone] == [["mine.csv"], ["brain.html"]]
    assert find_disclosures([], None, SUBJECTS) == []


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


@pytest.mark.parametrize(("folder", "name"), [("tables", "who.csv"), ("views", "brain.html")])
def test_files_that_a_page_offers_are_searched_before_the_book_is_built(controlled, tmp_path, folder, name):
    profile, _ = controlled
    path = profile.run_folder / folder / name
    path.parent.mkdir(parents=True)
    path.write_text("note,accuracy\nsub-0007 moved,0.5\n")
    executed = tmp_path / "03_training.ipynb"
    nbformat.write(new_notebook(cells=[printed("all is well")]), executed)
    controlled_runs.refuse_to_disclose(profile, [executed])  # no page offers it, so no book takes it along
    link = f'<a href="../_static/{folder}/{name}">who</a>'
    cell = new_code_cell("offer", outputs=[new_output("display_data", data={"text/html": link})])
    nbformat.write(new_notebook(cells=[cell]), executed)
    assert controlled_runs.offered_files(profile.run_folder, [executed]) == [path]
    with pytest.raises(DisclosureError, match=f"{name} names the subject sub-0007"):
        controlled_runs.refuse_to_disclose(profile, [executed])


def test_outputs_of_a_controlled_cohort_are_never_kept_in_the_repository(controlled):
    _, path = controlled
    with pytest.raises(ValueError, match=r"mine\.nc is a controlled cohort; outputs made of it are never kept"):
        refuse_controlled(str(path))
    save_cohort(load_cohort(path).assign_attrs(access="open"), path, overwrite=True)
    refuse_controlled(str(path))
    refuse_controlled("simulated")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("left out subjects: 7", "7"),
        ("Subjects: 007 and 031", "007"),
        ("participants: 12", "12"),
        ("subjects: '007'", "007"),
        ("in 14 of 60 subjects: 7, 8, 9 and 11 more", "7"),
        ("subject::7", "7"),
        ("60 subjects: 30 low, 30 high", None),
    ],
)
def test_short_ids_are_found_after_the_word_and_a_colon_but_a_count_is_none(tmp_path, text, named):
    cell = nbformat.v4.new_markdown_cell(text)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    found = find_disclosures([tmp_path / "a.ipynb"], None, [str(number) for number in range(1, 61)])
    assert [each.what for each in found][:1] == ([f"names the subject {named}"] if named else [])


@pytest.mark.parametrize("form", ["{}", "{:03d}", "sub-{:03d}"])
def test_a_numbered_table_is_of_people_where_ids_are_numbers_and_of_rows_where_they_are_not(tmp_path, form):
    ids = [form.format(number) for number in range(1, 61)]
    of_rows = pd.DataFrame({"accuracy": np.linspace(0.11, 0.97, 60)}, index=range(1, 61))
    of_people = of_rows.set_axis(ids)
    of_splits = of_rows[:10].set_axis([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    for table, shown in ((of_splits, form != "sub-{:03d}"), (of_rows, form != "sub-{:03d}"), (of_people, True)):
        output = nbformat.v4.new_output("display_data", {"text/html": table.to_html()})
        cell = nbformat.v4.new_code_cell("x", outputs=[output])
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
        found = [each.what for each in find_disclosures([tmp_path / "a.ipynb"], None, ids)]
        assert ("has a table with a row for every subject" in found) == shown
