"""The brain to turn holds every connection, and nothing that must be loaded from elsewhere."""

import base64
import dataclasses
import json

import numpy as np
import pytest
from browser import start_browser
from bs4 import BeautifulSoup
from nilearn.datasets import load_fsaverage
from nilearn.plotting import view_connectome
from playwright.sync_api import sync_playwright
from report_examples import example_cohort, example_connections

from gcamccl_core.report.brain_page import BrainOfClass, page_of_brains
from gcamccl_core.report.connections import LOBE_COLORS
from gcamccl_core.report.interactive_brain import interactive_brain, save_interactive_brain
from gcamccl_core.report.packed_scripts import unpack

HUBS = {"high": ["Lingual Gyrus"]}


def page_of(edges=None, cohort=None, **options):
    edges = example_connections() if edges is None else edges
    return interactive_brain(edges, example_cohort() if cohort is None else cohort, **options)


def data_of(page, target_class="high"):
    return json.JSONDecoder().raw_decode(page, page.index("const connectomes = ") + 20)[0][target_class]


def part_of(page, target_class="high"):
    """What the page says above its brain, and the list below, of one class."""
    return BeautifulSoup(page, "html.parser").find_all(class_="of-class", attrs={"data-of": target_class})


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
    assert len(page) < 1_300_000  # it stands in a chapter beside another
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


def test_nothing_is_loaded_from_elsewhere():
    soup = BeautifulSoup(page_of(hubs=HUBS), "html.parser")
    for tag in soup.find_all(True):
        assert not {"src", "href", "data", "srcset", "action"} & set(tag.attrs), tag.name
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    page = str(soup)
    assert "@import" not in page
    assert page.index("Content-Security-Policy") < page.index("<script")


def test_page_has_titles_words_and_lists_for_those_who_cannot_see_it():
    page = page_of(hubs=HUBS, top=2)
    soup = BeautifulSoup(page, "html.parser")
    assert soup.html["lang"] == "en"
    assert soup.title.string == soup.h1.string == "Selected connections in the brain"
    head, below = part_of(page)
    assert head.h2.string == "high: the strongest 2 of 3 connections"
    assert "Class high: 2 of 3 connections among 3 ROIs, most at roi_3 (2)" in head["data-alt"]
    said = [words.get_text() for words in soup.noscript.find_all("p")]
    assert said == [part_of(page, each)[0]["data-alt"] for each in ("low", "high")]
    rows = [[cell.get_text() for cell in row.find_all("td")] for row in below.find("table").find_all("tr")[1:]]
    assert rows == [["roi_0", "roi_3", "0.95"], ["roi_3", "roi_6", "0.9"]]
    assert all(soup.find(id=name)["aria-label"] for name in ("select-view", "opacity-range", "turn-range"))


def test_class_without_connections_says_so():
    page = page_of(example_connections()[1:])
    head, below = part_of(page, "low")
    assert head.h2.string == "low: no connection was selected"
    assert below.get_text() == ""
    assert head.has_attr("hidden")
    assert not part_of(page)[0].has_attr("hidden")  # the page begins with the class that has something to see
    assert set(data_of(page, "low")) == {"title", "hub_notes"}


def test_page_without_any_connection_draws_none():
    page = page_of(example_connections()[:0])
    assert [head.string for head in BeautifulSoup(page, "html.parser").find_all("h2")] == [
        "low: no connection was selected",
        "high: no connection was selected",
    ]
    assert "<script" not in page


def test_another_class_is_drawn_from_the_same_side(tmp_path):
    """In the browser: its lines and points take the place of the others', and the sliders work by keyboard."""
    edges = example_connections()
    save_interactive_brain(edges, example_cohort(), "brain", tmp_path, hubs=HUBS)
    with sync_playwright() as playwright:
        page = start_browser(playwright).new_page()
        faults = []
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.goto((tmp_path / "brain.html").as_uri())
        page.wait_for_function("document.querySelector('#connectome-plot').data?.length >= 5")
        plot = "document.querySelector('#connectome-plot')"
        behind = page.evaluate(f"{plot}.data.length") - 2
        for target_class in ("low", "high", "low"):
            page.select_option("#select-class", target_class)
            drawn = page.evaluate(f"{plot}.data.slice({behind}).map(each => each.x.length)")
            lines = int((edges["target_class"] == target_class).sum())
            ends = edges[edges["target_class"] == target_class][["roi_i", "roi_j"]]
            assert drawn == [len(set(ends.to_numpy().ravel())), 3 * lines]
            assert f"Class {target_class}: {lines} connection" in page.get_attribute("#connectome-plot", "aria-label")
            assert page.locator("h2:visible").all_inner_texts()[0].startswith(f"{target_class}: ")
        page.focus("#turn-range")
        page.keyboard.press("ArrowRight")
        turned = page.evaluate(f"{plot}.layout.scene.camera.eye")
        assert turned["x"] < 0 < turned["y"]
        page.select_option("#select-class", "high")
        assert page.evaluate(f"{plot}.layout.scene.camera.eye") == turned
        assert faults == []


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


@pytest.mark.parametrize(
    "name", ["IQ<100", "x</title><script>alert(1)</script>", "<!-- <script", 'a"b', "opacity: 0,\n"]
)
def test_no_name_of_a_class_gets_out_of_its_place(name):
    cohort = example_cohort()
    cohort["label"].attrs["classes"] = ["low", name]
    edges = example_connections()
    page = page_of(edges.assign(target_class=edges["target_class"].replace("high", name)), cohort)
    soup = BeautifulSoup(page, "html.parser")
    assert soup.title.string == "Selected connections in the brain"
    assert soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    assert len(soup.find_all("script")) == len(BeautifulSoup(page_of(), "html.parser").find_all("script"))
    assert len(data_of(page, name)["marker_names"]) == 4
    assert [option["value"] for option in soup.find(id="select-class").find_all("option")] == ["low", name]


def test_lacking_coordinates_are_refused():
    with pytest.raises(ValueError, match="no roi_x"):
        page_of(cohort=example_cohort().drop_vars("roi_x"))


def test_file_is_the_same_for_the_same_connections(tmp_path):
    edges, cohort = example_connections(), example_cohort()
    first = save_interactive_brain(edges, cohort, "figure_6", tmp_path / "a")
    second = save_interactive_brain(edges, cohort, "figure_6", tmp_path / "b")
    assert first.name == "figure_6.html"
    assert first.read_bytes() == second.read_bytes()


def test_a_page_that_is_not_nilearns_of_today_is_refused():
    view = view_connectome(np.ones((2, 2)) - np.eye(2), np.array([[0, 0, 0], [10, 10, 10]])).get_standalone()
    brain = BrainOfClass("high", "high", "high", "", "", view, {})
    assert "<title>" in page_of_brains([brain])
    other = dataclasses.replace(brain, view=view.replace("zaxis: axisConfig", "zaxis: {}"))
    with pytest.raises(RuntimeError, match="nilearn's page is not as expected: 'zaxis"):
        page_of_brains([other])
    with pytest.raises(ValueError, match="no class has a connection"):
        page_of_brains([dataclasses.replace(brain, view=None)])
