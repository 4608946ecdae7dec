"""Keep the demo run's outputs in ``notebooks/``, without times and counters, and its title figure for the README.

``python -m workflow.keep``
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat

from gcamccl_core.kept_files import whole_file
from workflow.controlled import subjects_of
from workflow.intact import fault_of, stamp_of
from workflow.profile import NOTEBOOKS, launched, notebook_names, parameters_for, read_profile

PROFILE = "demo"
PICTURE = Path("book/images/result.png")


def keep(executed: Path, notebook: Path, made_from: dict[str, str]) -> None:
    """Copy the outputs of an executed notebook into the notebook it was executed from.

    Execution times and progress bars are left out: two runs that find the same differ in the date of their stamp alone.
    """
    kept = nbformat.read(notebook, as_version=4)
    done = nbformat.read(executed, as_version=4)
    own = [cell for cell in kept.cells if not launched(cell)]
    if [cell.source for cell in own] != [cell.source for cell in done.cells]:
        raise ValueError(f"{notebook} has been edited since {executed} was made; run `make notebooks` again")
    count = 0
    for cell, fresh in zip(own, done.cells, strict=True):
        if cell.cell_type == "code":
            count += bool(cell.source.strip())
            cell.execution_count = count if cell.source.strip() else None
            cell.outputs = [output for output in fresh.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "execution_count" in output:
                    output["execution_count"] = count
    kept.metadata["made_from"] = made_from
    kept.metadata["language_info"] = {"name": "python"}
    with whole_file(notebook) as partial:  # a kill in the midst would take the chapter itself
        nbformat.write(kept, partial)


def refuse_controlled(cohort: str) -> None:
    """Raise ValueError if outputs are of a controlled cohort: they must not come into the repository."""
    if subjects_of(cohort) is not None:
        raise ValueError(f"{cohort} is a controlled cohort; outputs made of it are never kept in {NOTEBOOKS}/")


def main() -> None:
    """Keep every chapter's outputs, after a check that the profile runs them at their own defaults."""
    profile = read_profile(PROFILE)
    for name in notebook_names():
        unlike = parameters_for(profile, name)
        if unlike:
            raise ValueError(f"profiles/{PROFILE}.yaml differs from the defaults of {name}: {unlike}")
        executed = profile.run_folder / "notebooks" / f"{name}.ipynb"
        if fault := fault_of(executed):
            raise ValueError(f"{fault}; run `make notebooks` again")
        made_from = stamp_of(executed)
        refuse_controlled(made_from["cohort"])
        if made_from["study"] is not None:
            raise ValueError(f"{executed} is of a study of your own; outputs made of it are never kept in {NOTEBOOKS}/")
        keep(executed, NOTEBOOKS / f"{name}.ipynb", {key: made_from[key] for key in ("notebook", "core", "tables")})
        print(f"kept the outputs of {name}")
    with whole_file(PICTURE) as partial:
        shutil.copy(profile.run_folder / "figures" / PICTURE.name, partial)


if __name__ == "__main__":
    main()
