"""The brain to turn holds every connection, and nothing that must be loaded from elsewhere."""

import base64
import json

import numpy as np
import pytest
from bs4 import BeautifulSoup
from nilearn.datasets import load_fsaverage
from report_examples import example_cohort, example_connections

from gcamccl_core.report.connections import LOBE_COLORS
from gcamccl_core.report.interactive_brain import interactive_brain, save_interactive_brains
from gcamccl_core.report.packed_scripts import unpack

HUBS = {"high": ["Lingual Gyrus"]}


def page_of(target_class="high", edges=None, cohort=None, **options):
    edges = example_connections() if edges is None else edges
    return interactive_brain(edges, example_cohort() if cohort is None else cohort, target_class, **options)


def data_of(page):
    return json.JSONDecoder().raw_decode(page, page.index("var connectomeInfo = ") + 21)[0]["connectome"]


def mesh_of(page, half):
    script = unpack(page)
    shared = json.JSONDecoder().raw_decode(script, script.index("bothHalves = ") + 13)[0]
    return shared | json.JSONDecoder().raw_decode(script, script.index("...{", script.index(f".{half} = ")) + 3)[0]


def numbers(text):
    return np.frombuffer(base64.b64decode(text), dtype="<f4")


def test_every_connection_is_there_once_where_it_belongs():
    data, cohort = data_of(page_of()), example_cohort()
    ends = np.column_stack([numbers(data[f"_con_{axis}"]) for axis in "xyz"]).reshape(-1, 3, 3)[:, :2]
    places = np.column_stack([cohort[f"roi_{axis}"].to_numpy() for axis in "xyz"]).astype("float32")
    found = {frozenset(int(np.abs(places - end).sum(axis=1).argmin()) for end in line) for line in ends}
    assert len(ends) == 3
    assert found == {frozenset(pair) for pair in [(0, 3), (3, 6), (3, 4)]}


def test_the_surface_of_the_brain_is_that_of_the_library():
    hemispheres = load_fsaverage("fsaverage5")["pial"].parts
    for half, mesh in hemispheres.items():
        packed = mesh_of(page_of(), f"pial_{half}")
        places = np.column_stack([numbers(packed[f"_{axis}"]) for axis in "xyz"])
        faces = np.column_stack([np.frombuffer(base64.b64decode(packed[f"_{axis}"]), "<i4") for axis in "ijk"])
        np.testing.assert_allclose(places, mesh.coordinates, atol=0.051)
        np.testing.assert_array_equal(faces, mesh.faces)


def test_libraries_are_packed_and_what_is_the_cohorts_is_legible():
    page = page_of()
    script = unpack(page)
    assert script.index("jQuery v") < script.index("plotly.js") < script.index("connectomeInfo.pial_left")
    assert "plotly.js" not in page
    assert page.count("roi_3 (Lingual Gyrus)") == 1
    assert "Lingual" not in script
    assert page.index("unpacked = ") < page.index("unpacked.then(")
    assert len(page) < 1_300_000  # two of them stand in one chapter
    with pytest.raises(ValueError, match="no script is packed"):
        unpack("<p>nothing</p>")


def test_colours_are_on_the_scale_of_all_classes():
    data = data_of(page_of())
    assert (data["line_cmin"], data["line_cmax"]) == pytest.approx((0.85, 1.0))  # 1 is that of low
    assert np.sort(numbers(data["_con_w"])[::3]) == pytest.approx([0.85, 0.9, 0.95])


def test_rois_have_the_colour_of_their_lobe_and_grow_with_their_connections():
    data = data_of(page_of())
    assert [colour.upper()[:7] for colour in data["marker_color"]] == [
        LOBE_COLORS[lobe].upper() for lobe in ("Occipital", "Occipital", "Occipital", "Parietal")
    ]
    assert np.argmax(data["marker_size"]) == 1
    assert data["marker_names"][1] == "roi_3 (Lingual Gyrus): 3 connections"


