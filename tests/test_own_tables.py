"""Tables of one's own become a cohort whatever the order of their rows, or an error names file, column and person."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcamccl_core.data.cohort import CohortError, load_cohort
from gcamccl_core.data.own_tables import cohort_from_tables, describe_classes, main

IDS = [f"sub-{number:03d}" for number in range(1, 21)]


@pytest.fixture
def files(tmp_path):
    """Two views and people, the rows of each in another order."""
    rng = np.random.default_rng(0)
    for name, features in (("first", 5), ("second", 3)):
        table = pd.DataFrame(rng.normal(size=(20, features)), columns=[f"{name}_{k}" for k in range(features)])
        table.insert(0, "subject", IDS)
        table.sample(frac=1, random_state=len(name)).to_csv(tmp_path / f"{name}.csv", index=False)
    people = pd.DataFrame({"subject": IDS, "score": 80 + 2 * np.arange(20), "age": 30, "sex": ["f", "m"] * 10})
    people.to_csv(tmp_path / "people.csv", index=False)
    return tmp_path


def made(files, **options):
    views = {name: files / f"{name}.csv" for name in ("first", "second")}
    return cohort_from_tables(views, files / "people.csv", **options)


def change(path, function):
    table = pd.read_csv(path, dtype=str)
    function(table).to_csv(path, index=False)


def test_every_number_is_with_its_person(files):
    cohort = made(files, covariates=["age", "sex"])
    for name in ("first", "second"):
        table = pd.read_csv(files / f"{name}.csv").set_index("subject")
        expected = table.loc[cohort["subject"].to_numpy()].to_numpy("float32")
        np.testing.assert_array_equal(cohort[name].to_numpy(), expected)
    score = pd.read_csv(files / "people.csv").set_index("subject")["score"]
    low = set(score.index[score < score.median()])
    assert {str(each) for each in cohort["subject"].to_numpy()[cohort["label"] == 0]} == low
    assert cohort["age"].dtype.kind in "fi"
    assert set(cohort["sex"].to_numpy()) == {"f", "m"}
    assert cohort.attrs["access"] == "controlled"


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        (
            "first",
            lambda t: t.rename(columns={"subject": "id"}),
            r"first.csv has no column 'subject' of ids; it has id, f",
        ),
        (
            "second",
            lambda t: pd.concat([t, t[:1]]),
            r"second.csv lists more than once: sub-\d+ \(lines 2, 22\); keep one",
        ),
        (
            "first",
            lambda t: t.assign(first_2="n?"),
            r"first.csv, column 'first_2', sub-\d+: 'n\?' is not a number \(and 19",
        ),
        ("first", lambda t: t.assign(first_2=""), r"first.csv, column 'first_2', sub-\d+: '' is empty \(and 19 more"),
        ("people", lambda t: t.assign(score="m"), r"people.csv, column 'score', sub-\d+: 'm' is not a number"),
        (
            "people",
            lambda t: t.assign(score=["", *t["score"][1:]]),
            r"people.csv, column 'score', sub-\d+: '' is empty",
        ),
        ("people", lambda t: t.drop(columns="score"), r"people.csv has no column 'score'; it has age, sex"),
        ("second", lambda t: t[t["subject"] != "sub-007"], r"second.csv lacks 'sub-007' \(19 are in all files\)"),
        (
            "second",
            lambda t: t.assign(subject=t["subject"].str.replace("-", "")),
            r"second.csv lacks 'sub-.*\(0 are in",
        ),
        ("people", lambda t: t.assign(score=100), r"all 20 people have nearly the same score"),
        ("second", lambda t: t[["subject"]], r"second.csv has no column beside the ids"),
    ],
)
def test_what_is_wrong_is_named_with_file_column_and_person(files, name, fault, said):
    change(files / f"{name}.csv", fault)
    with pytest.raises(ValueError, match=said):
        made(files)


def write(path, text):
    path.write_text(text, encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ("subject,site,score\n1,2,10,99\n2,1,20,98\n", r"people.csv, line 2: 4 cells, where the first line names 3"),
        ("subject,score\n1,99,5\n2,98,5\n", r"line 2: 3 cells, .* a comma inside a cell"),
        ("subject,score,score\n1,2,3\n2,3,4\n", r"more than one column 'score'; rename"),
        (",subject,score\n0,1,2\n1,2,3\n", r"column 1 has no name"),
        ("subject,score\n1,inf\n2,3\n", r"column 'score', 1: 'inf' is infinite"),
        ("subject,score\n\n1,4\n\n1,3\n", r"lists more than once: 1 \(lines 3, 5\)"),
        ("subject,score,age\n1,4,20\n2,3,old\n", r"column 'age', 2: 'old' among numbers"),
        ("subject,score,age,site\n1,4,20,A\n2,3,21,NA\n", r"group"),
        ("subject,score\n", r"people.csv has no people"),
    ],
)
def test_no_table_is_read_in_another_way_than_it_was_meant(tmp_path, people, said):
    write(tmp_path / "one.csv", "subject,a\n1,5\n2,6\n")
    write(tmp_path / "people.csv", people)
    given = {"covariates": ["age"]} if "age" in people else {}
    given |= {"group": "site"} if "NA" in people else {}
    with pytest.raises(CohortError, match=said):
        cohort_from_tables({"one": tmp_path / "one.csv"}, tmp_path / "people.csv", **given)


def test_semicolons_quotes_and_blanks(tmp_path):
    write(tmp_path / "one.csv", 'subject;"a, b";c\n 007 ;1e5;2\n"P1";3; 4 \n')
    write(tmp_path / "people.csv", "subject\tscore\tsite\nP1\t1\tA\n007\t2\tA \n")
    cohort = cohort_from_tables({"one": tmp_path / "one.csv"}, tmp_path / "people.csv", group="site")
    assert cohort["one"].to_numpy().tolist() == [[1e5, 2], [3, 4]]
    assert cohort["subject"].to_numpy().tolist() == ["007", "P1"]
    assert cohort["one_feature"].to_numpy().tolist() == ["a, b", "c"]
    assert set(cohort["group"].to_numpy()) == {"A"}


def test_the_score_is_no_view(files):
    with pytest.raises(CohortError, match="cannot be a view as well"):
        cohort_from_tables({"people": files / "people.csv"}, files / "people.csv")
    change(files / "first.csv", lambda table: table.assign(score=1))
    with pytest.raises(CohortError, match="has the column 'score': a model would read"):
        made(files)


def test_people_whom_all_files_have_can_be_kept(files):
    change(files / "second.csv", lambda table: table[table["subject"] != "sub-007"])
    cohort = made(files, common=True)
    assert cohort.sizes["subject"] == 19
    assert "sub-007" not in cohort["subject"]
    change(files / "second.csv", lambda table: table.assign(subject=table["subject"] + "x"))
    with pytest.raises(CohortError, match="no id is in all of"):
        made(files, common=True)


def test_blanks_around_an_id_and_an_unknown_file(files):
    change(files / "second.csv", lambda table: table.assign(subject=table["subject"] + " "))
    assert made(files).sizes["subject"] == 20
    (files / "second.csv").unlink()
    with pytest.raises(CohortError, match=r"there is no file .*second\.csv"):
        made(files)


def test_ties_in_the_middle_make_the_classes_smaller_and_a_fraction_that_they_forbid_names_the_largest(files):
    change(files / "people.csv", lambda table: table.assign(score=[90] * 8 + [100] * 6 + [110] * 6))
    assert describe_classes(made(files)) == "20 people: 8 low, 8 high, 4 between them, without a class"
    with pytest.raises(ValueError, match=r"a score of 100 would be both low and high.* The largest is 0\.\d+"):
        made(files, fraction=0.5)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 6), min_size=4, max_size=30))
def test_classes_are_of_one_size_and_never_divide_a_score(tmp_path_factory, scores):
    folder = tmp_path_factory.mktemp("tables")
    ids = [f"P{number}" for number in range(len(scores))]
    pd.DataFrame({"subject": ids, "a": range(len(ids))}).to_csv(folder / "one.csv", index=False)
    pd.DataFrame({"subject": ids, "score": scores}).to_csv(folder / "people.csv", index=False)
    if len(set(scores)) == 1:
        with pytest.raises(ValueError, match="nearly the same score"):
            cohort_from_tables({"one": folder / "one.csv"}, folder / "people.csv")
        return
    cohort = cohort_from_tables({"one": folder / "one.csv"}, folder / "people.csv")
    low, high = (cohort["score"].to_numpy()[cohort["label"] == number] for number in (0, 1))
    assert len(low) == len(high) > 0
    assert low.max() < high.min()


def test_from_a_shell_it_says_what_it_made_or_what_is_wrong(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    command = ["first.csv", "second.csv", "--people", "people.csv"]
    assert main(command) == 0
    said = (
        "my_cohort.nc: 20 people: 10 low, 10 high; views first (5 features), second (3 features); access controlled\n"
    )
    assert capsys.readouterr().out == said
    assert load_cohort("my_cohort.nc").sizes["subject"] == 20
    assert main(command) == 1
    assert "my_cohort.nc exists" in capsys.readouterr().err
    change(files / "second.csv", lambda table: table[table["subject"] != "sub-007"])
    assert main([*command, "--overwrite", "--common", "--covariates", "age,sex"]) == 0
    assert capsys.readouterr().out.startswith(
        "left out, since not in all files: sub-007\nmy_cohort.nc: 19 people: 9 low"
    )
    assert main([*command, "--overwrite", "--subject", "id"]) == 1
    assert "first.csv has no column 'id' of ids; it has subject, first_0" in capsys.readouterr().err
    assert load_cohort("my_cohort.nc").sizes["subject"] == 19
