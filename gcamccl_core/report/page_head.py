"""The head of every page of the book: a description for search engines, and no script for which the book has no use.

A Sphinx extension, named in ``book/_config.yml``.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the extension runs inside Sphinx, which the core itself does not need
    from docutils.nodes import document
    from sphinx.application import Sphinx

LONGEST = 160  # letters that a search engine shows
UNUSED = "thebe"  # runs cells on a server that it fetches from a network; declared twice, its settings are an error
WRONG_ROLES = (' role="list"', ' role="doc-biblioentry"')  # of docutils' citations, a list in which is no item


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, after all that adds scripts to a page."""
    app.connect("html-page-context", _complete_head, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def describe(paragraphs: list[str]) -> str:
    """Shorten the first paragraph that is a sentence or more to what a search engine shows.

    Parameters
    ----------
    paragraphs : list of str
        Of a page, in order.

    Returns
    -------
    str
        At most 160 letters, cut between words; empty if no paragraph is long enough.

    Examples
    --------
    >>> describe(["Contents", "Question. Two views of the same people:  connections, and genotypes."])
    'Two views of the same people: connections, and genotypes.'
    """
    for paragraph in paragraphs:
        text = " ".join(paragraph.split()).removeprefix("Question. ")  # with which chapters open
        if len(text) > LONGEST:
            return f"{text[: LONGEST - 1].rsplit(' ', 1)[0].rstrip(',;:')}…"
        if len(text) > 30:
            return text
    return ""


def _complete_head(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: document | None) -> None:
    for role in WRONG_ROLES:
        context["body"] = context.get("body", "").replace(role, "")
    context["script_files"] = [script for script in context["script_files"] if not _is_unused(script)]
    known = context.get("metatags", "")
    if tree is None or 'name="description"' in known:
        return
    found = tree.findall(lambda node: node.tagname == "paragraph")
    plain = [each for each in found if not any(True for _ in each.findall(lambda node: node.tagname == "math"))]
    words = describe([paragraph.astext() for paragraph in plain])
    if words:
        context["metatags"] = f'{known}\n    <meta name="description" content="{html.escape(words)}" />'


def _is_unused(script: Any) -> bool:
    """Tell scripts by their address or, if they are part of the page, by their text."""
    body = getattr(script, "attributes", {}).get("body") or ""
    return UNUSED in f"{script} {getattr(script, 'filename', '')} {body}".lower()
