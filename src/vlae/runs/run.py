"""A trained model with everything that belongs to it: use it, draw it, share it. `vlae.runs.opening` opens one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from PIL import Image, ImageFile

from vlae.atomic import whole_folder, writing
from vlae.data.cache import computed_once
from vlae.data.networks import recalled
from vlae.errors import check_seed, reason
from vlae.evaluation.cautions import as_of_today
from vlae.evaluation.text import reconstruction_errors
from vlae.figures import canvas
from vlae.figures.contents import Seen, noise_at
from vlae.figures.options import check_kind
from vlae.html_repr import HtmlRepr
from vlae.models import inference
from vlae.models.base import Codes, LatentModel
from vlae.models.inference import as_input
from vlae.models.priors import MixturePrior, PriorName, standard_prior
from vlae.names import printable, quoted
from vlae.nn.pretrained import FeatureNetwork
from vlae.recipes.recipe import Recipe
from vlae.runs import safe_load, store
from vlae.runs.data_reading import ReadsData
from vlae.runs.drawing import draw_figure, name_of
from vlae.runs.layout import (
    EVALUATION,
    FIGURES,
    MANIFEST,
    MODEL,
    PRIOR,
    Place,
    RunError,
    shipped_folder,
)
from vlae.runs.store import read_recipe as read_recipe
from vlae.runs.undertrained import Undertrained, resume_command, undertrained
from vlae.shapes import is_image, listed
from vlae.text_table import number

if TYPE_CHECKING:
    import pandas as pd

    from vlae.data.images import Images
    from vlae.data.source import Source
    from vlae.evaluation.dimension_names import DimensionName
    from vlae.runs import hub


@dataclass(frozen=True, kw_only=True)
class Run(ReadsData, HtmlRepr):
    """A trained model with everything that belongs to it.

    Attributes:
        path: the run's folder.
        recipe: the settings of the training.
        model: the trained model, in eval mode; on the CPU unless `load` was told otherwise.
        data: the source of the data and the settings with which it was read.
        summary: numbers on held-out data, from `vlae.evaluation.rates.summarise`.
        examples: held-out data, uint8 or float32 (n, C, H, W), or float32 (n, D); n = 0 if the run was shared without
            examples.
        borrowed: owner and name of a run in a read-only folder: one that ships with the package ("vlae/streets") or
            comes from the hub ("user/name"). None: the folder is the user's own.
        from_checkpoint: whether the weights are those of a checkpoint, because the training has not ended. Then no
            prior has been fitted yet, and `summary` and `examples` are empty if the data cannot be read.
    """

    path: Path
    recipe: Recipe
    model: LatentModel
    data: dict[str, Any]
    summary: dict[str, Any]
    examples: np.ndarray = field(repr=False)
    borrowed: str | None = None
    from_checkpoint: bool = False

    def __post_init__(self) -> None:
        self.model.network = self.network
        self.model.opacity = self.value_range is None
        self.model.columns = self.columns

    def __repr__(self) -> str:
        return f"Run({self.name}: {self.describe()})"

    def describe(self) -> str:
        """The run in one line: its recipe, the sizes of its levels' codes, its data, its error, and its folder."""
        sizes = listed(self.recipe.code_sizes)
        errors = [f"{name} {number(value, '.4g')}" for name, value in reconstruction_errors(self.summary).items()]
        state = "" if self.undertrained is None else f" {self.undertrained.state}"
        words = [f"{self.recipe.name} with codes of {sizes}", f"trained on {self.data['source']}{state}", *errors]
        return printable(", ".join([*words, f"in {self.path}"]))

    @cached_property
    def network(self) -> FeatureNetwork | None:
        """The frozen network whose features of pictures the run reads; None if it reads pictures alone.

        It is no part of the run. It is looked for when it is first needed, where it was given on this machine before.
        """
        return recalled(self.data["features"]) if "features" in self.data else None

    def features_of(self, images: "Images") -> np.ndarray | None:
        """The features of full-size pictures that came with images, (N, F); None if they are not of this run's network.

        Args:
            images: images of the run's shape, such as `read` returns.
        """
        return images.features if self.network is not None and self.network.gave(images) else None

    @property
    def cut_short(self) -> str | None:
        """A sentence that says that the training ended within a warm-up; None: it did not, or it is not known."""
        done = self.summary.get("training")
        return None if done is None else self.recipe.objective.cut_short(done["steps"])

    @property
    def undertrained(self) -> Undertrained | None:
        """How far the run was trained, and the command that mends it, if that is less than was planned; else None."""
        own = self.borrowed is None and not (self.path / MANIFEST).exists()
        return undertrained(self.path, self.recipe.training, self.summary, own=own)

    @property
    def shortfalls(self) -> list[str]:
        """Sentences that say that the training was shorter than planned, or than its warm-up; [] if it was neither."""
        return [str(said) for said in (self.undertrained, self.cut_short) if said is not None]

    @property
    def is_from_others(self) -> bool:
        """Whether it was shared: it is on the hub, or has a manifest. What it names is then not opened unasked.

        A run that ships with the package is not of others. A folder without a manifest counts as made here.
        """
        shared = self.borrowed is not None or (self.path / MANIFEST).exists()
        return shared and self.path != shipped_folder(self.path.name)

    @property
    def outputs(self) -> Path:
        """Where figures, page and evaluation are written: `path`, or runs/OWNER--NAME for a borrowed run."""
        return Place(self.path, self.borrowed).outputs

    @property
    def name(self) -> str:
        """The name of the run's folder, in a form that can be printed; or owner and name of a borrowed run."""
        return self.borrowed or printable(self.path.name)

    def encode(
        self, x: "np.ndarray | torch.Tensor | Images", *, batch_size: int | None = None
    ) -> tuple[np.ndarray, ...]:
        """The codes of data: the posterior mean of every level.

        Args:
            x: uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D). One datum may leave out N. Or
                `Images`, such as `read` returns, with the features of full-size pictures if the run reads any.
            batch_size: how many data the model encodes at a time; None: 500, or fewer pictures above 64 pixels.

        Returns:
            One float32 array (N, code size) per level, level 1 first.

        Raises:
            ValueError: if x has another shape than the training data, or values out of range, or `batch_size` is no
                whole number from 1 up.
            NotDefinedError: if the model has no encoder.
        """
        return tuple(mean for mean, _ in self._encode(x, batch_size))

    def stddevs(
        self, x: "np.ndarray | torch.Tensor | Images", *, batch_size: int | None = None
    ) -> tuple[np.ndarray, ...]:
        """The uncertainty of the codes: the posterior standard deviation of every level.

        Args:
            x: uint8 images or floats in [0, 1], (N, C, H, W); or vectors (N, D). One datum may leave out N. Or
                `Images`, such as `read` returns, with the features of full-size pictures if the run reads any.
            batch_size: how many data the model encodes at a time; None: 500, or fewer pictures above 64 pixels.

        Returns:
            One float32 array (N, code size) per level, level 1 first.

        Raises:
            ValueError: if x has another shape than the training data, or values out of range, or `batch_size` is no
                whole number from 1 up.
            NotDefinedError: if the model has no encoder.
        """
        return tuple(stddev for _, stddev in self._encode(x, batch_size))

    def decode(self, codes: Sequence[np.ndarray], *, batch_size: int | None = None) -> np.ndarray:
        """Decodes codes to pictures.

        Args:
            codes: one array (N, code size) per level, level 1 first, such as `encode` returns.
            batch_size: how many codes the model decodes at a time; None: 500, or fewer pictures above 64 pixels.

        Returns:
            Images, float32 (N, C, H, W) in [0, 1]; or vectors (N, D).

        Raises:
            ValueError: if the shapes of the codes do not fit this ladder, or a number of them is NaN or infinite, or
                `batch_size` is no whole number from 1 up.
        """
        arrays = [np.asarray(code, np.float32) for code in codes]
        shapes, num = [array.shape for array in arrays], len(arrays[0]) if arrays and arrays[0].ndim else 0
        if not num or shapes != [(num, size) for size in self.recipe.code_sizes]:
            wanted = ", ".join(f"(N, {size})" for size in self.recipe.code_sizes)
            raise ValueError(f"codes of shapes {shapes} are given; this ladder's are {wanted}, level 1 first")
        for level, array in enumerate(arrays, start=1):
            if len(rows := np.flatnonzero(~np.isfinite(array).all(1))):
                raise ValueError(f"the code of level {level} in row {rows[0]} is NaN or infinite; leave such rows out")
        return inference.decode(self.model, arrays, batch_size=batch_size)

    def sample(
        self,
        num: int,
        *,
        seed: int = 0,
        prior: PriorName = "fitted",
        batch_size: int | None = None,
        pixels: bool = False,
        progress: bool = False,
    ) -> np.ndarray:
        """Draws new pictures: those of codes drawn from a prior.

        Args:
            num: number of pictures, from 1 up.
            seed: of the draw.
            prior: "fitted", the prior fitted to the codes of the training data; or "standard", N(0, I), under which a
                ladder was trained. A run without a fitted prior has only the latter.
            batch_size: how many codes the model decodes at a time; None: 500, or fewer pictures above 64 pixels.
            pixels: draw the pixels too, from r(x|z), instead of the picture that represents it.
            progress: show a progress bar on the error output while pixels are drawn, if that is a terminal.

        Returns:
            Images, float32 (num, C, H, W) in [0, 1]; or vectors (num, D).

        Raises:
            ValueError: if `num` or `batch_size` is no whole number from 1 up, `seed` none from 0 to 2³² - 1, or there
                is no such prior.
            NotDefinedError: if pixels are asked for and the model has no density.
            RunError: if the file of the prior is damaged, or of other weights.
        """
        num = inference.check_num(self.model, num)
        noise = self.prior_called(prior).draw(num, inference.generator_of(seed))
        with inference.evaluating(self.model):
            codes = self.model.place(tuple(level.to(self.model.device) for level in noise))
        arrays = [code.cpu().numpy() for code in codes]
        if pixels:
            return inference.draw(self.model, arrays, seed=seed, progress=progress)
        return inference.decode(self.model, arrays, batch_size=batch_size)

    @cached_property
    def prior(self) -> MixturePrior:
        """The prior that is fitted to the codes of the training data; N(0, I) if none was fitted.

        Raises:
            RunError: if its file is damaged, or was fitted to the codes of other weights.
        """
        return self._fitted[0]

    @cached_property
    def _fitted(self) -> tuple[MixturePrior, Path | None]:
        """The prior, and the file that it is from: of a borrowed run, the user's own first; None: there is no file."""
        again, others = "fit it again with: vlae fit-prior RUN", []
        for file in dict.fromkeys((self.outputs / PRIOR, self.path / PRIOR)):
            if not file.exists():
                continue
            try:
                prior, weights = safe_load.read_prior(file, self.recipe.code_sizes)
            except Exception as error:  # as in `_open`
                raise RunError(f"{file} is damaged ({reason(error)}); {again}") from error
            if weights == self.identity:
                return prior, file
            others.append(file)
        if others:
            raise RunError(f"{others[0]} was fitted to the codes of other weights; {again}")
        return standard_prior(self.recipe.code_sizes), None

    def prior_called(self, name: PriorName) -> MixturePrior:
        """The fitted prior or N(0, I), by its name.

        Args:
            name: "fitted" or "standard".

        Raises:
            ValueError: if there is no such prior.
            RunError: if the file of the prior is damaged, or of other weights.
        """
        if name not in get_args(PriorName):
            raise ValueError(f"prior is {name!r}; choose one of {', '.join(get_args(PriorName))}")
        return self.prior if name == "fitted" else standard_prior(self.recipe.code_sizes)

    def fit_prior(self, *, seed: int = 0) -> MixturePrior:
        """Fits a prior to the codes of the training data, and writes it to `outputs`; it replaces an earlier one.

        An evaluation with an earlier, other prior does not count any more.

        Args:
            seed: of the choice of data, the draws and the fits, from 0 to 2³² - 1.

        Raises:
            ValueError: if the seed is no such number.
            DataError: if the data cannot be read again.
            FileNotFoundError: if the data are no longer there.
            WriteError: if the file cannot be written.
        """
        from vlae.evaluation.prior_fit import fit_prior

        seed = check_seed(seed)
        train = self.part("train")
        prior = fit_prior(self.model, train.values, features=self.features_of(train), seed=seed)
        with writing(self.outputs):
            self.outputs.mkdir(parents=True, exist_ok=True)
        store.write_prior(self.outputs / PRIOR, prior, self.identity)
        store.set_aside_undated(self.outputs)
        for name in ("prior", "_fitted"):
            self.__dict__.pop(name, None)
        return self.prior

    def figure(
        self,
        kind: str = "levels",
        *,
        from_image: "Source | None" = None,
        out: str | Path | None = None,
        **options: Any,
    ) -> ImageFile.ImageFile:
        """Draws a figure and writes it to a file. The picture that is returned has its path in `filename`.

        Args:
            kind: "levels", "samples", "reconstructions", "traversal", "mix" or "progress".
            from_image: for "levels" and "traversal": a picture file, or an array of one datum. The figure changes
                some levels and keeps the codes of this image at the others. None: the first of the run's examples.
            out: the PNG file to write, which may replace another. None: figures/KIND.png in `outputs`; with options
                figures/KIND-OPTIONS.png, such as levels-seed-3.png, with a number behind it if another picture has
                that name.
            options: `num`, how many; `seed`, of what is drawn; `span`, how far a sweep goes, in standard deviations;
                `prior`, "fitted" or "standard"; `pixels=True`, to draw pixels too; `start="random"`, to start from a
                draw and no image; `others`, `steps` and `max_rows` where the figure has them (`vlae.figures.panels`).

        Raises:
            ValueError: if there is no such figure or option, or the picture does not fit the model.
            NotDefinedError: if the figure needs an encoder and the model has none.
            RunError: if the figure needs more examples than the run has.
            WriteError: if the file cannot be written.
        """
        name = name_of(kind, options, from_image)
        if from_image is not None:
            if "start" in options:
                raise ValueError("a figure starts from one image or from start; give one of the two")
            options["start"] = from_image
        check_kind(kind, options)
        if out is not None:
            canvas.check_png(Path(out))
        if from_image is not None:
            values, features = self._datum(from_image)
            options["start"] = as_input(values) if features is None else self.noise_of(from_image)
        if "prior" in options:
            options["prior"] = self.prior_called(options["prior"])
        inputs: dict[str, Callable[[], Any]] = {
            "model": lambda: self.model,
            "prior": lambda: self.prior,
            "x": lambda: as_input(self.examples),
            "held_out": lambda: as_input(self.examples),
            "known": self.known,
            "history": lambda: store.read_curves(self.path),
        }
        picture = draw_figure(kind, inputs, options, self.name)
        if self.undertrained is not None:
            picture = canvas.noted(picture, self.undertrained.state)
        own = self.outputs / FIGURES / f"{name}.png"
        if out is None and options:
            path = canvas.save_beside(picture, own)
        else:
            path = canvas.save(picture, own if out is None else out)
        image = Image.open(path)
        image.load()
        return image

    def known(self) -> Seen:
        """The training data, and their mirror images if it saw these; the examples if these are of others, or gone."""
        try:
            train = None if self.is_from_others else self.part("train")
        except (ValueError, OSError):
            train = None
        if train is None or train.shape != self.recipe.shape:
            return Seen("held-out example (the training data are not here)", self.examples)
        mirrored = "mirror" in self.recipe.training.augment
        what = "training picture" + " or its mirror image" * mirrored if is_image(train.shape) else "training datum"
        return Seen(what, train.values, mirrored)

    def noise_of(self, image: "Source") -> Codes:
        """The noise of one image at its posterior means, under the prior of each level.

        Args:
            image: a picture file; or an array of one datum, (C, H, W), (1, C, H, W), (D,) or (1, D); or `Images` of
                one datum.

        Returns:
            One tensor (1, code size) per level, level 1 first.

        Raises:
            ValueError: if there is more than one datum, or its shape does not fit the model.
            NotDefinedError: if the model has no encoder.
        """
        values, features = self._datum(image)
        return noise_at(self.model, as_input(values), **inference.given(features, device=self.model.device))

    def _datum(self, image: "Source") -> tuple[np.ndarray, np.ndarray | None]:
        """One image as uint8 or float32 (1, *shape), and the features of its full-size picture if they are known."""
        from vlae.data.images import Images

        self.model.require("encoder")
        values, features = self._values(
            image if isinstance(image, np.ndarray | torch.Tensor | Images) else self.read(image)
        )
        if len(values) != 1:
            what = image if isinstance(image, str | Path) else "what is given"
            raise ValueError(f"{what} has {len(values)} data; give one: a picture, or a table or an array of one row")
        return values, features

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the stored weights, in hex; it tells whether codes or an index were made with this model."""
        if self.from_checkpoint or not (self.path / MODEL).exists():
            return safe_load.hash_tensors({name: tensor.cpu() for name, tensor in self.model.state_dict().items()})
        return safe_load.hash_weights(self.path / MODEL)

    @property
    def made_of(self) -> dict[str, str]:
        """The hashes of "weights" and "prior" as they are stored, in hex; "" of a prior that was not fitted.

        They tell whether an evaluation is of this run as it is now.

        Raises:
            RunError: if the file of the prior is damaged, or of other weights.
        """
        file = self._fitted[1]
        return {"weights": self.identity, "prior": "" if file is None else safe_load.hash_weights(file)}

    @cached_property
    def dimension_names(self) -> "dict[int, list[DimensionName]]":
        """What each dimension of every code does, in words, by the number of its level.

        It is computed once on this machine for these weights, this prior and these examples, and then kept in the
        cache: `vlae.evaluation.dimension_names.dimension_names`.
        """
        from vlae.evaluation.dimension_names import VERSION, DimensionName, dimension_names

        prior = self.prior
        tensors = {"weights": prior.weights, "means": prior.means, "factors": prior.factors}
        tensors["examples"] = torch.tensor(self.examples)
        of = [VERSION, self.identity, safe_load.hash_tensors(tensors), self.value_range, self.columns]

        def computed() -> list[list[dict[str, Any]]]:
            named = dimension_names(self.model, self.examples, prior=prior)
            return [[asdict(name) for name in names] for names in named.values()]

        kept = [[DimensionName(**name) for name in names] for names in computed_once("dimensions", of, computed)]
        return {names[0].level: names for names in kept}

    @property
    def history(self) -> "pd.DataFrame":
        """The training curves in metrics.csv: a row per record, with its step and each term of the objective.

        Draw one with `run.history.plot("step", "distortion")`. NaN: not measured at that step.

        Raises:
            RunError: if the file is damaged.
        """
        import pandas as pd

        return pd.DataFrame(store.read_curves(self.path))

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """What `vlae.evaluate` measured on held-out data; None if nobody has evaluated these weights with this prior.

        Of one that an earlier version made, the cautions say what can be told from what it kept, and that it looked for
        less.

        Raises:
            RunError: if the file is damaged; or that of the prior is, or of other weights.
        """
        return self.kept_evaluation(EVALUATION)

    def kept_evaluation(self, name: str) -> dict[str, Any] | None:
        """What was measured of these weights with this prior and kept in a file, in the form of `evaluation`, or None.

        Args:
            name: of the file.

        Raises:
            RunError: if the file is damaged; or that of the prior is, or of other weights.
        """
        for file in dict.fromkeys((self.outputs / name, self.path / name)):
            if not file.exists():
                continue
            try:
                evaluation = store.read_evaluation(file, self.recipe.code_sizes)
            except (ValueError, OSError) as error:
                again = f"write it again with: vlae evaluate {quoted(self.path)}" if name == EVALUATION else "delete it"
                raise RunError(f"{file} is damaged ({reason(error)}); {again}") from error
            if "of" not in evaluation or evaluation["of"] == self.made_of:  # earlier versions did not say of what
                return as_of_today(evaluation, self.recipe.shape, self.shortfalls)
        return None

    def save_pretrained(self, folder: str | Path, *, examples: bool = True, license: str | None = None) -> Path:
        """Writes everything that `load` needs, and a model card, into a folder that can be shared.

        In place of a kernel density, which holds codes of training data, the Gaussian of its moments is written.

        Args:
            folder: a folder that does not exist yet, or is empty.
            examples: whether to include the held-out data in `examples`; some figures cannot be drawn without them.
            license: the license of the weights and examples, by its name on the hub ("apache-2.0"). None: the card
                names no license.

        Returns:
            The folder.

        Raises:
            WriteError: if the folder is not empty, or cannot be written.
            RunError: if the run is not finished, or its prior is damaged or of other weights.
        """
        folder = Path(folder)
        with whole_folder(folder) as unfinished:
            self._shared(examples=examples, license=license).save_pretrained(unfinished)
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
            repo_id: "USER/NAME". The repository is created if it does not exist; otherwise it gets a new version.
            examples: whether to include the held-out data in `examples`; some figures cannot be drawn without them.
            license: the license of the weights and examples, by its name on the hub ("apache-2.0"). None: the card
                names no license.
            private: whether only the owner can see a new repository. None: the owner's default.
            token: the access token of the hub; None: the token stored by `hf auth login`.
            message: the message of the commit.

        Returns:
            The address of the commit.

        Raises:
            RunError: if the hub refuses the upload, the run is not finished, or its prior is damaged or of other
                weights.
        """
        from vlae.runs import hub

        shared = self._shared(examples=examples, license=license, repo_id=repo_id)
        return hub.upload(shared, repo_id, private=private, token=token, message=message)

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> "Run":
        """Loads a run that `save_pretrained` or `push_to_hub` wrote.

        Args:
            name: a folder, if one has this name; otherwise a repository on the hub, "USER/NAME".
            options: options of the hub: revision, token, cache_dir, local_files_only, force_download.

        Raises:
            RunError: if there is no run, or it is damaged, or the hub cannot be reached.
        """
        from vlae.runs.opening import load

        return load(name) if Path(name).is_dir() else load(f"hf:{name}", **options)

    def _shared(self, *, examples: bool, license: str | None, repo_id: str | None = None) -> "hub.SharedRun":
        from vlae.runs import hub

        if self.from_checkpoint:
            raise RunError(
                f"the run in {self.path} is not finished; finish it as it is with: "
                f"vlae train --more 0 {quoted(self.path)}; or "
                f"go on with: {resume_command(self.path)}"
            )
        shortfalls, evaluation = self.shortfalls, self.evaluation
        if evaluation is not None:  # these name the run's folder, and are told again where it is read
            evaluation["cautions"] = [each for each in evaluation["cautions"] if each not in shortfalls]
        if self.undertrained is not None:
            shortfalls[0] = str(replace(self.undertrained, mend=None))
        return hub.SharedRun(
            self.path,
            evaluation,
            shortfalls=shortfalls,
            prior=self._fitted[1],
            examples=examples and len(self.examples) > 0,
            license=license,
            repo_id=repo_id,
        )

    def _encode(
        self, x: "np.ndarray | torch.Tensor | Images", batch_size: int | None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        values, features = self._values(x)
        return inference.encode(self.model, values, features=features, batch_size=batch_size)

    def _values(self, x: "np.ndarray | torch.Tensor | Images") -> tuple[np.ndarray, np.ndarray | None]:
        """Checked data, and the features of their full-size pictures if they are known."""
        if isinstance(x, np.ndarray | torch.Tensor):
            return inference.check_values(x, self.recipe.shape), None
        return inference.check_values(np.ascontiguousarray(x.values), self.recipe.shape), self.features_of(x)
