"""One Chromium for the tests of pages, and what a page shows, loads and says when it is opened there from its file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, Error, Page, Request, async_playwright
from playwright.async_api import TimeoutError as TooLate

NAMES = ("chromium", "chromium-browser", "google-chrome")
HOW = "install one, on Debian and Ubuntu with `apt install chromium`"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
LOCAL = ("file:", "data:", "blob:", "about:")
AT_ONCE = 3
PATIENCE = 180_000  # milliseconds: how long a page may take where other work fills the machine; no measure of speed
GRAVE = ("serious", "critical")
REACHABLE = """() => [...document.querySelectorAll("pre, .pst-scrollable-table-container")].every(
  (code) => code.scrollWidth <= code.clientWidth || code.tabIndex === 0)"""


class NoBrowserError(RuntimeError):
    """There is no Chromium, or it does not open files."""


class Chromium:
    """A browser without a window that has been started, and the loop of events that drives it."""

    def __init__(self) -> None:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if found is None:
            raise NoBrowserError(f"none of {', '.join(NAMES)} is here to open pages with: {HOW}")
        self._loop = asyncio.new_event_loop()
        try:
            self._loop.run_until_complete(self._start(found))
        except Error as fault:
            self.close()
            raise NoBrowserError(f"{found} does not open pages ({fault.message.splitlines()[0]}): {HOW}") from fault

    async def _start(self, executable: str) -> None:
        self._playwright = await async_playwright().start()
        options = ["--no-sandbox"] if os.getuid() == 0 else []
        self._browser = await self._playwright.chromium.launch(executable_path=executable, args=options)
        context = await self.new_context()
        with tempfile.TemporaryDirectory() as folder:  # a browser in a box of its own may be kept from files
            path = Path(folder) / "page.html"
            path.write_text("<title>opened</title>")
            page = await context.new_page()
            await page.goto(path.as_uri())
            if await page.title() != "opened":
                raise Error("it cannot read files")
        await context.close()

    async def new_context(self, **options: Any) -> BrowserContext:
        """Open as a reader who has never been here; what a page asks of a network is counted, and not sent."""
        context = await self._browser.new_context(**{"viewport": DESK, **options})
        context.set_default_timeout(PATIENCE)
        await context.route(lambda address: not address.startswith(LOCAL), lambda route: route.abort())
        return context

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do asynchronous work from a test that is none."""
        return self._loop.run_until_complete(work)

    def each(
        self, paths: Iterable[Path], look: Callable[[BrowserContext, Path], Awaitable[Any]], **options: Any
    ) -> list:
        """Look at pages, several at once, and hand back what was seen in the order of the pages."""

        async def all_of_them() -> list:
            context = await self.new_context(**options)
            free = asyncio.Semaphore(AT_ONCE)

            async def one(path: Path) -> Any:
                async with free:
                    return await look(context, path)

            try:
                return await asyncio.gather(*map(one, paths))
            finally:
                await context.close()

        return self.run(all_of_them())

    def close(self) -> None:
        """End the browser."""
        for part, end in (("_browser", "close"), ("_playwright", "stop")):
            if hasattr(self, part):
                self._loop.run_until_complete(getattr(getattr(self, part), end)())
        self._loop.close()


@dataclass
class Visit:
    """What one page did while it was opened, scrolled through, put into the dark theme and shown on a phone."""

    path: Path
    requests: list[str] = field(default_factory=list)
    own: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    sticking_out: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def listen(self, page: Page) -> None:
        """Note requests, failures and errors, of the page and its frames."""
        page.on("request", self._note)
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("requestfailed", lambda request: self.failed.append(f"{request.url} {request.failure}"))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def _note(self, request: Request) -> None:
        self.requests.append(request.url)
        shared = "/_static/" in request.url and request.resource_type in ("script", "stylesheet", "font")
        in_frame = request.frame.parent_frame is not None
        if request.url.startswith("file:") and (in_frame or not shared):
            self.own.add(urlsplit(request.url).path)

    @property
    def weight(self) -> int:
        """Bytes, as they lie on the disk, of what belongs to this page: itself, its figures, frames and data.

        What pages share below ``_static``, the scripts, styles and fonts of the theme and of MathJax, does not count.
        """
        return sum(Path(unquote(path)).stat().st_size for path in self.own)


