"""What the kill loop starts, each kind in a folder of its own: a book, a sweep, trainings, a download."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat

from tests.small_book import notebook, write_project

ROOT = Path(__file__).parent.parent
SIMULATE = """from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.store import cached
people = cached("runs/demo", "cohorts", {"seed": seed}, lambda: simulate_cohort(60, seed=seed, progress=False))"""
TRAIN = """from gcamccl_core.data.cohort import make_split
from gcamccl_core.data.fewer_regions import keep_regions
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.model.training import Recipe, fit
people = keep_regions(simulate_cohort(60, seed=seed, progress=False), 48)
recipe = Recipe.demo(epochs=6, patience=None)
fit(people, make_split(people), recipe, seed, "runs/demo/models", False, 1, device="cpu")"""
CHAPTERS = {"03_cohort": SIMULATE, "04_training": TRAIN}  # beside those of the small project
SWEEP = """sweep:
  splits: 2
  seeds: [0, 1]
  recipes: {short: {base: demo, epochs: 2, patience: null}}
  parameters: {n_subjects: 120, regions_kept: 48}
"""
TRAINING = """
import sys
from gcamccl_core.data.cohort import make_splits
from gcamccl_core.data.simulation import simulate_cohort
from gcamccl_core.model.training import Recipe, fit_many
cohort = simulate_cohort(n_subjects=120, progress=False)
recipe = Recipe.demo(epochs=12, patience=None)
fit_many(cohort, make_splits(cohort, 3), [0, 1, 2], recipe, sys.argv[1], False, 1, jobs=2, device="cpu")
"""
DOWNLOAD = """
import sys
from gcamccl_core.data import manifest
from gcamccl_core.data.external_files import ExternalFile
name, size, sha256, address = sys.argv[1:]
file = ExternalFile(name, int(size), sha256, address, "loop", "a test", "CC0", "open", "nobody", "")
manifest.read_manifest = lambda: {name: file}
manifest.fetch(name)
"""
SIZE, RATE = 24_000_000, 8_000_000  # bytes of the file that is downloaded, and of it per second


@dataclass(frozen=True)
class Scenario:
    """Something to start, kill and start again.

    Parameters
    ----------
    kind : str
        Its name.
    command : list of str
        What is started.
    folder : pathlib.Path
        What it makes, all of it.
    project : pathlib.Path
        Where it is started.
    victims : dict of str to str
        Single processes that may be killed, by name: a part of their command line.
    variables : dict of str to str
        Of the environment.
    """

    kind: str
    command: list[str]
    folder: Path
    project: Path
    victims: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def start(self, log: Path) -> subprocess.Popen:
        """Start it in a session of its own; what it says goes into a file."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        surroundings = {**os.environ, "PATH": path, "PYTHONPATH": str(self.project), "OMP_NUM_THREADS": "1"}
        surroundings |= {"PYTHONHASHSEED": "0", **self.variables}
        with log.open("w") as file:
            given = {"cwd": self.project, "env": surroundings, "stdout": file, "stderr": subprocess.STDOUT}
            return subprocess.Popen(self.command, start_new_session=True, **given)

    def clear(self) -> None:
        """Remove what it has made, so that it begins from nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)


def copy_project(target: Path) -> Path:
    """Copy the project as it is in git's eyes, times of files included, beside a link to this environment."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(sys.prefix)
    return target


def workflow_scenarios(folder: Path) -> dict[str, Scenario]:
    """Give a small book, and a sweep in a copy of the project; the environment is taken as installed."""
    project = copy_project(folder / "project")
    (project / "profiles" / "kills_sweep.yaml").write_text(SWEEP)
    make = ["make", "-o", ".venv/installed"]
    beneath = {"snakemake": "-m snakemake", "execute": "-m workflow.execute", "kernel": "ipykernel_launcher"}
    book = {"make": "make -o", "run": "-m workflow.run", "render": "jupyter-book", **beneath}
    sweep = {"make": "make -o", "run": "-m workflow.sweep", **beneath}
    small = small_project(folder / "small")
    return {
        "book": Scenario("book", [*make, "book"], small / "runs/demo", small, book),
        "sweep": Scenario(
            "sweep", [*make, "sweep", "PROFILE=kills_sweep"], project / "runs/kills_sweep", project, sweep
        ),
    }


def small_project(folder: Path) -> Path:
    """Write a project whose book has four small chapters, one of which trains, with the real Makefile and workflow."""
    folder.mkdir()
    write_project(folder)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "data_manifest", folder / "data_manifest")
    for name, source in CHAPTERS.items():
        nbformat.write(notebook(name, "seed: int = 0", source), folder / "notebooks" / f"{name}.ipynb")
        with (folder / "book" / "_toc.yml").open("a") as contents:
            contents.write(f"- file: notebooks/{name}\n")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def training_scenario(folder: Path) -> Scenario:
    """Give three trainings in two processes."""
    victims = {"training": "fit_many", "worker": "popen_loky_posix"}
    return Scenario("training", [sys.executable, "-c", TRAINING, str(folder)], folder, ROOT, victims)


class SlowHandler(SimpleHTTPRequestHandler):
    """Serves one file, from wherever it is asked for, no faster than a line would."""

    content = b""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Send the rest of the file, a piece at a time."""
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        piece = RATE // 40
        try:
            for place in range(start, len(self.content), piece):
                self.wfile.write(self.content[place : place + piece])
                time.sleep(1 / 40)
        except OSError:  # whoever asked was killed
            return


@contextmanager
def download_scenario(folder: Path) -> Iterator[Scenario]:
    """Give a download from a server on this machine, which is there meanwhile."""
    SlowHandler.content = random.Random(0).randbytes(SIZE)
    digest = hashlib.sha256(SlowHandler.content).hexdigest()
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/file.bin"
        command = [sys.executable, "-c", DOWNLOAD, "loop/file.bin", str(SIZE), digest, address]
        variables = {"GCAMCCL_CACHE": str(folder), "GCAMCCL_MIRROR": "", "no_proxy": "127.0.0.1"}
        yield Scenario("download", command, folder, ROOT, {"download": "loop/file.bin"}, variables)
        server.shutdown()
