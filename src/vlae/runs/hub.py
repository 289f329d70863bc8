"""Shares runs: the files to share, their model card, and the Hugging Face hub."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from vlae.atomic import whole
from vlae.errors import reason
from vlae.evaluation import level_card
from vlae.evaluation.text import ERRORS, LIKELIHOOD_CAUTION
from vlae.models.priors import MixturePrior, standard_prior
from vlae.names import printable
from vlae.runs import safe_load
from vlae.runs.layout import (
    EVALUATION,
    EXAMPLES,
    HELD_OUT,
    MANIFEST,
    METRICS,
    MODEL,
    ON_HUB,
    PRIOR,
    RECIPE,
    SUMMARY,
    RunError,
)
from vlae.runs.manifest import FILES, hash_file
from vlae.runs.store import write_prior
from vlae.shapes import is_image
from vlae.text_table import number


class SharedRun(ModelHubMixin, library_name="vlae", tags=["vlae", "variational-ladder-autoencoder"]):
    """The files of a run that are shared: written to a folder, uploaded to the hub, or downloaded from it.

    The manifest, config.json, lists every file with its SHA-256. The description of the training machine, and the
    folder of the data on it, are left out.

    Args:
        path: the run's folder.
        evaluation: the run's evaluation, if it was evaluated.
        shortfalls: sentences on a training that was cut short, for the model card.
        prior: the file of the prior that is fitted to its codes, if there is one. In place of a kernel density, which
            holds codes of training data, the Gaussian of its moments is shared.
        examples: whether to include the held-out examples.
        license: the license of the weights and examples, by its name on the hub; None: the card names none.
        repo_id: the repository on the hub, "USER/NAME"; None: a folder.
    """

    _hub_mixin_config: dict[str, Any] = {}  # noqa: RUF012 - the mixin reads it from the class; it stays empty

    def __init__(
        self,
        path: Path,
        evaluation: dict[str, Any] | None = None,
        *,
        shortfalls: Sequence[str] = (),
        prior: Path | None = None,
        examples: bool = True,
        license: str | None = None,
        repo_id: str | None = None,
    ):
        self.path, self.evaluation, self.prior, self.examples = path, evaluation, prior, examples
        self.shortfalls, self.license, self.repo_id = shortfalls, license, repo_id

    def _save_pretrained(self, save_directory: Path) -> None:
        record = safe_load.read_json(self.path / RECIPE, limit=safe_load.MAX_RECIPE)
        record.pop("machine", None)
        record["data"]["source"] = without_folder(record["data"]["source"])
        for of_the_data in ("content", "labels_sha256"):
            record["data"].pop(of_the_data, None)
        if labels := record["data"].get("labels"):
            record["data"]["labels"] = without_folder(labels)
        if features := record["data"].get("features"):  # the network's name and SHA-256, not the network
            features["network"] = without_folder(features["network"])
        _write_json(save_directory / RECIPE, record)
        prior, weights = self._prior(record)
        shared = prior.without_codes()
        if self.prior is not None and shared is prior:
            _copy(self.prior, save_directory / PRIOR)
        elif self.prior is not None:
            write_prior(save_directory / PRIOR, shared, weights)
        if self.evaluation is not None:
            evaluation = json.loads(json.dumps(self.evaluation))  # a copy, to be changed
            if source := evaluation.get("protocol", {}).get("data", {}).get("source"):
                evaluation["protocol"]["data"]["source"] = without_folder(source)
            if shared is not prior:
                _forget_samples(evaluation, shared.name)
                evaluation["of"] = {"weights": weights, "prior": safe_load.hash_weights(save_directory / PRIOR)}
            _write_json(save_directory / EVALUATION, evaluation)
        for name in (MODEL, SUMMARY, METRICS, *([EXAMPLES, HELD_OUT] if self.examples else [])):
            if (self.path / name).exists():
                _copy(self.path / name, save_directory / name)
        recipe = record["recipe"]
        manifest = {
            "library_name": "vlae",
            "model": recipe["model"],
            "shape": recipe["shape"],
            "code_sizes": [level["code_size"] for level in recipe["levels"]],
            "sha256": {name: hash_file(save_directory / name) for name in FILES if (save_directory / name).exists()},
        }
        _write_json(save_directory / MANIFEST, manifest)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> "SharedRun":
        known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        download = {name: options[name] for name in known if name in options}  # the rest comes from a stranger's config
        return cls(Path(snapshot_download(model_id, allow_patterns=[MANIFEST, *FILES], **download)))

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The model card: what the levels hold, how to use the run, its held-out numbers."""
        record = safe_load.read_json(self.path / RECIPE, limit=safe_load.MAX_RECIPE)
        summary = safe_load.read_json(self.path / SUMMARY)
        images = is_image(record["recipe"]["shape"])
        data = ModelCardData(
            library_name="vlae",
            license=self.license,
            tags=[*(self._hub_mixin_info.model_card_data.tags or []), "representation-learning", "unsupervised"],
            pipeline_tag="image-feature-extraction" if images else "feature-extraction",
        )
        name = self.repo_id or without_folder(record["data"]["source"])
        text = _card_text(
            name,
            record,
            self.evaluation or summary,
            self.evaluation,
            self.shortfalls,
            self._prior(record)[0].without_codes().describe(),
            self.repo_id,
            self.examples,
            has_prior=self.prior is not None,
        )
        return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")

    def _prior(self, record: Mapping[str, Any]) -> tuple[MixturePrior, str]:
        """The run's prior, and the hash of the weights it was fitted to."""
        sizes = tuple(level["code_size"] for level in record["recipe"]["levels"])
        return (standard_prior(sizes), "") if self.prior is None else safe_load.read_prior(self.prior, sizes)