async def visit(context: BrowserContext, path: Path) -> Visit:
    """Open a page and look at it as different readers do."""
    seen = Visit(path)
    page = await context.new_page()
    seen.listen(page)
    await page.goto(path.as_uri())
    await page.evaluate(SCROLL_THROUGH)
    for frame in page.frames:
        await frame.wait_for_load_state("load")
    seen.facts = await page.evaluate(FACTS)
    seen.violations += [f"light: {fault}" for fault in await grave_violations(page)]
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size(PHONE)
    if seen.facts["themed"]:
        await page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    await page.wait_for_timeout(400)  # the theme's own pause before it makes what scrolls reachable by keyboard
    with contextlib.suppress(TooLate):  # longer on a busy machine; what is still not, axe finds
        await page.wait_for_function(REACHABLE, timeout=4000)
    seen.sticking_out = await page.evaluate(STICKING_OUT)
    seen.violations += [f"dark, on a phone: {fault}" for fault in await grave_violations(page)]
    seen.closed = await folds_that_stay_closed(page)
    await page.close()
    return seen


async def grave_violations(page: Page) -> list[str]:
    """What axe-core finds to be serious or critical."""
    options = {
        "resultTypes": ["violations"],
        "preload": False,
    }  # it would load the styles once more, which files cannot
    found = (await Axe().run(page, options=options)).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}) at {node['target']}: {node['html'][:160]} {node['failureSummary'][:240]}"
        for rule in found
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


async def folds_that_stay_closed(page: Page) -> list[str]:
    """Press Enter on what can be unfolded, the first of each kind, and name what does not unfold and fold again."""
    stuck = []
    for kind, is_open in FOLDS.items():
        fold = page.locator(f"main {kind}").first
        if not await fold.count():
            continue
        await fold.scroll_into_view_if_needed()
        states = [await fold.evaluate(is_open)]
        for _ in range(2):
            await fold.focus()
            await page.keyboard.press("Enter")
            states.append(await fold.evaluate(is_open))
        if states[0] == states[1] or states[0] != states[2]:
            stuck.append(f"{kind}: {states}")
    return stuck


FOLDS = {
    "details > summary": "summary => summary.parentElement.open",
    "button.toggle-button": "button => button.getAttribute('aria-expanded') === 'true'",
}
SCROLL_THROUGH = """async () => {
  for (let y = 0; y < document.documentElement.scrollHeight; y += 600) {
    window.scrollTo(0, y);
    await new Promise(done => setTimeout(done, 20));
  }
  for (const frame of document.querySelectorAll("iframe")) {
    frame.scrollIntoView();
    await new Promise(done => setTimeout(done, 100));
  }
}"""
FACTS = """() => {
  const shown = [...document.querySelectorAll("h1")].filter(head => head.checkVisibility());
  const frames = [...document.querySelectorAll("iframe")];
  const empty = [...document.querySelectorAll("a[href], button")].filter(
    each => each.checkVisibility() && !(each.textContent + (each.getAttribute("aria-label") || "") + (each.title || "")
      + [...each.querySelectorAll("img")].map(image => image.alt).join("")).trim());
  const ids = [...document.querySelectorAll("[id]")].map(each => each.id);
  return {
    lang: document.documentElement.lang, title: document.title, h1: shown.map(head => head.innerText),
    description: document.querySelector("meta[name=description]")?.content || "",
    landmarks: ["main", "nav", "footer"].filter(name => document.querySelector(name)),
    searches: [...document.querySelectorAll(".search-button__button, form.bd-search")]
      .filter(each => each.checkVisibility()).length,
    icon: !!document.querySelector("link[rel~=icon]"), themed: !!document.querySelector(".theme-switch-button"),
    unnamed: frames.filter(frame => !frame.title).map(frame => frame.src), empty: empty.map(each => each.outerHTML),
    twice: ids.filter((id, place) => ids.indexOf(id) !== place),
    white: [...document.querySelectorAll("main img")].filter(image => !image.complete || !image.naturalWidth)
      .map(image => image.src),
  };
}"""
STICKING_OUT = """() => {
  const width = document.documentElement.clientWidth;
  const found = [];
  if (document.documentElement.scrollWidth > width) found.push(`document ${document.documentElement.scrollWidth} px`);
  const text = document.querySelector(".bd-article-container") || document.body;  // not what waits beside the screen
  for (const each of text.querySelectorAll("*")) {
    const box = each.getBoundingClientRect();
    if (box.right <= width + 1 || !box.width || !each.checkVisibility()) continue;
    let around = each.parentElement;
    while (around && getComputedStyle(around).overflowX === "visible") around = around.parentElement;
    if (!around || around === document.documentElement || around === document.body)
      found.push(`<${each.tagName.toLowerCase()} class="${each.className}"> to ${Math.round(box.right)} px`);
  }
  return found.slice(0, 5);
}"""
