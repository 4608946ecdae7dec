"""The pages as readers open them, in Chromium: from files, on a phone, in the dark, by keyboard and screen reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from chromium import LOCAL, PHONE, Chromium, NoBrowserError, Visit, visit
from small_book import ROOT
from small_pages import render_small_pages

LIGHT = 3_000_000  # bytes
WORDS = "agreement term"
BOOKS = sorted(path.parent.name for path in ROOT.glob("runs/*/html"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    try:
        browser = Chromium()
    except NoBrowserError as fault:
        pytest.skip(str(fault))
    yield browser
    browser.close()


@pytest.fixture(scope="module", params=["small", *BOOKS])
def html(request, chromium, tmp_path_factory) -> Path:
    if request.param != "small":
        return ROOT / "runs" / request.param / "html"
    return render_small_pages(tmp_path_factory.mktemp("pages"))


def pages_of(html: Path) -> list[Path]:
    """Pages of the book, and those that it shows in frames."""
    shown = [path for path in html.rglob("*.html") if "_static" not in path.relative_to(html).parts]
    return sorted([*shown, *html.glob("_static/views/*.html")])


@pytest.fixture(scope="module")
def visits(html, chromium) -> dict[str, Visit]:
    pages = pages_of(html)
    seen = chromium.each(pages, visit, color_scheme="light")
    return {path.relative_to(html).as_posix(): each for path, each in zip(pages, seen, strict=True)}


@pytest.fixture
def book_pages(visits) -> dict[str, Visit]:
    return {name: seen for name, seen in visits.items() if not name.startswith("_static/")}


def faults(visits: dict[str, Visit], of) -> dict[str, object]:
    return {name: found for name, seen in visits.items() if (found := of(seen))}


def test_nothing_is_asked_of_a_network(visits):
    assert all(seen.requests for seen in visits.values())
    assert faults(visits, lambda seen: [each for each in seen.requests if not each.startswith(LOCAL)]) == {}


def test_nothing_fails_and_no_script_complains(visits):
    assert faults(visits, lambda seen: seen.failed + seen.errors) == {}


def test_every_picture_and_frame_is_there(visits):
    assert faults(visits, lambda seen: seen.facts["white"]) == {}
    assert faults(visits, lambda seen: seen.facts["unnamed"]) == {}


def test_pages_are_light(visits):
    assert all(seen.weight >= seen.path.stat().st_size for seen in visits.values())
    assert faults(visits, lambda seen: seen.weight if seen.weight > LIGHT else 0) == {}


def test_nothing_sticks_out_on_a_phone(visits):
    assert faults(visits, lambda seen: seen.sticking_out) == {}


def test_axe_finds_nothing_serious_in_light_or_dark(visits):
    assert faults(visits, lambda seen: seen.violations) == {}


def test_every_page_says_what_it_is(visits, book_pages):
    assert faults(visits, lambda seen: [] if len(seen.facts["h1"]) == 1 else seen.facts["h1"] or "no h1") == {}
    assert faults(visits, lambda seen: seen.facts["lang"] != "en" or not seen.facts["title"].strip()) == {}
    assert faults(visits, lambda seen: seen.facts["empty"] + seen.facts["twice"]) == {}
    assert faults(book_pages, lambda seen: {"main", "nav", "footer"} - set(seen.facts["landmarks"])) == {}
    assert faults(book_pages, lambda seen: not seen.facts["icon"] or not seen.facts["themed"]) == {}
    titles = [seen.facts["title"] for seen in book_pages.values()]
    assert len(set(titles)) == len(titles)
    made = {"genindex.html", "search.html", "py-modindex.html"}  # by Sphinx, of no text of ours
    written = {name: seen for name, seen in book_pages.items() if name not in made and not name.startswith("_modules")}
    assert faults(written, lambda seen: not 30 < len(seen.facts["description"]) <= 160) == {}


def test_there_is_one_search_box(book_pages):
    assert (
        faults(book_pages, lambda seen: 0 if seen.facts["searches"] == 1 else f"{seen.facts['searches']} boxes") == {}
    )


def test_what_folds_opens_by_keyboard(visits):
    assert faults(visits, lambda seen: seen.closed) == {}


async def tab_through(page) -> list[dict]:
    """Press Tab until the focus leaves the page, and note where it was and whether one could see it."""
    stops = []
    for _ in range(400):
        await page.keyboard.press("Tab")
        stop = await page.evaluate(STOP)
        if stop is None or (stops and stop["place"] == stops[0]["place"]):
            break
        stops.append(stop)
    return stops


STOP = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const shown = at.querySelector(":scope > .toctree-toggle") ?? at;  // the theme rings the arrow, not what holds it
  const style = getComputedStyle(shown), box = shown.getBoundingClientRect();
  const ring = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  return {
    place: [...document.querySelectorAll("*")].indexOf(at), what: at.outerHTML.slice(0, 120),
    seen: ring && box.width > 0,
    kinds: ["#pst-skip-link a", ".search-button__button", "nav.bd-links a", ".theme-switch-button", "main article a"]
      .filter(kind => at.matches(kind)),
  };
}"""