def _forget_samples(evaluation: dict[str, Any], prior: str) -> None:
    """Takes from an evaluation what was measured of samples, because another prior is shared than drew them."""
    pictures = evaluation.get("pictures") or {}
    for measured in pictures.values():
        if isinstance(measured, dict) and "samples" in measured:
            measured["samples"] = None
    if "prior" in pictures:
        pictures["prior"] = prior
    for level in evaluation["levels"]:
        if "read_back" in level:
            level["read_back"] = None


def upload(shared: SharedRun, repo_id: str, *, private: bool | None, token: str | None, message: str) -> str:
    """Commits the files of a run to a repository on the hub, and creates the repository if it does not exist.

    Args:
        shared: the run.
        repo_id: the repository, "USER/NAME".
        private: whether only the owner can see a new repository; None: the owner's default.
        token: the access token of the hub; None: the token stored by `hf auth login`.
        message: the message of the commit.

    Returns:
        The address of the commit.

    Raises:
        RunError: if the hub refuses the upload.
    """
    deleted = None if shared.examples else [EXAMPLES, HELD_OUT]  # an earlier version may have shared them
    with _hub_errors(repo_id):
        url = shared.push_to_hub(repo_id, private=private, token=token, commit_message=message, delete_patterns=deleted)
    return str(url)


def download(repo_id: str, **options: Any) -> Path:
    """Downloads the files of a run from the hub, if they are not in the hub's cache.

    Args:
        repo_id: the repository, "USER/NAME".
        options: revision, token, cache_dir, local_files_only, force_download.

    Returns:
        The folder with the files.

    Raises:
        RunError: if the hub has no such run, or cannot be reached.
    """
    with _hub_errors(repo_id):
        return SharedRun.from_pretrained(repo_id, **options).path


