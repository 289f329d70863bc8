"""How networks that were trained elsewhere are opened: files of three kinds, and names of timm and the hub."""

import hashlib
import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vlae.errors import MissingExtraError
from vlae.shapes import MAX_CHANNELS, MAX_SIDE

KINDS = "a .pt (TorchScript), .pt2 (torch.export) or .onnx file, timm:NAME, or hf:USER/NAME"
"""The networks that can be opened, in words."""

CHANNELS = f"C of 1, 3, or 5 to {MAX_CHANNELS}: opacity is left out"


class OutputError(ValueError):
    """A network gives something else than a tensor."""


class UnfitError(ValueError):
    """What was named is no network, or one that does not take pictures as they are here."""


class Opened(NamedTuple):
    """A network that is open."""

    run: Callable[[Tensor], np.ndarray]
    """From float32 pictures (n, C, H, W) in [0, 1] to outputs (n, ...)."""
    channels: int | None
    """The channels that it takes; None: it does not say."""
    side: int | None
    """The side in pixels that it takes; None: it does not say."""
    sha256: str
    """SHA-256 of its file, or of its weights."""


def is_name(name: str) -> bool:
    """Whether a network is named, timm:NAME or hf:USER/NAME; otherwise it is a file.

    Args:
        name: the path or name.
    """
    return name.startswith(("timm:", "hf:"))


def opened(name: str) -> Opened:
    """Opens a network.

    Args:
        name: the path of a file, timm:NAME or hf:USER/NAME.

    Raises:
        ValueError: if it cannot be opened, or takes no pictures as they are here.
        MissingExtraError: if a package is missing that opens it.
    """
    kind, _, of_kind = name.partition(":")
    try:
        if kind == "timm":
            return _timm(of_kind)
        if kind == "hf":
            return _huggingface(of_kind)
        path = Path(name)
        if path.suffix not in (".onnx", ".pt2", ".pt"):
            raise UnfitError(f"{path}: a network is {KINDS}")
        if path.suffix == ".onnx":
            return _onnx(path)
        digest = _hash_file(path)
        if path.suffix == ".pt2":
            program = torch.export.load(path)
            exported: Any = program.module()
            return Opened(_runner(exported), _exported_channels(program, path.name), None, digest)
        return Opened(_runner(torch.jit.load(path, map_location="cpu").eval()), None, None, digest)
    except (MissingExtraError, UnfitError):
        raise
    except Exception as error:
        raise ValueError(
            f"{name} cannot be opened ({line_of(error, 0)}); check its name, or save the network again"
        ) from error


def _exported_channels(program: Any, name: str) -> int | None:
    """The channels that the input of a .pt2 file declares; None: it does not say."""
    first = program.graph_signature.user_inputs[0]
    value = next((node.meta.get("val") for node in program.graph.nodes if node.name == first), None)
    shape: Any = getattr(value, "shape", ())
    if len(shape) != 4 or not isinstance(shape[1], int):
        return None
    if shape[1] in (2, 4) or not 1 <= shape[1] <= MAX_CHANNELS:
        raise UnfitError(f"{name} takes pictures of {shape[1]} channels; {CHANNELS}")
    return int(shape[1])


