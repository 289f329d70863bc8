"""A trained model with all that belongs to it: open, save and use a run's folder (its files: `vlae.runs.layout`)."""

import csv
import inspect
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from vlae.atomic import whole, writing
from vlae.figures import canvas
from vlae.figures.kinds import KINDS
from vlae.figures.panels import noise_at
from vlae.models import inference
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import as_input
from vlae.recipes.recipe import Recipe
from vlae.runs import hub, safe_load
from vlae.runs.layout import EVALUATION, EXAMPLES, FIGURES, METRICS, MODEL, RECIPE, SUMMARY, RunError, new_folder
from vlae.shapes import is_image

if TYPE_CHECKING:
    from PIL.Image import Image

    from vlae.data.images import Images

VERSIONS = ("vlae", "torch", "lightning", "numpy")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained model with all that belongs to it.

    Attributes:
        path: its folder.
        recipe: the settings it was trained with.
        model: on the CPU, in eval mode.
        data: the source and the settings with which it was read.
        summary: figures on held-out data, as `vlae.evaluation.rates.summarise` gives them.
        examples: held-out data, uint8 (n, C, H, W) or float32 (n, D); none (n = 0) where a run was shared without.
        borrowed: owner and name of a run that ships with the package ("vlae/streets") or is the hub's ("user/name"),
            whose folder is only read; None: the folder is the user's own.
    """

    path: Path
    recipe: Recipe
    model: LatentModel
    data: dict[str, Any]
    summary: dict[str, Any]
    examples: np.ndarray = field(repr=False)
    borrowed: str | None = None

    @property
    def outputs(self) -> Path:
        """Where figures, page and evaluation are written: its folder, or runs/OWNER--NAME where that is only read."""
        return self.path if self.borrowed is None else Path("runs") / self.borrowed.replace("/", "--")

    @property
    def name(self) -> str:
        """What it is called: its folder, or owner and name."""
        return self.borrowed or self.path.name

    def encode(self, x: np.ndarray | torch.Tensor, *, batch_size: int = 500) -> tuple[np.ndarray, ...]:
        """The codes of data: the posterior mean of every level.

        Args:
            x: uint8 images, or floats in [0, 1], (N, C, H, W), or one image without N; or vectors (N, D).
            batch_size: how many at a time.

        Returns:
            One float32 array (N, code size) per level, level 1 first.

        Raises:
            ValueError: if x is not of the shape the model was trained on.
            NotDefinedError: if the model has no encoder.
        """
        return tuple(mean for mean, _ in inference.encode(self.model, self._checked(x), batch_size=batch_size))

    def stddevs(self, x: np.ndarray | torch.Tensor, *, batch_size: int = 500) -> tuple[np.ndarray, ...]:
        """How sure the codes are: the posterior standard deviation of every level.

        Args:
            x: uint8 images, or floats in [0, 1], (N, C, H, W), or one image without N; or vectors (N, D).
            batch_size: how many at a time.

        Returns:
            One float32 array (N, code size) per level, level 1 first.

        Raises:
            ValueError: if x is not of the shape the model was trained on.
            NotDefinedError: if the model has no encoder.
        """
        return tuple(stddev for _, stddev in inference.encode(self.model, self._checked(x), batch_size=batch_size))

    def decode(self, codes: Sequence[np.ndarray], *, batch_size: int = 500) -> np.ndarray:
        """Pictures of codes: float32 (N, C, H, W) in [0, 1], or vectors (N, D).

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
        return inference.decode(self.model, arrays, batch_size=batch_size)

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
            out: the PNG file to keep it in; None: figures/KIND.png in `outputs`.
            options: of the function of that name in `vlae.figures`.

        Raises:
            ValueError: if there is no such figure, or it has no such option, or the picture is not of the run's kind.
            RunError: if the figure is drawn of examples and there are none.
            WriteError: if the file cannot be written.
        """
        if kind not in KINDS:
            raise ValueError(f"there is no figure {kind!r}; choose one of {', '.join(KINDS)}")
        if from_image is not None and kind not in ("levels", "traversal"):
            raise ValueError(f"a {kind!r} figure does not start from one image; 'levels' and 'traversal' do")
        out = self.outputs / FIGURES / f"{kind}.png" if out is None else Path(out)
        canvas.check_png(out)
        draw = KINDS[kind]
        parameters = inspect.signature(draw).parameters
        given = {"model": self.model, "x": as_input(self.examples), "history": self.history}
        if "x" in parameters or from_image is not None:
            self.model.require("encoder")
        if "x" in parameters and not len(self.examples):
            raise RunError(f"{self.name} was shared without examples, and a {kind!r} figure is drawn of them")
        known = [name for name in parameters if name not in given]
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(
                f"a {kind!r} figure has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
            )
        if from_image is not None:
            options["start"] = self.noise_of(from_image)
        picture = draw(**{name: value for name, value in given.items() if name in parameters}, **options)
        return canvas.keep(picture, out)

    def noise_of(self, image: str | Path | np.ndarray) -> Codes:
        """What holds every level at the codes of one image: the noise of its posterior means, one row per level."""
        if isinstance(image, str | Path):
            image = self.read(image).values
        values = self._checked(image)
        if len(values) != 1:
            raise ValueError(f"{len(values)} data are given; one is held: give one")
        return noise_at(self.model, as_input(values))

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
            progress: show a bar while pictures are decoded, and say on the error output what was skipped or resized.

        Raises:
            DataError: if the source cannot be read.
            FileNotFoundError: if there is no such file.
            ValueError: if what is there is not of the run's shape.
        """
        from vlae.data import load as load_data
        from vlae.data.images import say_skipped

        reading = self.reading(source, layout=layout, key=key)
        images = load_data(source, split=split, limit=limit, seed=seed, progress=progress, **reading)
        if images.shape != self.recipe.shape:
            raise ValueError(
                f"{images.source} has data of shape ({_plain(images.shape)}); "
                f"the run in {self.path} takes ({_plain(self.recipe.shape)})"
            )
        if progress:
            say_skipped(images)
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
        if not is_image(self.recipe.shape):
            return reading
        channels, height, width = self.recipe.shape
        # Pictures that are not square were all of one size, and must be now.
        size = height if height == width else None
        return {**reading, "size": size, "crop": self.data.get("crop"), "channels": channels}

    def part(self, split: Literal["train", "test", "all"]) -> "Images":
        """A part of the data that the model was trained on; "test" is the part held out of the training.

        Raises:
            DataError: if the data cannot be read again.
            FileNotFoundError: if they are no longer there.
        """
        from vlae.data import load as load_data

        reading = {name: value for name, value in self.data.items() if name not in ("source", "limit")}
        return load_data(self.data["source"], split=split, **reading)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the weights as they are stored, in hex.

        By it, what was made with this model is told from what was not.
        """
        return safe_load.hash_weights(self.path / MODEL)

    @property
    def history(self) -> dict[str, list[float]]:
        """The training's curves: column name → values."""
        with (self.path / METRICS).open(newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """What `vlae.evaluate` found on held-out data, if it was asked; else None."""
        file = next((place / EVALUATION for place in (self.outputs, self.path) if (place / EVALUATION).exists()), None)
        if file is None:
            return None
        try:
            found = safe_load.read_json(file)
            if not {"levels", "complexity", "not_defined", "protocol"} <= set(found):
                raise ValueError("it is not whole, or of another version")
            return found
        except (ValueError, RecursionError) as error:
            raise RunError(f"{file} is damaged; write it again with: vlae evaluate {self.path}") from error

    def save_pretrained(self, folder: str | Path, *, examples: bool = True, license: str | None = None) -> Path:
        """Writes all that `load` needs, and a model card, into a new folder that can be given away.

        Args:
            folder: a new one, or an empty one.
            examples: whether the held-out data in `examples` go along; without them, some figures cannot be drawn.
            license: of the weights and examples, as the hub names it ("apache-2.0"); None: the card names none.

        Returns:
            The folder.

        Raises:
            RunError: if the folder holds something already, or cannot be written.
        """
        folder = Path(folder)
        with new_folder(folder), writing(folder):
            self._parcel(examples=examples, license=license).save_pretrained(folder)
        return folder

    def push_to_hub(
        self,
        repo_id: str,
        *,
        examples: bool = True,
        license: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        message: str = "Upload a run of vlae",
    ) -> str:
        """Uploads what `save_pretrained` writes to the Hugging Face hub.

        Args:
            repo_id: "USER/NAME"; made if it is not there, else given a new version.
            examples: as for `save_pretrained`.
            license: as for `save_pretrained`.
            private: whether a new repository can be seen by its owner alone; None: as the owner has set.
            token: None: that of `hf auth login`.
            message: of the commit.

        Returns:
            The address of the commit.

        Raises:
            RunError: if the hub does not take it.
        """
        parcel = self._parcel(examples=examples, license=license, repo_id=repo_id)
        return hub.upload(parcel, repo_id, private=private, token=token, message=message)

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> "Run":
        """What `save_pretrained` or `push_to_hub` wrote: a folder, or "USER/NAME" on the hub.

        Args:
            name: a folder if there is one of that name, else a repository of the hub.
            options: of the hub: revision, token, cache_dir, local_files_only.

        Raises:
            RunError: if it holds no run, or a damaged one; or if the hub does not give it.
        """
        return load(name) if Path(name).is_dir() else load(f"hf:{name}", **options)

    def _parcel(self, *, examples: bool, license: str | None, repo_id: str | None = None) -> "hub.Parcel":
        return hub.Parcel(
            self.path, self.evaluation, examples=examples and len(self.examples) > 0, license=license, repo_id=repo_id
        )

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
            outside = is_image(self.recipe.shape) and not (values.min() >= 0 and values.max() <= 1)
            if outside or not np.isfinite(values).all():
                raise ValueError(
                    f"values from {values.min():g} to {values.max():g} are given; "
                    "images are uint8, or floats in [0, 1], and nothing may be NaN or infinite"
                )
        return values


def _plain(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def load(path: str | Path, **options: Any) -> Run:
    """The finished run in a folder, one that ships with the package, or one on the Hugging Face hub.

    Nothing in a run's files is ever executed, so a stranger's can be loaded.

    Args:
        path: of the folder; or "streets" or "mnist", small trained ladders that are always there; or "hf:USER/NAME".
        options: of the hub: revision, token, cache_dir, local_files_only.

    Raises:
        FileNotFoundError: if there is no such folder.
        RunError: if it holds no run, an unfinished one, or a damaged one; or if the hub does not give it.
    """
    name = str(path)
    if name.startswith("hf:"):
        repository = name.removeprefix("hf:")
        return _open(hub.fetch(repository, **options), borrowed=repository)
    if options:
        raise TypeError(f"{', '.join(options)}: only a run on the hub, 'hf:USER/NAME', is loaded with options")
    if name in hub.SHIPPED and not (Path(path) / RECIPE).exists():
        return _open(hub.shipped(name), borrowed=f"vlae/{name}")
    return _open(Path(path))


def _open(path: Path, *, borrowed: str | None = None) -> Run:
    if not path.is_dir():
        raise FileNotFoundError(
            f"there is no run folder {path}; train one with: vlae train DATA --out {path}; "
            f"take one that ships with vlae: {', '.join(hub.SHIPPED)}; or one on the hub: hf:USER/NAME"
        )
    recipe, data = read_recipe(path)
    if not (path / MODEL).exists():
        raise RunError(
            f"the run in {path} is not finished; go on with: vlae train {data['source']} --out {path} --resume"
        )
    try:
        shared = hub.verify(path)
        model = safe_load.read_model(path / MODEL, recipe)
        summary = safe_load.read_json(path / SUMMARY)
        with_examples = shared is None or EXAMPLES in shared
        examples = safe_load.read_examples(path / EXAMPLES if with_examples else None, recipe)
    except (ValueError, EOFError, OSError, RecursionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(
            f"the run in {path} is damaged ({reason}); train it again into another folder, or get it again"
        ) from error
    return Run(path=path, recipe=recipe, model=model, data=data, summary=summary, examples=examples, borrowed=borrowed)


def read_recipe(path: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe of a run's folder, finished or not, and how its data was read.

    Raises:
        RunError: if the folder holds no run.
    """
    try:
        record = safe_load.read_json(path / RECIPE, limit=safe_load.MAX_RECIPE)
        recipe, data = Recipe.from_dict(record), record["data"]
        if not isinstance(data, dict) or not isinstance(data.get("source"), str):
            raise ValueError("it does not say what the data is")
        return recipe, data
    except FileNotFoundError as error:
        raise RunError(f"{path} holds no run: there is no {RECIPE} in it") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(f"{path / RECIPE} cannot be read: {reason}") from error


def write_recipe(path: Path, recipe: Recipe, data: dict[str, Any]) -> None:
    """Begins a run's folder, with all that is needed to run it again."""
    record = {
        **recipe.as_dict(),
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
