"""Runs of the workflow that are killed, disturbed, run twice or out of room: nothing false, nothing lost, all said."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from small_book import environment, notebook, run, write_project

from gcamccl_core.kept_files import partial_suffix
from gcamccl_core.locks import hold_lock, holder
from workflow.guard import children, end_children, guard, run_to_the_end

pytestmark = pytest.mark.slow
SLEEP = "from pathlib import Path\nimport time\nPath('../runs/started').touch()\ntime.sleep(60)"
MAKEFILE = ".PHONY: book\nbook:\n\t@python -m workflow.run book demo\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = write_project(tmp_path_factory.mktemp("project"))
    done = run(folder, "book")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


STATES = """
import json
from pathlib import Path
from workflow.leftovers import at_work, leftovers, orphans
from workflow.profile import notebook_names
from workflow.status import book_state, executed_state

run = Path("runs/demo")
rows = [executed_state("demo", name) for name in notebook_names()]
print(json.dumps(dict([*rows, book_state("demo"), *at_work(run), *leftovers(run), *orphans(run)])))
"""


def states(project):
    """What `make status` says of a run, without the tables of long runs."""
    command = [sys.executable, "-c", STATES]
    return json.loads(subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout)


def times(project):
    files = [*project.glob("runs/demo/notebooks/*.ipynb"), project / "runs/demo/html/index.html"]
    return {path.name: path.stat().st_mtime_ns for path in files}


def test_what_is_there_says_what_made_it_and_is_not_made_again(project):
    before = times(project)
    assert run(project, "book").returncode == 0
    assert times(project) == before
    held = json.loads((project / "runs/demo/notebooks/02_second.stamp.json").read_text())
    assert {"core", "parameters", "versions", "notebook", "data", "date"} < set(held)
    assert set(held["files"]) == {"notebooks/02_second.ipynb", "figures/dot.svg", "figures/result.png"}
    held = json.loads((project / "runs/demo/html/stamp.json").read_text())
    assert {"core", "parameters", "versions", "notebooks", "pages", "results", "date"} < set(held)
    assert "index.html" in held["files"]


@pytest.mark.parametrize(
    ("name", "damage", "again"),
    [
        ("notebooks/01_first.ipynb", "edited", {"01_first.ipynb", "index.html"}),
        ("notebooks/02_second.stamp.json", "lost", {"02_second.ipynb", "index.html"}),
        ("figures/dot.svg", "edited", {"02_second.ipynb", "index.html"}),
        ("figures/result.png", "lost", {"02_second.ipynb", "index.html"}),
        ("html/index.html", "edited", {"index.html"}),
        ("html/genindex.html", "lost", {"index.html"}),
        ("html/stamp.json", "edited", {"index.html"}),
    ],
)
def test_what_is_edited_or_lost_is_said_and_made_again_and_nothing_else(project, name, damage, again):
    path, before = project / "runs/demo" / name, times(project)
    if damage == "edited":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    said = f"runs/demo/{name} is {'missing' if damage == 'lost' else '(damaged|truncated)'}"
    stale = {state for state in states(project).values() if state != "current"}
    (edited,) = stale - {"stale: notebooks changed"}  # which is true of the book, too
    assert re.match(f"edited or damaged: {said}", edited)
    done = run(project, "book")
    assert done.returncode == 0, done.stderr
    assert re.search(said, done.stderr)
    assert {each for each, when in times(project).items() if when != before.get(each)} == again
    assert set(states(project).values()) == {"current"}


def test_a_second_run_at_once_is_told_of_the_first(project):
    with hold_lock(project / "runs/demo/.lock", "runs/demo", "make book PROFILE=demo"):
        began = time.monotonic()
        done = run(project, "book")
        assert states(project)["runs/demo"].startswith(f"at work: process {os.getpid()} on ")
    assert done.returncode == 1
    said = f"runs/demo is in use: process {os.getpid()} on {socket.gethostname()} since 20"
    assert done.stderr.startswith(said), done.stderr
    assert "(make book PROFILE=demo). Wait until it is done, or stop it." in done.stderr
    assert time.monotonic() - began > 9, "what a killed run left dying is waited for"


def process_table():
    table = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            table[int(path.name)] = (int(parent), state, (path / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return {number: (parent, command) for number, (parent, state, command) in table.items() if state != "Z"}


def descendants(number):
    table, found = process_table(), [number]
    for each in found:
        found += [child for child, (parent, _) in table.items() if parent == each]
    return {each: table[each][1] for each in found if each in table}


@pytest.fixture
def long_run(project):
    """A run under make, in a chapter that sleeps; and the processes that it is made of."""
    third = project / "notebooks" / "03_third.ipynb"
    nbformat.write(notebook("Third", "seed: int = 0", SLEEP), third)
    (project / "Makefile").write_text(MAKEFILE)
    (project / "runs/started").unlink(missing_ok=True)
    make = subprocess.Popen(["make", "book"], cwd=project, env=environment(), stderr=subprocess.PIPE, text=True)
    while not (project / "runs/started").exists():
        assert make.poll() is None, make.stderr.read()
        time.sleep(0.05)
    yield make, descendants(make.pid)
    make.kill()
    make.communicate()
    third.unlink()
    (project / "runs/demo/made_from/03_third.json").unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent ended")
@pytest.mark.parametrize("victim", ["make book", "workflow.run", "snakemake", "workflow.execute", "ipykernel"])
def test_whichever_process_is_killed_none_is_left_and_the_next_run_goes_on(project, long_run, victim):
    make, processes = long_run
    (number,) = [each for each, command in processes.items() if victim in command and "--snakefile" not in command] or [
        each for each, command in processes.items() if victim in command
    ]
    os.kill(number, signal.SIGKILL)
    make.wait(20)
    end = time.monotonic() + 20
    while left := set(process_table()) & set(processes) - {make.pid}:
        assert time.monotonic() < end, {each: processes[each] for each in left}
        time.sleep(0.05)
    assert not list((project / "runs/demo/notebooks").glob("03*"))
    lock = project / "runs/demo/.lock"
    locks = [lock, project / "runs/demo/unfinished/.03_third.lock"]
    while any(held := [holder(each) for each in locks]):  # a process loses its name a moment before its locks
        assert time.monotonic() < end, held
        time.sleep(0.05)
    with hold_lock(lock, "runs/demo", "make book"):  # the next run would start at once
        assert holder(locks[1]) is None


def test_what_a_killed_run_left_half_written_is_removed_and_said(project, capsys, monkeypatch):
    monkeypatch.chdir(project)
    dead = subprocess.run(
        [sys.executable, "-c", "from gcamccl_core.kept_files import partial_suffix; print(partial_suffix())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    left = Path("runs/demo/figures") / f".half.svg{dead}"
    mine = Path("runs/demo/figures") / f".mine.svg{partial_suffix()}"
    left.write_text("<sv")
    mine.write_text("<sv")
    assert states(project)[str(left)].startswith("half-written by a run that was killed")
    with guard(Path("runs/demo"), "make book"):
        assert not left.exists()
        assert mine.exists()
    mine.unlink()
    assert f"removed what a killed run had not finished writing: {left}" in capsys.readouterr().err


def test_a_figure_that_no_chapter_makes_any_more_is_said_and_in_no_book(project):
    lost = project / "runs/demo/figures/old.svg"
    shutil.copy(project / "runs/demo/figures/dot.svg", lost)
    page = project / "book/bibliography.md"
    text = page.read_text()
    page.write_text(text + "\nAnother word.\n")
    try:
        assert states(project)["runs/demo/html/index.html"] == "stale: pages changed"
        assert states(project)["runs/demo/figures/old.svg"].startswith("left by another version of a chapter")
        assert run(project, "book").returncode == 0
        assert states(project)["runs/demo/html/index.html"] == "current"
        assert not (project / "runs/demo/source/figures/old.svg").exists()
    finally:
        page.write_text(text)
        lost.unlink()


@pytest.fixture
def disk(project):
    """A project whose runs lie on a disk of their own, of sixteen MiB, with the finished run on it."""
    runs, aside = project / "runs", project / "runs_aside"
    runs.rename(aside)
    runs.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", runs], capture_output=True, text=True)
    if done.returncode == 0:
        shutil.copytree(aside, runs, dirs_exist_ok=True)
        yield runs
        subprocess.run(["umount", "-l", runs], check=True)
    runs.rmdir()
    aside.rename(runs)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")


def digest(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_disk_without_room_is_refused_before_any_work(project, disk):
    before = digest(disk)
    done = run(project, "book")
    assert done.returncode == 1
    assert "runs/demo takes 564.2 MiB, its disk has" in done.stderr
    assert "make room or choose another folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert digest(disk) == before


def test_a_read_only_runs_folder_is_refused_before_any_work(project, disk):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    before = digest(disk)
    done = run(project, "book")
    assert done.returncode == 1
    assert "runs/demo cannot be written: the disk is mounted read-only; mount it for writing, or" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert digest(disk) == before


FULL = """from pathlib import Path
from gcamccl_core.kept_files import whole_file
with whole_file(Path("../runs/demo/figures/large.svg")) as partial:
    partial.write_bytes(bytes(100_000_000))"""


def test_a_disk_that_fills_up_meanwhile_is_said_and_the_former_book_stays(project, disk):
    third = project / "notebooks" / "03_third.ipynb"
    nbformat.write(notebook("Third", "seed: int = 0", FULL), third)
    html = {path: content for path, content in digest(disk).items() if "html" in path.parts}
    program = "import sys; from workflow import guard, run; guard.require_room = lambda *_: None; sys.exit(run.main())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, "book", "demo"],
            cwd=project,
            env=environment(),
            capture_output=True,
            text=True,
        )
    finally:
        third.unlink()
    assert done.returncode != 0
    assert "large.svg cannot be written: the disk is full" in done.stderr
    after = digest(disk)
    assert {path: after[path] for path in html} == html
    assert not [path for path in after if path.name.endswith(".partial")]
    assert not (disk / "demo/notebooks/03_third.ipynb").exists()


def test_a_rendering_that_fails_leaves_the_former_book_and_the_next_one_goes_on(project):
    page, html = project / "book/bibliography.md", project / "runs/demo/html"
    text, before = page.read_text(), digest(html)
    page.write_text(text + "\nSee {doc}`nowhere`.\n")
    try:
        assert run(project, "book").returncode != 0
        assert digest(html) == before
        assert states(project)["runs/demo/html/index.html"] == "stale: pages changed"
        page.write_text(text + "\nAnother word.\n")
        assert run(project, "book").returncode == 0
        assert "Another word" in (html / "bibliography.html").read_text()
    finally:
        page.write_text(text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_tells_its_program_and_waits_for_it(tmp_path, number):
    trap = f"trap 'echo cancelled > {tmp_path}/said; exit 3' INT"
    child = ["sh", "-c", f"{trap}; touch {tmp_path}/started; while :; do sleep 0.1; done"]
    program = "import signal; from workflow.guard import run_to_the_end; "
    program += "signal.signal(signal.SIGHUP, signal.SIG_DFL); "  # nohup makes whoever it starts deaf to it, tests too
    program += f"print(run_to_the_end({child!r}, signal.SIGINT))"
    front = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "started").exists():
        assert front.poll() is None
        time.sleep(0.02)
    front.send_signal(number)
    assert front.communicate(timeout=20)[0] == "3\n"
    assert (tmp_path / "said").read_text() == "cancelled\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to whoever asked for them")
def test_what_a_program_leaves_running_is_ended(tmp_path):
    script = f"sleep 60 & echo $! > {tmp_path}/number"
    assert run_to_the_end(["sh", "-c", script]) == 0
    number = int((tmp_path / "number").read_text())
    assert number not in process_table()
    assert run_to_the_end(["sh", "-c", "kill -9 $$"]) == -signal.SIGKILL


def test_children_are_this_process_s_own():
    child = subprocess.Popen(["sleep", "60"])
    assert child.pid in children()
    end_children(5)
    assert child.pid not in process_table()
    child.returncode = -9
