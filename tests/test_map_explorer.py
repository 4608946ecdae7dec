"""The page with sliders selects what select_biomarkers selects, tells nothing of few people, and works by keyboard."""

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from browser import start_browser
from bs4 import BeautifulSoup
from small_cohorts import planted_cohort

from gcamccl_core.data.splits import Split
from gcamccl_core.maps.dataset import label_maps
from gcamccl_core.maps.selection import select_biomarkers
from gcamccl_core.report import map_explorer, page_files
from gcamccl_core.report.disclosure import find_disclosures
from gcamccl_core.report.explorer_numbers import NoExplorerError, count_kept, least_frequency
from gcamccl_core.report.map_explorer import LAYOUT, TEMPLATE, explore_maps, offer_explorer
from gcamccl_core.report.page_files import VIEWS

METHOD = "guided_grad_cam"
PLACES = [(0.05, 0.7), (0.01, 0.3), (0.12, 0.5), (0.5, 0.99), (0.2, 0.4), (0.33, 0.61)]


def small_study(n=60, access="open", truth=True, n_splits=2):
    """A cohort, its splits, and maps of all its subjects for two networks: skewed noise, brighter in places."""
    cohort = planted_cohort(n=n, side=12, length=40).assign_attrs(access=access)
    label = np.flatnonzero(cohort["label"].to_numpy() >= 0)
    half = len(label) // 2
    splits = [Split(label[:half], label[:0], label[half:])] * n_splits
    if truth:
        block = np.zeros((12, 12), dtype=bool)
        block[:5, 8:] = block[8:, :5] = True
        of_snps = np.arange(40) < np.array([[6], [9]])  # of low six, of high nine
        for depth in ("truth", "population_truth"):
            cohort[f"{depth}_fc"] = (("target_class", "roi_i", "roi_j"), np.stack([block, block]))
            cohort[f"{depth}_snp"] = (("target_class", "locus"), of_snps)
        cohort = cohort.assign_coords(target_class=["low", "high"])
    networks = {
        name: [maps_of(cohort, split.test, seed + k) for k, split in enumerate(splits)]
        for name, seed in (("trained", 0), ("random weights", 10))
    }
    return networks, [cohort] * n_splits, splits


def maps_of(cohort, subjects, seed):
    some, rng = cohort.isel(subject=subjects), np.random.default_rng(seed)
    values = {}
    for view in ("fc", "snp"):
        shape = some[view].shape[1:]
        bright = rng.gamma(0.3, 2, (2, 1, *shape))
        noise = rng.gamma(0.5, 1, (len(subjects), 2, 1, *shape)) * bright
        values[view] = (noise - 0.05).astype("float32")
    return label_maps(values, some, [METHOD], {"fc": None, "snp": None})


def numbers_of(page):
    return json.loads(BeautifulSoup(page, "html.parser").find(id="numbers").string)


def unpack(text, kind):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=kind)


def counts_of(block, thresholds):
    """Positions, and per threshold the number of subjects above it."""
    packed = unpack(block["counts"], block["size"]).reshape(len(thresholds), block["n"]).astype(int)
    return unpack(block["features"], "<u4"), packed[0] - np.vstack([0 * packed[:1], packed[1:]]).cumsum(axis=0)


def selected_in(numbers, place, threshold, frequency):
    (block,) = [one for one in numbers["blocks"] if place.items() <= one.items()]
    features, counts = counts_of(block, numbers["thresholds"])
    row = counts[numbers["thresholds"].index(threshold)]
    order = np.argsort(-row, kind="stable")
    return features[order][row[order] / block["people"] > frequency].tolist()


@pytest.mark.parametrize(("threshold", "frequency"), PLACES)
def test_the_numbers_select_what_the_rule_selects_in_the_same_order(threshold, frequency):
    networks, people, splits = small_study()
    numbers = numbers_of(explore_maps(networks, people, splits))
    names = {"fc": [f"{i} -- {j}" for i, j in zip(*named_pairs(people[0]), strict=True)]}
    names["snp"] = people[0]["locus"].to_numpy().astype(str).tolist()
    sizes = []
    for network, of_splits in networks.items():
        for split, maps in enumerate(of_splits):
            table = select_biomarkers(maps, threshold, frequency)
            for (view, name), part in table.groupby(["view", "target_class"]):
                place = {"view": view, "network": network, "split": split, "class": name}
                found = selected_in(numbers, place, threshold, frequency)
                assert [names[view][at] for at in found] == part.sort_values("rank")["feature"].tolist()
                sizes.append(len(found))
            listed = set(zip(table["view"], table["target_class"], strict=True))
            for view, name in {(view, name) for view in names for name in ("low", "high")} - listed:
                place = {"view": view, "network": network, "split": split, "class": name}
                assert selected_in(numbers, place, threshold, frequency) == []
    assert sum(sizes) > 0 or threshold == 0.5


def named_pairs(cohort):
    rois = cohort["roi_i"].to_numpy().astype(str)
    rows, columns = np.triu_indices(len(rois), k=1)
    return rois[rows], rois[columns]


