"""Where a model computes: every path of encoding and decoding keeps to the model's device.

A machine for tests has no GPU. PyTorch's device "meta" has shapes but no values, and refuses a tensor of the processor
as a GPU does. What comes back from it is made of zeros here.
"""

import copy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from command_line import refusal
from model_cases import CASES, data, made

import vlae
from vlae import recipes
from vlae.codes.encoder import Encoder
from vlae.codes.outliers import _encode_twice
from vlae.models import inference
from vlae.models.devices import ACCELERATORS, device_of, exact_convolutions
from vlae.shapes import is_image

NUM = 5


@pytest.fixture
def elsewhere(monkeypatch):
    """Lets tensors come back from the device "meta"; the list has how often one did."""
    fetched = []
    fetch = torch.Tensor.cpu

    def from_meta(tensor):
        if tensor.device.type != "meta":
            return fetch(tensor)
        fetched.append(tuple(tensor.shape))
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    monkeypatch.setattr(torch.Tensor, "cpu", from_meta)
    return fetched


@pytest.fixture(params=CASES)
def model(request):
    return copy.deepcopy(made(request.param)).eval().to("meta")


def values_of(model):
    values = data(model, NUM).numpy()
    return np.round(values * 255).astype(np.uint8) if is_image(model.shape) else values


def test_an_encoder_computes_where_the_model_is(model, elsewhere):
    encoder = Encoder(model, stddev=True, sample=True, reconstruction="decoder" not in model.lacks)
    columns = encoder.columns(values_of(model))
    assert encoder.model.device.type == "meta"
    assert {len(column) for column in columns.values()} == {NUM}
    assert len(elsewhere) == len(columns)  # each is fetched once, however many batches there are


def test_an_encoder_fetches_nothing_from_a_device_until_all_rows_are_done(model, elsewhere):
    encoder = Encoder(model, reconstruction=False)
    encoder.batch_size = 2
    seen = []
    encoder.columns(values_of(model), advance=lambda num: seen.append((num, len(elsewhere))))
    assert seen == [(2, 0), (2, 0), (1, 0)]


def test_codes_and_pictures_come_back_from_where_the_model_is(model, elsewhere):
    codes = [mean for mean, _ in inference.encode(model, values_of(model))]
    assert [code.shape for code in codes] == [(NUM, size) for size in model.code_sizes]
    assert inference.decode(model, codes).shape == (NUM, *model.shape)


def test_outliers_are_scored_where_the_model_is(model, elsewhere):
    codes, again, bounds = _encode_twice(model, values_of(model), None, 0)
    assert len(codes) == len(again) == len(model.code_sizes) and len(bounds) == NUM


def test_batches_are_large_on_a_device_and_small_enough_for_the_caches_of_a_processor():
    model = made(next(case for case in CASES if is_image(made(case).shape)))
    here, there = Encoder(model), Encoder(copy.deepcopy(model).to("meta"))
    assert here.batch_size <= 256 < there.batch_size <= 4096


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch):
    for there, wanted in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device_of("auto").type == wanted
    assert device_of("gpu").type == "cuda" and device_of("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "mps", "tpu", "cuda:0", ""])
def test_a_device_that_is_not_there_is_refused_with_what_to_do(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    words = "cannot be had here: .* choose auto or cpu" if name in ACCELERATORS else f"accelerator is '{name}'; choose"
    with pytest.raises(ValueError, match=words):
        device_of(name)
    with pytest.raises(ValueError, match=words):
        vlae.load("streets", accelerator=name)


def test_convolutions_of_a_gpu_are_exact_where_codes_are_computed_and_as_before_afterwards():
    assert torch.backends.cudnn.allow_tf32
    with pytest.raises(KeyError), exact_convolutions():
        assert not torch.backends.cudnn.allow_tf32
        raise KeyError
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("asked", ["torch.backends", "torch.backends.cudnn", "torch.backends.cudnn.conv"])
def test_who_asks_pytorch_for_exact_numbers_can_use_a_model(asked):
    words = f"import torch, vlae; {asked}.fp32_precision = 'ieee'; run = vlae.load('mnist'); run.encode(run.examples)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_is_opened_on_the_device_that_is_asked_for(monkeypatch):
    moved = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, device: moved.append(device) or module)
    vlae.load("streets", accelerator="auto")
    assert moved == [torch.device("cuda")]
    vlae.load("streets")
    assert moved[1:] == [torch.device("cpu")]


@pytest.mark.parametrize("command", ["encode", "odd", "index", "classify"])
def test_a_command_refuses_a_device_that_is_not_there_and_writes_nothing(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / {"encode": "codes.parquet", "odd": "odd.png", "index": "index", "classify": "classes.csv"}[command]
    words = refusal(capsys, command, "streets", "streets:80", "--accelerator", "gpu", "--out", str(out))
    assert "accelerator 'gpu' cannot be had here" in words
    assert not list(tmp_path.iterdir())


DEVICES = [name for name in ("cpu", "cuda", "mps") if name == "cpu" or getattr(torch, name).is_available()]
LADDERS = {
    "lean": lambda: recipes.lean((3, 16, 16)),
    "lean, smooth and residual": lambda: smooth(recipes.lean((3, 16, 16), quality="high")),
    "lean, grey and hidden": lambda: recipes.lean((1, 15, 16), polarity="hidden"),
    "joint": lambda: recipes.make("joint", (3, 16, 16)),
    "hvae": lambda: recipes.make("hvae", (1, 16, 16)),
    "lvae": lambda: recipes.make("lvae", (1, 16, 16)),
}


def smooth(recipe):
    """As pictures of more than 64 pixels are drawn."""
    return replace(recipe, blocks=replace(recipe.blocks, smooth=True))


def gradients(model, x, device, memory_format):
    model = copy.deepcopy(model).train().to(device).to(memory_format=memory_format)
    x = x.to(device).contiguous(memory_format=memory_format)
    means = tuple(posterior.mean for posterior in model.infer(x))
    loss = (model.decode(means) - x).square().sum() + sum(mean.square().sum() for mean in means)
    loss.backward()
    return {name: None if each.grad is None else each.grad.cpu() for name, each in model.named_parameters()}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", LADDERS)
def test_gradients_are_the_same_on_every_device_however_maps_lie_in_memory(case, device):
    recipe = LADDERS[case]()
    torch.manual_seed(0)
    model = recipes.build(replace(recipe, mean=0.5, stddev=0.25))
    for parameter in model.parameters():  # no layer begins as the identity
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    x = torch.rand(8, *recipe.shape)
    expected = gradients(model, x, "cpu", torch.contiguous_format)
    assert sum(each is not None and bool(each.abs().max() > 0) for each in expected.values()) > len(expected) / 2
    for memory_format in (torch.contiguous_format, torch.channels_last):
        with exact_convolutions():
            found = gradients(model, x, device, memory_format)
        for name, gradient in expected.items():
            if gradient is not None:
                largest = max(float(gradient.abs().max()), 1e-3)
                torch.testing.assert_close(found[name] / largest, gradient / largest, rtol=0, atol=2e-3, msg=name)
