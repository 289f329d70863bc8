"""Noisy pictures, and training in which the encoder sees them and the target stays clean."""

from dataclasses import replace

import pytest
import torch

from vlae.objectives import ELBO, Batch, FeaturesELBO, distortion
from vlae.objectives.corruption import corrupted
from vlae.recipes import RECIPES, Recipe, adjust, build, hvae, lean, lvae, mnist


def test_a_tenth_of_the_pixels_is_black_or_white_and_all_have_gaussian_noise():
    torch.manual_seed(0)
    x = torch.full((50, 3, 40, 60), 0.5)
    noisy = corrupted(x)
    near = [(noisy.mean(1) - value).abs() < 0.25 for value in (0.0, 0.5, 1.0)]  # in all channels at once
    assert [pixels.double().mean().item() for pixels in near] == pytest.approx([0.05, 0.9, 0.05], abs=0.005)
    kept = (noisy - x).movedim(1, 0)[:, near[1]]
    assert kept.std().item() == pytest.approx(0.1, abs=0.005) and kept.mean().abs() < 0.002
    assert torch.corrcoef(kept)[0, 1].abs() < 0.01  # of each channel its own
    assert noisy.min() < -0.1 and noisy.max() > 1.1  # not clipped
    assert (x == 0.5).all()


@pytest.mark.parametrize("make", [mnist, hvae, lvae, lean], ids=lambda make: make.__name__)
def test_the_encoder_sees_noise_and_the_target_is_clean(make):
    model, x = build(make((1, 16, 16))).eval(), torch.rand(8, 1, 16, 16)
    torch.manual_seed(1)
    noisy = corrupted(x)
    wanted = model(x, seen=noisy)
    level = -1 if make is lvae else 0  # its posterior is given by no drawn code
    torch.testing.assert_close(model.infer(noisy)[level].mean, wanted.posteriors[level].mean)
    assert not torch.allclose(model.infer(x)[level].mean, wanted.posteriors[level].mean)
    torch.manual_seed(1)
    loss = ELBO(denoise=True).loss(model, Batch(x=x), step=0, progress=1.0)
    torch.testing.assert_close(loss.terms[0], distortion(wanted, x).mean())
    assert distortion(wanted, x).mean() != distortion(wanted, noisy).mean()


def test_edges_are_explained_as_they_are_without_noise():
    model, x = build(lean((3, 16, 16), code_sizes=(2, 10), width=4)).eval(), torch.rand(8, 3, 16, 16)
    _, clean = model._climb(x, None)
    _, denoised = model._climb(x, None, corrupted(x))
    torch.testing.assert_close(clean[-1], denoised[-1])
    torch.manual_seed(1)
    noisy = corrupted(x)
    explained = model(x, seen=noisy).features_distortion.mean()
    torch.manual_seed(1)
    loss = FeaturesELBO(denoise=True).loss(model, Batch(x=x), step=0, progress=1.0)
    torch.testing.assert_close(loss.terms[1], explained)


@pytest.mark.parametrize("name", ["mnist", "svhn", "lean", "joint", "vae", "hvae", "lvae", "m1", "m2", "m1+m2"])
def test_every_recipe_of_pictures_can_denoise(name):
    recipe = adjust(RECIPES[name]((3, 16, 16)), denoise=True)
    assert recipe.objective.denoise and Recipe.from_json(recipe.to_json()) == recipe
    assert not RECIPES[name]((3, 16, 16)).objective.denoise
    assert FeaturesELBO.of(ELBO(denoise=True)).denoise


def test_vectors_are_refused_at_once():
    with pytest.raises(ValueError, match="denoise is for pictures; these data are vectors of 5 numbers"):
        adjust(lean((5,)), denoise=True)
    with pytest.raises(ValueError, match="denoise is for pictures"):
        replace(lean((5,)), objective=ELBO(denoise=True))
