"""Trains pythae's VAE for some seconds; called by beside_pythae.py with a Python that has pythae, and no vlae.

Its networks have the layers of the recipe `vae` at 28 × 28: three convolutions of stride 2 and dense layers, as wide as
a number of parameters asks.
"""

import argparse
import json
import logging
import tempfile
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn


def dense(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())


class Encoder(BaseEncoder):
    """Three convolutions of stride 2 and three dense layers, then mean and log variance."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, width: int):
        super().__init__()
        channels, height, rows = shape
        sizes = ((channels, width), (width, 2 * width), (2 * width, 4 * width))
        down = [
            nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())
            for inputs, outputs in sizes
        ]
        flat, units = 4 * width * -(-height // 8) * -(-rows // 8), 8 * width
        self.layers = nn.Sequential(*down, nn.Flatten(), dense(flat, units), dense(units, units), dense(units, units))
        self.embedding, self.log_var = nn.Linear(units, latent_dim), nn.Linear(units, latent_dim)

    def forward(self, x: Tensor) -> ModelOutput:  # noqa: D102
        h = self.layers(x)
        return ModelOutput(embedding=self.embedding(h), log_covariance=self.log_var(h))


class Decoder(BaseDecoder):
    """The same backwards, with a sigmoid at the end."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, width: int):
        super().__init__()
        channels, height, rows = shape
        self.shape, self.side = shape, (4 * width, -(-height // 8), -(-rows // 8))
        units = 8 * width
        self.dense = nn.Sequential(
            dense(latent_dim, units), dense(units, units), dense(units, units), dense(units, int(np.prod(self.side)))
        )
        up = [
            nn.Sequential(
                nn.ConvTranspose2d(inputs, outputs, 3, 2, padding=1, output_padding=1),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            )
            for inputs, outputs in ((4 * width, 2 * width), (2 * width, width))
        ]
        last = nn.ConvTranspose2d(width, channels, 3, 2, padding=1, output_padding=1)
        self.layers = nn.Sequential(*up, last, nn.Sigmoid())

    def forward(self, z: Tensor) -> ModelOutput:  # noqa: D102
        x = self.layers(self.dense(z).reshape(-1, *self.side))
        return ModelOutput(reconstruction=x[:, :, : self.shape[1], : self.shape[2]].contiguous())


def build(shape: tuple[int, ...], latent_dim: int, width: int, loss: str) -> VAE:
    config = VAEConfig(input_dim=shape, latent_dim=latent_dim, reconstruction_loss=loss)
    return VAE(config, encoder=Encoder(shape, latent_dim, width), decoder=Decoder(shape, latent_dim, width))


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def of_size(shape: tuple[int, ...], latent_dim: int, parameters: int, loss: str) -> tuple[VAE, int]:
    """The VAE whose number of parameters is nearest, and its width."""
    with torch.device("meta"):  # shapes without numbers
        width = min(range(8, 129), key=lambda width: abs(size(build(shape, latent_dim, width, loss)) - parameters))
    return build(shape, latent_dim, width, loss), width


class Done(Exception):  # noqa: N818
    """The time is over; nothing is wrong."""


class Clock(TrainingCallback):
    """Stops the training after some seconds, of which the first few steps are left out of the speed."""

    def __init__(self, seconds: float, warm: int):
        super().__init__()
        self.seconds, self.warm, self.marks = seconds, warm, []

    def on_train_begin(self, *args, **kwargs) -> None:  # noqa: D102
        self.begun = time.monotonic()

    def on_train_step_end(self, *args, **kwargs) -> None:  # noqa: D102
        self.marks.append(time.monotonic() - self.begun)
        if self.marks[-1] >= self.seconds and len(self.marks) > self.warm + 1:
            raise Done


@torch.no_grad()
def squared_error(model: VAE, values: np.ndarray) -> dict[str, float]:
    """Mean squared error per pixel of what is drawn from a picture's code."""
    model.eval()
    sums = {"drawn": 0.0, "mean": 0.0}
    for start in range(0, len(values), 500):
        x = torch.from_numpy(values[start : start + 500]).float() / 255
        encoded = model.encoder(x)
        noise = torch.randn_like(encoded.embedding)
        ways = {"drawn": encoded.embedding + noise * (encoded.log_covariance / 2).exp(), "mean": encoded.embedding}
        for way, z in ways.items():
            sums[way] += (model.decoder(z).reconstruction - x).square().sum().item()
    return {way: total / values.size for way, total in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help=".npz with uint8 arrays train and test, (N, C, H, W)")
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--parameters", type=int, default=1_000_000, help="as many as these, about")
    parser.add_argument("--latent-dim", type=int, default=6)
    parser.add_argument("--loss", choices=("mse", "bce"), default="mse", help="mse is pythae's default")
    parser.add_argument("--batch-size", type=int, default=64, help="64 is pythae's default")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    data = np.load(args.data, allow_pickle=False)
    train, test = data["train"], data["test"]
    torch.manual_seed(0)
    model, width = of_size(train.shape[1:], args.latent_dim, args.parameters, args.loss)
    warm = 10
    clock = Clock(args.seconds, warm)
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            num_epochs=10_000,
            no_cuda=True,
        )
        trainer = pipeline(model, train, config, clock)
        with suppress(Done):
            trainer.train()
    steps = len(clock.marks)
    print(
        json.dumps(
            {
                "versions": {"pythae": version("pythae"), "torch": torch.__version__},
                "width": width,
                "parameters": size(model),
                "batch_size": args.batch_size,
                "learning_rate": args.learning_rate,
                "loss": args.loss,
                "steps": steps,
                "seconds": clock.marks[-1],
                "images_per_second": (steps - warm) * args.batch_size / (clock.marks[-1] - clock.marks[warm - 1]),
                "squared_error": squared_error(model, test),
            }
        )
    )


def pipeline(model: VAE, train: np.ndarray, config: BaseTrainerConfig, clock: Clock) -> BaseTrainer:
    """The trainer of pythae on the pictures, as float32 in memory, which is how it takes them."""
    data = torch.from_numpy(train).float() / 255
    dataset = BaseDataset(data, torch.zeros(len(data)))
    return BaseTrainer(model=model, train_dataset=dataset, training_config=config, callbacks=[clock])


if __name__ == "__main__":
    main()
