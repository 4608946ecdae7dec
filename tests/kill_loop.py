"""Kill runs at random moments, let the next one finish, and compare what it made with an undisturbed run's.

``python -m tests.kill_loop --help``
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pandas as pd
from tqdm.std import tqdm

from tests.kill_scenarios import Scenario, download_scenario, training_scenario, workflow_scenarios
from tests.run_artefacts import artefacts, differences

KILLS = {"book": 12, "sweep": 8, "training": 8, "download": 8}
SOON = 0.2  # seconds: the earliest moment of a kill after the start; the latest is the end of an undisturbed run
GRACE = 30.0  # seconds in which whatever a kill leaves must end
COLUMNS = ["kind", "cycle", "victim", "seconds", "processes", "left", "finished", "artefacts", "different"]


class LoopError(RuntimeError):
    """A run that was not disturbed and failed, with the end of what it said."""


def process_table() -> dict[int, tuple[int, str]]:
    """Parents and command lines of all living processes, by their numbers."""
    table = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                table[int(path.name)] = (int(parent), (path / "cmdline").read_text().replace("\0", " "))
    return table


def family(number: int) -> dict[int, str]:
    """Command lines of a process and of all that descend from it, by their numbers."""
    table, found = process_table(), [number]
    for each in found:
        found += [child for child, (parent, _) in table.items() if parent == each]
    return {each: table[each][1] for each in found if each in table}


def kill_some(
    scenario: Scenario, process: subprocess.Popen, generator: random.Random, hit: Counter[str]
) -> tuple[str, dict[int, str]]:
    """Kill one of a run's processes, its process group, or all of them; say whom, and who was there.

    At random among those that were hit least often so far.
    """
    there = family(process.pid)
    targets: dict[str, list[int]] = {"all": list(there)}
    for name, part in scenario.victims.items():
        if some := [number for number, command in there.items() if part in command]:
            targets[name] = some[:1] if name in ("make", "training") else some[-1:]
    names = sorted([*targets, "group"])
    victim = generator.choice([name for name in names if hit[name] == min(hit[each] for each in names)])
    hit[victim] += 1
    if victim == "group":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    for number in targets.get(victim, ()):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return victim, there


def wait_for_end(process: subprocess.Popen, there: dict[int, str]) -> list[str]:
    """Wait until a killed run has ended; end what has not, and name it."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        living = process_table()
        left = {each: command for each, command in there.items() if living.get(each, (0, ""))[1] == command}
        if process.poll() is not None and not left:
            return []
        time.sleep(0.05)
    for number in left:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()
    return list(left.values())


def finish(scenario: Scenario, log: Path) -> float:
    """Run to the end, undisturbed, and say how long it took."""
    began = time.monotonic()
    if scenario.start(log).wait():
        raise LoopError(f"a run of the {scenario.kind} failed: {log.read_text(errors='replace')[-3000:]}")
    return time.monotonic() - began


def disturb(scenario: Scenario, kills: int, generator: random.Random, log: Path) -> Iterator[dict[str, object]]:
    """Kill runs, from nothing to the finished one and over again, until enough were killed.

    Yields
    ------
    dict
        A row of the table for each kill, when the run that followed in the end has finished and was compared.
    """
    scenario.clear()
    seconds = finish(scenario, log)
    expected = artefacts(scenario.folder)
    cycle, left, hit = 0, 0, Counter[str]()
    while left < kills:
        scenario.clear()
        rows: list[dict[str, object]] = []
        while left + len(rows) < kills:
            process, moment = scenario.start(log), generator.uniform(SOON, max(seconds, 2 * SOON))
            try:
                code = process.wait(moment)
            except subprocess.TimeoutExpired:
                victim, there = kill_some(scenario, process, generator, hit)
                remaining = wait_for_end(process, there)
                rows.append({"victim": victim, "seconds": round(moment, 1), "processes": len(there)})
                rows[-1]["left"] = len(remaining)
                continue
            if code:
                raise LoopError(f"a run of the {scenario.kind} failed: {log.read_text(errors='replace')[-3000:]}")
            break
        finish(scenario, log)
        found = artefacts(scenario.folder)
        unlike = differences(expected, found)
        if unlike:
            print(f"{scenario.kind}, cycle {cycle}: not the same: {', '.join(unlike)}", file=sys.stderr)
        of_cycle = {"finished": True, "artefacts": len(found), "different": len(unlike)}
        for row in rows:
            yield {"kind": scenario.kind, "cycle": cycle, **row, **of_cycle}
        left, cycle = left + len(rows), cycle + 1


def run(kills: dict[str, int], seed: int, folder: Path) -> pd.DataFrame:
    """Disturb runs of every kind that is asked for.

    Parameters
    ----------
    kills : dict of str to int
        How many, by kind: ``book``, ``sweep``, ``training``, ``download``.
    seed : int
        Of the moments and the victims.
    folder : pathlib.Path
        An empty one, to work in.

    Returns
    -------
    pandas.DataFrame
        One row per kill.
    """
    rows: list[dict[str, object]] = []
    with ExitStack() as stack, tqdm(total=sum(kills.values()), desc="kills") as bar:
        scenarios = {"training": training_scenario(folder / "training")}
        scenarios["download"] = stack.enter_context(download_scenario(folder / "download"))
        if {"book", "sweep"} & set(kills):
            scenarios |= workflow_scenarios(folder)
        for kind, count in kills.items():
            log = folder / f"{kind}.log"
            for row in disturb(scenarios[kind], count, random.Random(f"{seed} {kind}"), log):
                rows.append(row)
                bar.update()
    return pd.DataFrame(rows, columns=COLUMNS)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, run the loop, keep its table, and fail if anything was not the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill_loop", description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KILLS)}; all unless given")
    parser.add_argument(
        "--kills", type=int, help="of each kind; otherwise " + ", ".join(f"{n} {k}" for k, n in KILLS.items())
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.kinds) - set(KILLS)):
        parser.error(f"no kind {', '.join(unknown)}; kinds are {', '.join(KILLS)}")
    kills = {kind: asked.kills or KILLS[kind] for kind in asked.kinds or KILLS}
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        table = run(kills, asked.seed, Path(folder))
    bad = bool(table["different"].any() or table["left"].any())
    print(table.groupby(["kind", "victim"], sort=False).size().rename("kills").to_string())
    if not asked.kinds and not asked.kills:  # a part of it is no table to keep
        from workflow.kills import keep

        print(f"wrote {keep(table, {'kills': kills, 'seed': asked.seed})}")
    print("something was left or is not the same" if bad else "nothing was left, and everything is the same")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
