"""The notation page, the equations of the chapters and the functions lead to each other; a broken link is found."""

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from small_book import write_project

from gcamccl_core.provenance import what_changed
from workflow.intact import book_made_from
from workflow.profile import read_profile

ROOT = Path(__file__).parent.parent
BOOK = ROOT / "book"
CONFIG = yaml.safe_load((BOOK / "_config.yml").read_text())["sphinx"]["config"]
EXTENSION = BOOK / "_extensions" / "equation_links.py"
ROLE = re.compile(r"\{(func|class|meth)\}`~?(gcamccl_core[\w.]+)`")
ARGUMENTS = re.compile(r"arguments? ((?:`\w+`(?:, | and )?)+) of " + ROLE.pattern)
LABELLED = re.compile(r"\$\$ \(eq-(\d+)\)")
QUOTED = re.compile(r"\{eq\}`eq-(\d+)`")
NUMBERS = set(range(1, 13))


def load_extension():
    spec = importlib.util.spec_from_file_location("equation_links", EXTENSION)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LINKS = load_extension()


@pytest.fixture
def pages() -> dict[str, str]:
    """Every page and chapter of the book as text, prose alone, by name."""
    found = {path.relative_to(BOOK).as_posix(): path.read_text() for path in BOOK.rglob("*.md")}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        found[path.name] = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return found


def look_up(address: str) -> object | None:
    """Find a function, class or method by its address; None if there is none."""
    parts = address.split(".")
    for stop in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:stop])
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        for part in parts[stop:]:
            found = getattr(found, part, None)
        return found
    return None


def rows_of(page: str) -> list[tuple[str, list[str]]]:
    """Rows of the tables of symbols: the heading above, and the cells."""
    found = []
    for heading, section in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL):
        for row in re.findall(r"^\* - (.*?)(?=^\* - |^```)", section, re.MULTILINE | re.DOTALL):
            cells = [cell.strip() for cell in re.split(r"\n  - ", row)]
            if cells[0] != "Symbol":
                found.append((heading, cells))
    return found


def documented(pages: dict[str, str]) -> list[str]:
    """Addresses of all entries on the pages of functions."""
    found = []
    for name, text in pages.items():
        if not name.startswith("functions/"):
            continue
        module = ""
        for kind, argument in re.findall(r"^\.\. (automodule|auto\w+|py:data):: (\S+)$", text, re.MULTILINE):
            module = argument if kind == "automodule" else module
            found += [] if kind == "automodule" else [f"{module}.{argument}"]
    return found


def faults(pages: dict[str, str]) -> list[str]:
    """Name every broken link between symbols, equations and functions."""
    notation, found = pages["notation.md"], []
    entries = set(documented(pages))
    seen: set[tuple[str, str]] = set()
    for heading, (symbol, *cells) in rows_of(notation):
        where = f"{symbol} ({heading})"
        for one in re.split(r", (?![^(]*\))", symbol):
            if (heading, one.strip("$")) in seen:
                found.append(f"{one} ({heading}) is there twice")
            seen.add((heading, one.strip("$")))
        if "Eq." in heading and not QUOTED.search(cells[2]):
            found.append(f"{where} is of no equation")
        if not ROLE.search(cells[-1]) and not cells[-1].startswith("–"):
            found.append(f"{where} names no function, and has no dash")
    for kind, address in ROLE.findall(notation):
        thing = look_up(address)
        if thing is None:
            found.append(f"there is no {address}")
        elif inspect.isclass(thing) != (kind == "class"):
            found.append(f"{address} is no {kind}")
        owner = address.rsplit(".", 1)[0] if kind == "meth" else address
        if owner not in entries:
            found.append(f"{address} is on no page of functions")
    for names, _, address in ARGUMENTS.findall(notation):
        thing = look_up(address)
        known = inspect.signature(thing).parameters if callable(thing) else {}
        found += [f"{address} has no argument {name}" for name in re.findall(r"`(\w+)`", names) if name not in known]
    labels = [int(number) for text in pages.values() for number in LABELLED.findall(text)]
    in_table = {int(number) for _, cells in rows_of(notation) if len(cells) == 5 for number in QUOTED.findall(cells[3])}
    for number in sorted(NUMBERS):
        if labels.count(number) != 1:
            found.append(f"eq-{number} is the label of {labels.count(number)} equations")
        if number not in in_table:
            found.append(f"Eq. {number} has no symbol")
        computed_by = LINKS.EQUATIONS[number].computed_by
        if not computed_by:
            found.append(f"nothing computes Eq. {number}")
        for address in computed_by:
            docstring = inspect.getdoc(look_up(address)) or ""
            if f":eq:`eq-{number}`" not in "\n".join(LINKS.link_equations(docstring.splitlines())):
                found.append(f"the docstring of {address} does not name Eq. {number}")
            if address not in entries:
                found.append(f"{address} is on no page of functions")
    quoted = {int(number) for text in pages.values() for number in QUOTED.findall(text)}
    found += [f"there is no Eq. {number}" for number in sorted(quoted - NUMBERS)]
    return found


