"""Frozen networks that were trained elsewhere: from a file, from timm, or from the Hugging Face hub.

A network turns pictures into features. Nothing here is trained, and no weight of it is stored in a run.
"""

import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from vlae.errors import MissingExtraError
from vlae.shapes import MAX_CHANNELS, MAX_SIDE

KINDS = "a .pt (TorchScript), .pt2 (torch.export) or .onnx file, timm:NAME, or hf:USER/NAME"
"""The networks that can be opened, in words."""


MOST_SIDE = 4096
"""The largest side, in pixels, to which pictures are resized for a network."""


CHANNELS = f"C of 1, 3, or 5 to {MAX_CHANNELS}: opacity is left out"


class _OutputError(ValueError):
    """A network gives something else than a tensor."""


class _UnfitError(ValueError):
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


class FeatureNetwork:
    """A frozen network that gives features of pictures. It may be opened later, when it is first needed.

    Args:
        name: the path, timm:NAME or hf:USER/NAME.
        sha256: SHA-256 of its file, or of its weights.
        side: the side in pixels to which pictures are resized, from 1 to 4096; None: they keep their size.
        find: opens the network; it is called at most once.

    Raises:
        ValueError: if the side is out of range.
    """

    def __init__(self, name: str, *, sha256: str, side: int | None, find: Callable[[], Opened]):
        if side is not None and not 1 <= side <= MOST_SIDE:
            raise ValueError(f"the side of the network's pictures is {side} pixels; it may be from 1 to {MOST_SIDE}")
        self.name, self.sha256, self.side, self._find = name, sha256, side, find
        self._opened: Opened | None = None
        self._is_steady = False

    def __deepcopy__(self, memo: Mapping[int, Any]) -> "FeatureNetwork":
        """Itself, because a copy of a model reads the same frozen network."""
        return self

    def __call__(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        """The features of pictures: one vector of each.

        Args:
            x: pictures in [0, 1], (n, C, H, W) of any size, with 1 to 16 channels.

        Raises:
            ValueError: if the network does not take such pictures, or does not give one vector of each.
            FileNotFoundError: if the network is no longer there.
        """
        outputs = self.outputs(in_channels(x, self.channels_of(x.shape[1])))
        if outputs.ndim != 2 or not outputs.shape[1]:
            raise ValueError(
                f"{self.short_name} gives outputs of shape {outputs.shape} for {len(x)} pictures; features are one "
                f"vector of each, (n, F): let the network end in a mean over its map, or in its flattened outputs"
            )
        return torch.from_numpy(outputs.astype(np.float32)).to(x.device)

    def outputs(self, x: Float[Tensor, "n channels height width"]) -> np.ndarray:
        """The outputs of the network, (n, ...), in any shape that it gives.

        Args:
            x: pictures in [0, 1], (n, C, H, W) of any size, with 1 to 16 channels.

        Raises:
            ValueError: if the network does not take such pictures, or gives no row of finite numbers of each.
            FileNotFoundError: if the network is no longer there.
        """
        opened = self.open()
        self.channels_of(x.shape[1])  # which refuses pictures of channels that it does not take
        x = in_channels(x.detach().cpu().float(), opened.channels)
        if self.side and x.shape[2:] != (self.side, self.side):
            x = interpolate(x, (self.side, self.side), mode="bilinear", antialias=True, align_corners=False)
        try:
            outputs = opened.run(x.contiguous())
        except _OutputError as error:
            raise ValueError(
                f"{self.short_name} gives {error}; let it give one tensor, or a tuple that begins with one"
            ) from error
        except Exception as error:
            takes = f"(n, {opened.channels or x.shape[1]}, {self.side or 'H'}, {self.side or 'W'})"
            reason = _reason(error, -1)  # the last line of what TorchScript says is the one that tells
            raise ValueError(
                f"{self.short_name} does not take pictures {tuple(x.shape)} ({reason}); it must take float32 {takes} "
                "in [0, 1]: give the side it needs, or another network"
            ) from error
        if outputs.dtype.kind != "f":
            raise ValueError(
                f"{self.short_name} gives {outputs.dtype} numbers or texts, such as the names of classes; features are "
                "floats: let the network end before it decides"
            )
        if outputs.shape[:1] != (len(x),) or not np.isfinite(outputs).all():
            raise ValueError(
                f"{self.short_name} gives {outputs.shape} of {len(x)} pictures; it must give a row of finite numbers "
                "each"
            )
        if not self._is_steady and not is_name(self.name):  # those of a name are here set to tell, not to learn
            self._check_steady(opened.run, max(len(x), 2), x.shape[1:])
        return outputs

    def gave(self, images: Any) -> bool:
        """Whether features are those of this network, at this side.

        Args:
            images: `Images`, or whatever else has `features_from` and `features_side`.
        """
        return (images.features_from, images.features_side) == (self.sha256, self.side)

    def _check_steady(self, run: Callable[[Tensor], np.ndarray], num: int, shape: Sequence[int]) -> None:
        """Refuses a network that says something else of a picture as others stand beside it, as in training.

        Args:
            run: the network.
            num: how many pictures it takes at a time.
            shape: of a picture.
        """
        pictures = torch.rand((num, *shape), generator=torch.Generator().manual_seed(0))
        pictures *= torch.linspace(1, 0.3, num)[:, None, None, None]

        def beside(level: float) -> np.ndarray:
            pictures[num // 2 :] = level
            return np.asarray(run(pictures), np.float32)[: num // 2]

        try:
            beside_black, beside_white = beside(0.0), beside(1.0)
        except Exception:  # it takes one picture at a time alone
            return
        if np.abs(beside_black - beside_white).max(initial=0) > 0.05 * np.abs(beside_black).max(initial=0):
            raise ValueError(
                f"{self.short_name} says something else of a picture each time, or as others stand beside it, as "
                "networks do in training; export it after .eval()"
            )
        self._is_steady = True

    @property
    def short_name(self) -> str:
        """The name without the folder of its file."""
        return self.name if is_name(self.name) else Path(self.name).name

    def channels_of(self, channels: int) -> int:
        """In how many channels it takes pictures: as it says; else 3, or as many as there are if these are 5 or more.

        Args:
            channels: of the pictures, from 1 to 16.

        Raises:
            ValueError: if it takes no pictures of so many.
            FileNotFoundError: if the network is no longer there.
        """
        takes = self.open().channels
        if max(channels, takes or 1) > 4 and takes not in (None, channels):
            raise ValueError(
                f"{self.short_name} takes pictures of {takes} channels, and these have {channels}; leave the network "
                "out, or give one for such pictures"
            )
        return takes or (channels if channels > 4 else 3)

    def open(self) -> Opened:
        """The network, opened if it was not.

        Raises:
            FileNotFoundError: if it is no longer there.
        """
        if self._opened is None:
            self._opened = self._find()
        return self._opened


def open_network(name: str | Path, *, side: int | None = None) -> FeatureNetwork:
    """Opens a network: from a file, from timm, or from the Hugging Face hub.

    A file takes pictures in [0, 1], float32 (n, C, H, W); what else it needs, such as the normalisation of ImageNet, is
    part of the network. The networks of timm and of the hub bring their own normalisation and side.

    Only open files that you trust: a TorchScript file can run code.

    Args:
        name: a .pt (TorchScript), .pt2 (torch.export) or .onnx file; "timm:NAME"; or "hf:USER/NAME".
        side: the side in pixels to which pictures are resized, from 1 to 4096; None: as the network says, or not at
            all.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be opened, or the side is out of range.
        MissingExtraError: if a package is missing that opens it.
    """
    text = str(name)
    if not is_name(text):
        if not Path(name).is_file():
            raise FileNotFoundError(f"there is no file {name}; give a network as {KINDS}")
        text = str(Path(name).resolve())
    opened = _opened(text)
    network = FeatureNetwork(
        text, sha256=opened.sha256, side=opened.side if side is None else side, find=lambda: opened
    )
    network.open()
    return network


def is_name(name: str) -> bool:
    """Whether a network is named, timm:NAME or hf:USER/NAME; otherwise it is a file.

    Args:
        name: the path or name.
    """
    return name.startswith(("timm:", "hf:"))


def _opened(name: str) -> Opened:
    kind, _, of_kind = name.partition(":")
    try:
        if kind == "timm":
            return _timm(of_kind)
        if kind == "hf":
            return _huggingface(of_kind)
        path = Path(name)
        if path.suffix not in (".onnx", ".pt2", ".pt"):
            raise _UnfitError(f"{path}: a network is {KINDS}")
        if path.suffix == ".onnx":
            return _onnx(path)
        digest = _hash_file(path)
        if path.suffix == ".pt2":
            program = torch.export.load(path)
            exported: Any = program.module()
            return Opened(_runner(exported), _exported_channels(program, path.name), None, digest)
        return Opened(_runner(torch.jit.load(path, map_location="cpu").eval()), None, None, digest)
    except (MissingExtraError, _UnfitError):
        raise
    except Exception as error:
        raise ValueError(
            f"{name} cannot be opened ({_reason(error, 0)}); check its name, or save the network again"
        ) from error


def _exported_channels(program: Any, name: str) -> int | None:
    """The channels that the input of a .pt2 file declares; None: it does not say."""
    first = program.graph_signature.user_inputs[0]
    value = next((node.meta.get("val") for node in program.graph.nodes if node.name == first), None)
    shape: Any = getattr(value, "shape", ())
    if len(shape) != 4 or not isinstance(shape[1], int):
        return None
    if shape[1] in (2, 4) or not 1 <= shape[1] <= MAX_CHANNELS:
        raise _UnfitError(f"{name} takes pictures of {shape[1]} channels; {CHANNELS}")
    return int(shape[1])


def _reason(error: Exception, line: int) -> str:
    """One line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[line].strip()


def _runner(module: Any) -> Callable[[Tensor], np.ndarray]:
    def run(x: Tensor) -> np.ndarray:
        with torch.inference_mode():
            output = module(x)
        first = output[0] if isinstance(output, (tuple, list)) and output else output
        if not isinstance(first, Tensor):
            raise _OutputError(f"a {type(first).__name__}, not a tensor")
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
        raise _UnfitError(wrong)
    sizes = put.shape or [None] * 4  # a file may leave all of them open
    num, channels, height, width = (size if isinstance(size, int) else None for size in sizes)
    most = 4 if width in (1, 3) else MAX_CHANNELS  # where grey or colour stand last, 5 to 16 are pixels
    if width is not None and width <= MAX_CHANNELS and width != height and (channels or MAX_SIDE) > most:
        raise _UnfitError(f"{wrong}: the channels come first, not last")
    if channels in (2, 4) or (channels or 1) > MAX_CHANNELS:
        raise _UnfitError(f"{wrong}, {CHANNELS}")
    if None not in (height, width) and height != width:
        raise _UnfitError(f"{wrong}, as high as they are wide")
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
        raise _UnfitError(f"hf:{name} comes without weights that its network needs ({missing[0]}); choose another")
    model.eval()
    processor = AutoImageProcessor.from_pretrained(name)
    if more := _does_more(processor):
        raise _UnfitError(
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


def on_white(x: Tensor) -> Tensor:
    """Pictures without their opacity, laid on white; others as they are.

    Args:
        x: pictures in [0, 1], (n, C, H, W), of which the last of 2 or 4 channels is opacity.
    """
    return x[:, :-1] * x[:, -1:] + 1 - x[:, -1:] if x.ndim == 4 and x.shape[1] in (2, 4) else x


def in_channels(x: Tensor, channels: int | None) -> Tensor:
    """Pictures in grey or colour, as a network takes them; None: colour stays colour, and grey grey, without alpha.

    Args:
        x: pictures, (n, C, H, W), with 1 to 16 channels.
        channels: 1 or 3; None: as they are, without alpha.
    """
    x = x[:, : {2: 1, 4: 3}.get(x.shape[1], x.shape[1])]
    if channels == 3 and x.shape[1] == 1:
        return x.expand(-1, 3, -1, -1)
    return x.mean(1, keepdim=True) if channels == 1 and x.shape[1] == 3 else x
