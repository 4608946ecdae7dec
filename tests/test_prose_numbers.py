"""No result is typed into prose: what has decimals or per cent there is a convention, a setting or the paper's."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/solutions/*.ipynb")])
CONVENTIONS = {
    "95 %": "of an interval",
    "80 %": "a wording of what a probability means; the power that studies are planned for",
    "0.05": "a level of significance; the paper's threshold",
    ".05": "the same",
    "5 %": "the paper's threshold",
    "0.7": "the paper's frequency",
    "70 %": "the same",
    "20 %": "the paper's extreme groups",
    "60 %": "those between",
    "15 %": "the test part",
    "0.5": "a coin; an example",
    "0.2": "the paper's dropout; an example of a threshold; the goal for all maps on a GPU, in seconds",
    "0.1": "a rate of false ones; an example of a precision; a frequency in Hz",
    "0.01": "a frequency in Hz",
    "0.8": "a bar that an exercise sets",
    "50 %": "the same",
    "90 %": "the same",
    "0.9": "the paper's momentum",
    "0.03": "the margin of 'not worse'",
    "1.9": "a version of plink",
}
NUMBER = re.compile(r"(?<![\w./])(\d*\.\d+|\d+(?:\.\d+)?(?= ?%))( ?%)?(?![\w/]|\.\d)")


def prose_of(path: Path) -> str:
    """Give what a page says in words: no code, no equations, no options of directives, no filled-in numbers."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return words_of(text)


def words_of(text: str) -> str:
    kept, inside = [], []  # fences that are open; of directives the content is prose, of all others it is code
    for line in text.splitlines():
        fence = re.match(r" *(`{3,}|:{3,})(.*)", line)
        if fence and inside and not fence[2].strip():
            inside.pop()
        elif fence:
            inside.append(fence[2].startswith("{"))
        elif all(inside):
            kept.append(line)
    text = re.sub(r"\$\$.*?\$\$", "", "\n".join(kept), flags=re.DOTALL)
    for inline in (r"`[^`]*`", r"\$[^$]*\$", r"\{\{[^}]*\}\}", r"^ *:[\w-]+:.*$", r"\]\([^)]*\)"):
        text = re.sub(inline, "", text, flags=re.MULTILINE)
    return text


def typed_numbers(text: str) -> list[str]:
    return [f"{number}{' %' if percent else ''}" for number, percent in NUMBER.findall(text)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_no_result_is_typed(path):
    unknown = [number for number in typed_numbers(prose_of(path)) if number not in CONVENTIONS]
    assert not unknown, f"glue or store these, and quote them by name: {unknown}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The accuracy was 0.73.", ["0.73"]),
        ("It was .73, and 12.5 % of 4%.", [".73", "12.5 %", "4 %"]),
        ("```{list-table}\n* - accuracy\n  - 0.61 (0.52 to 0.70)\n```", ["0.61", "0.52", "0.70"]),
        ("```{dropdown} Answer\nAbout 0.4.\n```", ["0.4"]),
        ("`0.73` and $0.73$, {{ accuracy }}, version 1.2.3, https://a.b/0.73, eq. 7", []),
        ("```python\nx = 0.73\n```\n\n$$\n0.73\n$$\n", []),
    ],
)
def test_typed_numbers_are_seen_and_code_is_not(text, found):
    assert typed_numbers(words_of(text)) == found
