import numpy as np
import pytest
import torch

from vlae import recipes
from vlae.evaluation.dimension_names import SEEN, DimensionName, dimension_names, ends_in_data
from vlae.evaluation.level_names import level_names
from vlae.models.base import LatentModel
from vlae.models.distributions import NormalCode
from vlae.models.priors import MixturePrior, standard_prior

SIDE = 16


class Painter(LatentModel):
    """A disc: level 1 sets its light and how red or green it is; level 2 nothing, a size, and a place."""

    def __init__(self):
        super().__init__()
        self.shape, self.code_sizes = (3, SIDE, SIDE), (2, 0, 3)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def infer(self, x):
        raise NotImplementedError  # names are found without an encoder

    def prior(self, level, above):
        return NormalCode(torch.zeros(1, self.code_sizes[level - 1]), torch.ones(1, self.code_sizes[level - 1]))

    def generate(self, codes):
        light, red = codes[0].T[:, :, None, None]
        _, size, place = codes[2].T[:, :, None, None]
        rows, columns = torch.from_numpy(np.mgrid[:SIDE, :SIDE] + 0.5).float()
        away = ((columns - SIDE / 2 - place) ** 2 + (rows - SIDE / 2) ** 2).sqrt()
        disc = torch.sigmoid(2 * (4 + 0.8 * size - away)) * 0.4 + 0.3 + 0.1 * light
        mean = torch.stack([disc * (1 + 0.2 * red), disc * (1 - 0.2 * red), disc], 1)
        return torch.distributions.Normal(mean.clamp(0, 1), 0.1)

    def forward(self, x, fade=None):
        raise NotImplementedError


def examples(num=32):
    noise = standard_prior((2, 0, 3)).draw(num, torch.Generator().manual_seed(5))
    return Painter().decode(noise).detach().numpy()


def test_dimensions_are_named_by_what_they_do():
    names = dimension_names(Painter(), examples())
    assert list(names) == [1, 3]
    assert [(name.level, name.dimension) for name in names[3]] == [(3, 0), (3, 1), (3, 2)]
    light, red = names[1]
    assert light.text == "darker ↔ lighter"
    assert red.text == "greener ↔ redder"
    nothing, size, place = names[3]
    assert (nothing.low, nothing.high, nothing.effects) == ("", "", {})
    assert nothing.change < SEEN and nothing.text == "changes next to nothing"
    assert "smaller" in size.low and "larger" in size.high
    assert "further left" in place.low and place.effects["x position"] > 2
    assert place.side(0.3) == place.high and place.side(-2) == place.low


def test_a_prior_sets_where_the_ends_are():
    opposite = standard_prior((2, 0, 3))
    means = opposite.means.clone()
    means[:, 0] = -20  # all is black there, and stays so
    black = MixturePrior(code_sizes=(2, 0, 3), weights=opposite.weights, means=means, factors=opposite.factors)
    assert all(
        name.text == "changes next to nothing" for name in dimension_names(Painter(), examples(), prior=black)[3]
    )


def test_without_data_the_drawn_ones_are_the_unit_and_the_same_seed_gives_the_same_names():
    model = Painter().train()
    names = dimension_names(model, examples(0), seed=3)
    assert names == dimension_names(model, examples(0), seed=3)
    assert names[1][1].text == "greener ↔ redder"
    assert model.training


class Line(LatentModel):
    """Columns that follow the code: the first grows with it, the second falls, the third stays."""

    def __init__(self, columns=()):
        super().__init__()
        self.shape, self.code_sizes, self.columns = (3,), (1,), columns
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def infer(self, x):
        raise NotImplementedError

    def prior(self, level, above):
        return NormalCode(torch.zeros(1, 1), torch.ones(1, 1))

    def generate(self, codes):
        (z,) = codes
        return torch.distributions.Normal(torch.cat([10 * z, -4 * z, 0 * z + 7], 1), 1.0)

    def forward(self, x, fade=None):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("columns", "first", "second"), [(("sugar", "age", "zero"), "sugar", "age"), ((), "column 1", "column 2")]
)
def test_dimensions_of_vectors_are_named_by_the_columns_that_change_most(columns, first, second):
    data = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * (10, 6, 1)
    (name,) = dimension_names(Line(columns), data.astype(np.float32))[1]
    assert name.text == f"less {first}, more {second} ↔ more {first}, less {second}"


def test_the_values_of_a_category_are_its_classes():
    recipe = recipes.lean((1, 8, 8), code_sizes=(1, 2), width=4)
    model = recipes.build(recipes.with_classes(recipe, values=(0, 1), names=("cat", "dog")))
    top = dimension_names(model, np.zeros((0, 1, 8, 8), np.uint8))[model.num_levels]
    assert [name.text for name in top] == ["cat", "dog"]


def test_a_change_without_a_word_is_told_from_no_change():
    assert DimensionName(level=1, dimension=0, low="", high="", change=0.5).text == "no word for it"
    assert DimensionName(level=1, dimension=0, low="", high="", change=0.0).text == "changes next to nothing"