def test_every_symbol_equation_and_function_lead_to_each_other(pages):
    assert faults(pages) == []
    assert set(LINKS.EQUATIONS) == NUMBERS
    assert len(rows_of(pages["notation.md"])) > 40, "the tables of symbols are read"
    labels = re.findall(r"^\((notation-\w+)\)=$", pages["notation.md"], re.MULTILINE)
    assert labels == list(LINKS.SECTIONS)


@pytest.mark.parametrize(
    ("page", "old", "new", "fault"),
    [
        ("notation.md", "losses.dcl_loss`", "losses.dcl`", "there is no gcamccl_core.model.losses.dcl"),
        ("notation.md", "`z1`, `z2` of", "`z1`, `z3` of", "losses.dcl_loss has no argument z3"),
        ("notation.md", "{eq}`eq-2`\n", "2\n", "(Eq. 1 to 4)) is of no equation"),
        ("notation.md", "* - $r, s$", "* - $n, s$", "n (Canonical correlation and"),
        (
            "notation.md",
            "  - {func}`~gcamccl_core.maps.activation.cam`",
            "  - cam",
            "names no function, and has no dash",
        ),
        ("notation.md", "{eq}`eq-11`", "{eq}`eq-13`", "there is no Eq. 13"),
        ("04_activation_maps.ipynb", "$$ (eq-9)", "$$", "eq-9 is the label of 0 equations"),
        ("07_earlier_fusion.ipynb", "$$ (eq-4)", "$$ (eq-2)", "eq-2 is the label of 2 equations"),
        ("functions/maps.md", ":: upsample\n", ":: enlarge\n", "map_rules.upsample is on no page of functions"),
    ],
)
def test_a_broken_link_is_found_in_a_page(pages, page, old, new, fault):
    assert old in pages[page]
    found = faults({**pages, page: pages[page].replace(old, new)})
    assert any(fault in each for each in found), found


def test_a_function_that_is_renamed_or_no_longer_leads_back_is_found(pages, monkeypatch):
    from gcamccl_core.maps import activation
    from gcamccl_core.model import losses

    monkeypatch.setattr(activation.guided_grad_cam, "__doc__", "Hadamard product of two maps.")
    assert faults(pages) == ["the docstring of gcamccl_core.maps.activation.guided_grad_cam does not name Eq. 9"]
    monkeypatch.undo()
    monkeypatch.delattr(losses, "fit_term")
    assert "there is no gcamccl_core.model.losses.fit_term" in faults(pages)
    assert "the docstring of gcamccl_core.model.losses.fit_term does not name Eq. 12" in faults(pages)


def test_every_name_that_chapters_and_pages_import_has_its_entry_once(pages):
    entries = documented(pages)
    assert sorted(set(entries)) == sorted(entries)
    things = {address: look_up(address) for address in entries}
    assert [address for address, thing in things.items() if thing is None] == []
    sources = re.findall(r"```python\n(.*?)```", "\n".join(pages.values()), re.DOTALL)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        sources += [cell.source for cell in cells if cell.cell_type == "code"]
    nodes = [node for source in sources for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "", source, flags=re.M)))]
    imported = {
        (node.module, alias.name)
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "gcamccl_core"
        for alias in node.names
    }
    assert len(imported) > 150
    missing = []
    for module, name in sorted(imported):
        thing = getattr(importlib.import_module(module), name, None)
        if not inspect.ismodule(thing) and thing is not None and not any(thing is one for one in things.values()):
            missing.append(f"{module}.{name}")
    assert missing == []


