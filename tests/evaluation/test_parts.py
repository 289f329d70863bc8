"""The memory that an evaluation takes does not grow with the size of the pictures: it takes large ones in small parts.

What is handed over at a time is counted, in numbers; where it was handed over at once, results are the same.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional

from vlae.data import Images
from vlae.data import copies as copies_of
from vlae.evaluation import complexity, feature_spaces, measures, mesh, pictures, polarity, sharpness, variations
from vlae.evaluation.feature_spaces import FeatureSpace, components
from vlae.evaluation.samples import frechet
from vlae.figures import contents
from vlae.models import inference
from vlae.models.base import LatentModel
from vlae.models.distributions import NormalCode

SIDE, PARTS = 128, 125  # 500 · 64 · 64 pixels are 125 pictures of this side
NUM = 400


class Wide(LatentModel):
    """A model of large pictures that only looks at a few of their pixels, and counts what it is given at a time."""

    def __init__(self):
        super().__init__()
        self.shape, self.code_sizes = (1, SIDE, SIDE), (2, 3)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def infer(self, x, **_):
        self.seen.append(len(x))
        small = functional.adaptive_avg_pool2d(x, (1, 5)).flatten(1)
        return tuple(NormalCode(code, torch.full_like(code, 0.1)) for code in small.split(self.code_sizes, dim=1))

    def prior(self, level, above):
        size = self.code_sizes[level - 1]
        return NormalCode(torch.zeros(1, size), torch.ones(1, size))

    def decode_codes(self, codes):
        self.seen.append(len(codes[0]))
        return (
            torch.cat(codes, 1).sigmoid()[:, None, None, :].expand(-1, 1, SIDE, -1).repeat_interleave(26, 3)[..., :SIDE]
        )

    def generate(self, codes):
        return torch.distributions.Normal(self.decode_codes(codes), 0.1)

    def forward(self, x, fade=None):
        raise NotImplementedError(f"a forward pass of {len(x)} pictures")


@pytest.fixture(scope="module")
def large():
    smooth = torch.rand(NUM, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    return (255 * functional.interpolate(smooth, (SIDE, SIDE), mode="bilinear")).to(torch.uint8).numpy()


@pytest.fixture
def counted(monkeypatch):
    """How many pictures, or so many of their pixels, become floats at a time, and how many are measured at a time."""
    sizes = []

    def counting(function, number=len):
        return lambda values, *a, **k: sizes.append(number(values)) or function(values, *a, **k)

    for module in (contents, feature_spaces, measures, pictures, polarity, variations):
        number = len if module is not feature_spaces else lambda values: np.size(values) / SIDE**2
        monkeypatch.setattr(module, "as_input", counting(inference.as_input, number))
    for module, name in (
        (complexity, "adaptive_avg_pool2d"),
        (pictures, "statistics"),
        (pictures, "fine_sums"),
        (sharpness, "fine_sums"),
        (mesh, "spectrum"),
        (copies_of, "_cells"),
    ):
        monkeypatch.setattr(module, name, counting(getattr(module, name)))
    return sizes


def test_parts_hold_so_many_pixels(large):
    assert [len(part) for part in inference.in_parts(large)] == [PARTS, PARTS, PARTS, NUM - 3 * PARTS]
    rows = np.arange(NUM)[::-3]
    assert np.array_equal(np.concatenate(list(inference.in_parts(large, rows))), large[rows])


@pytest.mark.parametrize("limit", [10**9, PARTS * SIDE**2])
def test_pictures_are_compared_part_by_part(large, counted, monkeypatch, limit):
    monkeypatch.setattr(feature_spaces, "AT_ONCE", limit)  # the lower: as if these were many
    model = Wide()
    space = components(large)
    assert limit == 10**9 or max(counted) <= PARTS
    counted.clear()
    quality, _ = pictures.picture_quality(model, large, space)
    pictures.moved(model, large)
    pictures.read_back(model, num=300)
    assert max(counted) == max(model.seen) == PARTS and quality["num_data"] == NUM // 2


def test_what_is_looked_at_in_parts_is_that_of_all(large, monkeypatch):
    x = large / np.float32(255)
    in_parts = mesh.mesh(x), sharpness.fine_power(x), complexity.components_of(large, 5), variations._described(large)
    space = FeatureSpace("means", lambda values: values.mean((2, 3)))
    quality, _ = pictures.picture_quality(Wide(), large, space)
    moved, read = pictures.moved(Wide(), large), pictures.read_back(Wide(), num=300)
    monkeypatch.setattr(inference, "BATCH_PIXELS", 10**12)
    at_once = mesh.mesh(x), sharpness.fine_power(x), complexity.components_of(large, 5), variations._described(large)
    for one, other in zip(in_parts, at_once, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)
    assert pictures.moved(Wide(), large)[0] == pytest.approx(moved[0], rel=1e-4)
    assert pictures.read_back(Wide(), num=300) == pytest.approx(read, rel=1e-4)
    again, _ = pictures.picture_quality(Wide(), large, space)
    for name in ("sharpness", "frechet", "two_sample"):
        assert again[name] == pytest.approx(quality[name], rel=1e-4)


def test_components_of_many_data_are_those_that_are_computed_at_once(rng, monkeypatch):
    patterns, weights = rng.normal(size=(16, SIDE * SIDE)), 0.7 ** np.arange(16)
    mixed = (rng.normal(size=(NUM, 16)) * weights @ patterns).astype(np.float32)
    pictures = np.clip(128 + 20 * mixed, 0, 255).astype(np.uint8).reshape(NUM, 1, SIDE, SIDE)
    for values, what in ((pictures, "the pixels"), (mixed[:, :900], "the standardised columns")):
        at_once = components(values, num=8)(values)
        with monkeypatch.context() as patched:
            patched.setattr(feature_spaces, "AT_ONCE", NUM * 300)  # 300 columns
            space = components(values, num=8)
        in_parts = space(values)
        assert space.name == f"8 principal components of {what}"
        for one, other in zip(in_parts.T, at_once.T, strict=True):
            assert min(np.abs(one - other).max(), np.abs(one + other).max()) < 1e-3 * np.abs(other).max()
        parts = frechet(in_parts[:200], in_parts[200:])
        assert parts == pytest.approx(frechet(at_once[:200], at_once[200:]), rel=1e-4)


def test_the_pixels_are_probed_and_searched_part_by_part(large, counted):
    images = Images(values=large, labels=np.arange(NUM) % 2, source="smooth")
    complexity.complexity_of(images, num=NUM)
    variations._described(large)
    polarity.edges_tell_polarity(large)
    copies_of.find_copies(large)
    assert max(counted) <= 2 * PARTS + 6  # copies are looked for among 1,024 pictures of 64 pixels
    counted.clear()
    known = contents.Seen("picture", np.tile(large, (2, 1, 1, 1)))
    contents._nearest(Wide(), torch.from_numpy(large[:3] / np.float32(255)), known)
    assert max(counted) == PARTS


@pytest.mark.parametrize("side", [16, SIDE, 1024, 2048])
def test_samples_of_the_likelihood_are_drawn_for_few_pictures_at_a_time(monkeypatch, side):
    passes = []

    def bound(model, x, *, num_samples, chunk, **_):
        passes.append((len(x), min(chunk, num_samples)))
        return torch.zeros(len(x))

    monkeypatch.setattr(measures, "log_likelihood", bound)
    model = Wide()
    model.shape = (1, side, side)
    images = Images(values=np.zeros((230, 1, side, side), np.uint8), source="black")
    measures._log_likelihood(model, images, 25, 0)
    most = 2 * inference.batch_of(model.shape)
    assert max(num * chunk for num, chunk in passes) <= most and sum(num for num, _ in passes) == 230
    assert side > 64 or passes == [(100, 10), (100, 10), (30, 10)]  # as ever, and so are the draws


def test_pictures_that_are_not_finite_have_no_quality(large):
    """The others have theirs."""
    model = Wide()
    decode = model.decode_codes
    model.decode_codes = lambda codes: decode(codes) / (codes[0][:, :1, None, None] < 0.9)  # reconstructions are below
    small = functional.adaptive_avg_pool2d(torch.from_numpy(large / np.float32(255)), (1, 5)).flatten(1)
    assert small[:, 0].max() < 0.9
    quality, reasons = pictures.picture_quality(model, large, components(large))
    assert quality["frechet"]["samples"] is None and quality["sharpness"]["samples_standard"] is None
    assert reasons["pictures: samples"] == "some of them are not finite"
    assert quality["frechet"]["reconstructions"] > 0 and "pictures: reconstructions" not in reasons
