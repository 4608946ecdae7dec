"""Execute one notebook with papermill: ``python -m workflow.execute NOTEBOOK OUTPUT MADE_FROM``."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from gcamccl_core.disk_faults import explain
from gcamccl_core.kept_files import digest_file, write_sealed
from gcamccl_core.lifelines import end_with_parent
from gcamccl_core.locks import InUseError, hold_lock
from gcamccl_core.report.disclosure import HOW, find_disclosures
from workflow.controlled import controlled_subjects
from workflow.guard import PATIENCE, RUNNER
from workflow.intact import look, made_since
from workflow.left_out import why_left_out, write_left_out
from workflow.profile import declared_in, read_chapter

# a dependency asks for widgets; we do without them, since they would load from the network
NO_WIDGETS = "ignore:IProgress not found"
END_WITH_US = "__import__('gcamccl_core.lifelines', fromlist=['_']).end_with_parent()"
KERNEL = [
    "--log-level=40",  # the kernel's own remarks would break up the progress bars
    f"--IPKernelApp.exec_lines={END_WITH_US}",
]


def main(notebook: Path, output: Path, made_from: Path) -> int:
    """Execute into ``output`` and lay what it was made from beside it; on failure say which cell, and why.

    The kernel's standard error, where progress bars are, goes to the terminal as well as into the notebook. The stamp
    comes last, and knows the checksums of the notebook and of the figures, tables and views that it wrote: a run that
    is killed in between leaves a notebook that nothing vouches for.
    """
    partial = output.parent.parent / "unfinished" / output.name
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        lock = partial.with_name(f".{output.stem}.lock")
        with hold_lock(lock, f"the notebook {output}", f"execute {notebook}", PATIENCE):
            return execute(notebook, partial, output, json.loads(made_from.read_text()))
    except InUseError as fault:
        print(fault, file=sys.stderr)
    except OSError as fault:
        said = explain(fault, output)
        if said is None:
            raise
        print(f"\n{notebook}: {said.strerror}", file=sys.stderr)
    return 1


def execute(notebook: Path, partial: Path, output: Path, basis: dict[str, Any]) -> int:
    """Execute into ``partial``, then move it to ``output``."""
    print(f"{notebook} {basis['parameters'] or 'with its own defaults'}", file=sys.stderr, flush=True)
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), NO_WIDGETS]))
    logging.getLogger("papermill").setLevel(logging.WARNING)
    run_folder, stamp = output.parent.parent, output.with_suffix(".stamp.json")
    before = look(run_folder)
    reason = why_left_out(notebook, {**declared_in(notebook), **basis["parameters"]})
    if reason:
        print(f"{notebook} is left out: it {reason}", file=sys.stderr, flush=True)
        write_left_out(notebook, partial, basis["parameters"], reason)
    elif not run(notebook, partial, basis["parameters"]):
        return 1
    else:
        warn_of_disclosures(partial, {**declared_in(notebook), **basis["parameters"]})
    output.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    partial.replace(output)
    files = {output.relative_to(run_folder).as_posix(): digest_file(output), **made_since(run_folder, before)}
    write_sealed(stamp, {**basis, "date": datetime.now(UTC).isoformat(timespec="seconds"), "files": files})
    return 0


def warn_of_disclosures(executed: Path, parameters: Mapping[str, object]) -> None:
    """Say at once for what a book of controlled people will be refused once all chapters are there."""
    subjects = controlled_subjects(parameters)
    for found in find_disclosures([executed], None, subjects) if subjects else ():
        print(f"the book will be refused: {found.where} {found.what}. {HOW}", file=sys.stderr, flush=True)


def run(notebook: Path, partial: Path, parameters: Mapping[str, object]) -> bool:
    """Run a notebook with papermill; if a cell fails, say which and why, and give False."""
    chapter = partial.with_name(f".{notebook.stem}.chapter.ipynb")
    nbformat.write(read_chapter(notebook), chapter)
    try:
        papermill.execute_notebook(
            chapter,
            partial,
            parameters,
            cwd=notebook.parent,
            stderr_file=sys.stderr,
            extra_arguments=KERNEL,
        )
    except PapermillExecutionError as fault:
        print(f"\n{notebook}, cell [{fault.exec_count}] failed:\n", file=sys.stderr)
        print("\n".join(f"    {line}" for line in fault.source.splitlines()), file=sys.stderr)
        print(f"\n{fault.ename}: {fault.evalue}\nThe notebook up to there: {partial}", file=sys.stderr)
        return False
    finally:
        chapter.unlink(missing_ok=True)
    return True


def end_with_run() -> None:
    """End with Snakemake, which started this process; at once if the run that started Snakemake has ended."""
    end_with_parent()
    runner = os.environ.get(RUNNER)
    if runner and Path("/proc/self").exists() and not Path("/proc", runner).exists():
        sys.exit("the run that this belongs to has ended")


if __name__ == "__main__":
    end_with_run()
    sys.exit(main(*map(Path, sys.argv[1:])))
