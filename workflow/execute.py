"""Execute one notebook with papermill: ``python -m workflow.execute NOTEBOOK OUTPUT MADE_FROM``."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError

# a dependency asks for widgets; we do without them, since they would load from the network
NO_WIDGETS = "ignore:IProgress not found"


def main(notebook: Path, output: Path, made_from: Path) -> int:
    """Execute into ``output`` and lay what it was made from beside it; on failure say which cell, and why.

    The kernel's standard error, where progress bars are, goes to the terminal as well as into the notebook.
    """
    basis = json.loads(made_from.read_text())
    print(f"{notebook} {basis['parameters'] or 'with its own defaults'}", file=sys.stderr, flush=True)
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), NO_WIDGETS]))
    logging.getLogger("papermill").setLevel(logging.WARNING)
    partial = output.parent.parent / "unfinished" / output.name
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            notebook,
            partial,
            basis["parameters"],
            cwd=notebook.parent,
            stderr_file=sys.stderr,
            extra_arguments=["--log-level=40"],  # the kernel's own remarks would break up the progress bars
        )
    except PapermillExecutionError as fault:
        print(f"\n{notebook}, cell [{fault.exec_count}] failed:\n", file=sys.stderr)
        print("\n".join(f"    {line}" for line in fault.source.splitlines()), file=sys.stderr)
        print(f"\n{fault.ename}: {fault.evalue}\nThe notebook up to there: {partial}", file=sys.stderr)
        return 1
    output.with_suffix(".stamp.json").write_text(json.dumps(basis, indent=1, sort_keys=True) + "\n")
    partial.replace(output)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