def test_the_sliders_begin_at_the_papers_numbers_or_where_the_run_asks():
    networks, people, splits = small_study(n_splits=1)
    for threshold, frequency in ((0.05, 0.7), (0.055, 0.705), (0.6, 0.2)):
        numbers = numbers_of(explore_maps(networks, people, splits, threshold, frequency))
        assert numbers["thresholds"][numbers["begin"]["threshold"]] == threshold
        assert numbers["frequencies"][numbers["begin"]["frequency"]] == frequency
        assert numbers["thresholds"] == sorted(set(numbers["thresholds"]))
    assert numbers["frequencies"][0] == 0.2
    assert min(numbers_of(explore_maps(networks, people, splits))["frequencies"]) == 0.3


def test_the_words_without_scripts_say_how_many_are_selected():
    networks, people, splits = small_study()
    words = BeautifulSoup(explore_maps(networks, people, splits), "html.parser").noscript.get_text()
    table = select_biomarkers(networks["trained"][0])
    for (view, name), part in table.groupby(["view", "target_class"]):
        called = {"fc": "functional connectivity", "snp": "SNPs"}[view]
        assert f"{called}, {name}: {len(part)} of {66 if view == 'fc' else 40} selected" in words


def test_ranks_of_the_t_test_lead_with_what_differs():
    networks, people, splits = small_study(n=300, n_splits=1)
    view = next(view for view in numbers_of(explore_maps(networks, people, splits))["views"] if view["name"] == "snp")
    ranks = unpack(view["t_test"][0]["high"], "<u4")
    assert len(ranks) == len(unpack(view["truth"]["high"], "<u4")) == 9
    assert ranks.tolist() == sorted(set(ranks))
    assert np.median(ranks) <= 10


def test_without_truth_nothing_is_called_right():
    networks, people, splits = small_study(truth=False)
    views = numbers_of(explore_maps(networks, people, splits))["views"]
    assert all(view["truth"] is None and "t_test" not in view for view in views)


def test_of_a_controlled_cohort_no_count_of_few_people_is_in_the_file(tmp_path):
    open_numbers = numbers_of(explore_maps(*small_study(truth=False)))
    networks, people, splits = small_study(access="controlled", truth=False)
    page = explore_maps(networks, people, splits)
    numbers = numbers_of(page)

    def smallest(of):
        counts = [counts_of(block, of["thresholds"])[1] for block in of["blocks"]]
        return min(each[each > 0].min() for each in counts if each.any())

    assert smallest(open_numbers) < 10 <= smallest(numbers)
    assert all(block["people"] >= 10 for block in numbers["blocks"])
    path = tmp_path / "map_explorer.html"
    path.write_text(page)
    subjects = people[0]["subject"].to_numpy().tolist()
    assert find_disclosures([], None, subjects, files=[path]) == []
    assert not any(name in page for name in subjects)
    # what is left selects as the rule does, wherever the slider can go
    table = select_biomarkers(networks["trained"][0], 0.02, numbers["frequencies"][0])
    place = {"view": "fc", "network": "trained", "split": 0, "class": "low"}
    expected = table.query("view == 'fc' and target_class == 'low'")
    assert len(selected_in(numbers, place, 0.02, numbers["frequencies"][0])) == len(expected) > 0


def test_the_slider_of_a_controlled_cohort_begins_where_ten_people_are_asked_for():
    for people in range(13, 60):
        least = least_frequency([people, 100], controlled=True)
        assert min(count for count in range(people + 1) if count / people > least) >= 10
    with pytest.raises(NoExplorerError, match="some are of fewer than 10 people or hardly more"):
        least_frequency([9], controlled=True)


def test_too_few_controlled_people_get_a_sentence_and_no_page(tmp_path, capsys):
    offer_explorer(*small_study(n=20, access="controlled", truth=False), tmp_path)
    assert "No page with sliders: the maps are of a controlled cohort" in capsys.readouterr().out
    assert not (tmp_path / VIEWS).exists()


