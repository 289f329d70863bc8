"""Spaces of features in which pictures are compared: principal components of pixels, or a network from a file."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn.functional import interpolate

from vlae.errors import MissingExtraError
from vlae.models.inference import as_input
from vlae.shapes import is_image

COMPONENTS = 32
DEFAULT = f"{COMPONENTS} principal components"
BATCH = 100  # pictures at a time through a network


@dataclass(frozen=True)
class FeatureSpace:
    """A function from data to features, with a name.

    Attributes:
        name: what the features are, for reports.
        compute: from values (n, *shape), uint8 images or floats in [0, 1], or vectors, to features (n, d).
    """

    name: str
    compute: Callable[[np.ndarray], np.ndarray]

    def __call__(self, values: np.ndarray) -> Float[np.ndarray, "n d"]:
        """The features of data.

        Args:
            values: uint8 images or floats in [0, 1], (n, C, H, W); or vectors (n, D).
        """
        return np.asarray(self.compute(values), float)


def components(values: np.ndarray, *, num: int = COMPONENTS, seed: int = 0) -> FeatureSpace:
    """The first principal components of data: of the pixels in [0, 1], or of the standardised columns of vectors.

    Args:
        values: the data that they are fitted to, (N, *shape).
        num: number of components, at most; there are no more than data or dimensions.
        seed: of the randomised decomposition.
    """
    flat = _flat(values)
    scale = 1.0 if is_image(values.shape[1:]) else np.maximum(flat.std(0), 1e-6)
    pca = PCA(min(num, *flat.shape), random_state=seed).fit(flat / scale)
    what = "the pixels" if is_image(values.shape[1:]) else "the standardised columns"
    return FeatureSpace(
        f"{pca.n_components_} principal components of {what}", lambda data: pca.transform(_flat(data) / scale)
    )


def network(path: str | Path, shape: tuple[int, ...], *, side: int | None = None) -> FeatureSpace:
    """The outputs of a network from a file: TorchScript (.pt), torch.export (.pt2) or ONNX (.onnx).

    The network takes images in [0, 1], float32 (n, C, H, W), and gives features (n, d); other outputs are flattened.
    Put what else it needs, such as the normalisation of ImageNet, into the network. Grey pictures become colour ones,
    and colour ones grey, where it takes the other; alpha is left out. Pictures are resized to the side that an ONNX
    file declares, or to `side`.

    Only open files that you trust: a TorchScript file can run code.

    Args:
        path: the file.
        shape: of one picture, (C, H, W).
        side: in pixels, to which pictures are resized; None: as the file declares, or not at all.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be opened, or does not take such pictures; the message says what it takes.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; give a network as .pt, .pt2 or .onnx")
    if not is_image(shape):
        raise ValueError(f"{path.name}: a feature network takes images; these data are vectors")
    run, channels, declared = _opened(path)
    side = side or declared

    def compute(values: np.ndarray) -> np.ndarray:
        outputs = []
        for start in range(0, len(values), BATCH):
            x = _in_channels(as_input(values[start : start + BATCH]), channels)
            if side:
                x = interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
            try:
                output = run(x)
            except Exception as error:
                takes = f"(n, {channels or 'C'}, {side or 'H'}, {side or 'W'})"
                reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
                raise ValueError(
                    f"{path.name} does not take pictures {tuple(x.shape)} ({reason}); it must take float32 {takes} in "
                    "[0, 1]: give the side it needs, or another network"
                ) from error
            if len(output) != len(x) or not np.isfinite(output).all():
                raise ValueError(
                    f"{path.name} gives {output.shape} of {len(x)} pictures; it must give a row of finite numbers each"
                )
            outputs.append(output.reshape(len(x), -1))
        return np.concatenate(outputs)

    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    space = FeatureSpace(f"outputs of {path.name} ({digest})" + (f" at {side} × {side}" if side else ""), compute)
    space(np.zeros((2, *shape), np.uint8))  # to fail before the slow measurements
    return space


def _opened(path: Path) -> tuple[Callable[[Tensor], np.ndarray], int | None, int | None]:
    """The network as a function, and the channels and side that it declares, if it does."""
    try:
        if path.suffix == ".onnx":
            return _onnx(path)
        if path.suffix == ".pt2":
            exported: Any = torch.export.load(path).module()
            return _torch(exported)
        if path.suffix == ".pt":
            return _torch(torch.jit.load(path, map_location="cpu").eval())
    except MissingExtraError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path} cannot be opened ({reason[0]}); save the network again") from error
    raise ValueError(f"{path}: a network is a .pt (TorchScript), .pt2 (torch.export) or .onnx file")


def _torch(module: Any) -> tuple[Callable[[Tensor], np.ndarray], int | None, int | None]:
    def run(x: Tensor) -> np.ndarray:
        with torch.inference_mode():
            output = module(x)
        return np.asarray((output[0] if isinstance(output, (tuple, list)) else output).numpy())

    return run, None, None


def _onnx(path: Path) -> tuple[Callable[[Tensor], np.ndarray], int | None, int | None]:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            'an .onnx network needs onnxruntime, which is not installed: pip install "vlae[export]"'
        ) from error
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0]
    declared = first.shape[1:3] if len(first.shape) == 4 else (None, None)
    channels, side = (size if isinstance(size, int) else None for size in declared)
    return lambda x: np.asarray(session.run(None, {first.name: x.numpy()})[0]), channels, side


def _in_channels(x: Tensor, channels: int | None) -> Tensor:
    """Pictures in grey or colour, as a network takes them; None: colour stays colour, and grey grey, without alpha."""
    x = x[:, : {2: 1, 4: 3}.get(x.shape[1], x.shape[1])]
    if channels == 3 and x.shape[1] == 1:
        return x.expand(-1, 3, -1, -1)
    return x.mean(1, keepdim=True) if channels == 1 and x.shape[1] == 3 else x


def _flat(values: np.ndarray) -> np.ndarray:
    return as_input(values).numpy().reshape(len(values), -1)
