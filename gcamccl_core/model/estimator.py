"""The collaborative network as a scikit-learn classifier: a table in, classes out, kept without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data

from gcamccl_core.data.checks import name_some
from gcamccl_core.data.cohort import Split
from gcamccl_core.model.classifier_files import plain, read_classifier, write_classifier
from gcamccl_core.model.columns import View, build_cohort, read_views, subject_names
from gcamccl_core.model.epochs import predict_logits
from gcamccl_core.model.holdout import hold_out
from gcamccl_core.model.recipe import Recipe
from gcamccl_core.model.training import fit

RECIPES = {"recommended": Recipe.recommended, "demo": Recipe.demo, "paper": Recipe.paper}
OVERRIDES = ("epochs", "learning_rate", "batch_size", "dropout", "agreement")


class GCAMCCLClassifier(ClassifierMixin, BaseEstimator):
    """The collaborative network with scikit-learn's conventions, for its cross-validation, searches and pipelines.

    Parameters
    ----------
    views : mapping of str to View, optional
        Which columns of X are which view; bare columns, as in ``{"thickness": (0, 68)}``, are a vector of measures.
        Columns in no view are left out. None: one vector, "features", of all columns.
    recipe : {"recommended", "demo", "paper"} or Recipe
        How to train; the published network by the last two.
    epochs, learning_rate, batch_size, dropout, agreement : optional
        Replace the recipe's value, so that each can be tuned; see :class:`.Recipe`. The recommended recipe, which has
        no epochs, knows ``agreement`` alone.
    validation_fraction : float
        Share of the rows given to ``fit`` that is set aside to choose the epoch by, if the recipe has epochs.
    random_state : int, RandomState or None
        Of that division, first weights, dropout and order; torch's own generator is left as it was.
    progress : bool
        Show a progress bar.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The labels, sorted.
    fitted_ : Fitted
        The networks, their history and the division of the rows.
    views_ : dict of str to View
        The views that it was fitted with.
    n_iter_ : int
        Epochs trained; 0 of the recommended recipe, whose pathways are fitted at once.
    n_features_in_, feature_names_in_
        Number of columns, and their names if X was a DataFrame with names.

    Examples
    --------
    >>> from gcamccl_core.data.simulation import simulate_cohort
    >>> from gcamccl_core.model.comparators import flatten_views
    >>> cohort = simulate_cohort(n_subjects=80, seed=0)
    >>> X, y = flatten_views(cohort, views=["snp"])[cohort["label"] >= 0], cohort["label"][cohort["label"] >= 0]
    >>> model = GCAMCCLClassifier({"snp": View(750, kind="genotype")}).fit(X, y)
    >>> model.predict_proba(X).shape, model.classes_.tolist()
    ((32, 2), [0, 1])
    """

    def __init__(
        self,
        views: Mapping[str, Any] | None = None,
        recipe: str | Recipe = "recommended",
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        dropout: float | None = None,
        agreement: float | None = None,
        validation_fraction: float = 0.15,
        random_state: int | np.random.RandomState | None = 0,
        progress: bool = False,
    ) -> None:
        self.views = views
        self.recipe = recipe
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.dropout = dropout
        self.agreement = agreement
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.progress = progress

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        views = self.views.values() if isinstance(self.views, Mapping) else ()
        tags.input_tags.allow_nan = any(isinstance(view, View) and view.kind == "genotype" for view in views)
        return tags

    def fit(self, X: Any, y: Any, groups: Any = None) -> GCAMCCLClassifier:  # noqa: N803 - scikit-learn's name
        """Train on the rows given, a part of which chooses the epoch if the recipe has any.

        Parameters
        ----------
        X : array or DataFrame of shape (n, n_columns)
            One row per subject; only genotypes may be NaN.
        y : array of shape (n,)
            Labels of two classes or more: words, whole numbers or truth values.
        groups : array of shape (n,), optional
            Sites or families, kept whole when rows are set aside and in folds; in a cross-validation,
            ``params={"groups": groups}``.

        Raises
        ------
        ValueError
            If views, recipe or values do not fit, or a class has too few rows; the message names what does not.
        """
        self.__dict__.pop("fitted_", None)  # a fit that fails must not leave the network of another table
        self.views_, recipe = read_views(self.views), self._make_recipe()
        subjects = subject_names(X)
        X, y = validate_data(  # noqa: N806
            self, X, y, dtype=np.float32, ensure_all_finite="allow-nan", ensure_min_features=2, ensure_min_samples=4
        )
        check_classification_targets(y)
        self.classes_, label = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class alone, {plain(self.classes_[0])!r}; a classifier needs at least 2 classes"
            )
        if groups is not None:
            groups = column_or_1d(groups)
            check_consistent_length(X, groups)
            if pd.isna(groups).any():
                raise ValueError("groups holds missing values; give each such row a group of its own")
        seed = _seed(self.random_state)
        if recipe.has_epochs:
            train, validation = hold_out(label, self.validation_fraction, seed, self.classes_.tolist(), groups)
        else:  # nothing is chosen by rows that were set aside
            train, validation = np.arange(len(label)), np.array([], dtype=int)
        cohort = self._build(X, subjects, label)
        if groups is not None:
            cohort["group"] = ("subject", np.asarray(groups).astype(str))
        split = Split(train, validation, np.array([], dtype=int))
        self.fitted_ = fit(cohort, split, recipe, seed, progress=self.progress)
        self.n_iter_ = int(self.fitted_.history["epoch"].max())
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the most probable class of every row, shape (n,)."""
        best = self._log_proba(X).argmax(axis=1)  # first, since it says so if fit was never called
        return self.classes_[best]

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Class probabilities, fused over the views: shape (n, n_classes), columns as in ``classes_``."""
        return np.exp(self._log_proba(X))

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Log odds of the second of two classes, shape (n,); log probabilities of more, shape (n, n_classes)."""
        log_proba = self._log_proba(X)
        return log_proba[:, 1] - log_proba[:, 0] if len(self.classes_) == 2 else log_proba

    def to_cohort(self, X: Any, y: Any = None) -> xr.Dataset:  # noqa: N803
        """Rows as a cohort for the network ``fitted_.net``, as in ``compute_maps(fitted_.net, cohort, subjects=...)``.

        Parameters
        ----------
        X : array or DataFrame of shape (n, n_columns)
            As in ``fit``; a DataFrame's index names the subjects if its entries are unlike.
        y : array of shape (n,), optional
            Their labels, of ``classes_``. Without them every label is -1, so pass ``subjects=range(n)`` to functions
            that take the labelled subjects by default.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If the columns are not those of ``fit``, or a label is unknown.

        Examples
        --------
        >>> X, y = np.random.default_rng(0).normal(size=(20, 60)), ["low", "high"] * 10
        >>> cohort = GCAMCCLClassifier().fit(X, y).to_cohort(X[:5], y[:5])
        >>> cohort["features"].shape, cohort["label"].to_numpy().tolist(), cohort["label"].attrs["classes"]
        ((5, 60), [1, 0, 1, 0, 1], ['high', 'low'])
        """
        check_is_fitted(self, "fitted_")
        subjects = subject_names(X)
        table = validate_data(self, self._in_order(X), reset=False, dtype=np.float32, ensure_all_finite="allow-nan")
        label = np.full(len(table), -1)
        if y is not None:
            y = column_or_1d(y)
            check_consistent_length(table, y)
            unknown = [each for each in pd.unique(pd.Series(y)) if each not in self.classes_]
            if unknown:
                raise ValueError(f"y holds {name_some(unknown)}; the classes are {name_some(self.classes_)}")
            label = np.searchsorted(self.classes_, y)
        return self._build(table, subjects, label)

    def save(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Keep the fitted classifier in a folder: networks as safetensors, everything else as JSON.

        Parameters
        ----------
        folder : path
            Of this classifier alone. A ``RandomState`` is kept as the seed that was drawn from it.
        overwrite : bool
            Write into a folder that holds files already.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        FileExistsError
            If the folder is not empty and ``overwrite`` is False.
        TypeError
            If the labels are of a type that JSON cannot hold.

        Examples
        --------
        >>> import tempfile
        >>> X, y = np.random.default_rng(0).normal(size=(20, 60)), ["low", "high"] * 10
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = GCAMCCLClassifier().fit(X, y).save(folder)
        ...     GCAMCCLClassifier.load(path).predict(X).shape
        (20,)
        """
        check_is_fitted(self, "fitted_")
        names = getattr(self, "feature_names_in_", None)
        columns = self.n_features_in_, None if names is None else list(names)
        parameters = self.get_params(deep=False)
        write_classifier(Path(folder), parameters, self.fitted_, self.views_, self.classes_, columns, overwrite)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> GCAMCCLClassifier:
        """Read back what :meth:`save` kept; its predictions are the same to the last bit.

        Raises
        ------
        FileNotFoundError
            If the folder holds no classifier.
        ValueError
            If a file is truncated; the message names it.
        """
        parameters, attributes = read_classifier(Path(folder))
        model = cls(**parameters)
        for name, value in attributes.items():
            setattr(model, name, value)
        model.n_iter_ = int(model.fitted_.history["epoch"].max())
        return model

    def _make_recipe(self) -> Recipe:
        """Build the recipe with the single values that replace its own."""
        if not isinstance(self.recipe, Recipe) and (not isinstance(self.recipe, str) or self.recipe not in RECIPES):
            raise ValueError(f"recipe must be {', '.join(map(repr, RECIPES))} or a Recipe, got {self.recipe!r}")
        recipe = RECIPES[self.recipe]() if isinstance(self.recipe, str) else self.recipe
        if recipe.fusion != "collaborative":
            raise ValueError(f"a recipe with fusion={recipe.fusion!r} trains no classifier; use 'collaborative'")
        changes = {name: plain(getattr(self, name)) for name in OVERRIDES if getattr(self, name) is not None}
        idle = sorted(set(changes) - {"agreement"})
        if idle and not recipe.has_epochs:
            raise ValueError(
                f"{name_some(idle)} would change nothing: the recipe has linear pathways alone, which have no epochs; "
                "leave them at None, or take recipe='demo'"
            )
        return replace(recipe, **changes)

    def _in_order(self, X: Any) -> Any:  # noqa: N803
        """Rows with their columns as in fit, where all views know their columns by name."""
        names = getattr(self, "feature_names_in_", None)
        if names is None or not isinstance(X, pd.DataFrame) or not all(view.by_name for view in self.views_.values()):
            return X
        return X[list(names)] if len(X.columns) == len(names) and set(X.columns) == set(names) else X

    def _build(self, table: np.ndarray, subjects: list[str] | None, label: np.ndarray) -> xr.Dataset:
        subjects = [str(row) for row in range(len(table))] if subjects is None else subjects
        classes = [str(each) for each in self.classes_]
        return build_cohort(table, self.views_, getattr(self, "feature_names_in_", None), subjects, label, classes)

    def _log_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Logarithms of the fused probabilities, float64 of shape (n, n_classes)."""
        cohort = self.to_cohort(X)
        net = self.fitted_.net
        logits = predict_logits(net, net.prepare(cohort))
        return net.fuse({view: each.double() for view, each in logits.items()}).detach().cpu().numpy()


def _seed(random_state: Any) -> int:
    """Draw a seed; an integer is the seed itself, so that a training can be repeated by hand."""
    generator = check_random_state(random_state)
    return int(random_state) if isinstance(random_state, Integral) else int(generator.randint(2**31 - 1))
