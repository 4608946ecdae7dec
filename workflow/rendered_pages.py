"""The pages of a rendered book in the order in which one reads them, for what is made of them elsewhere."""

from __future__ import annotations

import base64
import mimetypes
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

from workflow.profile import Profile

TYPESETTING = Path("_static/mathjax/tex-svg.js")  # sets equations as SVG, which needs no fonts from elsewhere
INTERACTIVE = ("script", "iframe", "button", "input", "select", "canvas", "template")


class NotRenderedError(ValueError):
    """A book that has not been rendered, or not whole."""


@dataclass(frozen=True)
class Page:
    """One page: where it lies below the book's folder, and what is written on it."""

    place: str
    title: str
    article: Tag

    @property
    def key(self) -> str:
        """Name the page in an address within one file."""
        return re.sub(r"\W+", "-", self.place.removesuffix(".html"))


def rendered_pages(profile: Profile) -> list[Page]:
    """Read the pages that the table of contents lists, by following each page's link to the next.

    Raises
    ------
    NotRenderedError
        If there is no book, or a page of it is missing.
    """
    html = profile.run_folder / "html"
    place: str | None = "index.html"
    pages: list[Page] = []
    while place and place not in {page.place for page in pages}:
        if not (html / place).is_file():
            raise NotRenderedError(f"{html / place} is missing: run `make book PROFILE={profile.name}` first")
        whole = BeautifulSoup((html / place).read_text(), "html.parser")
        article, heading = whole.select_one("article.bd-article"), whole.select_one("article h1")
        if article is None or heading is None:
            raise NotRenderedError(f"{html / place} holds no page of a book: run `make book PROFILE={profile.name}`")
        for mark in article.select("a.headerlink"):
            mark.decompose()
        pages.append(Page(place, " ".join(heading.get_text().split()), article.extract()))
        following = whole.find("link", rel="next")
        place = beside(place, str(following["href"])) if isinstance(following, Tag) else None
    return pages


def beside(place: str, address: str) -> str:
    """Resolve a relative address against the page that it is on.

    Examples
    --------
    >>> beside("notebooks/01_cohort.html", "../index.html#top")
    'index.html'
    """
    path = unquote(urlsplit(address).path)
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), path)) if path else place


def is_elsewhere(address: str) -> bool:
    """Say whether an address leads out of the book."""
    parts = urlsplit(address)
    return bool(parts.scheme or parts.netloc)


def embedded(path: Path) -> str:
    """Give a picture as an address that holds it, so that a page needs no other file."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def still(article: Tag) -> None:
    """Take out what paper and slides cannot show, such as scripts and frames to turn; a picture stands beside each."""
    for part in article.find_all(INTERACTIVE):
        part.decompose()


def script(html: Path) -> str:
    """Give the script that sets equations, to be written into a page; it must not end the element that holds it.

    Raises
    ------
    NotRenderedError
        If the book has none.
    """
    path = html / TYPESETTING
    if not path.is_file():
        raise NotRenderedError(f"{path} is missing: the book is rendered without sphinx-mathjax-offline")
    return path.read_text().replace("</script", r"<\/script")
