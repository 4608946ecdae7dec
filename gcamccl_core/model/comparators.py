"""The classical classifiers of Table III on both views: each may use the validation part, none sees the test part."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import KernelPCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from tqdm.std import tqdm

from gcamccl_core.data.cohort import Split, class_names, view_names

PENALTIES = (1.0, 3.0, 10.0, 100.0)  # on features whose squares sum to about 1 per subject; the smallest wins ties


@dataclass(frozen=True)
class Method:
    """A classifier of Table III: how to make it from a seed, and the settings to choose from on the validation part."""

    make: Callable[[int], BaseEstimator]
    grid: Mapping[str, Sequence[object]] = field(default_factory=dict)
    rotate: bool = False


METHODS: dict[str, Method] = {
    "linear SVM": Method(lambda seed: SVC(kernel="linear"), {"C": PENALTIES}, rotate=True),
    "logistic regression": Method(lambda seed: LogisticRegression(max_iter=2000), {"C": PENALTIES}, rotate=True),
    "random forest": Method(
        lambda seed: RandomForestClassifier(n_estimators=200, random_state=seed), {"min_samples_leaf": (5, 1)}
    ),
    "decision tree": Method(lambda seed: DecisionTreeClassifier(random_state=seed), {"max_depth": (1, 2, 4)}),
}


def flatten_views(
    cohort: xr.Dataset, subjects: Sequence[int] | np.ndarray | None = None, views: Sequence[str] | None = None
) -> np.ndarray:
    """Lay the views side by side as one row of features per subject.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort.
    subjects : sequence of int, optional
        Positions along ``subject``; all by default.
    views : sequence of str, optional
        Which views, in this order; all by default.

    Returns
    -------
    array of shape (n_subjects, n_features), float32
        Of an image its upper triangle without the diagonal, row by row; a vector as it is.

    Raises
    ------
    ValueError
        If the cohort has no view of such a name.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> flatten_views(simulate_cohort(n_subjects=40, seed=1)).shape  # 264 * 263 / 2 + 750
    (40, 35466)
    """
    blocks = _blocks(cohort, views)
    rows = np.arange(cohort.sizes["subject"]) if subjects is None else np.asarray(subjects)
    return np.concatenate([_flatten(cohort[name], rows) for name in blocks], axis=1)


def _flatten(view: xr.DataArray, rows: np.ndarray) -> np.ndarray:
    values = view.to_numpy()
    if values.ndim == 3:
        upper = np.triu_indices(values.shape[1], k=1)
        return np.stack([values[row][upper] for row in rows]).astype(np.float32)
    return values[rows].astype(np.float32)


def _blocks(cohort: xr.Dataset, views: Sequence[str] | None) -> dict[str, slice]:
    """Columns of each view in the flattened features."""
    known = view_names(cohort)
    blocks, start = {}, 0
    for name in known if views is None else views:
        if name not in known:
            raise ValueError(f"the cohort has no view {name!r}; its views are {', '.join(known)}")
        shape = cohort[name].shape[1:]
        stop = start + (shape[0] * (shape[0] - 1) // 2 if len(shape) == 2 else shape[0])
        blocks[name], start = slice(start, stop), stop
    return blocks


def make_preparation(blocks: Mapping[str, slice], rotate: bool) -> Pipeline:
    """Prepare features: fill missing ones with the training mean, standardise, and balance the views.

    A view of p features enters with a weight of p^(1/2) in the kernel, halfway between every feature alike (34,716
    connections outvote 750 SNPs) and every view alike; the weights sum to 1. ``rotate`` adds linear kernel PCA with all
    components, a rotation onto the directions that the training subjects span: models with a quadratic penalty come out
    the same, at the cost of the number of subjects instead of the number of features.

    Parameters
    ----------
    blocks : mapping of str to slice
        Columns of each view.
    rotate : bool
        True for linear models; trees need the features themselves.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Not fitted yet.
    """
    filled = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    n_features = {name: columns.stop - columns.start for name, columns in blocks.items()}
    total = sum(n**0.5 for n in n_features.values())
    scale = ColumnTransformer(
        [(name, filled, columns) for name, columns in blocks.items()],
        transformer_weights={name: (n**-0.5 / total) ** 0.5 for name, n in n_features.items()},
    )
    return make_pipeline(scale, KernelPCA(kernel="linear", remove_zero_eig=True)) if rotate else make_pipeline(scale)


def fit_comparator(
    name: str, features: np.ndarray, label: np.ndarray, split: Split, blocks: Mapping[str, slice], seed: int = 0
) -> Pipeline:
    """Fit one classifier on the training part, with the setting that does best on the validation part.

    Parameters
    ----------
    name : str
        A key of ``METHODS``.
    features : array of shape (n_subjects, n_features)
        From :func:`flatten_views`, all subjects.
    label : array of shape (n_subjects,)
        Class numbers; read for the training and validation parts only.
    split : Split
        Positions of the parts. The test part is not looked at.
    blocks : mapping of str to slice
        Columns of each view.
    seed : int
        For the forest and the tree.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Preparation and classifier, fitted on the training part alone; settings are compared by the area under the ROC
        curve on the validation part, ties go to the first setting, the most regularised.

    Raises
    ------
    ValueError
        If there is no method of that name.
    """
    method = METHODS[_known(name)]
    preparation = make_preparation(blocks, method.rotate)
    train = preparation.fit_transform(features[split.train])
    validation = preparation.transform(features[split.validation])
    best, best_auc = None, -np.inf
    for setting in ParameterGrid(dict(method.grid)):
        model = method.make(seed).set_params(**setting).fit(train, label[split.train])
        auc = roc_auc_score(label[split.validation], _rank(model, validation))
        if auc > best_auc:
            best, best_auc = model, auc
    return make_pipeline(preparation, best)


def _rank(model: BaseEstimator, features: np.ndarray) -> np.ndarray:
    """Score subjects from class 0 to class 1, by margin or by probability."""
    return (
        model.decision_function(features)
        if hasattr(model, "decision_function")
        else model.predict_proba(features)[:, 1]
    )


def _known(name: str) -> str:
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"there is no comparator {name!r}; {hint}Comparators are {', '.join(METHODS)}")
    return name


def score_predictions(label: np.ndarray, predicted: np.ndarray, rank: np.ndarray) -> dict[str, float]:
    """Accuracy, sensitivity, specificity, F1 and AUC, as in Table III; the positive class is 1.

    Examples
    --------
    >>> score_predictions(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9]))["specificity"]
    0.5
    """
    (true_negative, false_positive), (false_negative, true_positive) = confusion_matrix(label, predicted, labels=[0, 1])
    return {
        "accuracy": float((true_negative + true_positive) / len(label)),
        "sensitivity": float(true_positive / (true_positive + false_negative)),
        "specificity": float(true_negative / (true_negative + false_positive)),
        "f1": float(f1_score(label, predicted, zero_division=0)),
        "auc": float(roc_auc_score(label, rank)),
    }


def compare(
    cohort: xr.Dataset,
    splits: Iterable[Split],
    methods: Sequence[str] = tuple(METHODS),
    views: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Fit every method on every split and score it on the test part (Table III).

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort with two classes.
    splits : iterable of Split
        The same for all methods.
    methods : sequence of str
        Keys of ``METHODS``.
    views : sequence of str, optional
        Which views the methods see; all by default.
    seed : int
        For the forest and the tree.
    progress : bool
        Show a bar when it takes more than a few seconds.

    Returns
    -------
    pandas.DataFrame
        Tidy: ``method``, ``split``, ``accuracy``, ``sensitivity``, ``specificity``, ``f1``, ``auc``, one row each.

    Raises
    ------
    ValueError
        If the cohort has other than two classes, or a method or view is unknown.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_split
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=80, seed=1)
    >>> compare(cohort, [make_split(cohort)], methods=["linear SVM"], views=["snp"]).columns.tolist()
    ['method', 'split', 'accuracy', 'sensitivity', 'specificity', 'f1', 'auc']
    """
    if len(class_names(cohort)) != 2:
        raise ValueError(
            f"sensitivity and specificity need two classes; the cohort has {', '.join(class_names(cohort))}"
        )
    for name in methods:
        _known(name)
    features, label, blocks = flatten_views(cohort, views=views), cohort["label"].to_numpy(), _blocks(cohort, views)
    runs = [(number, split, name) for number, split in enumerate(splits) for name in methods]
    rows = []
    for number, split, name in tqdm(runs, "comparators", unit="fit", disable=not progress, delay=3):
        model = fit_comparator(name, features, label, split, blocks, seed)
        test = features[split.test]
        rows.append(
            {"method": name, "split": number}
            | score_predictions(label[split.test], model.predict(test), _rank(model, test))
        )
    return pd.DataFrame(rows)
