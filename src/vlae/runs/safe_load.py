"""Opens the files of a run that may come from a stranger; nothing in them is executed.

The sizes that a file declares are checked against the file and against the recipe before memory is allocated.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from vlae import memory
from vlae.errors import reason
from vlae.models.base import LatentModel
from vlae.models.priors import MixturePrior, PriorFit
from vlae.names import as_utf8
from vlae.numpy_files import open_npy
from vlae.recipes.footprint import check_use, model_without_memory
from vlae.recipes.formats import tensor_names
from vlae.recipes.recipe import Recipe
from vlae.shapes import Shape, is_image

MAX_RECIPE = 2**16  # bytes; a usual recipe has about 3,000
MAX_JSON = 2**24  # bytes


def check_regular(file: Path) -> None:
    """Refuses what is there but is no regular file: a folder, a device, or a pipe, on which a reader would wait.

    Args:
        file: the path of the file, which need not exist.

    Raises:
        ValueError: if it is no regular file.
    """
    if file.exists() and not file.is_file():
        raise ValueError(f"{file.name} is no regular file")


def read_json(file: Path, *, limit: int = MAX_JSON) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        file: the path of the file.
        limit: the largest size that is read, in bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds no JSON object, or is larger than `limit`.
    """
    check_regular(file)
    with file.open("rb") as stream:
        text = stream.read(limit + 1)
    if len(text) > limit:
        raise ValueError(f"{file.name} has more than {limit:,} bytes")
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{file.name} is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{file.name} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} holds no JSON object")
    return content


def read_model(file: Path, recipe: Recipe) -> LatentModel:
    """The recipe's model with the weights of a safetensors file, in eval mode.

    The model is first built without memory. Memory is allocated only after names and shapes of all tensors fit.

    Args:
        file: the path of the safetensors file.
        recipe: the run's recipe.

    Raises:
        ValueError: if the file is no safetensors file, its tensors do not fit the recipe, or a number is NaN or
            infinite.
        OSError: if the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    check_regular(file)
    model = model_without_memory(recipe)
    try:
        with as_utf8(file) as name, safe_open(name, framework="pt") as stored:
            shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
            names = _names_that_fit(file, shapes, model)
            tensors = {name: stored.get_tensor(stored_name).clone() for name, stored_name in names.items()}
    except SafetensorError as error:
        raise ValueError(f"{file.name} is no whole safetensors file: {error}") from error
    return _filled(file, model, recipe, tensors)


def read_checkpoint(file: Path, recipe: Recipe) -> tuple[LatentModel, int, float, int | None, dict[str, Any]]:
    """The recipe's model with the weights of a checkpoint, in eval mode, and how far its training was.

    Args:
        file: the path of the checkpoint.
        recipe: the run's recipe.

    Returns:
        The model, the number of steps that were done, the training time in seconds, the number of devices (None: it is
        not known), and what early stopping knew (`vlae.training.validation.Validation.state`; {}: nothing).

    Raises:
        ValueError: if the file is no whole checkpoint, does not fit the memory, its tensors do not fit the recipe, or a
            number is NaN or infinite.
        OSError: if the file cannot be read.
    """
    check_checkpoint(file)
    model, prefix = model_without_memory(recipe), "model."
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        step, seconds, devices = int(content["global_step"]), float(content["seconds"]), content.get("devices")
        known = dict(content.get("validation", {}))
        of_model = {
            name.removeprefix(prefix): tensor
            for name, tensor in content["state_dict"].items()
            if name.startswith(prefix)
        }
        shapes = {name: tuple(tensor.shape) for name, tensor in of_model.items()}
        moments = tree_leaves(content.get("optimizer_states"))
    except OSError:
        raise
    except Exception as error:  # a damaged file raises almost anything
        raise ValueError(f"{file.name} is no whole checkpoint: {reason(error)}") from error
    names = _names_that_fit(file, shapes, model)
    tensors = {name: of_model[stored_name].contiguous() for name, stored_name in names.items()}
    if not all(tensor.isfinite().all() for tensor in moments if isinstance(tensor, Tensor)):
        raise ValueError("numbers of the optimiser are NaN or infinite")
    return _filled(file, model, recipe, tensors), step, seconds, devices, known


def _names_that_fit(file: Path, shapes: Mapping[str, Shape], model: LatentModel) -> dict[str, str]:
    """The stored name of each tensor of a model; refused if a name or a shape does not fit."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    names = {name: stored for stored, name in tensor_names(set(shapes), set(expected)).items()}
    if names.keys() != expected.keys():
        missing, unknown = sorted(expected.keys() - names.keys()), sorted(names.keys() - expected.keys())
        difference = _difference(missing, unknown)
        raise ValueError(f"{file.name} does not fit the recipe: {difference}; is it of another version of vlae?")
    for name, shape in expected.items():
        if shapes[names[name]] != shape:
            raise ValueError(
                f"{file.name} does not fit the recipe: {name} has shape {shapes[names[name]]}, it should be {shape}"
            )
    return {name: names[name] for name in expected}