def test_tab_reaches_everything_and_one_sees_where_it_is(html, chromium):
    async def look(context, path):
        page = await context.new_page()
        await page.goto(path.as_uri())
        await page.wait_for_function("document.querySelector('.theme-switch-button')")
        stops = await tab_through(page)
        await page.close()
        return stops

    (stops,) = chromium.each([html / "index.html"], look)
    assert stops[0]["kinds"] == ["#pst-skip-link a"]
    reached = {kind for stop in stops for kind in stop["kinds"]}
    assert reached >= {".search-button__button", "nav.bd-links a", ".theme-switch-button", "main article a"}
    assert [stop["what"] for stop in stops if not stop["seen"]] == []


def test_skip_link_and_theme_button_work_by_enter(html, chromium):
    async def look(context, path):
        page = await context.new_page()
        await page.goto(path.as_uri())
        await page.keyboard.press("Tab")
        await page.wait_for_function("document.activeElement.matches('#pst-skip-link a')")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**#main-content")
        address = page.url
        themes = []
        await page.locator(".theme-switch-button:visible").focus()
        for _ in range(3):
            await page.wait_for_function("document.activeElement.matches('.theme-switch-button')")
            await page.keyboard.press("Enter")
            themes.append(await page.evaluate("document.documentElement.dataset.mode"))
        await page.close()
        return address, themes

    ((address, themes),) = chromium.each([html / "index.html"], look)
    assert address.endswith("#main-content")
    assert sorted(themes) == ["auto", "dark", "light"]


@pytest.mark.parametrize("size", [None, PHONE], ids=["desk", "phone"])
def test_search_finds_the_words(html, chromium, size):
    holding = {name for name in map(str, pages_of(html)) if WORDS in words_of(Path(name))}
    assert holding

    async def look(context, path):
        page = await context.new_page()
        await page.goto(path.as_uri())
        await page.keyboard.press("Control+k")
        await page.keyboard.type(WORDS)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/search.html?q=*")
        results = page.locator("#search-results ul.search li a")
        await results.first.wait_for()
        await page.wait_for_function(
            "document.querySelector('#search-results .search-summary').innerText"
        )  # all of them
        found = await results.evaluate_all("links => links.map(link => decodeURI(new URL(link.href).pathname))")
        await results.first.click()
        await page.wait_for_load_state()
        return found, await page.locator("main").inner_text()

    options = {} if size is None else {"viewport": size}
    ((found, text),) = chromium.each([html / "index.html"], look, **options)
    assert set(found[:3]) & {str(Path(name).resolve()) for name in holding}
    assert all(word in text.lower() for word in WORDS.split())
    chapter = html / "notebooks" / "02_model_and_loss.html"
    assert not chapter.is_file() or str(chapter.resolve()) in found


def words_of(page: Path) -> str:
    article = BeautifulSoup(page.read_text(), "html.parser").find("article")
    return " ".join(article.get_text(" ").split()).lower() if article else ""
