"""Runs that are given away: what is written, its model card, the Hugging Face hub; and the ladders that ship."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from vlae.atomic import whole
from vlae.evaluation import level_card
from vlae.evaluation.rates import number
from vlae.runs import safe_load
from vlae.runs.layout import EVALUATION, EXAMPLES, METRICS, MODEL, RECIPE, SUMMARY, RunError
from vlae.shapes import is_image

MANIFEST = "config.json"  # what the hub looks for in a repository of a model
FILES = (RECIPE, MODEL, SUMMARY, EVALUATION, EXAMPLES, METRICS)
"""All that is shared of a run, besides the manifest and the model card."""

SHIPPED = ("mnist", "streets")
"""Small trained ladders that come with the package."""


def shipped(name: str) -> Path:
    """The folder of a ladder that comes with the package."""
    return Path(__file__).parent / "pretrained" / name


class Parcel(ModelHubMixin, library_name="vlae", tags=["vlae", "variational-ladder-autoencoder"]):
    """A run's files on their way to or from another place.

    The manifest, config.json, lists every file with its SHA-256. The machine the run was trained on, and where its data
    lay there, are left out.

    Args:
        path: the run's folder.
        evaluation: what was found on its levels, if it was measured.
        examples: whether its held-out examples go along.
        license: as the hub names it.
        repo_id: where it goes on the hub.
    """

    _hub_mixin_config: dict[str, Any] = {}  # noqa: RUF012 - the mixin looks for it on the class; nothing goes in it

    def __init__(
        self,
        path: Path,
        evaluation: dict[str, Any] | None = None,
        *,
        examples: bool = True,
        license: str | None = None,
        repo_id: str | None = None,
    ):
        self.path, self.evaluation, self.examples = path, evaluation, examples
        self.license, self.repo_id = license, repo_id

    def _save_pretrained(self, save_directory: Path) -> None:
        record = safe_load.read_json(self.path / RECIPE, limit=safe_load.MAX_RECIPE)
        record.pop("machine", None)
        record["data"]["source"] = placeless(record["data"]["source"])
        _write_json(save_directory / RECIPE, record)
        if self.evaluation is not None:
            found = json.loads(json.dumps(self.evaluation))
            if source := found.get("protocol", {}).get("data", {}).get("source"):
                found["protocol"]["data"]["source"] = placeless(source)
            _write_json(save_directory / EVALUATION, found)
        for name in (MODEL, SUMMARY, METRICS, *([EXAMPLES] if self.examples else [])):
            if (self.path / name).exists():
                shutil.copyfile(self.path / name, save_directory / name)
        recipe = record["recipe"]
        manifest = {
            "library_name": "vlae",
            "model": recipe["model"],
            "shape": recipe["shape"],
            "code_sizes": [level["code_size"] for level in recipe["levels"]],
            "sha256": {name: _hash(save_directory / name) for name in FILES if (save_directory / name).exists()},
        }
        _write_json(save_directory / MANIFEST, manifest)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> "Parcel":
        known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        given = {name: options[name] for name in known if name in options}  # the rest is what a stranger's config says
        return cls(Path(snapshot_download(model_id, allow_patterns=[MANIFEST, *FILES], **given)))

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The level card in the hub's form."""
        record = safe_load.read_json(self.path / RECIPE, limit=safe_load.MAX_RECIPE)
        summary = safe_load.read_json(self.path / SUMMARY)
        images = is_image(record["recipe"]["shape"])
        data = ModelCardData(
            library_name="vlae",
            license=self.license,
            tags=[*(self._hub_mixin_info.model_card_data.tags or []), "representation-learning", "unsupervised"],
            pipeline_tag="image-feature-extraction" if images else "feature-extraction",
        )
        name = self.repo_id or placeless(record["data"]["source"])
        text = _card_text(name, record, self.evaluation or summary, self.evaluation, self.repo_id, self.examples)
        return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")


def upload(parcel: Parcel, repo_id: str, *, private: bool | None, token: str | None, message: str) -> str:
    """Makes the repository if need be, and commits the parcel to it.

    Returns:
        The commit's address.

    Raises:
        RunError: if the hub does not take it.
    """
    withheld = None if parcel.examples else [EXAMPLES]  # what an earlier version may have shared
    with _asking(repo_id):
        url = parcel.push_to_hub(
            repo_id, private=private, token=token, commit_message=message, delete_patterns=withheld
        )
    return str(url)


def fetch(repo_id: str, **options: Any) -> Path:
    """The folder with the files of a run on the hub, downloaded if they are not in the hub's cache.

    Args:
        repo_id: "USER/NAME".
        options: revision, token, cache_dir, local_files_only, force_download.

    Raises:
        RunError: if the hub does not give it.
    """
    with _asking(repo_id):
        return Parcel.from_pretrained(repo_id, **options).path


