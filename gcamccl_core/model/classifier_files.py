"""How a fitted classifier is kept in a folder: networks as safetensors, everything else as JSON, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gcamccl_core.data.cohort import Split
from gcamccl_core.model.columns import View
from gcamccl_core.model.fitted import Fitted, load_fitted, save_fitted
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training_checks import PARTS
from gcamccl_core.provenance import stamp, write_json

SUMMARY = "classifier.json"


def write_classifier(
    folder: Path,
    parameters: Mapping[str, Any],
    fitted: Fitted,
    views: Mapping[str, View],
    classes: np.ndarray,
    columns: tuple[int, list[str] | None],
    overwrite: bool = False,
) -> Path:
    """Write a classifier; the summary comes last and says that all is there.

    Parameters
    ----------
    folder : pathlib.Path
        Of this classifier alone.
    parameters : mapping of str to object
        Its hyper-parameters.
    fitted : Fitted
        Its networks.
    views : mapping of str to View
        What it was fitted with.
    classes : array of shape (n_classes,)
        Its labels, which keep their type.
    columns : (int, list of str or None)
        How many columns it takes, and their names.
    overwrite : bool
        Write into a folder that holds files already.

    Raises
    ------
    FileExistsError
        If the folder is not empty and ``overwrite`` is False.
    TypeError
        If the labels are of a type that JSON cannot hold.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not overwrite:
        raise FileExistsError(f"{folder} is not an empty folder; choose another or pass overwrite=True")
    # a RandomState is no plain value: the seed that was drawn from it is kept instead
    drawn = {"random_state": fitted.seed} if isinstance(parameters["random_state"], np.random.RandomState) else {}
    recipe = parameters["recipe"]
    kept = {
        **{name: plain(value) for name, value in parameters.items()},
        "recipe": _plain_recipe(recipe) if isinstance(recipe, Recipe) else recipe,
        "views": None if parameters["views"] is None else _list_views(views),
        **drawn,
    }
    content = {
        "parameters": kept,
        "views": _list_views(views),
        "classes": _list_classes(classes),
        "columns": list(columns),
        "recipe": _plain_recipe(fitted.recipe),
        "split": {part: np.asarray(getattr(fitted.split, part)).tolist() for part in PARTS},
        "seed": fitted.seed,
    }
    (folder / SUMMARY).unlink(missing_ok=True)
    save_fitted(fitted, folder, stamp({"seed": fitted.seed, "recipe": content["recipe"]}))
    return write_json(folder / SUMMARY, content)


def read_classifier(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what :func:`write_classifier` wrote.

    Returns
    -------
    (dict, dict)
        The hyper-parameters, and the fitted attributes by name.

    Raises
    ------
    FileNotFoundError
        If the folder holds no classifier.
    ValueError
        If a file is truncated; the message names it.
    """
    path = folder / SUMMARY
    if not path.is_file():
        raise FileNotFoundError(f"there is no classifier in {folder}: it has no {SUMMARY}; save one there first")
    try:
        content = json.loads(path.read_text())
        parameters = content["parameters"]
        views = {each["name"]: View(each["columns"], each["kind"], each["image"]) for each in content["views"]}
        parameters["views"] = None if parameters["views"] is None else views
        if isinstance(parameters["recipe"], dict):
            parameters["recipe"] = Recipe(**parameters["recipe"])
        classes = np.array(content["classes"]["labels"], dtype=content["classes"]["dtype"])
        (n_columns, names), recipe = content["columns"], Recipe(**content["recipe"])
        split = Split(*(np.array(content["split"][part], dtype=int) for part in PARTS))
        seed = content["seed"]
    except (ValueError, KeyError, TypeError) as fault:
        raise ValueError(f"{path} is truncated or not ours; save the classifier anew ({fault})") from fault
    fitted = load_fitted(folder, recipe, split, seed)
    attributes = {"classes_": classes, "views_": views, "fitted_": fitted, "n_features_in_": n_columns}
    return parameters, attributes | ({} if names is None else {"feature_names_in_": np.array(names, dtype=object)})


def plain(value: Any) -> Any:
    """Turn a number of numpy's, as searches hand out, into one of Python's.

    Examples
    --------
    >>> plain(np.int64(3)), plain("demo")
    (3, 'demo')
    """
    return value.item() if isinstance(value, np.generic) else value


def _plain_recipe(recipe: Recipe) -> dict[str, Any]:
    return {name: plain(value) for name, value in asdict(recipe).items()}


def _list_views(views: Mapping[str, View]) -> list[dict[str, Any]]:
    return [{"name": name, **asdict(view)} for name, view in views.items()]  # a list, since their order counts


def _list_classes(classes: np.ndarray) -> dict[str, Any]:
    labels = [plain(label) for label in classes.tolist()]
    strange = [label for label in labels if not isinstance(label, str | int | float | bool)]
    if strange:
        raise TypeError(f"labels of type {type(strange[0]).__name__} cannot be kept; use words or numbers")
    return {"dtype": classes.dtype.str, "labels": labels}
