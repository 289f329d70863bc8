"""A ladder as a scikit-learn transformer, with one column per dimension of the codes."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_feature_names_in, check_array, check_is_fitted, validate_data
from torch import Tensor

from vlae import recipes
from vlae.data.depths import found_range, into_range, listed_range, out_of_range, white_of
from vlae.data.source import counted
from vlae.data.vectors import as_vectors
from vlae.errors import check_whole
from vlae.evaluation.rates import elbos_of
from vlae.models.base import LatentModel
from vlae.models.distributions import CodeDistribution
from vlae.models.inference import as_input, batch_of, evaluating
from vlae.recipes import Recipe, Settings
from vlae.runs.layout import METRICS
from vlae.runs.run import Run
from vlae.shapes import MAX_CHANNELS, ROUNDING, has_channels_last, is_image, level_column, levels_with_code

BATCH = 256  # rows encoded or decoded at a time, or fewer where pictures are large


class LadderEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Codes of a variational ladder autoencoder as features: those of level 1 first, simple ones before complex ones.

    X may be a table, (n_samples, n_features), whose columns are standardised inside; or images: an array (n, height,
    width), (n, height, width, channels) or (n, channels, height, width), or a table of flattened ones with
    `image_shape`. Images are whole numbers from 0 to 255, or floats in [0, 1]; if the whole numbers in `fit` are only 0
    and 1, 1 is white. Other numbers, such as those of 16 bits, are mapped to [0, 1] by the range of each channel in
    `fit`.

    It trains on one processor, writes no file and prints nothing, unless it is asked to. The same `random_state` gives
    the same codes on the same machine and number of threads.

    Args:
        code_sizes: the code size of each level, 0 or more, level 1 first. None: the recipe's own for this shape.
        levels: the number of the level, or of the levels, whose codes `transform` returns, in the order of the ladder.
            None: all.
        image_shape: the shape of one flattened image: (height, width), (height, width, channels) or (channels, height,
            width); None: X is a table, or its images are not flattened.
        recipe: the name of a recipe, or a `Recipe` for data of this shape.
        steps: the number of optimiser steps, 1 or more; some thousand are worth their time. None: the recipe's own.
        settings: further settings of the recipe by name, for example {"batch_size": 32, "beta": 2.0}.
        random_state: the seed of the weights, batches and draws: a whole number or a RandomState. None: a new seed each
            time.
        codes: deprecated, the earlier name of `code_sizes`.
        verbose: whether to show a progress bar on the error output.
        accelerator: the kind of device to train on: "cpu", "gpu", "mps", or "auto" for the best there is.

    Attributes:
        model_: the trained ladder, on the CPU.
        recipe_: all settings of the training.
        history_: the training curves: an array for each column of a run's metrics.csv, by its name.
        value_range_: the numbers of X that are 0 and 1 to the ladder, (low, high) of each channel; None: a table, or
            images of 8 bits or in [0, 1].
        image_shape_: the shape of one image of X in `fit`. None: X was a table.
        levels_: the levels whose codes `transform` returns.
        n_features_in_: columns of X; of images, height × width × channels.
        feature_names_in_: the names of X's columns, if it has any.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> encoder = LadderEncoder(code_sizes=(1, 2), steps=5, random_state=0)
        >>> encoder.fit_transform(X).shape
        (150, 3)
        >>> encoder.get_feature_names_out().tolist()
        ['level1_0', 'level2_0', 'level2_1']
    """

    def __init__(
        self,
        *,
        code_sizes: Sequence[int] | None = None,
        levels: int | Sequence[int] | None = None,
        image_shape: Sequence[int] | None = None,
        recipe: str | Recipe = "lean",
        steps: int | None = 2_000,
        settings: Settings | None = None,
        random_state: int | np.random.RandomState | None = None,
        codes: Sequence[int] | None = None,
        verbose: bool = False,
        accelerator: str = "cpu",
    ):
        self.code_sizes = code_sizes
        self.codes = codes
        self.levels = levels
        self.image_shape = image_shape
        self.recipe = recipe
        self.steps = steps
        self.settings = settings
        self.random_state = random_state
        self.verbose = verbose
        self.accelerator = accelerator

    def __sklearn_tags__(self) -> Any:
        """Images may be arrays of three dimensions; codes are single precision."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the ladder.

        Args:
            X: a table (n_samples, n_features), or images; at least 2 rows.
            y: not used.

        Raises:
            ValueError: if X is neither a table nor images; if a setting is out of range, or the recipe needs labels.
        """
        values = self._values(X, fitting=True)
        recipe = self._recipe(values)
        if recipe.classes is not None and recipe.classes.names:
            raise ValueError(f"the recipe {recipe.name!r} learns a class from labels; take LadderClassifier")
        self._train(values, self._adjusted(recipe, self.settings or {}), None)
        return self

    def _train(self, values: np.ndarray, recipe: Recipe, labels: np.ndarray | None) -> None:
        """Train the ladder on checked data."""
        from vlae.training.settle import settled
        from vlae.training.train import fit

        # What is kept is what was trained.
        recipe = settled(recipe, values, labels=labels, accelerator=self.accelerator)
        levels = self._wanted_levels(recipe)
        history: dict[str, np.ndarray] = {}
        model = fit(
            values,
            recipe,
            labels=labels,
            columns=self._columns,
            accelerator=self.accelerator,
            progress=bool(self.verbose),
            history=history,
        )
        self._take(recipe, levels, model, history)

    def _wanted_levels(self, recipe: Recipe) -> tuple[int, ...]:
        levels = [level for level in levels_with_code(recipe.code_sizes) if recipe.levels[level - 1].draws]
        asked: Any = self.levels
        wanted = levels if asked is None else [asked] if np.ndim(asked) == 0 else list(asked)
        for level in wanted:
            check_whole("a level of levels", level, 1)
        if unknown := [level for level in wanted if level not in levels]:
            raise ValueError(f"levels are {self.levels}, of which {unknown} have no code; choose from {levels}")
        if not wanted or len(set(wanted)) < len(wanted):
            raise ValueError(f"levels are {self.levels}; give one or more of {levels}, each once")
        return tuple(sorted(map(int, wanted)))

    def _take(
        self, recipe: Recipe, levels: tuple[int, ...], model: LatentModel, history: Mapping[str, np.ndarray]
    ) -> None:
        """Keep what a training came to."""
        self.recipe_, self.levels_, self.model_, self.history_ = recipe, levels, model, dict(history)
        if not is_image(recipe.shape):
            self.model_.double()  # then a row's codes are the same to the last digit in any batch

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes of data: the posterior means of the chosen levels side by side.

        Args:
            X: a table or images, of the kind and shape it was fitted to.

        Returns:
            float32 (n_samples, code sizes added up), level 1 first.

        Raises:
            ValueError: if X is not of the kind or shape it was fitted to.
        """
        check_is_fitted(self)
        return self._each(X, lambda x: self._chosen(self.model_.infer(x)))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decode codes: the mean of r(x | z). The levels that `transform` leaves out are at the mean of their prior.

        Args:
            X: (n_samples, n_codes), the codes of the chosen levels side by side, level 1 first.

        Returns:
            float32 (n_samples, n_features), or images of the shape they had in `fit`: in [0, 1], or in their own
            numbers where there is a `value_range_`. `transform` takes them.

        Raises:
            ValueError: if X has another number of columns.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=np.float32)
        sizes = [self.recipe_.code_sizes[level - 1] for level in self.levels_]
        if codes.shape[1] != sum(sizes):
            raise ValueError(f"X has {codes.shape[1]} columns; the codes of levels {self.levels_} have {sum(sizes)}")
        tensor = torch.tensor(codes, dtype=self._dtype)
        with evaluating(self.model_):
            batches = [self._generate(batch.split(sizes, dim=1)) for batch in tensor.split(self._batch)]
        return self._in_fitted_shape(np.concatenate(batches))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the evidence lower bound of each datum, in nats (of a density). Higher is more usual.

        `vlae odd` lists minus this number as the score by the whole model. The draws of the bound follow from the
        datum's own numbers, so they are the same in every call and in any batch.

        Args:
            X: a table or images, of the kind and shape it was fitted to.

        Returns:
            (n_samples,); float32 for images, float64 for a table.
        """
        check_is_fitted(self)
        return self._each(X, lambda x: elbos_of(self.model_, x, self.model_.infer(x)).numpy())

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`, for a grid search without labels; the more data, the more exact it is.

        Args:
            X: a table or images, of the kind and shape it was fitted to.
            y: not used.
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns of codes: level1_0, level1_1, …, level2_0, …."""
        check_is_fitted(self)
        _check_feature_names_in(self, input_features)
        names = [
            f"{level_column(level)}_{d}" for level in self.levels_ for d in range(self.recipe_.code_sizes[level - 1])
        ]
        return np.array(names, dtype=object)

    def to_run(self, path: str | Path, X: Any, X_test: Any) -> Run:
        """Write a run's folder, as `vlae.train` does: with figures and report; `vlae explore` and all else take it.

        Args:
            path: the folder, new or empty.
            X: the data it was fitted to; the run's prior is fitted to their codes.
            X_test: data that were not in `fit`. The run's numbers are measured on them, and it keeps 64 as examples.

        Returns:
            The run.

        Raises:
            ValueError: if X or X_test are not of the kind or shape it was fitted to.
            RunError: if there is something in the folder already.
            WriteError: if a file cannot be written.
        """
        from vlae.estimators.runs import write_run

        check_is_fitted(self)
        train, test = (self._values(each, fitting=False) for each in (X, X_test))
        return write_run(
            Path(path),
            model=deepcopy(self.model_).float(),
            recipe=self.recipe_,
            train=train,
            test=test,
            columns=self._columns if self.image_shape_ is None else (),
            value_range=self.value_range_,
            white=None if self.image_shape_ is None or self.value_range_ else self._white,
            history=self.history_,
        )

    @classmethod
    def from_run(cls, run: Run, *, image_shape: Sequence[int] | None = None, levels: Any = None) -> Self:
        """Make a fitted estimator of a run.

        Args:
            run: a finished run, such as `vlae.load` returns.
            image_shape: the shape of one flattened image, (height, width), (height, width, channels) or (channels,
                height, width). None: X is a table, or an array of images; what is decoded is (n, height, width) if they
                are grey, and else (n, height, width, channels).
            levels: the number of the level, or of the levels, whose codes `transform` returns. None: all.

        Raises:
            ValueError: if the run reads features of full-size pictures, or images have another shape.
        """
        if run.network is not None:
            raise ValueError(f"the run in {run.path} reads features of full-size pictures, which X does not have")
        recipe = run.recipe
        estimator = cls(recipe=recipe, steps=None, image_shape=image_shape)
        estimator.levels = levels
        estimator.n_features_in_ = prod(recipe.shape)
        if run.columns:
            estimator.feature_names_in_ = np.array(run.columns, object)
        estimator.image_shape_, estimator._flat = None, image_shape is not None
        estimator.value_range_ = estimator._white = None
        if is_image(recipe.shape):
            channels, height, width = recipe.shape
            natural = (height, width) if channels == 1 else (height, width, channels)
            shape = natural if image_shape is None else _whole_sides(image_shape)
            if _channels_second(np.zeros((1, *shape))).shape[1:] != recipe.shape:
                raise ValueError(f"image_shape is {shape}; the run's pictures are {natural}")
            estimator.image_shape_, estimator.value_range_ = shape, run.value_range
            estimator._white = _white_in(run)
        history = (
            {name: np.array(values) for name, values in run.history.items()} if (run.path / METRICS).exists() else {}
        )
        estimator._take(recipe, estimator._wanted_levels(recipe), deepcopy(run.model).cpu().eval(), history)
        return estimator

    def __sklearn_is_fitted__(self) -> bool:
        """Tell whether there is a trained ladder."""
        return hasattr(self, "model_")

    # What goes in and comes out --------------------------------------------------------------------------------------

    def _values(self, X: Any, *, fitting: bool) -> np.ndarray:
        """Check data, and convert them for the ladder: float32 (N, C, H, W) in [0, 1], or (N, D)."""
        x_shape = tuple(X.shape[1:]) if len(getattr(X, "shape", ())) > 2 else None
        if x_shape is not None:
            X = np.asarray(X).reshape(len(X), prod(x_shape))
        least = {"ensure_min_samples": 2} if fitting else {}
        table = validate_data(self, X, reset=fitting, dtype="numeric", **least)
        if fitting:
            shape = x_shape if self.image_shape is None else _whole_sides(self.image_shape)
            self.image_shape_, self._flat = shape, x_shape is None
            self._white: int | None = white_of(table) if table.dtype.kind in "iu" else 255
            if table.dtype.kind not in "iu" and np.isin(table, (0, 1)).all():
                self._white = None  # whole numbers may then be bytes, or 0 and 1 again
            self.value_range_ = None
        shape = self.image_shape_
        if x_shape is not None and x_shape != shape:
            if shape is None or _model_shape(x_shape) != _model_shape(shape):
                raise ValueError(f"images of shape {x_shape} are given; expected {shape}")
            shape = x_shape
        if shape is None:
            vectors = _finite(table)
            return as_vectors(table, "X", self._columns) if fitting else vectors
        if prod(shape) != table.shape[1]:
            raise ValueError(f"image_shape {shape} has {prod(shape)} numbers; X has {table.shape[1]} columns")
        images = _channels_second(table.reshape(len(table), *shape))
        if fitting and (images.min() < -ROUNDING or images.max() > white_of(images) + ROUNDING):
            self.value_range_ = found_range(images, "X")
        if self.value_range_ is None:
            return _grey_values(images, self._white)
        values = np.empty(images.shape, np.float32)
        if num := into_range(images, self.value_range_, values):
            outside = f"{counted(num, 'number')} outside of {listed_range(self.value_range_)}, the range in fit"
            warnings.warn(f"X has {outside}; clipped", stacklevel=3)
        return values

    def _in_fitted_shape(self, values: np.ndarray) -> np.ndarray:
        """Give decoded data the shape they had in `fit`."""
        if self.image_shape_ is None:
            return values
        if self.value_range_ is not None:
            values = out_of_range(values, self.value_range_)
        if _channels_last(self.image_shape_):
            values = np.moveaxis(values, 1, 3)
        return np.ascontiguousarray(values).reshape(len(values), *((-1,) if self._flat else self.image_shape_))

    @property
    def _columns(self) -> tuple[str, ...]:
        """The names of the columns of X in `fit`; () if they have none."""
        return tuple(map(str, getattr(self, "feature_names_in_", ())))

    def _recipe(self, values: np.ndarray) -> Recipe:
        from vlae.training.preparing import sizes_for

        shape = values.shape[1:]
        sizes = self.code_sizes if self.codes is None else self.codes
        if self.codes is not None:
            warnings.warn("codes is deprecated; write code_sizes", DeprecationWarning, stacklevel=3)
        recipe = self.recipe
        if isinstance(recipe, str):
            recipe = recipes.make(recipe, shape, code_sizes=sizes_for(recipe, values) if sizes is None else sizes)
        elif sizes is not None:
            raise ValueError("code_sizes choose a recipe's levels; a recipe made before has its own")
        if recipe.shape != shape:
            raise ValueError(f"the recipe is for data of shape {recipe.shape}; this data has shape {shape}")
        return recipe

    def _adjusted(self, recipe: Recipe, settings: Settings) -> Recipe:
        """The recipe with steps, a seed, and further settings."""
        if self.random_state is not None and settings.get("seed") is not None:
            raise ValueError("random_state and the seed of settings are both given; give one of the two")
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        given: Any = {name: value for name, value in settings.items() if value is not None}
        return recipes.adjust(recipe, **({"steps": self.steps, "seed": int(seed)} | given))

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.model_.parameters()).dtype

    @property
    def _batch(self) -> int:
        return batch_of(self.recipe_.shape, BATCH)

    def _each(self, X: Any, work: Callable[[Tensor], np.ndarray]) -> np.ndarray:
        """What the model makes of data, batch by batch."""
        values, size = self._values(X, fitting=False), self._batch
        with evaluating(self.model_):  # no generator: one that is held by a traceback would never leave this block
            starts = range(0, len(values), size)
            return np.concatenate([work(torch.tensor(values[at : at + size], dtype=self._dtype)) for at in starts])

    def _chosen(self, posteriors: tuple[CodeDistribution, ...]) -> np.ndarray:
        means: list[Tensor] = [posteriors[level - 1].mean for level in self.levels_]
        return torch.cat(means, dim=1).float().numpy()

    def _generate(self, chosen: Sequence[Tensor]) -> np.ndarray:
        """Decode the chosen levels' codes, with all other levels at the mean of their prior."""
        code_of_level = dict(zip(self.levels_, chosen, strict=True))
        codes: tuple[Tensor, ...] = ()
        for level in range(self.model_.num_levels, 0, -1):
            others = self.model_.prior(level, codes).mean.expand(len(chosen[0]), -1)
            code = code_of_level.get(level, others)
            codes = (code.to(self._dtype), *codes)
        return self.model_.decode(codes).float().numpy()


def _white_in(run: Run) -> int | None:
    """Return which whole number is white in a run's data; None: what `white_of` says of a batch, as `Run.read` does."""
    if run.value_range is not None:
        return None
    if run.data.get("white") in (1, 255):
        return int(run.data["white"])
    return None if np.isin(as_input(run.examples), (0, 1)).all() else 255


def _finite(table: np.ndarray) -> np.ndarray:
    """Convert to single precision, if it can hold the values."""
    with np.errstate(over="ignore"):
        values = table.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ValueError("X has values too large for dtype('float32'); scale it")
    return values


def _grey_values(table: np.ndarray, fitted: int | None) -> np.ndarray:
    """Convert pixels to float32 in [0, 1]; a batch of whole numbers has the white of those in `fit`."""
    low, high = table.min(), table.max()
    white = fitted if fitted is not None and table.dtype.kind in "iu" else white_of(table)
    if not (low >= -ROUNDING and high <= white + ROUNDING):
        expected = "whole numbers from 0 to 255, of an integer type, or floats in [0, 1]"
        if white == fitted == 1:
            expected = "only 0 and 1, as in fit"
        elif table.dtype.kind == "f" and low >= 0 and high <= 255 and not (table % 1).any():
            expected += "; convert these with .astype(np.uint8)"
        raise ValueError(f"pixels from {low:.7g} to {high:.7g} are given; images are {expected}")
    return (table.astype(np.float32) / np.float32(white)).clip(0, 1)


def _whole_sides(shape: Sequence[int]) -> tuple[int, ...]:
    """Convert an image_shape to a tuple of whole numbers."""
    for side in shape:
        check_whole("a side of image_shape", side, 1)
    return tuple(map(int, shape))


def _channels_last(shape: Sequence[int]) -> bool:
    """Tell whether an image of this shape has its channels last. An image without channels does not."""
    if len(shape) == 2:
        return False
    last = has_channels_last(shape)
    if last is None:
        raise ValueError(
            f"images are of shape {tuple(shape)}; expected (height, width), (height, width, channels) or (channels, "
            f"height, width), with 1 to {MAX_CHANNELS} channels"
        )
    return last


def _model_shape(shape: Sequence[int]) -> tuple[int, ...] | None:
    """The shape (channels, height, width) of an image; None if its shape does not tell which are its channels."""
    if len(shape) == 2:
        return (1, *shape)
    last = has_channels_last(shape)
    return None if last is None else (shape[2], *shape[:2]) if last else tuple(shape)


def _channels_second(images: np.ndarray) -> np.ndarray:
    """Convert images of any accepted shape to (N, C, H, W)."""
    if _channels_last(images.shape[1:]):
        images = np.moveaxis(images, 3, 1)
    return np.ascontiguousarray(images if images.ndim == 4 else images[:, None])