def test_words_for_data_hold_in_the_data_too():
    model, data = Painter(), examples(64)
    noise = standard_prior((2, 0, 3)).draw(64, torch.Generator().manual_seed(5))
    names = dimension_names(model, data)
    light = noise[0][:, 0].numpy()
    low, high, strength = ends_in_data(model, data, light, names[1][0])
    assert (low, high) == ("darker", "lighter") and strength > 0.8
    assert ends_in_data(model, data, -light, names[1][0]) == ("", "", 0.0)  # the data say the opposite
    assert ends_in_data(model, data, noise[0][:, 1].numpy(), names[1][1])[1] == "redder"
    other = np.random.default_rng(0).normal(size=64)
    assert ends_in_data(model, data, other, names[1][0]) == ("", "", 0.0)
    assert ends_in_data(model, data[:1], light[:1], names[1][0]) == ("", "", 0.0)
    assert ends_in_data(model, data, 0 * light, names[1][0]) == ("", "", 0.0)


class Columns(LatentModel):
    """Columns in any units: each is `amounts` standard deviations times the code of one dimension, and noise."""

    def __init__(self, units, amounts):
        super().__init__()
        self.shape, self.code_sizes = (len(units),), (len(amounts),)
        self.columns = tuple(f"c{i}" for i in range(len(units)))
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.units, self.amounts = torch.tensor(units), torch.tensor(amounts)

    def infer(self, x):
        raise NotImplementedError

    def prior(self, level, above):
        return NormalCode(torch.zeros(1, self.code_sizes[0]), torch.ones(1, self.code_sizes[0]))

    def generate(self, codes):
        z = torch.zeros(len(codes[0]), len(self.units))
        z[:, : codes[0].shape[1]] = codes[0] * self.amounts
        return torch.distributions.Normal(z * self.units, 1.0)

    def forward(self, x, fade=None):
        raise NotImplementedError


@pytest.mark.parametrize("units", [(1.0, 1.0), (15_000.0, 10.0), (1e-7, 1.0), (1e25, 1e-20)])
def test_names_of_columns_are_the_same_in_any_units(units):
    values = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    own = dimension_names(Columns(units, (1.1, 1.1)), (values * np.float32(units)).astype(np.float32))[1]
    plain = dimension_names(Columns((1.0, 1.0), (1.1, 1.1)), values)[1]
    assert [name.text for name in own] == ["less c0 ↔ more c0", "less c1 ↔ more c1"]
    assert [name.change for name in own] == pytest.approx([name.change for name in plain], rel=1e-3)
    level = level_names({1: own})[1]
    assert level.named and level.title in ("c0 and c1", "c1 and c0")


def test_one_of_many_columns_is_named_from_the_same_change_on_as_one_of_few():
    values = np.random.default_rng(0).normal(size=(200, 300)).astype(np.float32)
    more, less = dimension_names(Columns((1.0,) * 300, (0.15, 0.05)), values)[1]
    assert more.text == "less c0 ↔ more c0" and less.text == "changes next to nothing"
    assert level_names({1: [more, less]})[1].title == "c0"


def test_a_column_that_does_not_vary_has_no_unit_and_no_name():
    values = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    values[:, 0] = 1e6 + 0.1
    first, second = dimension_names(Columns((1.0, 1.0), (1.0, 1.0)), values)[1]
    assert first.text == "changes next to nothing" and second.text == "less c1 ↔ more c1"


def test_rounding_of_drawn_columns_is_no_spread():
    class Far(Columns):
        def generate(self, codes):
            return torch.distributions.Normal(super().generate(codes).mean + torch.tensor([1e6, 0.0]), 1.0)

    names = dimension_names(Far((1.0, 1.0), (0.03, 1.0)), np.zeros((0, 2), np.float32))[1]
    assert [name.text for name in names] == ["changes next to nothing", "less c1 ↔ more c1"]


class Board(Painter):
    """A pattern whose squares are as large as is asked, and grow lighter and darker in turn."""

    def __init__(self, square):
        super().__init__()
        self.square, self.shape, self.code_sizes = square, (1, SIDE, SIDE), (1,)

    def generate(self, codes):
        rows, columns = np.mgrid[:SIDE, :SIDE] // self.square
        board = torch.from_numpy((rows + columns) % 2 * 2 - 1).float()
        return torch.distributions.Normal(0.5 + 0.1 * codes[0][:, :, None, None] * board, 0.1)


@pytest.mark.parametrize(("square", "coarse", "parts"), [(1, 0, "small parts"), (4, 1, "large parts")])
def test_what_has_no_word_is_told_as_large_or_small_parts(square, coarse, parts):
    values = np.random.default_rng(0).integers(0, 256, (60, 1, SIDE, SIDE), np.uint8)
    values[:, :, :, :8] //= 2  # so that the data vary far more than the pattern in what has words
    values = (values * np.linspace(0.1, 1, 60)[:, None, None, None]).astype(np.uint8)
    (name,) = dimension_names(Board(square), values)[1]
    assert name.coarse == pytest.approx(coarse, abs=0.01)
    assert level_names({1: [name]})[1].title == f"{parts}, no word for it"


def test_the_last_of_two_channels_is_named_unless_it_is_opacity():
    class Second(Painter):
        def __init__(self, opacity):
            super().__init__()
            self.shape, self.code_sizes, self.opacity = (2, SIDE, SIDE), (1,), opacity

        def generate(self, codes):
            mean = torch.full((len(codes[0]), 2, SIDE, SIDE), 0.5)
            mean[:, 1] += 0.1 * codes[0][:, :, None]
            return torch.distributions.Normal(mean, 0.1)

    values = np.full((60, 2, SIDE, SIDE), 0.5, np.float32)
    values[:, 1] += np.random.default_rng(0).normal(0, 0.1, (60, 1, 1)).astype(np.float32)
    names = [dimension_names(Second(opacity), values)[1][0].text for opacity in (False, True)]
    assert names == ["darker ↔ lighter", "no word for it"]
