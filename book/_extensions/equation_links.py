"""The paper's equations in the rendered book: numbered as in the paper, linked with the functions that compute them.

A Sphinx extension. ``EQUATIONS`` is the one list of which function computes which equation, and both directions come
from it: the line below an equation in its chapter, which leads to the functions, and the line in a function's entry,
which leads to the symbols. Where a docstring says "Eq. 12" the book makes a link of it; ``help()`` shows it as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sphinx.application import Sphinx


class Equation(NamedTuple):
    """What an equation of the paper says, and the functions and classes that compute it."""

    says: str
    computed_by: tuple[str, ...]


LOSSES, MAPS = "gcamccl_core.model.losses", "gcamccl_core.maps"
CCA = "gcamccl_core.model.canonical.CanonicalVariables"
EQUATIONS = {
    1: Equation("canonical correlation analysis, one pair of variables", (CCA,)),
    2: Equation("canonical correlation analysis, all pairs", (CCA, f"{LOSSES}.canonical_correlations")),
    3: Equation("deep canonical correlation analysis", (f"{LOSSES}.dcca_loss",)),
    4: Equation("deep collaborative learning", (f"{LOSSES}.dcl_loss", f"{LOSSES}.residual_sum_of_squares")),
    5: Equation(
        "score of a class from pooled feature maps",
        (f"{MAPS}.pooled_features.pool_features", f"{MAPS}.cam_head.retrain_cam_head"),
    ),
    6: Equation("class activation map", (f"{MAPS}.activation.cam",)),
    7: Equation("weights of Grad-CAM", (f"{MAPS}.activation.grad_cam",)),
    8: Equation("Grad-CAM map", (f"{MAPS}.activation.grad_cam", f"{MAPS}.map_rules.upsample")),
    9: Equation("guided Grad-CAM map", (f"{MAPS}.activation.guided_grad_cam",)),
    10: Equation("weights from positive gradients", (f"{MAPS}.activation.grad_cam",)),
    11: Equation("collaborative loss, two views and two classes", (f"{LOSSES}.collaborative_loss",)),
    12: Equation(
        "collaborative loss, any number of views and classes",
        (f"{LOSSES}.collaborative_loss", f"{LOSSES}.fit_term", f"{LOSSES}.agreement_term"),
    ),
}
SECTIONS = {  # of the notation page, by the equations whose symbols they explain
    "notation-correlation": range(1, 5),
    "notation-maps": range(5, 11),
    "notation-loss": range(11, 13),
}
LABEL = re.compile(r"eq-(\d+)")
NAMED = re.compile(
    r"``.*?``|`[^`]*`|\bEq\. (\d+(?:(?:, | and | or | to |-)\d+)*)\b"
)  # what backticks hold stays as it is
STARRED = re.compile(r"(?<=, )\*(?=\w)")  # in "(n, *view shape)", where emphasis would begin
UNDERLINE = re.compile(r"\s*-{3,}\s*")


def section_of(number: int) -> str:
    """Label of the section of the notation page that explains an equation's symbols."""
    return next(label for label, numbers in SECTIONS.items() if number in numbers)


def link_equations(lines: Iterable[str]) -> list[str]:
    """Make links of the equations that a docstring names, its examples aside."""
    linked, example = [], False
    for line in lines:
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        linked.append(line if example else STARRED.sub(r"\\*", NAMED.sub(_link, line)))
    return linked


def _link(match: re.Match[str]) -> str:
    numbers = match[1]
    return re.sub(r"\d+", r":eq:`eq-\g<0>`", numbers) if numbers else match[0]


def lead_to_symbols(name: str, lines: list[str]) -> list[str]:
    """Add to the docstring of a function that computes equations where their symbols are explained.

    Before the first section of the docstring, or at its end.
    """
    sections = {section_of(number): None for number, equation in EQUATIONS.items() if name in equation.computed_by}
    if not sections:
        return lines
    heads = (at - 1 for at, line in enumerate(lines) if at and UNDERLINE.fullmatch(line))
    place = next(heads, len(lines))
    symbols = "; ".join(f":ref:`{label}`" for label in sections)
    return [*lines[:place], "", f"Symbols: {symbols}.", "", *lines[place:]]


def on_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Change a docstring before it is set, and before numpydoc's sections are read."""
    lines[:] = lead_to_symbols(name, link_equations(lines))


def on_page(app: Sphinx, page: nodes.document) -> None:
    """Give the paper's equations the paper's numbers, and lead from each to what computes it."""
    math = app.env.get_domain("math")
    for block in list(page.findall(nodes.math_block)):
        label = LABEL.fullmatch(block.get("label") or "")
        if label is None or int(label[1]) not in EQUATIONS:
            continue
        number = int(label[1])
        block["number"] = number
        math.data["objects"][label[0]] = (app.env.docname, number)
        block.parent.insert(block.parent.index(block) + 1, _line_below(number, app.env.docname))


def _line_below(number: int, page: str) -> nodes.paragraph:
    """Lead from an equation to the functions that compute it and to its symbols."""
    line = nodes.paragraph(classes=["equation-links"])
    for at, name in enumerate(EQUATIONS[number].computed_by):
        line += nodes.Text(", " if at else "Computed by ")
        line += _reference(page, "py", "obj", name, nodes.literal("", name.rsplit(".", 1)[1]))
    line += nodes.Text("; ")
    line += _reference(page, "std", "ref", section_of(number), nodes.inline("", "symbols"))
    return line


def _reference(page: str, domain: str, role: str, target: str, shown: nodes.Element) -> addnodes.pending_xref:
    details: dict[str, Any] = {"refdomain": domain, "reftype": role, "reftarget": target, "refexplicit": True}
    return addnodes.pending_xref("", shown, refdoc=page, refwarn=True, **details)


class PaperEquations(SphinxDirective):
    """The table of the paper's equations: what each says, where it is set, what computes it."""

    def run(self) -> list[nodes.Node]:
        """Lay the table out as MyST and have it read."""
        rows = [
            "```{list-table}",
            ":header-rows: 1",
            ":widths: 12 38 50",
            "",
            "* - Equation",
            "  - What",
            "  - Computed by",
        ]
        for number, equation in EQUATIONS.items():
            functions = ", ".join(f"{{py:obj}}`~{name}`" for name in equation.computed_by)
            rows += [f"* - {{eq}}`eq-{number}`", f"  - {equation.says}", f"  - {functions}"]
        held = nodes.Element()
        self.state.nested_parse(StringList([*rows, "```"], source=self.env.docname), 0, held)
        return held.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("paper-equations", PaperEquations)
    app.connect("autodoc-process-docstring", on_docstring, priority=400)  # before napoleon, at 500
    app.connect("doctree-read", on_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
