"""The parameters of the notebooks: one catalogue, and the check that every notebook's setup cell calls."""

from __future__ import annotations
import __future__

import ast
import difflib
import re
import types
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

INJECTED_BY_PAPERMILL = "# Parameters"
NOTEBOOK_FURNITURE = {"In", "Out", "exit", "quit", "open", "get_ipython"}
LABELS = {"simulated": ("wrat",), "abide": ("fiq", "diagnosis", "sex", "age")}
METHODS = ("grad_cam", "grad_cam_relu", "guided_backprop", "guided_grad_cam", "class_contrast")


class ParameterError(ValueError):
    """A notebook's parameter that is unknown, of the wrong type or out of bounds; the message says what is allowed."""


@dataclass(frozen=True)
class Parameter:
    """What one parameter may be: its type, its choices or bounds (both ends included), and one line of help."""

    type: type
    help: str
    choices: tuple[object, ...] | None = None
    bounds: tuple[float, float] | None = None
    suffix: str | None = None  # a path with this ending is allowed beside the choices

    def allowed(self) -> str:
        """Say in words what is allowed.

        Examples
        --------
        >>> CATALOGUE["frequency"].allowed()
        'float, 0.0 to 0.999'
        """
        words = [self.type.__name__]
        if self.choices is not None:
            words.append("one of " + ", ".join(repr(choice) for choice in self.choices))
        if self.bounds is not None:
            words.append(f"{self.bounds[0]} to {self.bounds[1]}")
        if self.suffix is not None:
            words.append(f"or the path of a {self.suffix} file")
        return ", ".join(words)


CATALOGUE: dict[str, Parameter] = {
    "cohort": Parameter(str, "whose data: a known cohort or your own file", tuple(LABELS), suffix=".nc"),
    "regime": Parameter(str, "how the simulated cohort was made", ("clear", "realistic", "scattered", "null")),
    "n_subjects": Parameter(int, "how many people to simulate", bounds=(40, 1_000_000)),
    "study": Parameter(str, "a folder with your own scans and genotypes; empty: one to practise on"),
    "task": Parameter(str, "which task's scan to take, where people have several"),
    "space": Parameter(str, "which space's scan to take, where people have several"),
    "session": Parameter(str, "which session's scan to take, where people have several"),
    "run": Parameter(str, "which run's scan to take, where people have several"),
    "n_scans": Parameter(int, "how many people of the practice study are scanned", bounds=(12, 200)),
    "n_genotyped": Parameter(int, "how many people of the practice study are genotyped", bounds=(12, 5000)),
    "jobs": Parameter(int, "how many scans are worked on at a time", bounds=(1, 512)),
    "label": Parameter(str, "what to tell apart", tuple(name for names in LABELS.values() for name in names)),
    "seed": Parameter(int, "another seed, another simulated cohort, split and start", bounds=(0, 2**32 - 1)),
    "n_splits": Parameter(int, "how many random splits to train on", bounds=(1, 10_000)),
    "n_starts": Parameter(int, "how many first weights to train from on every split", bounds=(1, 1000)),
    "recipe": Parameter(str, "how to train: minutes, or as Table II of the paper", ("demo", "paper")),
    "epochs": Parameter(int, "passes through the training part; 0 leaves it to the recipe", bounds=(0, 100_000)),
    "split_scheme": Parameter(
        str, "who may be on both sides of a split", ("groups", "subjects", "leave one group out")
    ),
    "confounds": Parameter(str, "what to remove from the views by the training part: names, commas"),
    "agreement": Parameter(float, "weight of the agreement term, if the folds do not do without", bounds=(0.0, 1000.0)),
    "lead": Parameter(str, "the view whose features are held against all views together; empty: the image"),
    "false_discoveries": Parameter(float, "bound on the expected share of false ones selected", bounds=(0.001, 0.5)),
    "n_regions": Parameter(int, "how many regions the small networks see", bounds=(20, 264)),
    "split": Parameter(int, "which of the splits to train on, counted from 0", bounds=(0, 9999)),
    "training_seed": Parameter(int, "of first weights, dropout and order of subjects", bounds=(0, 1_000_000)),
    "regions_kept": Parameter(int, "how many regions of the image to keep; 0 keeps all", bounds=(0, 100_000)),
    "recipe_base": Parameter(str, "recipe to start from", ("demo", "paper", "recommended")),
    "recipe_changes": Parameter(str, "values of the recipe to change, as JSON"),
    "device": Parameter(str, "where to train", ("cpu", "cuda")),
    "threads": Parameter(int, "processor threads to compute on; last digits depend on it", bounds=(1, 1024)),
    "scores_file": Parameter(str, "a JSON file to write the scores into; empty: none"),
    "run_folder": Parameter(str, "where models, maps and figures are kept"),
    "method": Parameter(str, "which activation map to select from", METHODS),
    "threshold": Parameter(float, "share of a subject's maximum that a value must exceed", bounds=(0.0, 0.999)),
    "panel_size": Parameter(int, "genes that could have been selected, at most", bounds=(58, 30_000)),
    "frequency": Parameter(float, "share of the subjects that must keep a feature", bounds=(0.0, 0.999)),
}