def test_it_is_small_the_same_each_time_and_loads_nothing():
    study = small_study()
    page = explore_maps(*study)
    assert page == explore_maps(*study)
    assert len(page.encode()) < map_explorer.LARGEST
    soup = BeautifulSoup(page, "html.parser")
    for tag in soup.find_all(True):
        assert not {"src", "href", "data", "srcset", "action"} & set(tag.attrs), tag.name
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?:|@import|url\(", page)
    assert soup.title.string == soup.h1.string == map_explorer.TITLE
    for field in soup.find_all(["input", "select"]):
        assert soup.find("label", attrs={"for": field["id"]}).get_text(strip=True)


def test_a_large_study_gets_fewer_steps_then_one_split_then_a_reason(monkeypatch):
    study = small_study()
    full = len(explore_maps(*study).encode())
    monkeypatch.setattr(map_explorer, "LARGEST", full)
    fewer = numbers_of(explore_maps(*study))
    assert (len(fewer["thresholds"]), fewer["splits"]) == (len(map_explorer.FEWER_THRESHOLDS), 2)
    monkeypatch.setattr(map_explorer, "LARGEST", len(explore_maps(*study).encode()))
    assert numbers_of(explore_maps(*study))["splits"] == 1
    monkeypatch.setattr(map_explorer, "LARGEST", 100)
    with pytest.raises(NoExplorerError, match=r"give maps of fewer features, classes or methods"):
        explore_maps(*study)


def test_networks_of_other_splits_are_refused():
    networks, people, splits = small_study()
    networks["random weights"] = networks["random weights"][:1]
    with pytest.raises(ValueError, match="'random weights' has maps of 1 splits, and there are 2"):
        explore_maps(networks, people, splits)


def test_names_cannot_end_the_script():
    networks, people, splits = small_study(n_splits=1)
    page = explore_maps({"</script><b>": networks["trained"]}, people, splits)
    assert "</script><b>" not in page
    assert numbers_of(page)["networks"] == ["</script><b>"]


def test_a_changed_template_makes_chapters_stale():
    digest = hashlib.sha256(TEMPLATE.read_bytes()).hexdigest()[:16]
    assert digest == LAYOUT, f'the template has changed: write LAYOUT = "{digest}" in map_explorer.py'


def test_counting_takes_single_precision_as_the_rule_does():
    values = np.array([[1, 0.05, np.float32(0.05) * np.float32(1.0)]], dtype="float32")
    assert count_kept(values, [np.float64(0.05)]).tolist() == [[1, 0, 0]]


@pytest.fixture(scope="module")
def page_in_browser(tmp_path_factory):
    from playwright.sync_api import sync_playwright

    study = small_study()
    folder = tmp_path_factory.mktemp("run") / VIEWS
    folder.mkdir()
    (folder / "map_explorer.html").write_text(explore_maps(*study))
    with sync_playwright() as playwright:
        browser = start_browser(playwright)
        page = browser.new_page(viewport={"width": 360, "height": 700}, color_scheme="dark")
        faults = []
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.on("request", lambda request: faults.append(request.url) if "map_explorer" not in request.url else None)
        page.goto((folder / "map_explorer.html").as_uri())
        page.wait_for_selector("main:not([hidden])")
        yield page, study, faults
        browser.close()


def said_count(page):
    return int(re.search(r": ([\d,]+) of", page.inner_text("#said"))[1].replace(",", ""))


def test_by_keyboard_the_sliders_show_what_the_rule_selects(page_in_browser):
    page, (networks, people, _), faults = page_in_browser
    cohort = people[0]

    def part(threshold, frequency, network="trained", view="fc", name="low"):
        table = select_biomarkers(networks[network][0], threshold, frequency, cohort=cohort)
        return table.query("view == @view and target_class == @name")

    assert said_count(page) == len(part(0.05, 0.7)) > 0
    page.focus("#threshold")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#frequency", "aria-valuetext") == "50.0 %"
    expected = part(0.01, 0.5)
    assert said_count(page) == len(expected) > len(part(0.05, 0.7))
    assert f"Right are {expected['planted'].sum()} (" in page.inner_text("#said")
    first = page.inner_text("#listed tr:first-child th").split(" – ")
    assert [expected.iloc[0]["roi_i"], expected.iloc[0]["roi_j"]] == first
    rows = {row.split("\t")[0]: row.split("\t")[1:] for row in page.inner_text("#controls").splitlines()}
    control = part(0.01, 0.5, "random weights")
    precision = f"{100 * control['planted'].mean():.1f} %"
    assert rows["random weights"][:2] == [str(len(control)), precision]
    page.select_option("#view", "1")
    page.select_option("#class", "high")
    assert said_count(page) == len(part(0.01, 0.5, view="snp", name="high"))
    page.click("#best")
    best = max(float(row[-1]) for name, row in rows.items() if name.startswith("trained, best"))
    assert best > 0
    page.click("#reset")
    assert said_count(page) == len(part(0.05, 0.7, view="snp", name="high"))
    assert faults == []


def test_it_fits_a_phone_and_follows_the_theme(page_in_browser):
    page, _, _ = page_in_browser
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.emulate_media(color_scheme="light")
    page.wait_for_function("() => document.documentElement.dataset.theme === 'light'")


def test_in_a_frame_it_takes_the_theme_of_the_page_around_it(page_in_browser):
    page, _, _ = page_in_browser
    script = (Path(__file__).parent.parent / "book" / "_static" / "frames.js").read_text()
    around = Path(unquote(urlsplit(page.url).path)).with_name("around.html")
    around.write_text(f"""<html lang="en" data-theme="dark"><title>Around</title><script>{script}</script>
        <iframe src="map_explorer.html" title="The sliders"></iframe></html>""")
    other = page.context.browser.new_page()
    other.emulate_media(color_scheme="light")
    other.goto(around.as_uri())
    frame = other.frames[1]
    for theme in ("dark", "light", "dark"):
        other.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        frame.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
    other.close()


def test_it_is_framed_from_the_folder_of_views(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(page_files, "display", lambda page: shown.append(page.data))
    offer_explorer(*small_study(), tmp_path)
    assert (tmp_path / VIEWS / "map_explorer.html").is_file()
    assert 'src="../_static/views/map_explorer.html"' in shown[0]
