"""Make slides from a rendered book, a deck for each chapter, to be shown without a network.

``python -m workflow.slides PROFILE``
"""

from __future__ import annotations

import html as markup
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from gcamccl_core.disk_faults import StorageError
from workflow.profile import NOTEBOOKS, Profile, ProfileError, notebook_names, read_profile
from workflow.rendered_pages import (
    TYPESETTING,
    NotRenderedError,
    Page,
    beside,
    embedded,
    rendered_pages,
    still,
)

REVEAL = "sphinx_revealjs"  # the package that brings reveal.js along
STYLE = Path(__file__).parent / "styles" / "slides.css"
LEFT_OUT = ("Key numbers", "What you can do now", "Stamp")  # sections for who runs the chapter
LISTS = ("Take-aways", "Exercises")  # sections whose lists are shown whole
SPOKEN = ("Question.", "Why.", "How to read it.")  # paragraphs that a slide has, by how they begin
MOST_ROWS, MOST_COLUMNS = 12, 8  # of a table that can be read from the last row of a room
DENSE, LONGEST = 500, 1200  # letters of a paragraph from which it is set smaller, and divided
START = (
    "Reveal.initialize({hash: true, slideNumber: 'c/t', transition: 'none', width: 1280, height: 720, margin: 0.03, "
    "center: false, navigationMode: 'linear'});"
)
EQUATIONS = '{"options": {"ignoreHtmlClass": "reveal", "processHtmlClass": "math", "enableMenu": false}}'


def slides_of(page: Page) -> list[str]:
    """Cut a chapter into slides, by rules: what a section asks, its figures and small tables, how to read them.

    The first slide has the title and the question, the next what one learns and the equation. Code and what it prints
    are left out, except where a cell breaks on purpose.
    """
    article = BeautifulSoup(str(page.article), "html.parser")
    still(article)
    for number in article.select(".section-number"):
        number.decompose()
    whole = article.find("section")
    if not isinstance(whole, Tag):
        raise NotRenderedError(f"{page.place} has no sections")
    slides = list(_opening(page.title, whole))
    for section in whole.find_all("section", recursive=False):
        heading = " ".join(section.find("h2").get_text().split()) if section.find("h2") else ""
        if heading and heading not in LEFT_OUT:
            slides += _of_section(heading, section)
    return slides


def _opening(title: str, whole: Tag) -> Iterator[str]:
    own = [part for part in whole.find_all(True, recursive=False) if part.name != "section"]
    question = next((part for part in own if part.get_text().startswith("Question.")), None)
    minutes = next((part for part in own if part.name == "p" and "minute" in part.get_text()), None)
    yield _slide(None, f"<h1>{markup.escape(title)}</h1>{question or ''}{minutes or ''}", "opening")
    learnt = next((part for part in own if part.name == "ul"), None)
    if learnt is not None:
        yield _slide("After this chapter you can", str(learnt))
    for part in own:
        yield from _pictures("", part)
    equations = [part for part in own if part.name == "div" and "math" in part.get("class", [])]
    for equation in equations:
        yield _slide("In one equation" if len(equations) == 1 else "In equations", str(equation))


def _of_section(heading: str, section: Tag) -> Iterator[str]:
    """Give the slides of one section, in the order in which their parts stand there."""
    for part in section.find_all(True, recursive=False):
        words = " ".join(part.get_text().split())
        if part.name in ("ul", "ol") and heading in LISTS:
            yield _slide(heading, str(part), "dense" if len(words) > DENSE else "")
        elif part.name == "p" and words.startswith(SPOKEN):
            for piece, size in _pieces(part, words):
                yield _slide(heading, piece, size)
        elif part.name == "div" and "math" in part.get("class", []):
            yield _slide(heading, str(part))
        elif part.name in ("div", "figure"):
            yield from _pictures(heading, part)
            yield from _tables(heading, part)
            if heading == "Break it":
                yield from (_slide(heading, str(said), "said") for said in part.select(".cell_output .output.stream"))


def _pieces(paragraph: Tag, words: str) -> Iterator[tuple[str, str]]:
    """Divide a long paragraph at the ends of sentences."""
    if len(words) <= LONGEST:
        yield str(paragraph), "dense" if len(words) > DENSE else ""
        return
    sentences = re.split(r"(?<=[.?!:]) (?=[A-Z<])|(?<=[.?!:])\n(?=[A-Z<])", paragraph.decode_contents())
    piece = ""
    for sentence in sentences:
        if piece and len(BeautifulSoup(piece + sentence, "html.parser").get_text()) > LONGEST:
            yield f"<p>{piece}</p>", "dense"
            piece = ""
        piece += f" {sentence}"
    yield f"<p>{piece}</p>", "dense"