def line_of(error: Exception, line: int) -> str:
    """One line of what an error says.

    Args:
        error: any error.
        line: its number, from 0; -1 is the last one.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[line].strip()


def _runner(module: Any) -> Callable[[Tensor], np.ndarray]:
    def run(x: Tensor) -> np.ndarray:
        with torch.inference_mode():
            output = module(x)
        first = output[0] if isinstance(output, (tuple, list)) and output else output
        if not isinstance(first, Tensor):
            raise OutputError(f"a {type(first).__name__}, not a tensor")
        return (first.float() if first.is_floating_point() else first).numpy()

    return run


def _onnx(path: Path) -> Opened:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f'an .onnx network needs {error.name}, which is not installed: pip install "vlae[features]"'
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0]
    num, channels, side = _declared(first, path.name)

    def run(x: Tensor) -> np.ndarray:
        try:
            found = [outputs(part) for part in x.split(num or len(x))]
            return found[0] if len(found) == 1 else np.concatenate(found)
        except Exception as error:
            raise ValueError(" ".join(str(error).split())) from error

    def outputs(x: Tensor) -> np.ndarray:
        lacking = (num or len(x)) - len(x)  # a network of a fixed number gets the last picture again
        filled = torch.cat([x, x[-1:].expand(lacking, -1, -1, -1)]) if lacking else x
        found = np.asarray(session.run(None, {first.name: filled.numpy()})[0])
        return found[: len(x)] if lacking and found.shape[:1] == (num,) else found

    return Opened(run, channels, side, _hash_onnx(path, onnx.load(path, load_external_data=False)))


def _declared(put: Any, name: str) -> tuple[int | None, int | None, int | None]:
    """The number of pictures at a time, their channels and their side that the input of an ONNX file declares."""
    wrong = f"{name} takes {put.type} {put.shape}; a network takes float32 pictures (n, C, H, W)"
    if len(put.shape) not in (0, 4) or put.type != "tensor(float)":
        raise UnfitError(wrong)
    sizes = put.shape or [None] * 4  # a file may leave all of them open
    num, channels, height, width = (size if isinstance(size, int) else None for size in sizes)
    most = 4 if width in (1, 3) else MAX_CHANNELS  # where grey or colour stand last, 5 to 16 are pixels
    if width is not None and width <= MAX_CHANNELS and width != height and (channels or MAX_SIDE) > most:
        raise UnfitError(f"{wrong}: the channels come first, not last")
    if channels in (2, 4) or (channels or 1) > MAX_CHANNELS:
        raise UnfitError(f"{wrong}, {CHANNELS}")
    if None not in (height, width) and height != width:
        raise UnfitError(f"{wrong}, as high as they are wide")
    return num, channels, height or width


def _hash_onnx(path: Path, model: Any) -> str:
    """SHA-256 of the file; if it keeps weights in other files, of these too."""
    places = sorted(
        {entry.value for each in _tensors(model.graph) for entry in each.external_data if entry.key == "location"}
    )
    if not places:
        return _hash_file(path)
    digest = hashlib.sha256(_hash_file(path).encode())
    for place in places:
        digest.update(f"{place} {_hash_file(path.parent / place)}".encode())
    return digest.hexdigest()


def _tensors(graph: Any) -> Iterator[Any]:
    """All stored tensors of an ONNX graph, and of the graphs within it."""
    yield from graph.initializer
    for attribute in (each for node in graph.node for each in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for within in (attribute.g, *attribute.graphs):
            yield from _tensors(within)


def _timm(name: str) -> Opened:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError(
            f'timm:{name} needs timm, which is not installed: pip install "vlae[features]"'
        ) from error
    model = timm.create_model(name, pretrained=True, num_classes=0).eval()
    settings = timm.data.resolve_model_data_config(model)
    channels, side, _ = settings["input_size"]
    return _normalised(model, settings["mean"], settings["std"], channels, side, _hash_weights(model))


def _huggingface(name: str) -> Opened:
    try:
        from transformers import AutoImageProcessor, AutoModel
    except ImportError as error:
        raise MissingExtraError(
            f'hf:{name} needs transformers, which is not installed: pip install "vlae[features]"'
        ) from error
    model, info = AutoModel.from_pretrained(name, use_safetensors=True, output_loading_info=True)
    missing = sorted(info["missing_keys"])  # which were drawn at random
    of_class = any(each.endswith("cls_token") for each in model.state_dict())
    if missing and not (of_class and all(each.startswith("pooler.") for each in missing)):
        raise UnfitError(f"hf:{name} comes without weights that its network needs ({missing[0]}); choose another")
    model.eval()
    processor = AutoImageProcessor.from_pretrained(name)
    if more := _does_more(processor):
        raise UnfitError(
            f"the image processor of hf:{name} does more than resize, crop, divide by 255 and normalise ({more}); "
            "choose another network, or save this one with what it needs as a file"
        )
    crop_size = getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", True) else None
    size = crop_size or processor.size
    side = size.get("height") or size["shortest_edge"]

    def pooled(x: Tensor) -> Tensor:
        found = model(pixel_values=x)
        output = found.last_hidden_state[:, 0] if missing else found.pooler_output  # without a pooler: the class token
        if output is None:
            raise ValueError("it has no pooled output; choose a network for images that has one")
        return output.flatten(1)

    if getattr(processor, "do_normalize", True):
        digest = _hash_weights(model, without=missing)
        return _normalised(pooled, processor.image_mean, processor.image_std, 3, side, digest)
    return Opened(_runner(pooled), 3, side, _hash_weights(model, without=missing, how="not normalised\n"))


def _does_more(processor: Any) -> str:
    """What an image processor does with pictures that is not done here, by the name of its setting; "": nothing."""
    known = ("resize", "center_crop", "rescale", "normalize", "convert_rgb", "reduce_labels")
    settings = vars(processor)
    names = {name for name in settings if name.startswith("do_")} - {f"do_{name}" for name in known}
    names |= {"rescale_offset", "offset", "include_top"} & set(settings)
    more = [name for name in sorted(names) if settings[name]]
    if not settings.get("do_rescale", True):
        more.append("do_rescale=False")
    elif not math.isclose(settings.get("rescale_factor") or 1 / 255, 1 / 255, rel_tol=1e-3):
        more.append("rescale_factor")
    return ", ".join(more)


def _normalised(
    run: Callable[[Tensor], Tensor], mean: Any, stddev: Any, channels: int, side: int, digest: str
) -> Opened:
    """A network behind its own normalisation, (x - mean) / stddev of each channel."""
    shift, scale = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (mean, stddev))
    return Opened(_runner(lambda x: run((x - shift) / scale)), channels, side, digest)


def _hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _hash_weights(model: torch.nn.Module, *, without: Collection[str] = (), how: str = "") -> str:
    """SHA-256 of how pictures are given, if unusually, and of the names, types, shapes and values of all tensors."""
    digest = hashlib.sha256(how.encode())
    for name, tensor in sorted((name, each) for name, each in model.state_dict().items() if name not in without):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
