"""Table III's other classifiers: each may use the validation part, none sees the test part."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from tqdm.std import tqdm

from gcamccl_core.data.cohort import Split, class_names, view_names
from gcamccl_core.model.features import flatten_views, make_preparation, view_columns
from gcamccl_core.model.perceptron import PerceptronFeatures
from gcamccl_core.model.scores import score_predictions

PENALTIES = (1.0, 3.0, 10.0, 100.0)  # on features whose squares sum to about 1 per subject; the smallest wins ties


@dataclass(frozen=True)
class Method:
    """A classifier of Table III: how to make it from a seed, and the settings to choose from on the validation part."""

    make: Callable[[int], BaseEstimator]
    grid: Mapping[str, Sequence[object]] = field(default_factory=dict)
    rotate: bool = False


COMPARATORS: dict[str, Method] = {
    "linear SVM": Method(lambda seed: SVC(kernel="linear"), {"C": PENALTIES}, rotate=True),
    "RBF SVM": Method(  # the kernel by matrix products: libsvm's own takes its time with 35,000 features
        lambda seed: SVC(), {"C": (1.0, 10.0), "kernel": [partial(rbf_kernel, gamma=gamma) for gamma in (0.3, 1.0)]}
    ),
    "logistic regression": Method(lambda seed: LogisticRegression(max_iter=2000), {"C": PENALTIES}, rotate=True),
    "random forest": Method(
        lambda seed: RandomForestClassifier(n_estimators=200, random_state=seed), {"min_samples_leaf": (5, 1)}
    ),
    "decision tree": Method(lambda seed: DecisionTreeClassifier(random_state=seed), {"max_depth": (1, 2, 4)}),
    "MLP+SVM": Method(
        lambda seed: make_pipeline(
            PerceptronFeatures(random_state=seed), StandardScaler(), SVC(kernel="linear", C=0.01)
        ),
        {"perceptronfeatures__alpha": (10.0, 0.1)},
    ),
}
ON_FEATURES: dict[str, Method] = {  # what reads the features that a network has learnt
    "SVM": Method(
        lambda seed: make_pipeline(StandardScaler(), SVC(kernel="linear")), {"svc__C": (0.001, 0.01, 0.1, 1.0)}
    ),
    "RF": Method(
        lambda seed: RandomForestClassifier(n_estimators=200, random_state=seed), {"min_samples_leaf": (20, 5, 1)}
    ),
}


def fit_comparator(
    name: str, features: np.ndarray, label: np.ndarray, split: Split, blocks: Mapping[str, slice], seed: int = 0
) -> Pipeline:
    """Fit one classifier on the training part, with the setting that does best on the validation part.

    Parameters
    ----------
    name : str
        A key of ``COMPARATORS``.
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
        If there is no method of that name, or the training or validation part holds other than two classes.
    """
    method = COMPARATORS[_known(name)]
    preparation = make_preparation(blocks, method.rotate)
    train = preparation.fit_transform(features[split.train])
    validation = preparation.transform(features[split.validation])
    best = choose_setting(method, (train, label[split.train]), (validation, label[split.validation]), seed)
    return make_pipeline(preparation, best)


def choose_setting(
    method: Method, train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray], seed: int = 0
) -> BaseEstimator:
    """Fit a method with each of its settings on one part and keep the fit that ranks the other part best.

    Parameters
    ----------
    method : Method
        How to make it, and its settings; ties go to the first, the most regularised.
    train, validation : pair of arrays
        Features (n, p) and class numbers (n,).
    seed : int
        For methods that draw at random.

    Raises
    ------
    ValueError
        If either part holds other than two classes: no setting ranks them better than another.
    """
    for part, (_, label) in {"training": train, "validation": validation}.items():
        if (n_found := len(np.unique(label))) != 2:
            raise ValueError(f"settings are compared between two classes; the {part} part holds {n_found}")
    best, best_auc = None, -np.inf
    for setting in ParameterGrid(dict(method.grid)):
        model = method.make(seed).set_params(**setting).fit(*train)
        auc = roc_auc_score(validation[1], rank_subjects(model, validation[0]))
        if auc > best_auc:
            best, best_auc = model, auc
    return best


def rank_subjects(model: BaseEstimator, features: np.ndarray) -> np.ndarray:
    """Score subjects from class 0 to class 1, by margin or by probability."""
    return (
        model.decision_function(features)
        if hasattr(model, "decision_function")
        else model.predict_proba(features)[:, 1]
    )


def _known(name: str) -> str:
    if name not in COMPARATORS:
        near = difflib.get_close_matches(name, COMPARATORS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"there is no comparator {name!r}; {hint}Comparators are {', '.join(COMPARATORS)}")
    return name


def compare(
    cohort: xr.Dataset,
    splits: Iterable[Split],
    methods: Sequence[str] = tuple(COMPARATORS),
    views: Sequence[str] | None = None,
    seed: int = 0,
    progress: bool = True,
    views_alone: bool = False,
) -> pd.DataFrame:
    """Fit every method on every split and score it on the test part (Table III).

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort with two classes.
    splits : iterable of Split
        The same for all methods.
    methods : sequence of str
        Keys of ``COMPARATORS``.
    views : sequence of str, optional
        Which views the methods see; all by default.
    seed : int
        For the forest and the tree.
    progress : bool
        Show a bar when it takes more than a few seconds.
    views_alone : bool
        Fit every method on each view alone as well, as method ``"<method>, <view> alone"``.

    Returns
    -------
    pandas.DataFrame
        Tidy, one row per method and split: ``method``, ``split``, ``n_train``, ``n_test``, ``accuracy``,
        ``sensitivity``, ``specificity``, ``f1``, ``auc``.

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
    ['method', 'split', 'n_train', 'n_test', 'accuracy', 'sensitivity', 'specificity', 'f1', 'auc']
    """
    if len(class_names(cohort)) != 2:
        raise ValueError(
            f"sensitivity and specificity need two classes; the cohort has {', '.join(class_names(cohort))}"
        )
    for name in methods:
        _known(name)
    chosen = view_names(cohort) if views is None else list(views)
    looks = {"": chosen} | ({f", {view} alone": [view] for view in chosen} if views_alone and len(chosen) > 1 else {})
    tables = {look: (flatten_views(cohort, views=names), view_columns(cohort, names)) for look, names in looks.items()}
    label = cohort["label"].to_numpy()
    runs = [(number, split, look, name) for number, split in enumerate(splits) for look in looks for name in methods]
    rows = []
    for number, split, look, name in tqdm(runs, "comparators", unit="fit", disable=not progress, delay=3):
        features, columns = tables[look]
        model = fit_comparator(name, features, label, split, columns, seed)
        rows.append({"method": name + look, **score_on_test(model, features, label, split, number)})
    return pd.DataFrame(rows)


def score_on_test(
    model: BaseEstimator, features: np.ndarray, label: np.ndarray, split: Split, number: int
) -> dict[str, float]:
    """Score a fitted classifier on the test part: one row of Table III, with the number of the split."""
    test = features[split.test]
    scores = score_predictions(label[split.test], model.predict(test), rank_subjects(model, test))
    return {"split": number, "n_train": len(split.train), "n_test": len(split.test), **scores}
