"""Files of a page: what stands in a table is in its file, counts of few people are not, and links lead there."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from bs4 import BeautifulSoup

from gcamccl_core.report import page_files
from gcamccl_core.report.disclosure import find_disclosures
from gcamccl_core.report.page_files import TABLES, VIEWS, embed_views, offer_table

OPEN, CONTROLLED = (xr.Dataset(attrs={"access": access}) for access in ("open", "controlled"))
TABLE = pd.DataFrame({"region": ["Cuneus", 'Insula, "left"'], "p_value": [0.001, 1 / 3], "people": [120, 4]})


@pytest.fixture
def shown(monkeypatch):
    """What was displayed, parsed."""
    pages = []
    monkeypatch.setattr(page_files, "display", lambda page: pages.append(BeautifulSoup(page.data, "html.parser")))
    return pages


def test_the_file_holds_the_table(tmp_path, shown):
    before = TABLE.copy()
    path = offer_table(TABLE, "hubs_2", tmp_path / "run", OPEN, caption="Hubs")
    assert path == tmp_path / "run" / TABLES / "hubs_2.csv"
    pd.testing.assert_frame_equal(pd.read_csv(path), TABLE)
    pd.testing.assert_frame_equal(TABLE, before)
    later = offer_table(TABLE.head(1), "hubs_2", tmp_path / "run", OPEN, caption="Hubs")  # of the next run
    assert later == path
    assert len(pd.read_csv(path)) == 1


def test_an_index_is_kept_if_it_has_a_name(tmp_path, shown):
    named = TABLE.set_index("region")
    path = offer_table(named, "named", tmp_path, OPEN, caption="Hubs")
    pd.testing.assert_frame_equal(pd.read_csv(path, index_col=0), named)
    levels = pd.concat({"low": TABLE, "high": TABLE}, names=["class", None])
    path = offer_table(levels, "levels", tmp_path, OPEN, caption="Hubs")
    assert pd.read_csv(path)["class"].tolist() == ["low", "low", "high", "high"]
    unnamed = TABLE.set_axis(["secret", "secrets"])
    path = offer_table(unnamed, "unnamed", tmp_path, OPEN, caption="Hubs")
    assert "secret" not in path.read_text()


@pytest.mark.parametrize(("rows", "size"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_the_link_says_what_it_leads_to_and_how_much_it_is(tmp_path, shown, rows, size):
    offer_table(TABLE.head(rows), "hubs", tmp_path, OPEN, caption="Hubs & <others>.")
    (page,) = shown
    (link,) = page.find_all("a")
    assert link.get_text() == f"Hubs & <others> (CSV, {size})"
    assert link["href"] == "../_static/tables/hubs.csv"
    assert link.has_attr("download")
    assert page.find("others") is None  # words, no tag


def test_a_run_folder_is_relative_to_the_project(tmp_path, shown, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gcamccl_core.provenance.project_root", lambda: tmp_path / "project")
    path = offer_table(TABLE, "hubs", "runs/demo", OPEN, caption="Hubs")
    assert path == tmp_path / "project" / "runs" / "demo" / TABLES / "hubs.csv"
    assert path.is_file()
    assert str(tmp_path) not in str(shown[0])  # a place of this machine is nobody's to know


@pytest.mark.parametrize("data", [CONTROLLED, xr.Dataset()])
def test_counts_of_few_people_are_hidden_unless_the_cohort_is_open(tmp_path, shown, data):
    path = offer_table(TABLE, "hubs", tmp_path, data, caption="Hubs")
    found = pd.read_csv(path)
    assert found["people"].tolist() == ["120", "<10"]
    assert found["region"].tolist() == TABLE["region"].tolist()
    np.testing.assert_allclose(found["p_value"], TABLE["p_value"])
    assert find_disclosures([], None, ["nobody-at-all"], files=[path]) == []
    offer_table(TABLE, "hubs", tmp_path, OPEN, caption="Hubs")
    assert [each.what for each in find_disclosures([], None, ["nobody-at-all"], files=[path])] == [
        "counts 4 under 'people' in row 'Insula, \"left\"', fewer than 10 people"
    ]


@pytest.mark.parametrize("name", ["../hubs", "hubs.csv", "two words", "", "2_hubs", "a/b"])
def test_names_that_are_no_files_are_refused(tmp_path, shown, name):
    with pytest.raises(ValueError, match=f"made of letters, digits and _, got {re.escape(repr(name))}"):
        offer_table(TABLE, name, tmp_path, OPEN, caption="Hubs")
    assert list(tmp_path.iterdir()) == shown == []


def test_a_table_needs_a_caption(tmp_path, shown):
    with pytest.raises(ValueError, match="table 'hubs' needs a caption"):
        offer_table(TABLE, "hubs", tmp_path, OPEN, caption="  ")
    assert list(tmp_path.iterdir()) == shown == []


def test_views_are_framed_with_a_name_and_a_link(shown):
    paths = {"class low": Path("run", VIEWS, "brain_low.html"), 'class <high> & "B"': Path("run", VIEWS, "b.html")}
    embed_views(paths, caption="Connections, to turn.", height=321)
    (page,) = shown
    frames, links = page.find_all("iframe"), page.find_all("a")
    assert [frame["src"] for frame in frames] == [link["href"] for link in links]
    assert [frame["src"] for frame in frames] == ["../_static/views/brain_low.html", "../_static/views/b.html"]
    names = [f"Connections, to turn: {title}" for title in paths]
    assert [frame["title"] for frame in frames] == names
    assert [link.get_text() for link in links] == [f"{name} (open it by itself)" for name in names]
    assert all("height: 321px" in frame["style"] and frame["loading"] == "lazy" for frame in frames)
    assert page.find("high") is None


def test_a_view_that_the_book_would_not_find_is_refused(shown):
    good = Path("run", VIEWS, "brain.html")
    with pytest.raises(ValueError, match=r"brain\.html must lie in the run's folder 'views' for the book to show it"):
        embed_views({"low": good, "high": Path("run", "figures", "brain.html")}, caption="Connections")
    assert shown == []
