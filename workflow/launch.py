"""Say where the project is published, so that pages offer to run a chapter on Binder, Colab or a JupyterHub.

``python -m workflow.launch --repository https://github.com/you/fork``; with an empty address all is taken away again.
Live code in the page itself (thebe) is left out: it loads from the network, and our pages do not.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import nbformat
import yaml

from gcamccl_core.kept_files import whole_file
from workflow.profile import LAUNCH, NOTEBOOKS, launched

CONFIG = Path("book/_config.yml")
SECTIONS = re.compile(r"^repository:\n(?:  .*\n)*(?:\nlaunch_buttons:\n(?:  .*\n)*)?", re.MULTILINE)
NOWHERE = 'repository:\n  url: ""\n'
CELL = """\
# Written by `make launch`; it prepares Colab or a JupyterHub, and does nothing where
# the project is installed.
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("gcamccl_core") is None:
    inside = [Path.cwd(), *Path.cwd().parents]
    found = [path for path in inside if (path / "gcamccl_core").is_dir()]
    project = found[0] if found else Path.cwd() / "{folder}"
    address, branch = "{repository}", "{branch}"
    if not project.is_dir():
        clone = ["git", "clone", "--depth", "1", "--branch", branch, address]
        subprocess.run([*clone, str(project)], check=True)
    prepare = project / "workflow" / "hosted.py"
    subprocess.run([sys.executable, str(prepare)], check=True)
    sys.path.insert(0, str(project))
    importlib.invalidate_caches()
    os.chdir(project / "notebooks")"""


class LaunchError(ValueError):
    """An address that no button could lead to; the message says what is wrong with it."""


def check_repository(address: str) -> tuple[str, str]:
    """Split the address of a repository into that without ending, and its name.

    Raises
    ------
    LaunchError
        If it is not that of a repository on GitHub: the theme's buttons know no other place, and nor does Colab.
    """
    parts = _split(address, "REPOSITORY")
    names = parts.path.strip("/").removesuffix(".git").split("/")
    if parts.hostname not in ("github.com", "www.github.com"):
        raise LaunchError(f"REPOSITORY={address}: Colab and the book's buttons need a repository on github.com")
    if len(names) != 2 or not all(re.fullmatch(r"[\w.-]+", name) for name in names):
        raise LaunchError(f"REPOSITORY={address}: an address is https://github.com/owner/name, without what follows it")
    return f"https://github.com/{'/'.join(names)}", names[1]


def check_hub(address: str) -> str:
    """Give the address of a JupyterHub without a slash at its end.

    Raises
    ------
    LaunchError
        If it is no address.
    """
    parts = _split(address, "JUPYTERHUB")
    if "/hub" in parts.path:
        raise LaunchError(f"JUPYTERHUB={address}: leave out what follows the hub's own address, from /hub on")
    return address.rstrip("/")


def _split(address: str, name: str) -> SplitResult:
    parts = urlsplit(address)
    if parts.scheme != "https" or not re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.hostname or ""):
        raise LaunchError(f"{name}={address} is no address: it begins with https:// and the name of a host")
    if parts.username or parts.password or parts.query or parts.fragment or not re.fullmatch(r"[\w./:~-]+", address):
        raise LaunchError(f"{name}={address}: leave out user, password, question mark, hash and blanks")
    return parts


def check_branch(branch: str) -> str:
    """Give a branch back.

    Raises
    ------
    LaunchError
        If git would have no branch of that name, or a link could not name it.
    """
    if not re.fullmatch(r"\w[\w.-]*(/[\w.-]+)*", branch) or ".." in branch or branch.endswith((".lock", ".")):
        raise LaunchError(f"BRANCH={branch} is no name of a branch: letters, digits, ., -, _ and / are")
    return branch


def settings(repository: str, branch: str, hub: str) -> str:
    """Write the two sections of the book's settings; of no repository the one that says so."""
    if not repository:
        return NOWHERE
    lines = [
        "repository:",
        f'  url: "{repository}"',
        f'  branch: "{branch}"',
        '  path_to_book: ""',
        "",
        "launch_buttons:",
    ]
    lines += ["  notebook_interface: jupyterlab", "  binderhub_url: https://mybinder.org"]
    lines += ["  colab_url: https://colab.research.google.com", *([f"  jupyterhub_url: {hub}"] if hub else [])]
    return "\n".join(lines) + "\n"


def write_settings(path: Path, text: str) -> None:
    """Put the sections in the place of the former ones, and leave the rest of the file as it is.

    Raises
    ------
    LaunchError
        If the file has no section ``repository`` to replace.
    """
    before = path.read_text()
    if len(SECTIONS.findall(before)) != 1:
        raise LaunchError(f"{path} needs one section 'repository:', whose lines are indented by two blanks")
    after = SECTIONS.sub(lambda _: text, before)
    yaml.safe_load(after)
    with whole_file(path) as partial:
        partial.write_text(after)


def launch_cell(repository: str, folder: str, branch: str) -> nbformat.NotebookNode:
    """Make the cell that prepares a chapter elsewhere."""
    code = CELL.format(folder=folder, repository=repository, branch=branch)
    return nbformat.v4.new_code_cell(code, id="launch", metadata={"tags": [LAUNCH, "remove-cell"]})


def renew_cells(paths: Iterable[Path], cell: nbformat.NotebookNode | None) -> None:
    """Put the cell below the title of every notebook in place of the former one, or take that away."""
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        cells = [each for each in notebook.cells if not launched(each)]
        if cell is not None:
            cells.insert(min(1, len(cells)), cell)
        if cells != notebook.cells:
            notebook.cells = cells
            with whole_file(path) as partial:
                nbformat.write(notebook, partial)


def notebooks() -> list[Path]:
    """List the chapters and the notebooks of exercises."""
    return sorted([*NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"), *(NOTEBOOKS / "exercises").glob("*.ipynb")])


def launch(repository: str, branch: str = "main", hub: str = "") -> None:
    """Write address, buttons and cells; of an empty address, take them away."""
    cell, checked = None, ""
    if repository:
        checked, folder = check_repository(repository)
        cell = launch_cell(checked, folder, check_branch(branch))
    elif hub:
        raise LaunchError("a JupyterHub fetches the chapters from a repository: give REPOSITORY=, too")
    write_settings(CONFIG, settings(checked, branch, check_hub(hub) if hub else ""))
    renew_cells(notebooks(), cell)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m workflow.launch", description=__doc__.splitlines()[0])
    parser.add_argument("--repository", help="https://github.com/owner/name; empty takes the buttons away")
    parser.add_argument("--branch", default="main")
    parser.add_argument("--jupyterhub", default="", help="address of a hub with nbgitpuller")
    asked = parser.parse_args(arguments)
    if asked.repository is None:
        sys.exit("say where: make launch REPOSITORY=https://github.com/owner/name, or REPOSITORY= to take it away")
    try:
        launch(asked.repository, asked.branch, asked.jupyterhub)
    except LaunchError as fault:
        sys.exit(str(fault))
    if asked.repository:
        print(
            "Pages of the next `make book` offer the chapters there; commit and push notebooks/ and book/_config.yml."
        )
    else:
        print("Pages of the next `make book` have no buttons.")


if __name__ == "__main__":
    main()
