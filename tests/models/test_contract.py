"""One contract for every model, whatever it is: the ladder and the systems it is compared with, by every recipe.

The hierarchies are no ladders, and nothing downstream of `LatentModel` may notice.
"""

import copy

import numpy as np
import pytest
import torch
from model_cases import CASES, data, made
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vlae import objectives
from vlae.evaluation.rates import summarise
from vlae.figures import panels
from vlae.models import inference
from vlae.models.base import LatentModel
from vlae.models.ladder import VLAE
from vlae.nn.layers import Residual
from vlae.objectives.elbo import elbo

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """Its name and a model of it after two training passes, whose running averages are those of the second."""
    model = made(request.param)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, Residual):
            nn.init.constant_(module.layers[-1].weight, 0.5)  # it begins as the identity, without a slope inside
    torch.manual_seed(1)
    with torch.no_grad():
        for _ in range(2):
            model(data(model, 8))
    return request.param, model


@pytest.fixture
def model(case):
    return case[1].eval()


def total(model: LatentModel, x: Tensor) -> Tensor:
    forward = model(x)
    fade = (1.0,) * model.num_levels
    loss = objectives.ELBO().weighted(forward, x, step=0, progress=0.0, fade=fade)[0]
    return loss if forward.features_distortion is None else loss + forward.features_distortion.mean()


def test_forward_pass_has_a_row_per_datum_and_an_entry_per_level(model):
    x = data(model, 3)
    forward = model(x)
    sizes = [(3, size) for size in model.code_sizes]
    for parts in (forward.posteriors, model.infer(x)):
        assert [tuple(part.mean.shape) for part in parts] == [tuple(part.stddev.shape) for part in parts] == sizes
        assert all(part.mean.dtype == part.stddev.dtype == torch.float32 for part in parts)
        assert all((part.stddev > 0).all() for part in parts)
    assert all(p.mean.shape in ((3, size), (1, size)) for p, size in zip(forward.priors, model.code_sizes, strict=True))
    assert [tuple(code.shape) for code in forward.codes] == sizes
    assert all(code.dtype == torch.float32 for code in forward.codes)
    picture = forward.likelihood.mean
    assert picture.shape == x.shape and picture.dtype == torch.float32
    assert forward.likelihood.batch_shape == (3,)
    assert forward.likelihood.event_shape == model.shape


def test_codes_are_drawn_from_the_posteriors(model):
    torch.manual_seed(3)
    once, again = model(data(model, 2)), model(data(model, 2))
    for q, code, other, size in zip(once.posteriors, once.codes, again.codes, model.code_sizes, strict=True):
        assert (((code - q.mean) / q.stddev).abs() < 6).all()
        assert size == 0 or (code != other).any()


def test_codes_are_drawn_as_in_the_forward_pass_and_by_the_encoder_alone_if_posteriors_are_independent(
    model, monkeypatch
):
    x = data(model, 3)
    with inference.evaluating(model, seed=0):
        wanted = [model(x).codes for _ in range(2)]
    assert model.independent_posteriors == isinstance(model, VLAE)
    if model.independent_posteriors:
        monkeypatch.setattr(model, "generate", None)
        monkeypatch.setattr(model.likelihood, "forward", None)
    with inference.evaluating(model, seed=0):
        drawn = model.sample_posterior(x, 2)
    assert len(drawn) == 2
    for codes, others in zip(drawn, wanted, strict=True):
        assert all(code.equal(other) for code, other in zip(codes, others, strict=True))


def test_every_parameter_has_a_gradient(model):
    model.train().zero_grad(set_to_none=True)
    torch.manual_seed(4)
    total(model, data(model, 4)).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert [name for name, parameter in model.named_parameters() if not parameter.grad.any()] == []
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    model.zero_grad(set_to_none=True)


@torch.no_grad()
def test_a_code_decodes_the_same_in_any_company_and_place(model):
    codes = model.place(model.draw_noise(5, torch.Generator().manual_seed(5)))
    together = model.decode(codes)
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = model.decode(tuple(code[order] for code in codes))
    rounding = 1e-4 * max(1.0, together.abs().max().item())  # batch mates that count would differ by far more
    torch.testing.assert_close(shuffled, together[order], atol=rounding, rtol=0)
    for i in range(5):
        alone = model.decode(tuple(code[i : i + 1] for code in codes))
        torch.testing.assert_close(alone, together[i : i + 1], atol=rounding, rtol=0)