def _filled(file: Path, model: LatentModel, recipe: Recipe, tensors: Mapping[str, Tensor]) -> LatentModel:
    """A model without memory with these tensors, in eval mode; refused if a type does not fit, or a number is none."""
    for name, tensor in model.state_dict().items():
        if tensors[name].dtype != tensor.dtype:
            raise ValueError(
                f"{file.name} does not fit the recipe: {name} is {tensors[name].dtype}, not {tensor.dtype}"
            )
        if not tensors[name].isfinite().all():
            raise ValueError(f"numbers of {name} are NaN or infinite")
    check_use(model, recipe)
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def hash_weights(file: Path) -> str:
    """SHA-256 of the names, types, shapes and values of all tensors in a safetensors file, in hex.

    Args:
        file: the path of the safetensors file.
    """
    from safetensors import safe_open

    with as_utf8(file) as name, safe_open(name, framework="pt") as stored:
        return hash_tensors({name: stored.get_tensor(name) for name in stored.keys()})  # noqa: SIM118 - no mapping


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the names, types, shapes and values of tensors, in hex.

    Args:
        tensors: by name, on the CPU.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_prior(file: Path, code_sizes: tuple[int, ...]) -> tuple[MixturePrior, str]:
    """The prior in a safetensors file, and the hash of the weights to whose codes it was fitted.

    Args:
        file: the path of the file, which `vlae.runs.store.write_prior` wrote.
        code_sizes: dimensions of every level's code of the run, level 1 first.

    Raises:
        ValueError: if the file is no safetensors file, or holds no prior of codes of these sizes.
        OSError: if the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    check_regular(file)
    size = sum(code_sizes)
    try:
        with as_utf8(file) as name, safe_open(name, framework="pt") as stored:
            about = json.loads((stored.metadata() or {}).get("vlae", "{}"))
            shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
            num = shapes.get("weights", (0,))[0]
            shared = 1 if shapes.get("factors", ())[:1] == (1,) else num
            wanted = {"weights": (num,), "means": (num, size), "factors": (shared, size * (size + 1) // 2)}
            if shapes != wanted or not num:
                raise ValueError(f"{file.name} holds tensors of shapes {shapes}; a prior of these codes has {wanted}")
            tensors = {name: stored.get_tensor(name).double() for name in wanted}
    except (SafetensorError, RecursionError) as error:
        raise ValueError(f"{file.name} is no whole safetensors file: {error}") from error
    kinds: dict[str, Any] = {"num_data": int, "num_codes": int, "gain": float | None, "reason": str, "weights": str}
    known = isinstance(about, dict) and about.keys() == kinds.keys()
    if not known or not all(isinstance(about[name], kind) for name, kind in kinds.items()):
        raise ValueError(f"{file.name} does not say what the prior was fitted to")
    fitted_to: str = about.pop("weights")
    tensors["weights"] /= tensors["weights"].sum()
    rows, columns = torch.tril_indices(size, size)
    factors = torch.zeros(len(tensors["factors"]), size, size, dtype=torch.float64)
    factors[:, rows, columns] = tensors["factors"]
    tensors["factors"] = factors
    return MixturePrior(code_sizes=code_sizes, fit=PriorFit(**about), **tensors), fitted_to


def read_examples(file: Path | None, recipe: Recipe) -> np.ndarray:
    """The held-out data of a run, uint8 or float32 (n, C, H, W), or float32 (n, D).

    Args:
        file: the path of the .npy file; None: the run was shared without examples, and n = 0.
        recipe: the run's recipe.

    Raises:
        ValueError: if the file holds no complete array, or its shape or type do not fit the recipe.
        OSError: if the file cannot be read.
    """
    kinds = ("uint8", "float32") if is_image(recipe.shape) else ("float32",)
    if file is None:
        return np.empty((0, *recipe.shape), np.dtype(kinds[0]))
    check_regular(file)
    mapped = open_npy(file)
    if mapped.shape[1:] != recipe.shape or mapped.dtype not in kinds:
        raise ValueError(f"{file.name} holds {mapped.dtype} of shape {mapped.shape}; the recipe is for {recipe.shape}")
    return np.array(mapped)


def read_hashes(file: Path) -> np.ndarray:
    """The hashes of a run's held-out data, int64 (n,).

    Args:
        file: the path of the .npy file.

    Raises:
        ValueError: if the file holds no complete array of such hashes.
        OSError: if the file cannot be read.
    """
    check_regular(file)
    mapped = open_npy(file)
    if mapped.ndim != 1 or mapped.dtype != np.int64:
        raise ValueError(f"{file.name} holds no hashes")
    return np.array(mapped)


def check_checkpoint(file: Path) -> None:
    """Checks that a checkpoint is a whole zip file, and fits the memory; Lightning and PyTorch read it.

    Args:
        file: the path of the checkpoint.

    Raises:
        ValueError: if it is not.
        OSError: if the file cannot be read.
    """
    check_regular(file)
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except OSError:
        raise
    except Exception as error:  # a damaged file raises almost anything
        raise ValueError(f"{file.name} is no whole checkpoint: {error}") from error
    memory.require(unpacked, f"{file.name}, unpacked,", "train on a larger machine")


def _difference(missing: list[str], unknown: list[str]) -> str:
    parts = [f"{len(missing)} tensors are missing, such as {missing[0]}"] if missing else []
    parts += [f"{len(unknown)} are unknown, such as {unknown[0]}"] if unknown else []
    return " and ".join(parts)
