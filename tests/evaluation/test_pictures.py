from dataclasses import replace

import numpy as np
import pytest
import torch

from vlae import recipes
from vlae.evaluation.feature_spaces import components
from vlae.evaluation.pictures import _swapped, moved, picture_quality, read_back
from vlae.models.base import LatentModel
from vlae.models.distributions import NormalCode
from vlae.models.priors import MixturePrior, standard_prior

SIDE = 8


class Planted(LatentModel):
    """A ladder that is known: level 1 is the brightness of a picture, level 2 the contrast of its halves.

    Real pictures are drawn from it, so its samples are as good as real ones, and so are pictures with levels swapped.
    """

    def __init__(self, *, tied=False):
        super().__init__()
        self.shape, self.code_sizes, self.tied = (1, SIDE, SIDE), (1, 1), tied
        self.register_buffer("pattern", torch.ones(SIDE, SIDE).triu() * 2 - 1)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def infer(self, x):
        mean = x.mean((1, 2, 3))
        halves = (x[:, 0] * self.pattern).mean((1, 2)) - mean * self.pattern.mean()
        spread = (self.pattern**2).mean() - self.pattern.mean() ** 2
        codes = ((mean - 0.5) / 0.1, halves / spread / 0.05)
        return tuple(NormalCode(code[:, None], torch.full_like(code[:, None], 0.01)) for code in codes)

    def prior(self, level, above):
        return NormalCode(torch.zeros(1, 1), torch.ones(1, 1))

    def decode_codes(self, codes):
        pattern = self.pattern - self.pattern.mean()
        return 0.5 + 0.1 * codes[0][:, :, None, None] + 0.05 * codes[1][:, :, None, None] * pattern

    def generate(self, codes):
        return torch.distributions.Normal(self.decode_codes(codes), 0.1)

    def forward(self, x, fade=None):
        raise NotImplementedError


def real(num, seed=0, *, tied=False):
    """Pictures of the planted ladder; tied: the contrast of a picture is its brightness."""
    codes = torch.randn(2, num, 1, generator=torch.Generator().manual_seed(seed))
    if tied:
        codes[1] = codes[0]
    return Planted().decode_codes(tuple(codes)).numpy()


def test_a_model_that_is_the_truth_draws_as_well_as_reality():
    values = real(2000)
    quality, reasons = picture_quality(Planted(), values, components(values))
    assert reasons == {} and quality["num_data"] == 1000 and "principal components" in quality["features"]
    distances, told_apart = quality["frechet"], quality["two_sample"]
    assert set(distances) == set(told_apart) == {"real", "samples", "samples_standard", "reconstructions", "swapped"}
    assert all(value < 0.02 for value in distances.values())
    assert all(0.45 < value < 0.55 for value in told_apart.values())


def test_samples_are_of_the_prior_that_is_given():
    """Data in which both levels are equal: N(0, I) does not know it, the fitted prior does."""
    factor = torch.tensor([[1.0, 0.0], [1.0, 0.01]]).double()[None]
    prior = MixturePrior(
        code_sizes=(1, 1), weights=torch.ones(1).double(), means=torch.zeros(1, 2).double(), factors=factor
    )
    values = real(2000, tied=True)
    quality, _ = picture_quality(Planted(), values, components(values), prior=prior)
    distances = quality["frechet"]
    assert distances["samples"] < 0.02 < 5 * 0.02 < distances["samples_standard"]
    assert quality["prior"] == "a Gaussian"
    without, _ = picture_quality(Planted(), values, components(values))
    assert without["prior"] == "N(0, I)" and without["frechet"]["samples"] == distances["samples_standard"]


def test_codes_that_are_read_back_are_of_the_prior_that_is_given():
    class Short(Planted):
        def infer(self, x):
            return tuple(NormalCode(q.mean.clamp(-0.5, 0.5), q.stddev) for q in super().infer(x))

    narrow = replace(standard_prior((1, 1)), factors=0.1 * torch.eye(2).double()[None])
    assert max(read_back(Short())) < 0.8 and min(read_back(Short(), prior=narrow)) > 0.99


class Read(Planted):
    """The planted ladder, if features were what it reads: the codes themselves."""

    def infer(self, x, features=None):
        self.given = features is not None
        read = super().infer(x)
        return tuple(NormalCode(code[:, None], q.stddev) for code, q in zip(features.T, read, strict=True))