@torch.no_grad()
def test_a_datum_is_inferred_the_same_in_any_company(model):
    x = data(model, 4)
    for all_q, one_q in zip(model.infer(x), model.infer(x[2:3]), strict=True):
        torch.testing.assert_close(one_q.mean, all_q.mean[2:3], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_noise_and_codes_are_each_others_inverse(model):
    noise = model.draw_noise(3, torch.Generator().manual_seed(6))
    codes = model.place(noise)
    for level, (back, forth) in enumerate(zip(model.noise_of(codes), noise, strict=True), start=1):
        p = model.prior(level, codes[level:])
        digits_lost = 1 + (p.mean.abs() / p.stddev).max().item() if p.mean.numel() else 1
        torch.testing.assert_close(back, forth, atol=1e-5 * digits_lost, rtol=1e-4)
    for level in range(1, model.num_levels):
        p = model.prior(level, codes[level:])
        torch.testing.assert_close(codes[level - 1], p.mean + p.stddev * noise[level - 1])
    torch.testing.assert_close(codes[-1], noise[-1])  # the top's prior is N(0, I) in every model


@torch.no_grad()
def test_a_seed_gives_the_same_samples(model):
    pictures = [model.sample(2, torch.Generator().manual_seed(seed)).mean for seed in (7, 7, 8)]
    assert pictures[0].shape == (2, *model.shape)
    assert pictures[0].equal(pictures[1]) and not pictures[0].equal(pictures[2])


@torch.no_grad()
def test_saved_weights_give_the_same_output_to_the_bit(case, model, tmp_path):
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    torch.manual_seed(99)
    other = CASES[case[0]]()
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    other.eval()
    x = data(model, 2)
    passes = []
    for one in (model, other):
        torch.manual_seed(9)
        passes.append(one(x))
    assert passes[0].likelihood.mean.equal(passes[1].likelihood.mean)
    assert passes[0].likelihood.log_prob(x).equal(passes[1].likelihood.log_prob(x))
    assert all(p.mean.equal(q.mean) for p, q in zip(passes[0].posteriors, passes[1].posteriors, strict=True))


def test_a_seed_builds_the_same_model_to_the_bit(case):
    one, two = made(case[0]).state_dict(), made(case[0]).state_dict()
    assert list(one) == list(two)
    assert all(one[name].equal(two[name]) for name in one)


def test_the_whole_model_moves_to_another_device(model):
    moved = copy.deepcopy(model).to("meta")
    codes = tuple(torch.zeros(2, size, device="meta") for size in model.code_sizes)
    assert moved.decode(codes).device.type == "meta"
    assert moved.generate(codes).log_prob(torch.zeros(2, *model.shape, device="meta")).device.type == "meta"
    assert moved.device.type == "meta"


def test_repr_names_the_parts(model):
    assert type(model).__name__ in repr(model) and "Linear" in repr(model)


def test_a_level_not_yet_grown_leaves_no_trace_in_the_picture(model):
    x = data(model, 2)
    for level in (level for level, size in enumerate(model.code_sizes, start=1) if size):
        fade = torch.ones(model.num_levels)
        fade[level - 1] = 0
        for wanted, forward in ((False, model(x, fade)), (True, model(x))):
            codes = forward.codes
            (slope,) = torch.autograd.grad(forward.likelihood.mean.sum(), codes[level - 1], allow_unused=True)
            moves = slope is not None and bool(slope.any())
            if not wanted:
                assert not moves
            elif isinstance(model, VLAE):  # in a chain of codes, those above act through the prior alone
                assert moves


@torch.no_grad()
def test_a_grown_level_counts_in_full(model):
    x, pictures = data(model, 2), []
    for fade in (None, torch.ones(model.num_levels), torch.full((model.num_levels,), 0.5)):
        torch.manual_seed(10)
        pictures.append(model(x, fade).likelihood.mean)
    assert pictures[0].equal(pictures[1])
    assert not pictures[0].equal(pictures[2])


@torch.no_grad()
def test_objectives_take_it(model):
    x = data(model, 3)
    forward = model(x)
    assert objectives.distortion(forward, x).shape == elbo(forward, x).shape == (3,)
    rates = objectives.rates(forward)
    assert rates.shape == (model.num_levels, 3) and rates.isfinite().all()
    assert [not rate.any() for rate in rates] == [size == 0 for size in model.code_sizes]


def test_figures_take_it(model):
    x = data(model, 4)
    pictures = [
        panels.levels(model, num=2),
        panels.levels(model, num=2, start=panels.noise_at(model, x[:1]), others="random"),
        panels.samples(model, num=2),
        panels.reconstructions(model, x, num=2),
        panels.traversal(model, steps=2, max_rows=1),
        panels.mix(model, x, num=1),
    ]
    assert all(picture.dtype == np.uint8 and picture.shape[2] == 3 for picture in pictures)


def test_summarise_takes_it(model):
    x = data(model, 6).numpy()
    values = (x * 255).astype(np.uint8) if len(model.shape) == 3 else x
    summary = summarise(model, values, batch_size=4)
    assert [level["code_size"] for level in summary["levels"]] == list(model.code_sizes)
    total_rate = sum(level["kl_nats"] for level in summary["levels"])
    assert summary["elbo_nats"] == pytest.approx(-summary["distortion_nats"] - total_rate)
