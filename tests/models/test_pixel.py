"""The likelihood of a PixelVAE is a probability, leaks no pixel, draws what it says, and refuses what it must."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from vlae import Images, LadderClassifier
from vlae.models.likelihoods import Gaussian, likelihood_of
from vlae.models.pixel import BinaryPixel, Pixel
from vlae.objectives import ELBO, Batch, log_likelihood
from vlae.recipes import Recipe, adjust, build, hvae, joint, lean, vae
from vlae.training.train import train

LAYERS = [0, 1, 2, 4]
ZERO, ONE = torch.tensor(0.0), torch.tensor(1.0)


def head(family, shape, seed=0):
    """A head that has moved away from where it begins."""
    torch.manual_seed(seed)
    built = family.build(shape)
    torch.nn.init.normal_(built.network.out.weight, std=1.0)
    return built.eval()


def pictures(*shape, values=256, seed=0):
    return torch.randint(0, values, shape, generator=torch.Generator().manual_seed(seed)).float() / (values - 1)


@pytest.mark.parametrize("layers", LAYERS)
@torch.no_grad()
def test_the_probabilities_of_all_pictures_add_up_to_one(layers):
    """Of 4 × 4 pixels there are 65,536 binary pictures. A pixel that saw itself or a later one would break the sum."""
    family = BinaryPixel(masked_layers=layers, masked_kernel=3, masked_width=4)
    all_of_them = torch.tensor(list(itertools.product((0.0, 1.0), repeat=16))).view(-1, 1, 4, 4)
    output = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    log = head(family, (1, 4, 4))(output.expand(len(all_of_them), -1, -1, -1), ZERO, ONE).log_prob(all_of_them)
    assert log.double().exp().sum().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
@torch.no_grad()
def test_pictures_are_drawn_as_often_as_they_are_probable(layers):
    built = head(BinaryPixel(masked_layers=layers, masked_kernel=3, masked_width=4), (1, 4, 4))
    all_of_them = torch.tensor(list(itertools.product((0.0, 1.0), repeat=16))).view(-1, 1, 4, 4)
    output = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    each = built(output.expand(len(all_of_them), -1, -1, -1), ZERO, ONE).log_prob(all_of_them).exp()
    flat = all_of_them.flatten(1)
    wanted = torch.einsum("k,ki,kj->ij", each, flat, flat)  # how often both of two pixels are 1
    torch.manual_seed(2)
    drawn = built(output, ZERO, ONE).sample((20_000,))[:, 0].flatten(1)
    torch.testing.assert_close(drawn.T @ drawn / len(drawn), wanted, atol=0.015, rtol=0)


@pytest.mark.parametrize("layers", LAYERS)
def test_no_pixel_sees_itself_or_a_later_one(layers):
    """By gradients, of the probability of one pixel, with three colours."""
    built = head(Pixel(masked_layers=layers, masked_kernel=3, masked_width=4), (3, 6, 6)).double()
    x, m = torch.rand(1, 3, 6, 6).double().requires_grad_(), torch.rand(1, 3, 6, 6).double()
    each = built._mixture(built.network(x, m), m).log_prob(x)[0]
    for row, column in ((0, 0), (2, 3), (3, 5), (5, 5)):
        (slope,) = torch.autograd.grad(each[row, column], x, retain_graph=True)
        seen = slope[0].abs().sum(0).flatten() > 0
        place = row * 6 + column
        assert seen[place] and not seen[place + 1 :].any()
        assert bool(seen[:place].any()) == (layers > 0 and place > 0)


def test_no_colour_sees_a_later_one():
    """The mean of a channel moves with the channels before it, and with no other."""
    built = head(Pixel(masked_layers=1, masked_kernel=3, masked_width=4), (3, 6, 6)).double()
    x, m = torch.rand(1, 3, 6, 6).double().requires_grad_(), torch.rand(1, 3, 6, 6).double()
    mixture = built._mixture(built.network(x.detach(), m), m)
    for channel in range(3):
        mean = mixture._mean(channel, mixture.mean, mixture.coupling, x[:, None])
        slope = torch.autograd.grad(mean.sum(), x, allow_unused=True)[0]
        moved = [bool(slope[:, other].any()) if slope is not None else False for other in range(3)]
        assert moved == [other < channel for other in range(3)]


def test_without_layers_pixels_are_independent():
    whole = head(Pixel(masked_layers=0, masked_width=4), (1, 8, 8))
    output, x = torch.randn(2, 1, 8, 8), pictures(2, 1, 8, 8)
    other = x.clone()
    other[:, :, 3, 3] = 1 - other[:, :, 3, 3]
    m = whole(output, ZERO, ONE).mean
    each, changed = (whole._mixture(whole.network(y, m), m).log_prob(y) for y in (x, other))
    elsewhere = torch.ones(8, 8, dtype=torch.bool)
    elsewhere[3, 3] = False
    assert torch.equal(each[:, elsewhere], changed[:, elsewhere]) and not torch.equal(each, changed)
    assert not Pixel(masked_layers=0).autoregressive and Pixel().autoregressive and not Gaussian().autoregressive


@pytest.mark.parametrize("layers", LAYERS)
@torch.no_grad()
def test_a_drawing_is_that_of_pixel_after_pixel(layers):
    built = head(Pixel(masked_layers=layers, masked_width=4, masked_kernel=3), (2, 5, 6)).double()
    m = torch.rand(2, 2, 5, 6).double()
    torch.manual_seed(3)
    drawn = built.draw(m)
    torch.manual_seed(3)
    uniform = torch.rand(2, built.num_components + 2, 5, 6).clamp(1e-30, 1 - 2**-24).double()
    gumbel, quantile = -(-uniform[:, :3].log()).log(), uniform[:, 3:]
    naive = torch.zeros_like(m)
    for row, column in itertools.product(range(5), range(6)):
        placed = built._mixture(built.network(naive, m), m).place(gumbel, quantile)
        naive[:, :, row, column] = placed[:, :, row, column]
    assert torch.equal(drawn, naive) and len(drawn.unique()) > 20
    torch.testing.assert_close((drawn * 255).round() / 255, drawn)


def test_training_keeps_the_picture_a_picture_and_the_value_what_it_is():
    built = head(Pixel(masked_width=4), (1, 8, 8))
    x, output = pictures(4, 1, 8, 8), torch.randn(4, 1, 8, 8, requires_grad=True)
    plain = built(output, ZERO, ONE, x).log_prob(x).sum()
    (own,) = torch.autograd.grad(plain, output)
    built.train()
    trained = built(output, ZERO, ONE, x)
    torch.testing.assert_close(trained.log_prob(x).sum(), plain)
    (both,) = torch.autograd.grad(trained.log_prob(x).sum(), output)
    scale = (x - output.sigmoid()).square().mean().sqrt().detach()  # of r(x|m): the optimum
    picture = torch.distributions.Normal(output.sigmoid(), scale).log_prob(x).sum()
    torch.testing.assert_close(both - own, torch.autograd.grad(picture, output)[0], atol=1e-3, rtol=1e-3)


def test_the_picture_is_the_decoders():
    built, output = head(Pixel(masked_width=4), (3, 8, 8)), torch.randn(2, 3, 8, 8)
    likelihood = built(output, ZERO, ONE)
    torch.testing.assert_close(likelihood.mean, output.sigmoid())
    assert likelihood.batch_shape == (2,) and likelihood.event_shape == (3, 8, 8)


def test_a_large_batch_is_measured_in_parts(monkeypatch):
    from vlae.models import pixel

    built, output, x = head(Pixel(masked_width=4), (1, 8, 8)), torch.randn(7, 1, 8, 8), pictures(7, 1, 8, 8)
    whole = built(output, ZERO, ONE).log_prob(x)
    sizes, forward = [], built.network.forward
    monkeypatch.setattr(pixel, "PIXELS_AT_A_TIME", 2 * 64)
    monkeypatch.setattr(built.network, "forward", lambda x, m: sizes.append(len(x)) or forward(x, m))
    with torch.no_grad():
        torch.testing.assert_close(built(output, ZERO, ONE).log_prob(x), whole)
    assert sizes == [2, 2, 2, 1]


def test_mixed_precision_leaves_the_likelihood_in_float32():
    built, output, x = head(Pixel(masked_width=4), (1, 8, 8)), torch.randn(2, 1, 8, 8), pictures(2, 1, 8, 8)
    whole = built(output, ZERO, ONE).log_prob(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = built(output, ZERO, ONE).log_prob(x)
        assert built(output, ZERO, ONE).sample().dtype == torch.float32
    assert mixed.dtype == torch.float32 and torch.equal(mixed, whole)


# What is refused


def test_pixels_beside_the_grid_are_refused_with_what_to_do():
    output = torch.zeros(1, 1, 8, 8)
    likelihood, binary = (family().build((1, 8, 8))(output, ZERO, ONE) for family in (Pixel, BinaryPixel))
    near = (pictures(1, 1, 8, 8) + 0.05 / 255).clamp(0, 1)
    assert likelihood.log_prob(near).isfinite().all()
    with pytest.raises(ValueError, match=r"k / 255 .* lies 0.50 steps beside them; give \(x \* 255\)\.round\(\)"):
        likelihood.log_prob(torch.full((1, 1, 8, 8), 0.5))
    with pytest.raises(ValueError, match="steps beside them"):
        likelihood.log_prob(torch.full((1, 1, 8, 8), torch.nan))
    with pytest.raises(ValueError, match=r"0 and 1, .* give \(rng.random\(x.shape\) < x\) \* 255, as uint8"):
        binary.log_prob(torch.full((1, 1, 8, 8), 0.5))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"masked_layers": -1}, "masked_layers is -1; give a whole number from 0 up"),
        ({"masked_kernel": 1}, "masked_kernel is 1; give a whole number from 3 up"),
        ({"masked_kernel": 4}, "a masked kernel needs a middle: give an odd number, such as 5"),
        ({"masked_width": 0}, "masked_width is 0"),
        ({"logistics": 0}, "logistics is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Pixel(**settings)


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"the 'pixel' likelihood is for images .* choose 'gaussian' or 'laplace'"):
        Pixel().build((5,))
    with pytest.raises(ValueError, match="masked_kernel is 9, and pictures have 8 × 16 pixels; give a kernel smaller"):
        Pixel(masked_kernel=9).build((1, 8, 16))


# As a family of any recipe


def test_a_recipe_takes_it_by_name_and_keeps_its_settings():
    recipe = adjust(lean((1, 16, 16)), family="pixel", masked_layers=2, masked_kernel=3)
    assert recipe.likelihood == Pixel(masked_layers=2, masked_kernel=3)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert likelihood_of("binary-pixel", {"logistics": 1}) == BinaryPixel(logistics=1)
    assert adjust(recipe, family="binary-pixel").likelihood == BinaryPixel(masked_layers=2, masked_kernel=3)


@pytest.mark.parametrize(
    ("family", "setting"),
    [("gaussian", {"masked_layers": 2}), ("pixel", {"scale": 0.5}), ("bernoulli", {"scale": 0.5})],
)
def test_a_setting_that_the_family_lacks_is_refused(family, setting):
    with pytest.raises(ValueError, match=f"{family}.*has no {next(iter(setting))}.*choose family"):
        adjust(joint((1, 16, 16)), family=family, **setting)


def test_the_nearest_pictures_are_such_as_it_takes():
    x = torch.tensor([0.0, 0.1, 0.49, 1.0])[None, :, None, None]
    assert (Pixel().nearest(x) * 255).flatten().tolist() == pytest.approx([0, 26, 125, 255])
    assert BinaryPixel().nearest(x).flatten().tolist() == [0, 0, 0, 1] and Gaussian().nearest(x) is x


def test_bits_are_those_of_8_bit_values_only():
    assert Pixel().bits_per_dimension(-48 * math.log(256), (3, 4, 4)) == pytest.approx(8)
    assert Pixel().discrete and BinaryPixel().num_values == 2
    assert BinaryPixel().bits_per_dimension(-1.0, (1, 4, 4)) is None


@pytest.mark.parametrize("recipe", [lean, vae, hvae])
def test_the_bound_of_many_samples_is_above_that_of_one(recipe):
    torch.manual_seed(0)
    made = adjust(recipe((1, 8, 8), width=4), family="binary-pixel", masked_kernel=3)
    model, x = build(made).eval(), pictures(6, 1, 8, 8, values=2)
    one = torch.stack([log_likelihood(model, x, num_samples=1, seed=seed).mean() for seed in range(20)]).mean()
    assert one < log_likelihood(model, x, num_samples=200).mean() < 0


def test_the_model_draws_pixels():
    torch.manual_seed(0)
    model = build(adjust(lean((1, 8, 8), width=4), family="pixel")).eval()
    codes = model.place(model.draw_noise(3, torch.Generator().manual_seed(1)))
    one, same, other = (model.draw(codes, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other) and model.autoregressive
    torch.testing.assert_close((one * 255).round() / 255, one)
    assert torch.equal(model.decode(codes), model.generate(codes).mean)
    state = torch.get_rng_state()
    model.draw(codes, torch.Generator())
    assert torch.equal(torch.get_rng_state(), state)
    plain = build(lean((1, 8, 8), width=4)).eval()
    torch.manual_seed(2)
    first, second = plain.draw(codes), plain.draw(codes)
    torch.manual_seed(2)
    assert not torch.equal(first, second) and torch.equal(plain.draw(codes), first)
    drawn = plain.draw(codes, torch.Generator().manual_seed(0))  # pixels of a Gaussian, cut to what a picture can be
    assert not plain.autoregressive and drawn.min() == 0 and drawn.max() == 1


@pytest.mark.slow
def test_a_few_steps_of_training_find_what_neighbours_tell():
    """Stripes whose place the code need not tell: each pixel is that two rows above it."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.integers(0, 2, (100, 1, 2, 8)), 4, axis=2)[:, :, [0, 4, 1, 5, 2, 6, 3, 7]]
    x = torch.from_numpy(rows.astype(np.float32))
    losses = []
    for layers in (0, 1):
        torch.manual_seed(0)
        recipe = adjust(lean((1, 8, 8), code_sizes=(1, 1), width=4), family="binary-pixel", masked_layers=layers)
        model = build(replace(recipe, objective=ELBO()))
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
        for step in range(60):
            loss = ELBO().loss(model, Batch(x=x), step=step, progress=0.0)
            optimiser.zero_grad()
            loss.total.backward()
            optimiser.step()
        losses.append(loss.terms[0].item())
    assert losses[1] < 0.6 * losses[0]


def test_pixels_beside_the_values_are_refused_before_a_training_writes_anything(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    for labels, family in ((None, "binary-pixel"), ("all", "binary-pixel")):
        data = Images(values=grey[:, None], labels=np.arange(40) % 2)
        with pytest.raises(ValueError, match="to the values 0 and 1"):
            train(data, out=tmp_path / "run", labels=labels, family=family, steps=2, progress=False)
        assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="to the values k / 255"):
        LadderClassifier(steps=2, image_shape=(8, 8), settings={"family": "pixel"}).fit(
            np.random.default_rng(0).random((40, 64)), np.arange(40) % 2
        )
