"""A ladder with a class above its top, as a scikit-learn classifier that learns from few labels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, column_or_1d

from vlae import recipes
from vlae.data.labels import UNLABELLED
from vlae.data.source import is_missing
from vlae.estimators.encoder import LadderEncoder
from vlae.objectives.few_labels import FewLabels
from vlae.recipes import Recipe, Settings
from vlae.runs.run import Run


class LadderClassifier(ClassifierMixin, LadderEncoder):  # type: ignore[misc]
    """A classifier that learns from all data, of which few may have a label; its codes are features, too.

    Labels are numbers or names. A datum without one has the label -1 (names and -1 go together in an object array),
    None or NaN; of names also an empty one, as in a file. If there are only -1 and 1, the two are classes.

    X may be a table, (n_samples, n_features), whose columns are standardised inside; or images: an array (n, height,
    width), (n, height, width, channels) or (n, channels, height, width), or a table of flattened ones with
    `image_shape`. Images are whole numbers from 0 to 255, or floats in [0, 1]. It trains on one processor, writes no
    file and prints nothing. The same `random_state` gives the same result on the same machine and number of threads.

    Reference: Kingma et al. 2014, "Semi-supervised Learning with Deep Generative Models"; here the class is a level of
    a ladder (`vlae.models.levels.ClassLevel`).

    Args:
        code_sizes: the code size of each level below the class, level 1 first. None: the recipe's own for this shape.
        image_shape: the shape of one flattened image: (height, width), (height, width, channels) or (channels, height,
            width); None: X is a table, or its images are not flattened.
        augment: whether images are turned, scaled, slanted and moved a little while it learns, and mirrored where that
            leaves their classes what they are. False: they get noise. Tables always get noise.
        recipe: the name of a ladder's recipe, or m2 or m1+m2, which vary no images; or a `Recipe` for data of this
            shape.
        steps: the number of optimiser steps, 1 or more. None: the recipe's own.
        settings: further settings of the recipe by name, for example {"label_weight": 0.2}.
        random_state: the seed of the weights, batches and draws: a whole number or a RandomState. None: a new seed each
            time.
        verbose: whether to show a progress bar on the error output.
        accelerator: the kind of device to train on: "cpu", "gpu", "mps", or "auto" for the best there is.

    Attributes:
        classes_: the classes, in ascending order.
        model_: the trained ladder, on the CPU.
        recipe_: all settings of the training.
        history_: the training curves: an array for each column of a run's metrics.csv, by its name.
        value_range_: the numbers of X that are 0 and 1 to the ladder, (low, high) of each channel; None: a table, or
            images of 8 bits or in [0, 1].
        image_shape_: the shape of one image of X in `fit`. None: X was a table.
        levels_: the levels whose codes `transform` returns: all but the class.
        n_features_in_: columns of X; of images, height × width × channels.
        feature_names_in_: the names of X's columns, if it has any.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> few = np.where(np.arange(150) % 10 == 0, y, -1)  # 15 labels of 150
        >>> LadderClassifier(steps=200, random_state=0).fit(X, few).score(X, y) > 0.85
        True
    """

    def __init__(
        self,
        *,
        code_sizes: Sequence[int] | None = None,
        image_shape: Sequence[int] | None = None,
        augment: bool = True,
        recipe: str | Recipe = "lean",
        steps: int | None = 1_000,
        settings: Settings | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        accelerator: str = "cpu",
    ):
        super().__init__(
            code_sizes=code_sizes,
            image_shape=image_shape,
            recipe=recipe,
            steps=steps,
            settings=settings,
            random_state=random_state,
            verbose=verbose,
            accelerator=accelerator,
        )
        self.augment = augment

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the ladder, with a class above its top.

        Args:
            X: a table (n_samples, n_features), or images; at least 2 rows.
            y: the label of each row, (n_samples,); -1, None or NaN where it is unknown. Every class has one or more.

        Raises:
            ValueError: if X is neither a table nor images; if y has another length, no label, or labels of one class;
                or if a setting is out of range.
        """
        values = self._values(X, fitting=True)
        check_consistent_length(X, column_or_1d(y))
        self.classes_, labels = _classes(y)
        self._order = np.arange(len(self.classes_))  # of the model's classes
        names = [str(int(name) if isinstance(name, float) else name) for name in self.classes_.tolist()]
        settings: Settings = (self.settings or Settings()).copy()
        recipe = recipes.adjust(self._recipe(values), batch_size=settings.pop("batch_size", None))
        recipe = _with_order(recipe, names)
        recipe = recipes.with_classes(recipe, values=range(len(names)), names=names)
        if isinstance(recipe.objective, FewLabels):
            settings.setdefault("views", self.augment)
        if not self.augment:
            settings.setdefault("augment", "none")
        self._train(values, self._adjusted(recipe, settings), labels)
        return self

    @classmethod
    def from_run(cls, run: Run, *, image_shape: Sequence[int] | None = None, levels: Any = None) -> Self:
        """Make a fitted classifier of a run with a class above its top.

        `classes_` are the names of the run's classes, in ascending order; whole numbers, if all of them are.

        Args:
            run: a finished run, such as `vlae.load` returns, that was trained with labels.
            image_shape: the shape of one flattened image, (height, width), (height, width, channels) or (channels,
                height, width). None: X is a table, or an array of images; what is decoded is (n, height, width) if they
                are grey, and else (n, height, width, channels).
            levels: the number of the level, or of the levels, whose codes `transform` returns. None: all.

        Raises:
            ValueError: if the run knows no classes, or two whose names are one number; if it reads features of
                full-size pictures, or images have another shape.
        """
        if run.recipe.classes is None or not run.recipe.classes.names:
            raise ValueError(f"the run in {run.path} knows no classes; train one with labels, or take LadderEncoder")
        classifier = super().from_run(run, image_shape=image_shape, levels=levels)
        classes = np.array(_as_classes(run.recipe.classes.names))
        classifier._order = np.argsort(classes)
        classifier.classes_ = classes[classifier._order]
        return classifier

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Args:
            X: a table or images, of the kind and shape it was fitted to.

        Returns:
            float64 (n_samples, n_classes), in the order of `classes_`; each row adds up to 1.

        Raises:
            ValueError: if X is not of the kind or shape it was fitted to.
        """
        check_is_fitted(self)
        probabilities = self._each(X, lambda x: self.model_.infer(x)[-1].mean.double().numpy())
        probabilities /= probabilities.sum(1, keepdims=True)
        return probabilities[:, getattr(self, "_order", slice(None))]  # a pickle of an earlier version has no order

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each datum.

        Args:
            X: a table or images, of the kind and shape it was fitted to.

        Returns:
            (n_samples,), of `classes_`.
        """
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # type: ignore[override]
        """Return the share of data whose class is named rightly; those without a label do not count.

        Args:
            X: a table or images, of the kind and shape it was fitted to.
            y: the label of each row, (n_samples,).
            sample_weight: the weight of each row, (n_samples,). None: all alike.

        Raises:
            ValueError: if y has a label that was not there in `fit`, or no label.
        """
        check_is_fitted(self)
        check_consistent_length(X, y)
        given = column_or_1d(y)
        classes = set(self.classes_.tolist())
        known = np.array([label in classes for label in given.tolist()], bool)
        if unseen := sorted(set(given[~known & ~_missing(given)].tolist()), key=str):
            raise ValueError(f"y has the labels {unseen[:5]}, which were not there in fit; leave these rows out")
        if not known.any():
            raise ValueError("y has no label; give at least one to score")
        right = self.predict(X)[known] == given[known]
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)[known]
        return float(np.average(right, weights=weight))