def check_parameters(namespace: Mapping[str, object]) -> dict[str, object]:
    """Check a notebook's parameters and hand them back; call it before anything else is assigned.

    Parameters
    ----------
    namespace : mapping of str to object
        The notebook's ``globals()``. Private names, modules, callables and the notebook's own furniture are passed
        over; every other name must be a parameter of the catalogue. If papermill injected values, each must
        replace one that this notebook's ``parameters`` cell declares.

    Returns
    -------
    dict
        The parameters of this notebook, in the order of the catalogue, numbers in the type the catalogue gives.

    Raises
    ------
    ParameterError
        If a parameter is unknown, not declared by this notebook, of the wrong type, or not among its choices or
        within its bounds.

    Examples
    --------
    >>> check_parameters({"seed": 0, "frequency": 0})
    {'seed': 0, 'frequency': 0.0}
    >>> check_parameters({"regmie": "null"})
    Traceback (most recent call last):
    gcamccl_core.parameters.ParameterError: unknown parameter 'regmie'; did you mean 'regime'? ...
    """
    history = namespace.get("In")
    cells = [str(cell) for cell in history] if isinstance(history, Sequence) else []
    if cells:
        _warn_plainly()
    _refuse_undeclared(cells)
    first_time = not any("check_parameters(" in cell for cell in cells[:-1])  # run again, the chapter's names are there
    for name, value in namespace.items():
        if first_time and name not in CATALOGUE and not _is_furniture(name, value):
            raise ParameterError(f"unknown parameter '{name}'; {suggest(name, CATALOGUE)}")
    checked = {name: _check_value(name, namespace[name]) for name in CATALOGUE if name in namespace}
    _check_label_fits(checked)
    return checked


def _warn_plainly() -> None:
    """Let a notebook's warnings name no place on this machine, count no few, and leave out that widgets are missing."""
    warnings.formatwarning = lambda message, category, *_, **__: f"{category.__name__}: {_hide_few(str(message))}\n"
    warnings.filterwarnings("ignore", message="IProgress not found")


def _hide_few(message: str) -> str:
    """Write "<10 subjects" for fewer, as chapters do of people under controlled access.

    Examples
    --------
    >>> _hide_few("8 subjects are fewer than eight times the latent size, 2"), _hide_few("18 subjects")
    ('<10 subjects are fewer than eight times the latent size, 2', '18 subjects')
    """
    return re.sub(r"(?<![\d.])[1-9](?= subjects?\b)", "<10", message)


def suggest(name: str, known: Iterable[object]) -> str:
    """Name the known word nearest to a mistyped one, and list them all.

    Examples
    --------
    >>> suggest("demmo", ["demo", "paper"])
    "did you mean 'demo'? (known: demo, paper)"
    """
    words = [str(word) for word in known]
    near = difflib.get_close_matches(name, words, n=1)
    listed = f"known: {', '.join(words) or 'none'}"
    return f"did you mean '{near[0]}'? ({listed})" if near else listed


def _is_furniture(name: str, value: object) -> bool:
    """Tell what a notebook holds besides parameters before its setup cell is done."""
    return (
        name.startswith("_")
        or name in NOTEBOOK_FURNITURE
        or isinstance(value, types.ModuleType | __future__._Feature)
        or callable(value)
    )


def _refuse_undeclared(cells: Sequence[str]) -> None:
    """Refuse values that papermill injected for names which no cell before its own assigns.

    Papermill puts its cell directly after the one tagged ``parameters``, or first if there is none, and only warns
    of names it does not find there: a parameter of another chapter would be taken and change nothing.
    """
    declared: list[str] = []
    for cell in cells:
        if not cell.startswith(INJECTED_BY_PAPERMILL):
            declared += assigned_names(cell)
            continue
        for name in assigned_names(cell):
            if name not in declared:
                reason = f"'{name}' is not declared by this notebook" if name in CATALOGUE else f"'{name}' is unknown"
                raise ParameterError(f"parameter {reason}; {suggest(name, declared)}")


def assigned_names(source: str) -> list[str]:
    """List the names that a cell assigns at its top level, in order.

    Examples
    --------
    >>> assigned_names("seed: int = 0; regime = 'clear'")
    ['seed', 'regime']
    """
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a cell with notebook magic is not a parameters cell
        return []
    targets = [
        target
        for statement in body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
    ]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _check_value(name: str, value: object) -> object:
    rule = CATALOGUE[name]
    fault = f"parameter '{name}' is {value!r}; allowed: {rule.allowed()}"
    if rule.type is str:
        if not isinstance(value, str):
            raise ParameterError(fault)
        return _check_choice(rule, value, fault)
    wanted = Integral if rule.type is int else Real
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise ParameterError(fault)
    number = rule.type(value)
    if rule.bounds is not None and not rule.bounds[0] <= number <= rule.bounds[1]:
        raise ParameterError(fault)
    return number


def _check_choice(rule: Parameter, value: str, fault: str) -> str:
    if rule.choices is None or value in rule.choices:
        return value
    if rule.suffix is not None and Path(value).suffix == rule.suffix:
        return value
    near = difflib.get_close_matches(value, [str(choice) for choice in rule.choices], n=1)
    raise ParameterError(f"{fault}; did you mean '{near[0]}'?" if near else fault)


def _check_label_fits(checked: Mapping[str, object]) -> None:
    """Refuse a label that the chosen cohort lacks; a cohort file carries its own label."""
    labels = LABELS.get(str(checked.get("cohort")))
    if labels and "label" in checked and checked["label"] not in labels:
        raise ParameterError(
            f"parameter 'label' is {checked['label']!r}; cohort {checked['cohort']!r} has: {', '.join(labels)}"
        )
