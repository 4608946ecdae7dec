"""Choose the gates and the penalty of a linear pathway, in folds of the training subjects."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold, StratifiedKFold

from gcamccl_core.data.checks import name_some
from gcamccl_core.model.rotation import Rotation, correlation_ratio

EXPONENTS = (0.0, 0.5, 1.0, 1.5)  # of the gates; 0 leaves all alike, as in an ordinary penalised regression
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)  # C, on features of mean square norm 1
N_FOLDS = 5

Fold = tuple[np.ndarray, np.ndarray]  # positions to fit on, and those left out


@dataclass(frozen=True)
class Setting:
    """What cross-validation chose for one view.

    Parameters
    ----------
    exponent : float
        Of the gates.
    penalty : float
        C, the inverse of the strength of the penalty.
    """

    exponent: float
    penalty: float


def divide(
    label: np.ndarray,
    n_classes: int,
    seed: int,
    groups: Sequence[object] | np.ndarray | None,
    classes: Sequence[str] | None = None,
) -> list[Fold]:
    """Stratified folds, groups whole; every fold leaves someone out and trains on every class.

    Parameters
    ----------
    label : array of int, shape (n,)
        Class numbers of the training subjects.
    n_classes : int
        How many classes there are.
    seed : int
        Of the folds.
    groups : array of shape (n,), optional
        Sites or families to keep whole.
    classes : sequence of str, optional
        Names of the classes, for the error message.

    Raises
    ------
    ValueError
        If a class has fewer than two subjects, or groups cannot be divided.
    """
    counts = np.bincount(label, minlength=n_classes)
    rarest = int(counts.min())
    if rarest < 2:
        names = [f"class {number}" for number in range(n_classes)] if classes is None else classes
        scarce = name_some(f"{names[number]} has {counts[number]}" for number in range(n_classes) if counts[number] < 2)
        raise ValueError(
            f"every class needs at least 2 training subjects, so that one can be left out; {scarce}. A class that "
            "nobody has does not belong among the names in label.attrs['classes']"
        )
    if groups is None:
        folds: BaseCrossValidator = StratifiedKFold(min(N_FOLDS, rarest), shuffle=True, random_state=seed)
    else:
        n_groups = len(set(groups))
        if n_groups < 2:
            raise ValueError("training subjects of a single group cannot be divided; pass more groups, or none")
        folds = StratifiedGroupKFold(min(N_FOLDS, rarest, n_groups), shuffle=True, random_state=seed)
    found = [(train, test) for train, test in folds.split(label, label, groups) if len(test)]
    if any(len(np.unique(label[train])) < len(np.unique(label)) for train, _ in found):
        raise ValueError("a fold would train without one of the classes; pass more groups, or none")
    return found


def choose_setting(
    values: np.ndarray, copies: np.ndarray, label: np.ndarray, folds: Sequence[Fold], exponents: Sequence[float]
) -> Setting:
    """Find the gates and penalty of the least cross-entropy in the folds, for one view by itself."""
    loss = np.zeros((len(exponents), len(PENALTIES)))
    classes = np.unique(label)
    # scikit-learn has one vector of weights for two classes; ours are two, opposite ones, whose squares sum to half
    scale = 2 if len(classes) == 2 else 1
    for train, test in folds:
        strength = correlation_ratio(values[train], label[train])
        for row, exponent in enumerate(exponents):
            rotation = Rotation(values[train], copies, strength, exponent)
            new = rotation.transform(values[test])
            model = LogisticRegression(max_iter=1000, warm_start=True)
            for column, penalty in enumerate(PENALTIES):  # from strong to weak, each from where the last one ended
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    model.set_params(C=scale * penalty).fit(rotation.coordinates, label[train])
                proba = model.predict_proba(new)
                loss[row, column] += log_loss(label[test], proba, labels=classes, normalize=False)
    row, column = (int(number) for number in np.unravel_index(int(loss.argmin()), loss.shape))
    return Setting(exponents[row], PENALTIES[column])