def _pictures(heading: str, part: Tag) -> Iterator[str]:
    for picture in part.find_all("img"):
        caption = picture.find_parent("figure").find("figcaption") if picture.find_parent("figure") else None
        yield _slide(heading, f"{picture}{f'<small>{caption.decode_contents()}</small>' if caption else ''}", "picture")


def _tables(heading: str, part: Tag) -> Iterator[str]:
    for table in part.find_all("table"):
        rows = table.find_all("tr")
        widest = max((len(row.find_all(("td", "th"))) for row in rows), default=0)
        if len(rows) <= MOST_ROWS and widest <= MOST_COLUMNS:
            yield _slide(heading, str(table), "table")


def _slide(heading: str | None, content: str, kind: str = "") -> str:
    title = f"<h2>{markup.escape(heading)}</h2>" if heading else ""
    return f'<section class="{kind}">{title}{content}</section>' if kind else f"<section>{title}{content}</section>"


def deck(page: Page, html: Path) -> str:
    """Write a chapter's deck, whose pictures it holds; reveal.js and the script for equations lie beside it."""
    body = BeautifulSoup("\n".join(slides_of(page)), "html.parser")
    for picture in body.find_all("img"):
        if not str(picture["src"]).startswith("data:"):
            picture["src"] = embedded(html / beside(page.place, str(picture["src"])))
        picture.attrs = {name: value for name, value in picture.attrs.items() if name in ("src", "alt")}
    for part in body.find_all(id=True):
        del part["id"]
    for link in body.find_all("a"):  # what a page leads to is not beside the slides
        link.unwrap()
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f"<title>{markup.escape(page.title)}</title>",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            *(f'<link rel="stylesheet" href="_static/{name}">' for name in ("reveal.css", "slides.css")),
            f"<script>window.MathJax = {EQUATIONS};</script>\n<script defer src='_static/{TYPESETTING.name}'></script>",
            "</head>\n<body>",
            f'<div class="reveal"><div class="slides">\n{body}\n</div></div>',
            f'<script src="_static/reveal.js"></script>\n<script>{START}</script>\n</body>\n</html>\n',
        ]
    )


def make_slides(profile: Profile) -> Path:
    """Make a deck for each chapter, and a page that lists them; hand back that page."""
    html, folder = profile.run_folder / "html", profile.run_folder / "slides"
    chapters = [page for page in rendered_pages(profile) if page.place in _chapter_pages()]
    fresh = folder.with_name(".slides.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "_static").mkdir(parents=True)
    found = importlib.util.find_spec(REVEAL)
    if found is None or found.origin is None:
        raise NotRenderedError("slides need reveal.js, which the package sphinx-revealjs brings: run `make setup`")
    reveal = Path(found.origin).parent / "_static" / "revealjs" / "dist"
    for path in (reveal / "reveal.js", reveal / "reveal.css", html / TYPESETTING, STYLE):
        shutil.copy(path, fresh / "_static")
    rows = []
    for page in chapters:
        name = f"{Path(page.place).stem}.html"
        (fresh / name).write_text(deck(page, html))
        rows.append(f'<li><a href="{name}">{markup.escape(page.title)}</a></li>')
    (fresh / "index.html").write_text(_index(profile.title, rows))
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return folder / "index.html"


def _chapter_pages() -> set[str]:
    return {(NOTEBOOKS / f"{name}.html").as_posix() for name in notebook_names()}


def _index(title: str, rows: list[str]) -> str:
    keys = "Arrow keys or the space bar turn slides, Esc shows all of a deck, F fills the screen, ? lists other keys."
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f"<title>{markup.escape(title)}: slides</title>",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="stylesheet" href="_static/slides.css">\n</head>\n<body class="decks">',
            f"<h1>{markup.escape(title)}: slides</h1>\n<p>{keys}</p>\n<ul>",
            *rows,
            "</ul>\n</body>\n</html>\n",
        ]
    )


def main(name: str) -> int:
    """Make the slides of a profile's book."""
    try:
        print(f"The slides: {make_slides(read_profile(name))}")
    except (ProfileError, NotRenderedError, StorageError) as fault:
        print(fault.strerror if isinstance(fault, StorageError) else fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
