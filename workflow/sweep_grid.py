"""The grid of a sweep, from the section ``sweep`` of a profile: splits x training seeds x regimes x recipes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path

import nbformat

from gcamccl_core.data.regimes import REGIMES
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.parameters import CATALOGUE, ParameterError, check_parameters, suggest
from gcamccl_core.provenance import fingerprint, hash_module, imported_modules, versions
from workflow.profile import Profile, ProfileError, declared_in, hash_file, hash_notebook, hash_tables, refuse_unknown
from workflow.results import FETCHING
from workflow.sweep_files import SweepFolder

CELL = Path("workflow/sweeps/cell.ipynb")
ROOMS = ("data", "model")  # of the core; no other room changes a score
KEYS = ("splits", "seeds", "regimes", "recipes", "parameters", "resources")
OF_THE_GRID = ("split", "training_seed", "regime", "recipe_base", "recipe_changes", "run_folder", "scores_file")
RESOURCES: dict[str, object] = {"cpus": 1, "mem_mb": 3000, "runtime": 60}
OTHER_RESOURCES = ("gres", "gpu", "gpu_model", "slurm_account", "slurm_partition", "constraint", "qos", "slurm_extra")
NUMBERS = ("cpus", "mem_mb", "runtime", "gpu")


@dataclass(frozen=True)
class Cell:
    """One call of the cell notebook: where it stands in the grid, and its parameters."""

    name: str
    place: Mapping[str, object]  # cohort, regime, recipe, split, training_seed
    parameters: Mapping[str, object]


@dataclass(frozen=True)
class Sweep:
    """All cells of a profile's grid, in order, what varies in it, and what each cell asks of a machine."""

    profile: str
    folder: SweepFolder
    cells: Sequence[Cell]
    grid: Mapping[str, object]
    resources: Mapping[str, object]


def read_sweep(profile: Profile) -> Sweep:
    """Read and check a profile's grid, so that what is wrong with it is said before the first cell starts.

    Raises
    ------
    ProfileError
        If the profile has no section ``sweep``, or there is anything unknown, out of bounds or empty in it.
    """
    where, section = Path(f"profiles/{profile.name}.yaml"), profile.sweep
    if not section:
        raise ProfileError(f"{where} has no section 'sweep' that says what to vary; profiles/sweep.yaml shows one")
    refuse_unknown(where, "key of sweep", section, KEYS)
    fixed = _fixed_parameters(where, profile)
    cohort = str(fixed["cohort"])
    recipes = _read_recipes(where, section.get("recipes", ["demo"]))
    regimes = _read_regimes(where, cohort, section.get("regimes"), fixed)
    splits = section.get("splits", 1)
    if not _is_number(splits, least=1):
        raise ProfileError(f"{where}: splits of sweep is how many, a whole number from 1, not {splits!r}")
    seeds = _as_list(where, "seeds", section.get("seeds", [0]))
    if not all(_is_number(seed, least=0) for seed in seeds):
        raise ProfileError(f"{where}: seeds of sweep are whole numbers from 0, not {seeds!r}")
    resources = _read_resources(where, section.get("resources") or {})
    folder = SweepFolder(profile.run_folder / "sweep")
    cells = []
    for regime, (recipe, (base, changes)), split, seed in product(regimes, recipes.items(), range(splits), seeds):  # type: ignore[call-overload]
        name = f"{regime or Path(cohort).stem}-{recipe}-split{split}-seed{seed}"
        place = {"cohort": cohort, "regime": regime, "recipe": recipe, "split": split, "training_seed": seed}
        varied = {
            "split": split,
            "training_seed": seed,
            "recipe_base": base,
            "recipe_changes": json.dumps(changes, sort_keys=True),
            "threads": resources["cpus"],
            "run_folder": profile.run_folder.as_posix(),
            "scores_file": folder.scores(name).as_posix(),
            **({"regime": regime} if regime else {}),
        }
        cells.append(Cell(name, place, _check(where, {**fixed, **varied})))
    grid = {"splits": splits, "seeds": seeds, "regimes": regimes, "recipes": recipes, "resources": resources}
    return Sweep(
        profile.name,
        folder,
        cells,
        {**grid, "parameters": {k: fixed[k] for k in fixed if k not in OF_THE_GRID}},
        resources,
    )


