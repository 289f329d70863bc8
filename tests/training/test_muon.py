"""Muon for dense layers, beside Adam: it resumes to the same bits, and is told where it has nothing to do."""

import warnings

import numpy as np
import pytest
import torch
from command_line import cli_exit, refusal
from interrupting import stop_at_step
from torch import nn

from vlae import recipes
from vlae.nn.layers import Blocks, stack
from vlae.training import settle
from vlae.training.muon import RATE, MuonAndAdam, hidden_dense
from vlae.workflows import train

PICTURES = np.random.default_rng(0).integers(0, 256, (120, 16, 16), dtype=np.uint8)
SETTINGS = {"optimizer": "muon", "batch_size": 20, "code_sizes": (1, 2), "progress": False, "precision": "fp32"}


def weights(run):
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def test_hidden_dense_layers_are_those_that_a_norm_follows():
    shapes = [tuple(each.shape) for each in hidden_dense(recipes.build(recipes.lean((3, 32, 32))))]
    assert shapes == 4 * [(256, 256)]
    assert not hidden_dense(stack([(200,), (200,)], Blocks(norm=False), linear_end=True))


def test_a_step_of_muon_has_all_directions_alike_and_adam_does_the_rest():
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Linear(128, 128, bias=False), nn.Linear(4, 4)])
    before = [each.detach().clone() for each in layers.parameters()]
    optimizer = MuonAndAdam([{"params": list(layers.parameters())}], [layers[0].weight], lr=1e-3)
    (layers[0](torch.randn(500, 128)).square().sum() + layers[1](torch.randn(9, 4)).square().sum()).backward()
    optimizer.step()
    matrix, weight, bias = (each.detach() - old for each, old in zip(layers.parameters(), before, strict=True))
    lengths = torch.linalg.svdvals(matrix) / (RATE * 1e-3)
    quarter, most = torch.quantile(lengths, torch.tensor([0.25, 1.0])).tolist()
    assert quarter > 0.4 and most < 1.4  # those of the gradient differ a hundredfold
    torch.testing.assert_close(weight.abs(), torch.full_like(weight, 1e-3), rtol=1e-3, atol=0)
    torch.testing.assert_close(bias.abs(), torch.full_like(bias, 1e-3), rtol=1e-3, atol=0)
    optimizer.zero_grad()
    assert all(each.grad is None for each in layers.parameters())


def test_a_training_resumes_to_the_same_bits(tmp_path, monkeypatch):
    whole = train(PICTURES, out=tmp_path / "whole", steps=12, **SETTINGS)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stop_at_step(patched, 6)
        train(PICTURES, out=tmp_path / "part", steps=12, **SETTINGS)
    resumed = train(PICTURES, out=tmp_path / "part", resume=True, progress=False)
    adam = train(PICTURES, out=tmp_path / "adam", steps=12, **{**SETTINGS, "optimizer": "adam"})
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(resumed)[name], value, rtol=0, atol=0, msg=name)
    assert any(not torch.equal(weights(adam)[name], value) for name, value in weights(whole).items())


@pytest.mark.parametrize("lacks", [True, False])
def test_a_processor_without_bf16_is_told_that_it_takes_long(tmp_path, monkeypatch, lacks):
    monkeypatch.setattr(settle, "lacks_bf16", lambda: lacks)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        train(PICTURES, out=tmp_path / "run", steps=2, accelerator="cpu", **SETTINGS)
    assert any("muon computes in bf16, which this processor lacks" in str(each.message) for each in warned) == lacks


def test_it_is_chosen_by_name_and_told_where_it_has_nothing_to_do(tmp_path, capsys):
    assert cli_exit("train", "streets:80", "--optimizer", "muon", "--steps", "2", "--out", tmp_path / "a") == 0
    assert "optimizer" in (tmp_path / "a" / "recipe.json").read_text()
    assert "muon" in refusal(capsys, "train", "streets:80", "--optimizer", "sgd", "--out", tmp_path / "b")
    with pytest.raises(ValueError, match=r"muon trains dense layers of 128 to 512 units with a .* choose adam"):
        train(PICTURES, recipe=recipes.lean((1, 16, 16), width=8), out=tmp_path / "c", steps=2, optimizer="muon")
    assert not (tmp_path / "c").exists()