def test_codes_are_those_of_the_features_of_the_full_size_pictures():
    values = real(400)
    codes = np.concatenate([q.mean.numpy() for q in Planted().infer(torch.from_numpy(values))], axis=1)
    own, _ = picture_quality(Planted(), values, components(values))
    read, _ = picture_quality(Read(), values, components(values), of_network=codes)
    for kind in ("reconstructions", "swapped"):
        assert read["frechet"][kind] == pytest.approx(own["frechet"][kind], rel=1e-3)
    others, _ = picture_quality(Read(), values, components(values), of_network=np.roll(codes + 3, 1, axis=0))
    assert others["frechet"]["reconstructions"] > 10 * read["frechet"]["reconstructions"]
    pictures = np.round(255 * values.clip(0, 1)).astype(np.uint8)
    plain, given = moved(Planted(), pictures), moved(Read(), pictures, of_network=codes)
    for one, other, moves in zip(plain, given, (1.0, 0.0), strict=True):
        assert one["brightness"] == pytest.approx(other["brightness"], abs=0.01) == pytest.approx(moves, abs=0.1)
    shifted = moved(Read(), pictures, of_network=np.zeros_like(codes))
    assert shifted[0]["brightness"] < 0.01  # all codes are the same


def test_perfect_reconstructions_are_exactly_as_far_from_the_first_half_as_the_second_half_is():
    values = real(200)
    distances = picture_quality(Planted(), values, components(values))[0]["frechet"]
    assert distances["reconstructions"] == pytest.approx(distances["real"], rel=1e-3) and distances["real"] > 1e-4


def test_levels_that_depend_on_each_other_in_the_data_do_not_combine_freely():
    values = real(2000, tied=True)
    quality, _ = picture_quality(Planted(), values, components(values))
    assert quality["frechet"]["reconstructions"] < 0.02 < 5 * 0.02 < quality["frechet"]["swapped"]
    assert quality["two_sample"]["reconstructions"] < 0.55 and quality["two_sample"]["swapped"] > 0.7


def test_each_swapped_level_comes_from_another_datum_than_the_other_levels(rng):
    model = recipes.build(recipes.lean((1, 16, 16), code_sizes=(1, 1, 1), width=4)).eval()
    rows = torch.arange(50.0)[:, None]
    low, middle, top = _swapped(model, (rows, rows, rows), rng)
    assert top.equal(rows)  # the highest level stays
    for one, other in ((low, middle), (low, top), (middle, top)):
        assert (one == other).sum() < 10
    assert low.sort(0).values.equal(rows) and middle.sort(0).values.equal(rows)


def test_codes_are_read_back_from_drawn_pictures():
    assert read_back(Planted()) == [pytest.approx(1, abs=0.01)] * 2

    class Deaf(Planted):
        def infer(self, x):
            low, high = super().infer(x)
            return low, NormalCode(torch.zeros_like(high.mean), torch.ones_like(high.mean))

    low, high = read_back(Deaf())
    assert low > 0.99 and high == pytest.approx(0, abs=0.01)


def test_each_level_moves_what_it_holds():
    low, high = moved(Planted(), np.round(255 * real(400).clip(0, 1)).astype(np.uint8))
    assert low["brightness"] == pytest.approx(1, abs=0.15) and low["contrast"] < 0.1
    assert high["contrast"] == pytest.approx(1, abs=0.2) and high["brightness"] < 0.02


def test_one_level_a_level_without_code_and_vectors(rng):
    values = rng.integers(0, 256, (80, 1, 8, 8), dtype=np.uint8)
    model = recipes.build(recipes.vae((1, 8, 8), width=4)).eval()
    quality, reasons = picture_quality(model, values, components(values))
    assert quality["frechet"]["swapped"] is None and "two levels" in reasons["pictures: swapped"]
    assert [value is None for value in read_back(model)] == [size == 0 for size in model.code_sizes]
    assert [shares == {} for shares in moved(model, values)] == [size == 0 for size in model.code_sizes]
    vectors = rng.normal(size=(80, 5)).astype(np.float32)
    model = recipes.build(recipes.lean((5,), code_sizes=(2, 3), width=4)).eval()
    assert picture_quality(model, vectors, components(vectors))[0]["frechet"]["swapped"] > 0


def test_seeded_and_leaves_the_generators_alone(rng):
    values, model = real(100), Planted()
    state = torch.get_rng_state()
    one, again, other = (picture_quality(model, values, components(values), seed=s)[0] for s in (1, 1, 2))
    assert one == again != other and read_back(model, seed=1) == read_back(model, seed=1)
    assert torch.get_rng_state().equal(state)


def test_no_picture_is_its_own_donor():
    two = np.round(255 * real(2, seed=3).clip(0, 1)).astype(np.uint8)
    for seed in range(8):
        low, high = moved(Planted(), two, seed=seed)
        assert low["brightness"] == pytest.approx(1, abs=0.1) and high["brightness"] < 0.01


def test_sharpness_is_fine_detail_in_times_that_of_real_pictures(rng):
    values = rng.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)
    model = recipes.build(recipes.lean((1, 8, 8), code_sizes=(2, 3)))
    quality, _ = picture_quality(model, values, components(values))
    assert quality["sharpness"]["real"] == pytest.approx(1, abs=0.1)
    assert quality["sharpness"]["reconstructions"] < 0.2  # an untrained ladder draws no noise
    flat, _ = picture_quality(model, np.full_like(values, 128), components(values))
    assert set(flat["sharpness"].values()) == {None}
