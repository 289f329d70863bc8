"""Frozen networks that were trained elsewhere: from a file, from timm, or from the Hugging Face hub.

A network turns pictures into features. Nothing here is trained, and no weight of it is stored in a run.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from vlae.nn.network_formats import KINDS, Opened, OutputError, is_name, line_of
from vlae.nn.network_formats import opened as opened_at

MOST_SIDE = 4096
"""The largest side, in pixels, to which pictures are resized for a network."""


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
        except OutputError as error:
            raise ValueError(
                f"{self.short_name} gives {error}; let it give one tensor, or a tuple that begins with one"
            ) from error
        except Exception as error:
            takes = f"(n, {opened.channels or x.shape[1]}, {self.side or 'H'}, {self.side or 'W'})"
            reason = line_of(error, -1)  # the last line of what TorchScript says is the one that tells
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
    opened = opened_at(text)
    network = FeatureNetwork(
        text, sha256=opened.sha256, side=opened.side if side is None else side, find=lambda: opened
    )
    network.open()
    return network


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
