"""Print a rendered book: one HTML file that needs no other, and a PDF where Chromium is installed.

``python -m workflow.printout PROFILE``
"""

from __future__ import annotations

import html as markup
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import Tag

from gcamccl_core.disk_faults import StorageError
from gcamccl_core.kept_files import DamagedFileError, read_sealed, whole_file
from gcamccl_core.lifelines import end_with_parent
from workflow.intact import BOOK_STAMP
from workflow.profile import Profile, ProfileError, read_profile
from workflow.rendered_pages import (
    NotRenderedError,
    Page,
    beside,
    embedded,
    is_elsewhere,
    rendered_pages,
    script,
    still,
)

STYLES = Path(__file__).parent / "styles"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
EQUATIONS = '{"options": {"ignoreHtmlClass": "whole-book", "processHtmlClass": "math", "enableMenu": false}}'
FOR_A_WHOLE_BOOK = 600  # seconds that a browser may take


class NoBrowserError(RuntimeError):
    """No Chromium to write a PDF, or one that fails."""


def join(profile: Profile) -> str:
    """Write all pages as one, with pictures, styles and the script for equations inside.

    Links between pages lead to places in the same file; what the book offers for download is named by its place.
    """
    pages = rendered_pages(profile)
    html = profile.run_folder / "html"
    places = {page.place: page.key for page in pages}
    for page in pages:
        still(page.article)
        _open_all(page.article)
        _name_places(page)
        _lead_within(page, places)
        for picture in page.article.find_all("img"):
            if not str(picture["src"]).startswith("data:"):
                picture["src"] = embedded(html / beside(page.place, str(picture["src"])))
                picture.attrs.pop("loading", None)
    sections = "\n".join(f'<section class="page" id="{page.key}">\n{page.article}\n</section>' for page in pages)
    title = markup.escape(profile.title)
    made = read_sealed(html / BOOK_STAMP)["date"].partition("T")[0]
    cover = f'<h1 class="book">{title}</h1>\n<p class="book">Profile {profile.name}, rendered on {made}</p>'
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>',
            *(f"<style>\n{text}\n</style>" for text in _styles(html)),
            f"<script>window.MathJax = {EQUATIONS};</script>\n<script>{script(html)}</script>",
            f"<script>\n{(STYLES / 'fit.js').read_text()}</script>\n</head>",
            f'<body class="whole-book">\n{cover}\n{_contents(pages)}\n{sections}\n</body>\n</html>\n',
        ]
    )


def _styles(html: Path) -> list[str]:
    """Give the book's own styles for code and for print, and those of a sheet of paper."""
    paths = [html / "_static" / "pygments.css", html / "_static" / "print.css", STYLES / "paper.css"]
    return [path.read_text() for path in paths if path.is_file()]


def _contents(pages: Sequence[Page]) -> str:
    rows = []
    for page in pages:
        sections = [
            f'<li><a href="#{section["id"]}">{markup.escape(" ".join(heading.get_text().split()))}</a></li>'
            for section in page.article.find_all("section")
            if (heading := section.find("h2", recursive=False)) is not None and section.has_attr("id")
        ]
        within = f"<ul>{''.join(sections)}</ul>" if sections else ""
        rows.append(f'<li><a href="#{page.key}">{markup.escape(page.title)}</a>{within}</li>')
    return f'<nav class="contents"><h2>Contents</h2><ul>{"".join(rows)}</ul></nav>'


def _open_all(article: Tag) -> None:
    for folded in article.find_all("details"):
        folded["open"] = ""


def _name_places(page: Page) -> None:
    """Make every anchor's name unique in the whole file."""
    for part in page.article.find_all(id=True):
        part["id"] = f"{page.key}--{part['id']}"


def _lead_within(page: Page, places: dict[str, str]) -> None:
    """Have links to pages of the book lead to their places in this file, and name files that it offers."""
    for link in page.article.find_all("a", href=True):
        address = str(link["href"])
        if is_elsewhere(address):
            continue
        target, anchor = beside(page.place, address), unquote(urlsplit(address).fragment)
        if target in places:
            link["href"] = f"#{places[target]}--{anchor}" if anchor else f"#{places[target]}"
            link.attrs.pop("download", None)
        else:
            link.name, link.attrs = "span", {"class": "offered", "data-file": Path(target).name}


def find_browser() -> str:
    """Find Chromium.

    Raises
    ------
    NoBrowserError
        If there is none; says how to get it.
    """
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise NoBrowserError(
        f"a PDF needs Chromium, and none of {', '.join(BROWSERS)} is installed: `apt install chromium` on Debian, "
        "`brew install --cask chromium` on a Mac; or open the HTML file in any browser and print it from there"
    )


def write_pdf(browser: str, page: Path, pdf: Path) -> None:
    """Have a browser print a page.

    Raises
    ------
    NoBrowserError
        If it fails.
    """
    command = [browser, "--headless", "--disable-gpu", "--no-pdf-header-footer", "--generate-pdf-document-outline"]
    command += ["--virtual-time-budget=60000", f"--print-to-pdf={pdf.resolve()}"]  # equations are set by then
    command += ["--no-sandbox"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*command, page.resolve().as_uri()],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=FOR_A_WHOLE_BOOK,
        preexec_fn=end_with_parent,
    )
    if done.returncode or not pdf.is_file():
        raise NoBrowserError(f"{browser} printed nothing:\n{done.stderr[-2000:]}")


def main(name: str) -> int:
    """Print a profile's book."""
    try:
        profile = read_profile(name)
        folder = profile.run_folder / "print"
        with whole_file(folder / "book.html") as partial:
            partial.write_text(join(profile))
        print(f"One page, to read or print: {folder / 'book.html'}", flush=True)
        browser = find_browser()
        with whole_file(folder / "book.pdf") as partial:
            write_pdf(browser, folder / "book.html", partial)
        print(f"The same as PDF: {folder / 'book.pdf'}")
    except (ProfileError, NotRenderedError, NoBrowserError, DamagedFileError, StorageError) as fault:
        print(fault.strerror if isinstance(fault, StorageError) else fault, file=sys.stderr)
        return 1
    except subprocess.TimeoutExpired:
        print(f"the browser had not printed the book after {FOR_A_WHOLE_BOOK} s", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