def _as_classes(names: Sequence[str]) -> list[int] | list[str]:
    """Return the classes that a run's names stand for: whole numbers, if all of them are; else the names."""
    if not all(name.removeprefix("-").isdecimal() for name in names):
        return list(names)
    numbers = [int(name) for name in names]
    if same := [name for name, number in zip(names, numbers, strict=True) if numbers.count(number) > 1]:
        raise ValueError(f"the classes {', '.join(same)} are one number; give them other names, and train again")
    return numbers


def _with_order(recipe: Recipe, names: Sequence[str]) -> Recipe:
    """Put the classes that a recipe names, if it names any, in the order of y's."""
    if recipe.classes is None or not recipe.classes.names:
        return recipe
    named = dict(zip(map(str, _as_classes(recipe.classes.names)), recipe.classes.names, strict=True))
    if sorted(named) != sorted(names):
        raise ValueError(f"y has the classes {', '.join(names)}; the recipe is for {', '.join(named)}")
    top = replace(recipe.classes, values=tuple(range(len(names))), names=tuple(named[name] for name in names))
    levels = tuple(top if level is recipe.classes else level for level in recipe.levels)
    return replace(recipe, levels=levels)


def _missing(y: np.ndarray) -> np.ndarray:
    """Tell which labels are missing: -1, None, NaN, pandas' NA, or text that says so."""
    if y.dtype.kind in "iub":
        return np.asarray(y == UNLABELLED)
    numbers = (str(UNLABELLED), str(float(UNLABELLED)), "nan")  # a smaller number is a class
    return np.array(
        [str(value) in numbers if isinstance(value, int | float) else is_missing(value) for value in y.tolist()], bool
    )


def _classes(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes, and for each datum the number of its class, or -1."""
    y = column_or_1d(y, warn=True)
    missing = _missing(y)
    if y.dtype.kind in "iuf" and missing.any() and set(y.tolist()) == {UNLABELLED, 1}:
        missing = y != y  # -1 and 1 are two classes
    known = y[~missing]
    if not len(known):
        raise ValueError("y has no label; give at least one of each class, and -1 where the class is unknown")
    if known.dtype.kind == "O":
        if 0 < sum(isinstance(value, str) for value in known) < len(known):
            raise ValueError("y has names and numbers; give one of the two, as with y.astype(str)")
        known = np.array(known.tolist())
    check_classification_targets(known)
    if known.dtype.kind == "f" and missing.any():
        known = known.astype(np.int64)  # whole numbers, which NaN had made floats
    classes, numbers = np.unique(known, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has one class, {classes.tolist()[0]!r}; a classifier needs at least two")
    labels = np.full(len(y), UNLABELLED)
    labels[~missing] = numbers
    return classes, labels
