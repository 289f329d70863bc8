"""Opens a run's files, which may be a stranger's: nothing in them is executed.

What a file says of its sizes is checked against the file itself, and against the recipe, before memory is given to it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vlae.models.base import LatentModel
from vlae.recipes.formats import tensor_names
from vlae.recipes.recipe import Recipe, build
from vlae.shapes import MAX_CHANNELS, MAX_SIDE, is_image

MAX_RECIPE = 2**16  # bytes; one of ours has some 3,000
MAX_JSON = 2**24  # bytes


def read_json(file: Path, *, limit: int = MAX_JSON) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no JSON object, or larger than `limit` bytes.
    """
    with file.open("rb") as stream:
        text = stream.read(limit + 1)
    if len(text) > limit:
        raise ValueError(f"{file.name} has more than {limit:,} bytes")
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{file.name} is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} holds no JSON object")
    return content


def read_model(file: Path, recipe: Recipe) -> LatentModel:
    """The recipe's model with the weights of a safetensors file, in eval mode.

    The model is first built without memory, and takes it only once the file's tensors are found to be those it needs.

    Raises:
        ValueError: if the file is no safetensors file, or its tensors do not fit the recipe.
        OSError: if it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    model = _outline(recipe)
    wanted = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in model.state_dict().items()}
    try:
        with safe_open(file, framework="pt") as stored:
            names = {now: then for then, now in tensor_names(set(stored.keys()), set(wanted)).items()}
            if names.keys() != wanted.keys():
                missing, unknown = sorted(wanted.keys() - names.keys()), sorted(names.keys() - wanted.keys())
                difference = _difference(missing, unknown)
                raise ValueError(
                    f"{file.name} does not fit the recipe: {difference}; is it of another version of vlae?"
                )
            for name, (shape, _) in wanted.items():
                if (given := tuple(stored.get_slice(names[name]).get_shape())) != shape:
                    raise ValueError(f"{file.name} does not fit the recipe: {name} is {given}, it should be {shape}")
            tensors = {name: stored.get_tensor(names[name]).clone() for name in wanted}
    except SafetensorError as error:
        raise ValueError(f"{file.name} is no whole safetensors file: {error}") from error
    for name, (_, dtype) in wanted.items():
        if tensors[name].dtype != dtype:
            raise ValueError(f"{file.name} does not fit the recipe: {name} is {tensors[name].dtype}, not {dtype}")
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def hash_weights(file: Path) -> str:
    """SHA-256 of the names, types, shapes and values of all tensors in a safetensors file, in hex."""
    from safetensors import safe_open

    digest = hashlib.sha256()
    with safe_open(file, framework="pt") as stored:
        for name in sorted(stored.keys()):
            tensor = stored.get_tensor(name)
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_examples(file: Path | None, recipe: Recipe) -> np.ndarray:
    """The held-out data of a run, uint8 (n, C, H, W) or float32 (n, D); n = 0 if there is no file.

    Raises:
        ValueError: if the file is no whole array, or not of the recipe's shape and kind.
        OSError: if it cannot be read.
    """
    kind = np.dtype(np.uint8 if is_image(recipe.shape) else np.float32)
    if file is None:
        return np.empty((0, *recipe.shape), kind)
    mapped = np.load(file, mmap_mode="r", allow_pickle=False)  # a mapping takes no memory, and checks the file's length
    if not isinstance(mapped, np.memmap):
        raise ValueError(f"{file.name} holds no array")
    if mapped.shape[1:] != recipe.shape or mapped.dtype != kind:
        raise ValueError(f"{file.name} holds {mapped.dtype} of shape {mapped.shape}; the recipe is for {recipe.shape}")
    return np.array(mapped)


def _outline(recipe: Recipe) -> LatentModel:
    """The recipe's model, without memory for its weights."""
    _check_shape(recipe.shape)
    try:
        with torch.device("meta"):
            return build(recipe)
    except Exception as error:  # settings of a wrong type or an absurd size make torch raise almost anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"no model can be built by its recipe: {reason}") from error


def _check_shape(shape: Any) -> None:
    """Refuses data so large that its pictures alone would fill the memory, however few the weights."""
    whole = isinstance(shape, tuple) and all(type(side) is int and side > 0 for side in shape)
    if whole and (len(shape) == 1 or (is_image(shape) and shape[0] <= MAX_CHANNELS and max(shape[1:]) <= MAX_SIDE)):
        return
    raise ValueError(
        f"its recipe is for data of shape {shape}; images have 1 to {MAX_CHANNELS} channels and at most "
        f"{MAX_SIDE} pixels a side, vectors one dimension"
    )


def _difference(missing: list[str], unknown: list[str]) -> str:
    said = [f"{len(missing)} tensors are missing, as {missing[0]}"] if missing else []
    said += [f"{len(unknown)} are unknown, as {unknown[0]}"] if unknown else []
    return " and ".join(said)