def made_from(sweep: Sweep) -> dict[str, dict[str, object]]:
    """Say of each cell what it depends on: a change in any of it makes the cell stale."""
    code = "\n".join(cell.source for cell in nbformat.read(CELL, as_version=4).cells if cell.cell_type == "code")
    modules = {name: hash_module(name, *ROOMS, without=FETCHING) for name in sorted(set(imported_modules(code)))}
    shared = {
        "notebook": hash_notebook(CELL),
        "core": fingerprint(modules),
        "tables": hash_tables(CELL),
        "versions": versions(),
    }
    data: dict[str, str | None] = {}
    for cell in sweep.cells:
        path = Path(str(cell.parameters["cohort"]))
        if path.as_posix() not in data:
            data[path.as_posix()] = hash_file(path)
    return {
        cell.name: {
            **shared,
            "parameters": dict(cell.parameters),
            "data": data[Path(str(cell.parameters["cohort"])).as_posix()],
        }
        for cell in sweep.cells
    }


def _fixed_parameters(where: Path, profile: Profile) -> dict[str, object]:
    """Give what is the same in all cells: the notebook's defaults, the profile's values, and those of the section."""
    known = declared_in(CELL)
    own = profile.sweep.get("parameters") or {}
    if not isinstance(own, Mapping):
        raise ProfileError(f"{where}: parameters of sweep are names with values, not {own!r}")
    free = [name for name in known if name not in (*OF_THE_GRID, "threads")]
    for name in own:
        if name in OF_THE_GRID:
            raise ProfileError(f"{where}: '{name}' is set by the grid; name {', '.join(KEYS[:4])} in sweep instead")
        if name == "threads":
            raise ProfileError(f"{where}: every cell computes on as many threads as it has cpus; set cpus in resources")
    refuse_unknown(where, "parameter of a sweep's cell", own, free)
    shared = {name: value for name, value in profile.parameters.items() if name in free or name == "regime"}
    return {**known, **shared, **own}


def _read_recipes(where: Path, given: object) -> dict[str, tuple[str, dict[str, object]]]:
    """Read recipes by name, each a base and changes, and try them all."""
    if not isinstance(given, Mapping):
        given = {str(name): {} for name in _as_list(where, "recipes", given)}
    bases = CATALOGUE["recipe_base"].choices or ()
    values = [field.name for field in fields(Recipe)]
    recipes = {}
    for name, asked in given.items():
        asked = dict(asked or {})
        if not re.fullmatch(r"\w+", str(name)):
            raise ProfileError(f"{where}: '{name}' names a recipe, and files; use letters, digits and _ alone")
        base = str(asked.pop("base", name))
        if base not in bases:
            raise ProfileError(f"{where}: recipe '{name}' has no known base '{base}'; {suggest(base, bases)}")
        refuse_unknown(where, f"value of recipe '{name}'", asked, values)
        try:
            recipe = getattr(Recipe, base)(**asked)
        except (TypeError, ValueError) as fault:
            raise ProfileError(f"{where}: recipe '{name}': {fault}") from fault
        if recipe.fusion != "collaborative":
            raise ProfileError(f"{where}: recipe '{name}': a network trained by {recipe.fusion} predicts no class")
        recipes[str(name)] = (base, asked)
    if not recipes:
        raise ProfileError(f"{where}: recipes of sweep is empty; name at least one")
    return recipes


def _read_regimes(where: Path, cohort: str, given: object, fixed: Mapping[str, object]) -> list[str]:
    """Read regimes of the simulated cohort; another cohort has none, and stands once in the grid."""
    if cohort != "simulated":
        if given is not None:
            raise ProfileError(
                f"{where}: the cohort is '{cohort}', and only the simulated one has regimes; leave them out"
            )
        return [""]
    named = _as_list(where, "regimes", [fixed["regime"]] if given is None else given)
    regimes = ["null" if name is None else str(name) for name in named]  # YAML reads the word null as nothing
    for name in regimes:
        if name not in REGIMES:
            raise ProfileError(f"{where}: there is no regime '{name}'; {suggest(name, REGIMES)}")
    return regimes


def _read_resources(where: Path, given: object) -> dict[str, object]:
    """Read what a cell asks of a machine: cpus, megabytes, minutes, and what only a cluster knows."""
    if not isinstance(given, Mapping):
        raise ProfileError(f"{where}: resources of sweep are names with values, not {given!r}")
    refuse_unknown(where, "resource", given, (*RESOURCES, *OTHER_RESOURCES))
    for name in NUMBERS:
        if name in given and not _is_number(given[name], least=1):
            raise ProfileError(f"{where}: resource '{name}' is a whole number from 1, not {given[name]!r}")
    return {**RESOURCES, **given}


def _check(where: Path, parameters: dict[str, object]) -> dict[str, object]:
    try:
        return check_parameters(parameters)
    except ParameterError as fault:
        raise ProfileError(f"{where}: {fault}") from fault


def _as_list(where: Path, name: str, given: object) -> list[object]:
    items = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if not items or len({str(item) for item in items}) < len(items):
        raise ProfileError(f"{where}: {name} of sweep is a list without repetitions, of at least one, not {given!r}")
    return items


def _is_number(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