def test_docstrings_stay_text_and_become_links_outside_of_code():
    lines = [
        "Grad-CAM (Eq. 7 and 8), as ``Eq. 7`` and `Eq. 8`; shape (n, *view shape).",
        "",
        ">>> 'Eq. 12'",
        "'not Eq. 12'",
        "",
        "After the example Eq. 9, of Table IV.",
    ]
    assert LINKS.link_equations(lines) == [
        r"Grad-CAM (:eq:`eq-7` and :eq:`eq-8`), as ``Eq. 7`` and `Eq. 8`; shape (n, \*view shape).",
        *lines[1:5],
        "After the example :eq:`eq-9`, of Table IV.",
    ]
    name = "gcamccl_core.maps.activation.grad_cam"
    led = LINKS.lead_to_symbols(name, ["Sum.", "", "Parameters", "----------", "net"])
    assert led == ["Sum.", "", "", "Symbols: :ref:`notation-maps`.", "", "Parameters", "----------", "net"]
    assert LINKS.lead_to_symbols("gcamccl_core.maps.activation.deconvnet", ["Sum."]) == ["Sum."]


def test_the_rendered_equation_has_the_papers_number_and_leads_to_the_function_and_back(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    settings = {
        key: value for key, value in CONFIG.items() if key.startswith(("math_", "autodoc_", "napoleon_", "add_"))
    }
    extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "equation_links"]
    lines = [f"import sys; sys.path.insert(0, {str(EXTENSION.parent)!r})", f"extensions = {extensions}"]
    lines += ["numfig = True", "myst_enable_extensions = ['dollarmath']", "suppress_warnings = ['ref.eq']"]
    lines += [f"{key} = {value!r}" for key, value in settings.items()]
    (source / "conf.py").write_text("\n".join(lines))
    (source / "index.md").write_text(
        "# Chapter\n\n$$ a = b $$ (eq-other)\n\n$$ L $$ (eq-12)\n\n```{toctree}\nfunctions\n```\n"
    )
    module = ".. py:module:: gcamccl_core.model.losses\n\n"
    functions = "\n".join(
        f".. autofunction:: {name}\n" for name in ("collaborative_loss", "fit_term", "agreement_term")
    )
    (source / "functions.md").write_text(
        f"# Functions\n\n```{{eval-rst}}\n{module}{functions}```\n\n(notation-loss)=\n## The loss\n"
    )
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(source), str(tmp_path / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    chapter, entries = ((tmp_path / "html" / f"{name}.html").read_text() for name in ("index", "functions"))
    assert re.search(r'id="equation-eq-12">\s*<span class="eqno">\(12\)', chapter)
    line = re.search(r'<p class="equation-links">(.*?)</p>', chapter, re.DOTALL)[1]
    led = re.findall(r'href="functions\.html#([\w.-]+)"', line)
    ids = set(re.findall(r'id="([\w.-]+)"', entries))
    assert led[:3] == [
        f"gcamccl_core.model.losses.{name}" for name in ("collaborative_loss", "fit_term", "agreement_term")
    ]
    assert len(led) == 4
    assert set(led) <= ids
    back = re.findall(r'<a class="[^"]*" href="index\.html#equation-eq-12">Eq\. 12</a>', entries)
    assert len(back) >= 3, "every one of the three names its equation"
    assert entries.count("Symbols: ") == 3


def test_a_changed_docstring_makes_the_book_stale_and_a_cache_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(write_project(tmp_path))
    profile = read_profile("demo")
    before = book_made_from(profile)
    cache = Path("book/_extensions/__pycache__")
    cache.mkdir(exist_ok=True)
    (cache / "equation_links.cpython-311.pyc").write_bytes(b"compiled again")
    assert book_made_from(profile) == before
    module = Path("gcamccl_core/model/losses.py")
    module.write_text(module.read_text().replace("averaged over the subjects.", "a mean over the subjects."))
    assert what_changed(before, book_made_from(profile)) == ["docstrings"]
