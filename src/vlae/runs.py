"""A run's folder: the trained model, its recipe, its curves and its figures; save and load.

recipe.json           every setting, the source of the data, the versions and the machine
model.safetensors     the weights; present only when the training is finished
summary.json          figures on the held-out part of the data
evaluation.json       what `vlae evaluate` found on it, if it was asked
examples.npy          a few held-out data, so that figures can be drawn where the data is not
metrics.csv           the training's curves
figures/, report.html pictures and page
checkpoint.ckpt       where a training goes on; gone when it is finished
"""

import csv
import errno
import hashlib
import inspect
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from vlae import figures
from vlae.information import as_input
from vlae.model import Codes, LatentModel
from vlae.recipes import Recipe, build

if TYPE_CHECKING:
    from PIL.Image import Image

    from vlae.images import Images

RECIPE, MODEL, SUMMARY, EVALUATION, EXAMPLES, METRICS, CHECKPOINT = (
    "recipe.json",
    "model.safetensors",
    "summary.json",
    "evaluation.json",
    "examples.npy",
    "metrics.csv",
    "checkpoint.ckpt",
)
VERSIONS = ("vlae", "torch", "lightning", "numpy")


class RunError(ValueError):
    """A run folder that is not what was asked for; says what it is and what to do."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained model with all that belongs to it.

    Attributes:
        path: its folder.
        recipe: the settings it was trained with.
        model: on the CPU, in eval mode.
        data: the source and the settings with which it was read.
        summary: figures on held-out data, as `vlae.information.summarise` gives them.
        examples: held-out data, uint8 (n, C, H, W) or float32 (n, D).
    """

    path: Path
    recipe: Recipe
    model: LatentModel
    data: dict[str, Any]
    summary: dict[str, Any]
    examples: np.ndarray = field(repr=False)

    def encode(self, x: np.ndarray | torch.Tensor, *, batch_size: int = 500) -> tuple[np.ndarray, ...]:
        """The codes of data: the posterior mean of every level.

        Args:
            x: uint8 images, or floats in [0, 1], (N, C, H, W), or one image without N; or vectors (N, D).
            batch_size: how many at a time.

        Returns:
            One float32 array (N, code size) per level, level 1 first.

        Raises:
            ValueError: if x is not of the shape the model was trained on.
        """
        return tuple(mean for mean, _ in self._infer(x, batch_size))

    def stddevs(self, x: np.ndarray | torch.Tensor, *, batch_size: int = 500) -> tuple[np.ndarray, ...]:
        """How sure the codes are: the posterior standard deviation of every level, shaped as `encode` gives them.

        Args:
            x: as for `encode`.
            batch_size: how many at a time.

        Raises:
            ValueError: if x is not of the shape the model was trained on.
        """
        return tuple(stddev for _, stddev in self._infer(x, batch_size))

    def _infer(self, x: np.ndarray | torch.Tensor, batch_size: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Mean and standard deviation of every level's posterior."""
        values = self._checked(x)
        batches = []
        with torch.inference_mode():
            for start in range(0, len(values), batch_size):
                batch = as_input(values[start : start + batch_size], self.model.device)
                batches.append([(q.mean.cpu().numpy(), q.stddev.cpu().numpy()) for q in self.model.infer(batch)])
        return [
            (np.concatenate([mean for mean, _ in level]), np.concatenate([stddev for _, stddev in level]))
            for level in zip(*batches, strict=True)
        ]

    def decode(self, codes: Sequence[np.ndarray], *, batch_size: int = 500) -> np.ndarray:
        """Pictures of codes: the mean of r(x | z), float32 (N, C, H, W) in [0, 1], or vectors (N, D).

        Args:
            codes: one array (N, code size) per level, level 1 first, as `encode` gives them.
            batch_size: how many at a time.

        Raises:
            ValueError: if the codes are not those of this ladder.
        """
        arrays = [np.asarray(code, np.float32) for code in codes]
        shapes, num = [array.shape for array in arrays], len(arrays[0]) if arrays and arrays[0].ndim else 0
        if not num or shapes != [(num, size) for size in self.recipe.code_sizes]:
            wanted = ", ".join(f"(N, {size})" for size in self.recipe.code_sizes)
            raise ValueError(f"codes of shapes {shapes} are given; this ladder's are {wanted}, level 1 first")
        tensors = [torch.tensor(array, device=self.model.device) for array in arrays]
        with torch.inference_mode():
            starts = range(0, num, batch_size)
            batches = (tuple(t[start : start + batch_size] for t in tensors) for start in starts)
            return np.concatenate([self.model.generate(batch).mean.cpu().numpy() for batch in batches])

    def figure(
        self,
        kind: str = "levels",
        *,
        from_image: str | Path | np.ndarray | None = None,
        out: str | Path | None = None,
        **options: Any,
    ) -> "Image":
        """Draws a figure and keeps it.

        Args:
            kind: "levels", "samples", "reconstructions", "traversal", "mix" or "progress".
            from_image: for "levels" and "traversal": a picture file, or an array of one datum, whose codes are held;
                None: a random draw.
            out: the PNG file to keep it in; None: figures/KIND.png in the run's folder.
            options: of the function of that name in `vlae.figures`.

        Raises:
            ValueError: if there is no such figure, or it has no such option, or the picture is not of the run's kind.
            RunError: if the file cannot be written.
        """
        if kind not in figures.KINDS:
            raise ValueError(f"there is no figure {kind!r}; choose one of {', '.join(figures.KINDS)}")
        if from_image is not None and kind not in ("levels", "traversal"):
            raise ValueError(f"a {kind!r} figure does not start from one image; 'levels' and 'traversal' do")
        out = self.path / "figures" / f"{kind}.png" if out is None else Path(out)
        check_png(out)
        draw = figures.KINDS[kind]
        parameters = inspect.signature(draw).parameters
        given = {"model": self.model, "x": as_input(self.examples), "history": self.history}
        known = [name for name in parameters if name not in given]
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(
                f"a {kind!r} figure has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
            )
        if from_image is not None:
            options["start"] = self.noise_of(from_image)
        picture = draw(**{name: value for name, value in given.items() if name in parameters}, **options)
        return keep_figure(picture, out)

    def noise_of(self, image: str | Path | np.ndarray) -> Codes:
        """What holds every level at the codes of one image: the noise of its posterior means, one row per level."""
        if isinstance(image, str | Path):
            image = self._read(image)
        values = self._checked(image)
        if len(values) != 1:
            raise ValueError(f"{len(values)} data are given; one is held: give one")
        return figures.noise_at(self.model, as_input(values))

    def read(
        self,
        source: "str | Path | np.ndarray | Images",
        *,
        split: Literal["train", "test", "all"] = "all",
        limit: int | None = None,
        layout: Literal["NHW", "NHWC", "NCHW"] | None = None,
        key: str | None = None,
        seed: int = 0,
        progress: bool = False,
    ) -> "Images":
        """Data as they were read in training: pictures of any size are cut and resized alike, which is said.

        Args:
            source: as for `vlae.data.load`, a single picture file among them.
            split: which part of it.
            limit: at most so many, chosen at random.
            layout: of an array whose shape does not tell.
            key: which array of an .npz file, or column of a table.
            seed: of that choice.
            progress: show a bar while pictures are decoded, and say on the error output if any is resized.

        Raises:
            DataError: if the source cannot be read.
            FileNotFoundError: if there is no such file.
            ValueError: if what is there is not of the run's shape.
        """
        from vlae.data import load as load_data

        reading = self.reading(source, layout=layout, key=key)
        images = load_data(source, split=split, limit=limit, seed=seed, progress=progress, **reading)
        if images.shape != self.recipe.shape:
            raise ValueError(
                f"{images.source} has data of shape ({_plain(images.shape)}); "
                f"the run in {self.path} takes ({_plain(self.recipe.shape)})"
            )
        if images.resized and progress:
            width, height = images.shape[:0:-1]
            said = f"{images.source}: pictures of another size are cut and resized to {width}×{height}, as in training"
            print(said, file=sys.stderr)
        return images

    def reading(self, source: Any, *, layout: str | None = None, key: str | None = None) -> dict[str, Any]:
        """The settings with which `vlae.data.load` makes of a source what the model takes."""
        own = isinstance(source, str | Path) and str(source).rstrip("/") == self.data.get("source")
        reading = {
            name: given or (self.data.get(name) if own else None) for name, given in (("layout", layout), ("key", key))
        }
        if len(self.recipe.shape) == 1:
            return reading
        channels, height, width = self.recipe.shape
        # Pictures that are not square were all of one size, and must be now.
        size = height if height == width else None
        return {**reading, "size": size, "crop": self.data.get("crop"), "channels": channels}

    def _read(self, file: str | Path) -> np.ndarray:
        return self.read(file).values

    @property
    def identity(self) -> str:
        """SHA-256 of the weights, in hex: by it, what was made with this model is told from what was not."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @property
    def history(self) -> dict[str, list[float]]:
        """The training's curves: column name → values."""
        with (self.path / METRICS).open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """What `vlae.evaluation.evaluate` found on held-out data, if it was asked; else None."""
        try:
            found: dict[str, Any] = json.loads((self.path / EVALUATION).read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise RunError(
                f"{self.path / EVALUATION} is damaged; write it again with: vlae evaluate {self.path}"
            ) from error
        return found

    def _checked(self, x: np.ndarray | torch.Tensor) -> np.ndarray:
        values = x.cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
        if values.shape == self.recipe.shape:
            values = values[None]
        if values.shape[1:] != self.recipe.shape or not len(values):
            raise ValueError(
                f"data of shape {values.shape} is given; this model takes (N, {_plain(self.recipe.shape)})"
            )
        if values.dtype != np.uint8:
            values = values.astype(np.float32)
            outside = len(self.recipe.shape) == 3 and not (values.min() >= 0 and values.max() <= 1)
            if outside or not np.isfinite(values).all():
                raise ValueError(
                    f"values from {values.min():g} to {values.max():g} are given; "
                    "images are uint8, or floats in [0, 1], and nothing may be NaN or infinite"
                )
        return values


def _plain(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def load(path: str | Path) -> Run:
    """The finished run in a folder.

    Raises:
        FileNotFoundError: if there is no such folder.
        RunError: if it holds no run, an unfinished one, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"there is no run folder {path}; train one with: vlae train DATA --out {path}")
    recipe, data = read_recipe(path)
    if not (path / MODEL).exists():
        raise RunError(
            f"the run in {path} is not finished; go on with: vlae train {data['source']} --out {path} --resume"
        )
    model = build(recipe)
    try:
        model.load_state_dict(load_file(path / MODEL))
        summary = json.loads((path / SUMMARY).read_text())
        examples = np.load(path / EXAMPLES, allow_pickle=False)
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"the run in {path} is damaged ({reason}); train it again into another folder") from error
    return Run(path=path, recipe=recipe, model=model.eval(), data=data, summary=summary, examples=examples)


def read_recipe(path: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a run's folder, finished or not, and how its data was read.

    Raises:
        RunError: if the folder holds no run.
    """
    try:
        record = json.loads((path / RECIPE).read_text())
        return Recipe.from_json(json.dumps(record["recipe"])), record["data"]
    except FileNotFoundError as error:
        raise RunError(f"{path} holds no run: there is no {RECIPE} in it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path / RECIPE} cannot be read: {error}") from error


def write_recipe(path: Path, recipe: Recipe, data: dict[str, Any]) -> None:
    """Begins a run's folder, with all that is needed to run it again."""
    record = {
        "recipe": json.loads(recipe.to_json()),
        "data": data,
        "versions": {name: version(name) for name in VERSIONS},
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "threads": torch.get_num_threads(),
        },
    }
    with whole(path / RECIPE) as file:
        file.write_text(json.dumps(record, indent=2))


def save(run: Run) -> None:
    """Finishes a run's folder; the weights come last, so that a run which has them is whole."""
    from safetensors.torch import save as to_bytes

    with whole(run.path / EXAMPLES) as file, file.open("wb") as stream:
        np.save(stream, run.examples, allow_pickle=False)
    with whole(run.path / SUMMARY) as file:
        file.write_text(json.dumps(run.summary, indent=2))
    for leftover in run.path.glob(".*.[0-9]*"):  # what a kill left half-written
        leftover.unlink()
    with whole(run.path / MODEL) as file:
        file.write_bytes(to_bytes({name: tensor.contiguous() for name, tensor in run.model.state_dict().items()}))


def keep_figure(picture: figures.Picture, out: str | Path | None) -> "Image":
    """A picture as a PIL image, kept in a PNG file if one is named.

    Raises:
        ValueError: if the file is not called PNG.
        RunError: if it cannot be written.
    """
    from PIL import Image

    if out is not None:
        check_png(Path(out))
        with writing(Path(out)):
            figures.save(picture, out)
    return Image.fromarray(picture)


def check_png(out: Path) -> None:
    """Refuses a name for a figure that does not end in .png.

    Raises:
        ValueError: if it does not.
    """
    if out.suffix.lower() != ".png":
        raise ValueError(f"a figure is a PNG file; {out} is not called one: give a name that ends in .png")


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """A new folder for a run, gone again if nothing comes to be written in it.

    Raises:
        RunError: if there is something already, or the folder cannot be made.
    """
    with writing(path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(f"{path} exists already; choose another --out, or go on with an unfinished run by --resume")
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # one that is not empty stays
            for folder in made:
                folder.rmdir()


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place only when all is written.

    Raises:
        RunError: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says of an error of the disk what could not be written, and what to do.

    Raises:
        RunError: in its place.
    """
    try:
        yield
    except OSError as error:
        advice = (
            "make room, then go on with what is kept (a training: by --resume)"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "choose another --out, in a folder you may write to"
        )
        raise RunError(f"{path} cannot be written ({error.strerror or error}); {advice}") from error
