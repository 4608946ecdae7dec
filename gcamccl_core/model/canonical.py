"""CCA before a classifier: linear combinations of two views that correlate most, and what they know of the label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.cohort import Split, view_names
from gcamccl_core.model.comparators import Method, choose_setting, score_on_test
from gcamccl_core.model.features import flatten_views, make_preparation, view_columns

N_COMPONENTS = (5, 10, 20, 40, 80)
PENALTIES = (0.1, 1.0, 10.0)


class CanonicalVariables(TransformerMixin, BaseEstimator):
    """Reduce two views to principal components each, and hand out the pairs of combinations that correlate most.

    CCA (Eq. 1 and 2) needs more subjects than features, so each view is reduced first.

    Parameters
    ----------
    columns : mapping of str to slice
        Columns of the two views.
    n_components : int
        Principal components of each view; fewer where there are fewer subjects or features.
    n_pairs : int
        Pairs of canonical variables.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> shared = random.normal(size=(200, 1))
    >>> X = np.hstack([shared + random.normal(size=(200, 4)), shared + random.normal(size=(200, 3))])
    >>> variables = CanonicalVariables({"a": slice(0, 4), "b": slice(4, 7)}, n_components=3, n_pairs=1).fit_transform(X)
    >>> variables.shape, bool(np.corrcoef(variables.T)[0, 1] > 0.7)
    ((200, 2), True)
    """

    def __init__(self, columns: Mapping[str, slice], n_components: int = 10, n_pairs: int = 2) -> None:
        self.columns, self.n_components, self.n_pairs = columns, n_components, n_pairs

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> CanonicalVariables:  # noqa: N803 - scikit-learn's name
        """Learn both steps from features of shape (n, p); labels are not looked at.

        Raises
        ------
        ValueError
            If there are other than two views.
        """
        if len(self.columns) != 2:
            raise ValueError(f"CCA joins two views; there are {len(self.columns)}: {name_some(self.columns)}")
        parts = [X[:, columns] for columns in self.columns.values()]
        self.reductions_ = [PCA(min(self.n_components, *part.shape), random_state=0).fit(part) for part in parts]
        reduced = [reduction.transform(part) for reduction, part in zip(self.reductions_, parts, strict=True)]
        n_pairs = min(self.n_pairs, *(part.shape[1] for part in reduced))
        self.cca_ = CCA(n_components=n_pairs, max_iter=5000).fit(*reduced)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """Canonical variables of the first view, then of the second: shape (n, 2 x pairs)."""
        check_is_fitted(self)
        places = zip(self.reductions_, self.columns.values(), strict=True)
        return np.hstack(self.cca_.transform(*(reduction.transform(X[:, columns]) for reduction, columns in places)))


def compare_cca(cohort: xr.Dataset, splits: Iterable[Split], seed: int = 0) -> pd.DataFrame:
    """Score a linear support vector machine on the canonical variables of a cohort's two views.

    The number of principal components and the penalty are chosen on the validation part.

    Parameters
    ----------
    cohort : xarray.Dataset
        A cohort with two views and two classes.
    splits : iterable of Split
        As in :func:`.compare`.
    seed : int
        Without effect; all methods take one.

    Returns
    -------
    pandas.DataFrame
        Method ``"CCA+SVM"``, columns as in :func:`.compare`.

    Raises
    ------
    ValueError
        If there are other than two views, or a part holds other than two classes.

    Examples
    --------
    >>> from gcamccl_core.data.cohort import make_split
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> cohort = simulate_cohort(n_subjects=100, seed=0)
    >>> compare_cca(cohort, [make_split(cohort)])["method"].tolist()
    ['CCA+SVM']
    """
    if len(view_names(cohort)) != 2:
        raise ValueError(f"CCA joins two views; the cohort has {name_some(view_names(cohort))}")
    columns, features, label = view_columns(cohort), flatten_views(cohort), cohort["label"].to_numpy()
    method = Method(
        lambda seed: make_pipeline(CanonicalVariables(columns), StandardScaler(), SVC(kernel="linear")),
        {"canonicalvariables__n_components": N_COMPONENTS, "svc__C": PENALTIES},
    )
    rows = []
    for number, split in enumerate(splits):
        preparation = make_preparation(columns, rotate=False).fit(features[split.train])
        train, validation = (
            (preparation.transform(features[part]), label[part]) for part in (split.train, split.validation)
        )
        model = make_pipeline(preparation, choose_setting(method, train, validation, seed))
        rows.append({"method": "CCA+SVM", **score_on_test(model, features, label, split, number)})
    return pd.DataFrame(rows)