@contextmanager
def _asking(repo_id: str) -> Iterator[None]:
    try:
        if repo_id.count("/") != 1:
            raise HFValidationError("a repository is called USER/NAME")
        yield
    except (HfHubHTTPError, HFValidationError, OSError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RunError(
            f"the hub does not do that with {repo_id!r} ({reason}); check the name and the network, and for a private "
            "repository log in with: hf auth login"
        ) from error


def verify(folder: Path) -> Mapping[str, str] | None:
    """The SHA-256 of every file of a shared run, if the folder is one; else None.

    Raises:
        ValueError: if a file is not what it was when it was shared, or the manifest cannot be one of ours.
        OSError: if one cannot be read.
    """
    if not (folder / MANIFEST).exists():
        return None
    listed = safe_load.read_json(folder / MANIFEST, limit=safe_load.MAX_RECIPE).get("sha256")
    if not isinstance(listed, dict) or not set(listed) <= set(FILES) or not {RECIPE, MODEL, SUMMARY} <= set(listed):
        raise ValueError(f"{MANIFEST} does not list the files of a run, and no others")
    for name, digest in listed.items():
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing")
        if _hash(folder / name) != digest:
            raise ValueError(f"{name} is not the file that was shared: its SHA-256 differs from that in {MANIFEST}")
    return listed


def placeless(source: str) -> str:
    """A source without its place on this machine: the last part of a path, and any other name as it is.

    Examples:
        >>> placeless("/home/me/photos"), placeless("streets:600"), placeless("hf:someone/birds")
        ('photos', 'streets:600', 'hf:someone/birds')
    """
    path = Path(source)
    if path.is_absolute() or source[:1] in (".", "~") or "\\" in source or path.exists():
        return source.replace("\\", "/").rstrip("/").rpartition("/")[2] or "data"
    return source


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    with whole(path) as file:
        file.write_text(json.dumps(record, indent=2))


# The model card ------------------------------------------------------------------------------------------------------


def _card_text(
    name: str,
    record: Mapping[str, Any],
    summary: Mapping[str, Any],
    found: Mapping[str, Any] | None,
    repo_id: str | None,
    examples: bool,
) -> str:
    recipe = record["recipe"]
    shape = " × ".join(map(str, recipe["shape"]))
    place = f"hf:{repo_id}" if repo_id else "FOLDER"
    sizes = ", ".join(map(str, recipe["shape"]))
    parts = [
        f"# {name}",
        f"A {recipe['model']} of {len(recipe['levels'])} levels, recipe {recipe['name']}, trained with vlae on "
        f"{placeless(record['data']['source'])} ({shape}), without labels. Level 1 is nearest the pixels and is meant "
        "for what is simple, the top for what is complex.",
        "## Levels",
        _levels(summary, found),
        *([f"> {warning}" for warning in level_card.warnings(found)] if found else []),
        "## Use",
        f"""```python
import vlae

run = vlae.load("{place}")
codes = run.encode(images)  # of shape (N, {sizes}); one array per level
decoded = run.decode(codes)
```""",
        "Loading executes nothing from the files.",
        "## Held-out numbers",
        _numbers(summary),
        "## Files",
        f"Weights (safetensors), recipe, numbers, curves{' and a few held-out data' if examples else ''}; "
        f"`{MANIFEST}` lists the SHA-256 of each.",
        "Reference: Zhao, Song and Ermon, [Learning Hierarchical Features from Generative "
        "Models](https://arxiv.org/abs/1702.08396), ICML 2017.",
    ]
    return "\n\n".join(parts) + "\n"


def _levels(summary: Mapping[str, Any], found: Mapping[str, Any] | None) -> str:
    titles = {card.level: f"{card.title}: {card.sentence}" for card in level_card.level_cards(found)} if found else {}
    rows = ["| level | code size | KL, nats | holds |", "| --- | --- | --- | --- |"]
    for level in summary["levels"]:
        place = level["level"]
        rows.append(
            f"| {place} | {level['code_size']} | {number(level['kl_nats'], '.1f')} "
            f"| {titles.get(place, 'not measured')} |"
        )
    return "\n".join(rows)


def _numbers(summary: Mapping[str, Any]) -> str:
    rows = [(f"reconstruction, {name}", f"{value:.5g}") for name, value in summary["reconstruction"].items()]
    rows.append(("ELBO, nats per datum", number(summary["elbo_nats"], ".1f")))
    for name in ("level_order", "level_separation"):
        if summary.get(name) is not None:
            rows.append((name.replace("_", " "), f"{summary[name]:.2f}"))
    rows.append(("data", f"{summary['num_images']:,}"))
    return "\n".join(["| held-out | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])
