"""Spaces of features in which pictures are compared: principal components of pixels, or a frozen network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA
from sklearn.utils.extmath import randomized_svd

from vlae.evaluation.columns import units_of
from vlae.models.inference import as_input, batch_of, in_parts
from vlae.nn.pretrained import open_network
from vlae.shapes import is_image

COMPONENTS = 32
DEFAULT = f"{COMPONENTS} principal components"
BATCH = 100  # pictures at a time through a network, at most
AT_ONCE = 2**26  # numbers whose components are computed at once; 5,000 pictures of 64 × 64 in colour


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

    A column that does not vary has no unit to be compared in, so it is left out.

    Args:
        values: the data that they are fitted to, (N, *shape).
        num: number of components, at most; there are no more than data or dimensions.
        seed: of the randomised decomposition.
    """
    of_pixels = is_image(values.shape[1:])
    scale = 1.0 if of_pixels else units_of(np.asarray(values, np.float32))
    num = min(num, len(values), values[0].size)
    project = (_fitted if values.size <= AT_ONCE else _fitted_in_parts)(values, scale, num, seed)
    return FeatureSpace(
        f"{num} principal components of {'the pixels' if of_pixels else 'the standardised columns'}",
        lambda data: np.concatenate([project(_flat(part) / scale) for part in in_parts(data)]),
    )


def _fitted(values: np.ndarray, scale: float | np.ndarray, num: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    pca = PCA(num, random_state=seed).fit(_flat(values) / scale)
    return lambda x: np.asarray(pca.transform(x))


def _fitted_in_parts(
    values: np.ndarray, scale: float | np.ndarray, num: int, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """The components of `_fitted`, from the products of all pairs of data: sums over columns, so many at a time."""
    flat = values.reshape(len(values), -1)
    units, width = np.broadcast_to(np.float32(scale), flat.shape[1]), max(1, AT_ONCE // len(flat))

    def parts() -> Iterator[np.ndarray]:
        for start in range(0, flat.shape[1], width):
            yield as_input(flat[:, start : start + width]).numpy() / units[start : start + width]

    products = np.zeros((len(flat), len(flat)), np.float32)
    means = []
    for x in parts():
        means.append(x.mean(0))
        x -= means[-1]
        products += x @ x.T
    data_axes = randomized_svd(products, num, random_state=seed)[0]
    axes, _ = np.linalg.qr(np.concatenate([(x - mean).T @ data_axes for x, mean in zip(parts(), means, strict=True)]))
    centre = np.concatenate(means) @ axes
    return lambda x: np.asarray(x @ axes - centre)


def network(name: str | Path, shape: tuple[int, ...], *, side: int | None = None) -> FeatureSpace:
    """The outputs of a frozen network: from a file (.pt, .pt2, .onnx), from timm, or from the Hugging Face hub.

    The network takes images in [0, 1], float32 (n, C, H, W), and gives features (n, d); other outputs are flattened.
    Put what else it needs, such as the normalisation of ImageNet, into the network. Grey pictures become colour ones,
    and colour ones grey, where it takes the other; alpha is left out. Pictures are resized to the side that the network
    declares, or to `side`.

    Only open files that you trust: a TorchScript file can run code.

    Args:
        name: the file, "timm:NAME" or "hf:USER/NAME".
        shape: of one picture, (C, H, W).
        side: in pixels, to which pictures are resized; None: as the network declares, or not at all.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be opened, or does not take such pictures; the message says what it takes.
    """
    opened = open_network(name, side=side)
    if not is_image(shape):
        raise ValueError(f"{opened.short_name}: a feature network takes images; these data are vectors")

    def compute(values: np.ndarray) -> np.ndarray:
        size = batch_of(shape, BATCH)
        starts = range(0, len(values), size)
        outputs = [opened.outputs(as_input(values[start : start + size])) for start in starts]
        return np.concatenate([output.reshape(len(output), -1) for output in outputs])

    title = f"outputs of {opened.short_name} ({opened.sha256[:8]})"
    space = FeatureSpace(title + (f" at {opened.side} × {opened.side}" if opened.side else ""), compute)
    space(np.zeros((2, *shape), np.uint8))  # to fail before the slow measurements
    return space


def _flat(values: np.ndarray) -> np.ndarray:
    return as_input(values).numpy().reshape(len(values), -1)