def test_hubs_are_named():
    notes = data_of(page_of(hubs=HUBS))["hub_notes"]
    assert [note["text"] for note in notes] == ["<b>★ Lingual</b>"]
    assert notes[0]["x"] == pytest.approx(float(example_cohort()["roi_x"][3]))
    assert data_of(page_of())["hub_notes"] == []


@pytest.mark.parametrize("target_class", ["low", "high"])
def test_nothing_is_loaded_from_elsewhere(target_class):
    soup = BeautifulSoup(page_of(target_class, hubs=HUBS), "html.parser")
    for tag in soup.find_all(True):
        assert not {"src", "href", "data", "srcset", "action"} & set(tag.attrs), tag.name
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    page = str(soup)
    assert "@import" not in page
    assert page.index("Content-Security-Policy") < page.index("<script")


def test_page_has_title_words_and_a_list_for_those_who_cannot_see_it():
    soup = BeautifulSoup(page_of(hubs=HUBS, top=2), "html.parser")
    title = "high: the strongest 2 of 3 connections"
    assert soup.title.string == soup.h1.string == title
    assert soup.html["lang"] == "en"
    words = soup.find(id="connectome-plot")["aria-label"]
    assert "Class high: 2 of 3 connections among 3 ROIs, most at roi_3 (2)" in words
    assert words == soup.noscript.get_text()
    rows = [[cell.get_text() for cell in row.find_all("td")] for row in soup.find("table").find_all("tr")[1:]]
    assert rows == [["roi_0", "roi_3", "0.95"], ["roi_3", "roi_6", "0.9"]]
    assert all(soup.find(id=name)["aria-label"] for name in ("select-view", "opacity-range"))


def test_class_without_connections_says_so():
    page = page_of("low", example_connections()[1:])
    assert "low: no connection was selected" in page
    assert "<script" not in page


def test_cohort_without_lobes_or_region_names():
    cohort = example_cohort().drop_vars("roi_lobe")
    data = data_of(page_of(cohort=cohort, edges=example_connections().assign(region_i="", region_j="")))
    assert len(set(data["marker_color"])) == 1
    assert data["marker_names"][0] == "roi_0 (roi_0): 1 connection"


def test_names_cannot_break_the_page():
    edges = example_connections().assign(region_i="</script><b>", region_j="<i>&")
    page = page_of(edges=edges, hubs={"high": ["</script><b>"]})
    assert "</script><b>" not in page
    assert data_of(page)["hub_notes"][0]["text"] == "<b>★ &lt;/script&gt;&lt;b&gt;</b>"


def test_unknown_class_and_lacking_coordinates_are_refused():
    with pytest.raises(ValueError, match="no class 'none'; it has low, high"):
        page_of("none")
    with pytest.raises(ValueError, match="no roi_x"):
        page_of(cohort=example_cohort().drop_vars("roi_x"))


def test_files_are_the_same_for_the_same_connections(tmp_path):
    edges, cohort = example_connections(), example_cohort()
    first = save_interactive_brains(edges, cohort, "figure_6", tmp_path / "a")
    second = save_interactive_brains(edges, cohort, "figure_6", tmp_path / "b")
    assert [path.name for path in first.values()] == ["figure_6_low.html", "figure_6_high.html"]
    for name in first:
        assert first[name].read_bytes() == second[name].read_bytes()


def test_names_of_classes_become_file_names(tmp_path):
    cohort = example_cohort()
    cohort["label"].attrs["classes"] = ["a/b", "high"]
    paths = save_interactive_brains(example_connections(), cohort, "brain", tmp_path)
    assert paths["a/b"].name == "brain_a-b.html"
    cohort["label"].attrs["classes"] = ["a/b", "a b"]
    with pytest.raises(ValueError, match="would share a file"):
        save_interactive_brains(example_connections(), cohort, "brain", tmp_path)