@contextmanager
def _hub_errors(repo_id: str) -> Iterator[None]:
    """Turns an error of the hub or the network into a RunError that says what to do."""
    try:
        if repo_id.count("/") != 1:
            raise HFValidationError("a repository is called USER/NAME")
        yield
    except (HfHubHTTPError, HFValidationError, OSError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RunError(
            f"the hub refuses {repo_id!r} ({reason}); check the name and the network, and for a private "
            "repository log in with: hf auth login"
        ) from error


NAMES_WITH_SLASHES = (ON_HUB, "timm:")
"""How a source or a network begins that is a name with slashes, and no path."""


def without_folder(source: str) -> str:
    """A source without the folder it lies in, in a form that can be printed: the last part of a path, or another name.

    An address keeps its folders, without a user or password, and one of the web without a query.

    Args:
        source: the source of a run's data, as text.

    Examples:
        >>> without_folder("clients/photos"), without_folder("streets:600"), without_folder("hf:someone/birds")
        ('photos', 'streets:600', 'hf:someone/birds')
    """
    if is_address := re.match(r"(?!file:)([a-z][a-z0-9+.-]*://)(?:[^/]*@)?", source):  # without a password or signature
        rest = source[is_address.end() :]
        return printable(is_address[1] + (rest.partition("?")[0] if is_address[1].startswith("http") else rest))
    if not source.startswith(NAMES_WITH_SLASHES):
        source = source.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return printable("data" if source in ("", ".", "..") or source.startswith("~") else source)


def _copy(file: Path, to: Path) -> None:
    """Copies a file of a run; what is wrong with the file itself is told as that."""
    try:
        safe_load.check_regular(file)
        with file.open("rb"):
            pass
    except (ValueError, OSError) as error:
        raise RunError(f"{file} cannot be shared ({reason(error)}); remove it, or put the file back") from error
    shutil.copyfile(file, to)


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    with whole(path) as file:
        file.write_text(json.dumps(record, indent=2))


# The model card ------------------------------------------------------------------------------------------------------


def _card_text(
    name: str,
    record: Mapping[str, Any],
    summary: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None,
    shortfalls: Sequence[str],
    drawn_from: str,
    repo_id: str | None,
    examples: bool,
    *,
    has_prior: bool,
) -> str:
    recipe = record["recipe"]
    shape = " × ".join(map(str, recipe["shape"]))
    labels = "with some" if record["data"].get("labels") else "without"
    address = f"hf:{repo_id}" if repo_id else "FOLDER"
    sizes = ", ".join(map(str, recipe["shape"]))
    parts = [
        f"# {name}",
        f"A {recipe['model']} of {len(recipe['levels'])} levels, recipe {recipe['name']}, trained with vlae on "
        f"{without_folder(record['data']['source'])} ({shape}), {labels} labels. Level 1 is nearest the data and is "
        "meant for simple features, the top level for complex ones.",
        "## Levels",
        _levels(summary, evaluation),
        *(f"> {warning}" for warning in [*shortfalls, *(level_card.warnings(evaluation) if evaluation else [])]),
        "## Use",
        f"""```python
import vlae

run = vlae.load("{address}")
codes = run.encode({"images" if is_image(recipe["shape"]) else "table"})  # of shape (N, {sizes}); one array per level
decoded = run.decode(codes)
drawn = run.sample(16)  # new ones
```""",
        f"New data are drawn from {drawn_from}. Loading executes nothing from the files.",
        *_network(record["data"].get("features")),
        "## Held-out numbers",
        _numbers(summary),
        *([] if summary["elbo_nats"] is None else [LIKELIHOOD_CAUTION]),
        "## Files",
        f"Weights{' and prior' if has_prior else ''} (safetensors), recipe, numbers, curves"
        f"{' and a few held-out data' if examples else ''}; "
        f"`{MANIFEST}` lists the SHA-256 of each.",
        "Reference: Zhao, Song and Ermon, [Learning Hierarchical Features from Generative "
        "Models](https://arxiv.org/abs/1702.08396), ICML 2017.",
    ]
    return "\n\n".join(parts) + "\n"


def _network(features: Mapping[str, Any] | None) -> list[str]:
    """Which network a run reads features from, if any, and how to give it."""
    if features is None:
        return []
    name = without_folder(features["network"])
    return [
        f"The top level reads features of full-size pictures by the network `{name}` (SHA-256 `{features['sha256']}`), "
        f'which is not among the files. Give it once: `vlae.load(…, features="{name}")`.'
    ]


def _levels(summary: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> str:
    cards = level_card.level_cards(evaluation) if evaluation else []
    titles = {card.level: f"{card.title}: {card.sentence}" for card in cards}
    rows = ["| level | code size | KL, nats | holds |", "| --- | --- | --- | --- |"]
    for level in summary["levels"]:
        cells = (
            level["level"],
            level["code_size"],
            number(level["kl_nats"], ".1f"),
            titles.get(level["level"], "not measured"),
        )
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def _numbers(summary: Mapping[str, Any]) -> str:
    rows = [(ERRORS[name], number(value, ".5g")) for name, value in summary["reconstruction"].items()]
    rows.append(("ELBO, nats per datum", number(summary["elbo_nats"], ".1f")))
    rows += level_card.scores(summary).items()
    rows.append(("data", f"{summary['num_images']:,}"))
    return "\n".join(["| held-out | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])
