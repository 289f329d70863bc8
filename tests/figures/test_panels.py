"""Figures of a model that paints its codes into its pixels, so that what a tile shows can be read off exactly."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import nn
from torch.distributions import Distribution, Independent, Normal

from vlae.figures import canvas, contents
from vlae.figures import panels as figures
from vlae.figures.contents import Seen, sample_data
from vlae.figures.curves import progress
from vlae.figures.kinds import KINDS
from vlae.figures.pictures import to_pictures
from vlae.models.base import Codes, ForwardPass, LatentModel
from vlae.models.distributions import NormalCode, standard_normal
from vlae.models.inference import evaluating
from vlae.models.ladder import VLAE
from vlae.models.levels import Level
from vlae.models.priors import MixturePrior

SIDE = 4  # of the painter's pictures; they are enlarged to 48 pixels (96 in a mix)


class Painter(LatentModel):
    """Pixel (level, dimension) of a picture is 0.5 + code / 20; the corner opposite says which code was above.

    With `conditional`, p(z_l | z_above) has the mean 0.5 × the sum of the code above, so that noise and code differ.
    """

    def __init__(self, code_sizes: tuple[int, ...], *, conditional: bool = False):
        super().__init__()
        self.shape, self.code_sizes, self.conditional = (1, SIDE, SIDE), code_sizes, conditional
        self.anchor = nn.Parameter(torch.zeros(()))
        self.norm = nn.BatchNorm1d(1)  # something that has a mode
        self.seen_training: list[bool] = []

    def infer(self, x):
        self.seen_training.append(self.norm.training)
        ones = torch.ones(())
        means = [(x[:, 0, level, :size] - 0.5) * 20 for level, size in enumerate(self.code_sizes)]
        return tuple(NormalCode(mean, ones.expand_as(mean)) for mean in means)

    def generate(self, codes: Codes) -> Distribution:
        self.seen_training.append(self.norm.training)
        mean = torch.full((len(codes[0]), *self.shape), 0.5)
        for level, code in enumerate(codes):
            mean[:, 0, level, : code.shape[1]] += code / 20
        return Independent(Normal(mean, torch.ones(())), 3)

    def prior(self, level, above):
        prior = standard_normal(len(above[0]) if above else 1, self.code_sizes[level - 1], self.device)
        shift = 0.5 * above[0].sum(1, keepdim=True) if self.conditional and above else 0.0
        return NormalCode(prior.mean + shift, prior.stddev)

    def forward(self, x, fade=None) -> ForwardPass:
        raise NotImplementedError


def tiles_of(picture: np.ndarray, side: int = 48) -> list[tuple[int, int, np.ndarray]]:
    """Every square of this side that is not white: its top, its left, and its values in units of the painter's code."""
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    boxes, _ = ndimage.label((picture < 255).any(2))
    found = []
    for rows, columns in ndimage.find_objects(boxes):
        if rows.stop - rows.start == columns.stop - columns.start == side:
            small = picture[rows, columns, 0][side // SIDE // 2 :: side // SIDE, side // SIDE // 2 :: side // SIDE]
            found.append((rows.start, columns.start, (small / 255 - 0.5) * 20))
    return sorted(found, key=lambda tile: tile[:2])


def panels_of(picture: np.ndarray, num: int) -> list[np.ndarray]:
    """The values of each panel's tiles, left panel first, (num, num, SIDE, SIDE); not where the figure starts."""
    tiles = tiles_of(picture)
    in_column = Counter(left for _, left, _ in tiles)
    lefts = sorted(left for left, count in in_column.items() if count % num == 0)
    panels = []
    for first in range(0, len(lefts), num):
        values = [small for _, left, small in tiles if left in lefts[first : first + num]]
        panels.append(np.array(values).reshape(num, num, SIDE, SIDE))
    return panels


def close(a, b) -> bool:
    return np.allclose(a, b, atol=0.5 * 20 / 255 + 1e-3)  # half a grey level


def ladder(shape: tuple[int, ...], code_sizes: tuple[int, ...]) -> VLAE:
    torch.manual_seed(0)
    networks = [{"convolutions": ((4, 2),)} if len(shape) == 3 and i == 0 else {"dense": (8,)} for i in range(9)]
    model = VLAE(shape, [Level(code_size=size, **networks[i]) for i, size in enumerate(code_sizes)])
    model.generate(model.draw_noise(64))  # so that batch norm has seen something
    return model


def data(model: LatentModel, num: int) -> torch.Tensor:
    return torch.rand(num, *model.shape, generator=torch.Generator().manual_seed(1))


# Every figure of every kind of data


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 16, 12), (4, 8, 8), (2, 8, 8), (5, 8, 8), (6,), (1,)])
def test_every_kind_draws_every_shape(shape, tmp_path):
    model = ladder(shape, (2, 0, 1, 3))
    x = data(model, 5)
    calls = {
        "levels": lambda: figures.levels(model, num=3),
        "samples": lambda: figures.samples(model, num=5),
        "reconstructions": lambda: figures.reconstructions(model, x),
        "traversal": lambda: figures.traversal(model, steps=3),
        "mix": lambda: figures.mix(model, x),
    }
    assert [*calls, "classes", "progress"] == list(KINDS)
    for kind, call in calls.items():
        picture = call()
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3, kind
        assert min(picture.shape[:2]) >= 48 and (picture == 255).any() and (picture < 255).any(), kind
        path = canvas.save(picture, tmp_path / "new" / f"{kind}.png")
        assert np.array_equal(np.array(Image.open(path)), picture)
    assert sorted(p.name for p in path.parent.iterdir()) == sorted(f"{kind}.png" for kind in calls)


def test_a_seed_draws_the_same_again():
    model = ladder((6,), (2, 3))
    for draw in (figures.levels, figures.samples, figures.traversal):
        assert np.array_equal(draw(model, seed=1), draw(model, seed=1))
        assert not np.array_equal(draw(model, seed=1), draw(model, seed=2))


def test_import_does_not_load_matplotlib():
    code = "import sys, vlae.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# levels


def test_levels_varies_one_level_a_panel_and_holds_the_others():
    model = Painter((3, 4, 2))
    start = tuple(torch.linspace(-2, 2, size)[None] for size in model.code_sizes)
    panels = panels_of(figures.levels(model, start=start, num=4), 4)
    assert len(panels) == 3
    for shown, panel in enumerate(panels):
        for level, size in enumerate(model.code_sizes):
            row = panel[:, :, level, :size].reshape(16, size)
            if level == shown:
                assert len(np.unique(row, axis=0)) == 16
            else:
                assert close(row, start[level])


def test_levels_sweeps_two_dimensions_over_a_grid():
    panel = panels_of(figures.levels(Painter((3, 2)), num=5, span=2.0), 5)[1]
    axis = np.linspace(-2, 2, 5)
    assert close(panel[:, :, 1, 0], axis[None, :]), "the first dimension grows rightwards"
    assert close(panel[:, :, 1, 1], axis[::-1, None]), "the second dimension grows upwards"


def test_levels_sweeps_one_dimension_in_reading_order():
    panel = panels_of(figures.levels(Painter((1, 3)), num=4, span=1.5), 4)[0]
    assert close(panel[:, :, 0, 0].ravel(), np.linspace(-1.5, 1.5, 16))


def test_levels_with_random_others():
    left, right = panels_of(figures.levels(Painter((2, 3)), num=3, others="random"), 3)
    assert close(left[:, :, 0, 0], np.linspace(-2, 2, 3)[None, :])
    assert len(np.unique(left[:, :, 1, :3].reshape(9, 3), axis=0)) == 9
    assert len(np.unique(right[:, :, 0, :2].reshape(9, 2), axis=0)) == 9


def test_holding_a_level_of_a_conditional_prior_holds_its_noise():
    model = Painter((2, 2), conditional=True)
    start = (torch.tensor([[0.5, -1.0]]), torch.tensor([[0.0, 1.0]]))
    lower, upper = panels_of(figures.levels(model, start=start, num=3), 3)
    assert close(lower[:, :, 1, :2], [0.0, 1.0])
    assert close(lower[0, 0, 0, :2], np.array([-2, 2]) + 0.5)
    above = upper[:, :, 1, :2]
    assert close(above[0, 0], [-2, 2])
    assert np.allclose(upper[:, :, 0, :2], [0.5, -1.0] + 0.5 * above.sum(-1, keepdims=True), atol=0.15)


def test_a_level_without_effect_has_equal_tiles():
    model = ladder((1, 12, 12), (3, 3))
    for parameter in model.levels[0].v.parameters():
        nn.init.zeros_(parameter)
    assert [len(np.unique(panel, axis=0)) for panel in ladder_panels(model)] == [1, 16]
    model = ladder((1, 12, 12), (3, 3))
    for parameter in model.levels[1].v.parameters():
        nn.init.zeros_(parameter)
    assert [len(np.unique(panel, axis=0)) for panel in ladder_panels(model)] == [16, 1]


def ladder_panels(model: VLAE) -> list[np.ndarray]:
    """Tiles of both panels of a ladder of two levels, cut out by where they must lie."""
    corners = [(i * 50, j * 50) for i in range(4) for j in range(4)]
    return [np.array([panel[y : y + 48, x : x + 48] for y, x in corners]) for panel in figures.panels(model, num=4)]


def tied(*slopes: float) -> MixturePrior:
    """Level 1 is N(1, 0.5²); dimension i of level 2 is slope i times level 1, give or take 0.1."""
    factor = torch.diag(torch.tensor([0.5, *[0.1] * len(slopes)])).double()
    factor[1:, 0] = 0.5 * torch.tensor(slopes)
    means = torch.tensor([[1.0, *slopes]]).double()
    sizes = (1, len(slopes))
    return MixturePrior(code_sizes=sizes, weights=torch.ones(1).double(), means=means, factors=factor[None])


def test_a_level_is_swept_around_its_mean_given_the_others():
    start = (torch.tensor([[2.0]]), torch.tensor([[0.0, 0.0]]))
    picture = figures.levels(Painter((1, 2)), prior=tied(2.0, -1.0), start=start, num=3, span=2.0)
    upper = panels_of(picture, 3)[1][:, :, 1]
    axis = np.array([-0.2, 0, 0.2])
    assert close(upper[:, :, 0], 4 + axis[None, :]) and close(upper[:, :, 1], -2 + axis[::-1, None])


def test_a_large_level_is_drawn_given_the_others():
    start = (torch.tensor([[2.0]]), torch.zeros(1, 3))
    panel = panels_of(figures.levels(Painter((1, 3)), prior=tied(2.0, -1.0, 0.5), start=start, num=6), 6)[1]
    drawn = panel[:, :, 1, :3].reshape(36, 3)
    assert np.allclose(drawn.mean(0), [4, -2, 1], atol=0.1) and (drawn.std(0) > 0.05).all()
    assert (drawn.std(0) < 0.2).all(), "not as wide as among all codes"


def test_levels_starts_from_a_held_out_picture_and_shows_it_with_its_reconstruction():
    model, x = Painter((2, 3), conditional=True), 0.3 + 0.4 * data(Painter((2, 3)), 3)
    own = figures.levels(model, held_out=x, num=2)
    assert np.array_equal(own, figures.levels(model, start=x[:1], num=2))
    assert not np.array_equal(own, figures.levels(model, held_out=x[1:], num=2))
    in_column = Counter(left for _, left, _ in tiles_of(own))
    first = min(in_column)
    original, again = (small for _, left, small in tiles_of(own) if left == first)
    assert close(original, (x[0, 0] - 0.5) * 20) and close(again[1, :3], original[1, :3]) and close(again[2:], 0)
    drawn = figures.levels(model, held_out=x, start="random", num=2)
    assert Counter(left for _, left, _ in tiles_of(drawn))[first] == 1
    assert not np.array_equal(drawn, figures.levels(model, held_out=x, start="random", num=2, seed=1))
    model.lacks = {"encoder": "it only generates"}
    assert np.array_equal(figures.levels(model, held_out=x, num=2), drawn)


def test_levels_without_a_code_have_no_panel_and_many_wrap():
    assert len(panels_of(figures.levels(Painter((2, 0, 3)), num=2), 2)) == 2
    model = ladder((1, 8, 8), (1, 2, 1, 2, 1, 2))
    one_row = figures.levels(ladder((1, 8, 8), (1, 2, 1)), num=2)
    assert figures.levels(model, num=2).shape == (2 * len(one_row) + figures._WIDE_GAP, *one_row.shape[1:])


# The other figures of a model


def test_samples_are_of_the_prior():
    model = Painter((2, 3))
    tiles = np.array([small for *_, small in tiles_of(figures.samples(model, num=7, seed=3))])
    noise = model.draw_noise(7, torch.Generator().manual_seed(3))
    assert close(tiles[:, 0, :2], noise[0]) and close(tiles[:, 1, :3], noise[1])
    assert not np.array_equal(figures.samples(model, num=7, seed=3), figures.samples(model, num=7, seed=4))


def test_samples_stand_beside_held_out_data_and_above_the_nearest_known():
    model, prior = Painter((1, 1)), tied(2.0)
    drawn = model.decode(prior.draw(12, torch.Generator().manual_seed(0)))
    known = np.clip(np.round(255 * torch.cat([data(model, 2_500), drawn]).numpy()), 0, 255).astype(np.uint8)
    held_out = data(model, 20)
    picture = figures.samples(model, prior=prior, held_out=held_out, known=Seen("example", known), num=12)
    tiles = tiles_of(picture)
    assert len(tiles) == 12 + 12 + 2 * figures.NUM_NEAREST
    top = [small for _, left, small in tiles[:-16] if left < picture.shape[1] // 2]
    assert close(np.array(top), (drawn[:, 0] - 0.5) * 20)
    beside = [small for _, left, small in tiles[:-16] if left > picture.shape[1] // 2]
    assert close(np.array(beside), (held_out[:12, 0] - 0.5) * 20)
    samples, nearest = tiles[-16:-8], tiles[-8:]
    for sample, copy in zip(samples, nearest, strict=True):
        assert close(sample[2], copy[2]), "a copy is found and shown below"
    assert not close(samples[0][2], samples[1][2])


def test_a_mirrored_copy_is_found_where_pictures_were_trained_mirrored():
    model, prior = Painter((1, 1)), tied(2.0)
    x = sample_data(model, prior, None, None, num=8, seed=0)[0].clone()
    x[..., 0] += 0.3  # so that left and right differ
    values = torch.cat([x.flip(-1), data(model, 200)]).numpy()
    found = {mirrored: contents._nearest(model, x, Seen("picture", values, mirrored)) for mirrored in (True, False)}
    torch.testing.assert_close(found[True], x)
    assert (found[False] - x).abs().flatten(1).amax(1).min() > 0.1
    torch.testing.assert_close(contents._nearest(model, x, Seen("picture", x.numpy(), True)), x)


@pytest.mark.parametrize("conditional", [False, True])
def test_reconstructions_stand_under_their_originals(conditional):
    model = Painter((2, 3), conditional=conditional)
    x = 0.2 + 0.6 * data(model, 11)
    tiles = tiles_of(figures.reconstructions(model, x, num=10))
    assert len(tiles) == 20
    by_column = sorted(tiles, key=lambda tile: (tile[1], tile[0]))
    pairs = list(zip(by_column[::2], by_column[1::2], strict=True))
    for (top, left, original), (below, same_left, again) in pairs:
        assert left == same_left and below == top + 48 + 2
        assert close(original[0, :2], again[0, :2]) and close(original[1, :3], again[1, :3])
        assert close(again[2:], 0) and not close(original[2:], 0)
    # in reading order they are the data in their order
    pairs.sort(key=lambda pair: pair[0][:2])
    assert close(np.array([original for (*_, original), _ in pairs]), (x[:10, 0] - 0.5) * 20)


def test_traversal_moves_one_dimension_a_row():
    model = Painter((2, 0, 3))
    start = (torch.tensor([[1.0, -1.0]]), torch.zeros(1, 0), torch.tensor([[0.5, 0.0, 2.0]]))
    tiles = np.array([small for *_, small in tiles_of(figures.traversal(model, start=start, steps=5, span=3.0))])
    tiles = tiles.reshape(5, 5, SIDE, SIDE)
    for row, (level, dimension) in enumerate([(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]):
        for other, code in enumerate(start):
            for d in range(code.shape[1]):
                expected = np.linspace(-3, 3, 5) if (other, d) == (level, dimension) else code[0, d]
                assert close(tiles[row, :, other, d], expected)
    assert len(tiles_of(figures.traversal(model, steps=2, max_rows=1))) == 2 * 2


def test_traversal_goes_as_far_as_codes_do():
    tiles = np.array(
        [small for *_, small in tiles_of(figures.traversal(Painter((1, 1)), prior=tied(2.0), steps=3, span=2.0))]
    ).reshape(2, 3, SIDE, SIDE)
    assert close(tiles[0, :, 0, 0], [0, 1, 2])
    assert close(tiles[1, :, 1, 0], 2 + np.array([-2, 0, 2]) * np.sqrt(1 + 0.01))


@pytest.mark.parametrize("conditional", [False, True])
def test_mix_takes_the_lower_levels_of_a(conditional):
    model = Painter((2, 3, 0, 1), conditional=conditional)
    x = torch.full((7, 1, SIDE, SIDE), 0.5) + 0.1 * torch.arange(-3, 4)[:, None, None, None] * 0.9
    noise = figures.noise_at(model, x)
    tiles = np.array([small for *_, small in tiles_of(figures.mix(model, x), 96)]).reshape(3, 4, SIDE, SIDE)
    for pair, row in enumerate(tiles):
        a, b = 2 * pair, 2 * pair + 1
        assert close(row[0], (x[a, 0] - 0.5) * 20) and close(row[-1], (x[b, 0] - 0.5) * 20)
        for column, k in ((1, 2), (2, 1)):
            mixed = (*(level[a : a + 1] for level in noise[:k]), *(level[b : b + 1] for level in noise[k:]))
            for level, code in enumerate(model.place(mixed)):
                assert close(row[column][level, : code.shape[1]], code.clamp(-10, 9.9)), (column, level)
    assert len(tiles_of(figures.mix(model, x, num=2), 96)) == 8


def test_mix_of_a_model_with_one_code_has_no_hybrids():
    assert len(tiles_of(figures.mix(Painter((0, 3)), torch.full((2, 1, SIDE, SIDE), 0.5)), 96)) == 2


def test_noise_at_is_a_start_that_shows_the_datum():
    model = Painter((2, 3), conditional=True)
    x = 0.3 + 0.4 * data(model, 1)
    held = figures.noise_at(model, x)
    assert [tuple(level.shape) for level in held] == [(1, 2), (1, 3)]
    upper_held = panels_of(figures.levels(model, start=held, num=2), 2)[0][:, :, 1, :3]
    assert close(upper_held, (x[0, 0, 1, :3] - 0.5) * 20)
    tiles = np.array([small for *_, small in tiles_of(figures.traversal(model, start=held, steps=2))])
    assert close(tiles[0][1, :3], (x[0, 0, 1, :3] - 0.5) * 20)


# The model is left as it was


@pytest.mark.parametrize("training", [True, False])
def test_modes_are_restored_and_evaluation_is_used(training):
    model = Painter((2, 3)).train(training)
    model.norm.train(not training)
    figures.levels(model, num=2)
    figures.mix(model, data(model, 2))
    assert model.seen_training and not any(model.seen_training)
    assert model.training is training and model.norm.training is not training


def test_modes_are_restored_after_an_error():
    model = Painter((2, 3)).train()
    with pytest.raises(RuntimeError), evaluating(model):
        raise RuntimeError
    assert model.training and model.norm.training and not torch.is_inference_mode_enabled()


def test_drawing_changes_no_weight_and_no_average():
    model = ladder((3, 8, 8), (2, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    figures.levels(model, num=2)
    figures.reconstructions(model, data(model, 3))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# progress


def history(num: int = 40) -> dict[str, list[float | None]]:
    steps = [float(50 * i) for i in range(num)]
    columns: dict[str, list[float | None]] = {"step": steps, "distortion": [100 + 900 / (1 + s) for s in steps]}
    for level in (1, 2):
        columns[f"rate_{level}"] = [level * s / 1000 for s in steps]
        columns[f"fade_{level}"] = [1.0 if level == 1 else min(1.0, s / 1000) for s in steps]
    return columns


def drawn_lines(monkeypatch, columns):
    """The matplotlib axes behind a progress figure."""
    from matplotlib import figure

    made = []
    original = figure.Figure.subplots

    def subplots(self, *args, **kwargs):
        made.extend(original(self, *args, **kwargs))
        return made

    monkeypatch.setattr(figure.Figure, "subplots", subplots)
    progress(columns)
    return made


def test_progress_is_a_picture():
    picture = progress({"step": [1, 2], "distortion": [3.0, 2.0], "rate_1": [0.1, 0.2]})
    assert picture.dtype == np.uint8 and picture.shape == (400, 1300, 3)


def test_progress_draws_each_level_and_where_it_is_grown(monkeypatch):
    columns = history()
    left, right = drawn_lines(monkeypatch, columns)
    assert len(left.lines) == 1
    assert np.array_equal(left.lines[0].get_ydata(), columns["distortion"])
    by_label = {line.get_label(): line for line in right.lines}
    assert np.array_equal(by_label["level 1"].get_ydata(), columns["rate_1"])
    assert np.array_equal(by_label["level 2"].get_ydata(), columns["rate_2"])
    dashed = [line for line in right.lines if line.get_linestyle() == "--"]
    assert len(dashed) == 1 and list(dashed[0].get_xdata()) == [1000, 1000]
    assert dashed[0].get_color() == by_label["level 2"].get_color()


def test_progress_draws_test_columns_where_they_were_measured(monkeypatch):
    columns = history()
    columns["test_distortion"] = [None if i % 10 else 120.0 for i in range(40)]
    columns["test_rate_2"] = [float("nan") if i % 20 else 1.0 for i in range(40)]
    left, right = drawn_lines(monkeypatch, columns)
    assert list(left.lines[1].get_xdata()) == [0, 500, 1000, 1500] and left.lines[1].get_label() == "test"
    assert [len(line.get_xdata()) for line in right.lines if line.get_linestyle() == ":"] == [2]


# Colours


def test_colours_of_images():
    assert (to_pictures(torch.full((1, 1, 2, 3), 0.2), (1, 2, 3)) == 51).all()
    colour = torch.tensor([0.0, 0.2, 1.4])[None, :, None, None].expand(2, 3, 4, 5)
    assert (to_pictures(colour, (3, 4, 5)) == [0, 51, 255]).all(), "values are cut to [0, 1]"
    half = torch.tensor([0.0, 0.2, 1.0, 0.5])[None, :, None, None]
    assert to_pictures(half, (4, 1, 1)).ravel().tolist() == [128, 153, 255], "laid on white"
    assert to_pictures(half[:, [1, 3]], (2, 1, 1)).ravel().tolist() == [153, 153, 153]
    assert to_pictures(half[:, [0, 1, 2, 3, 3]], (5, 1, 1)).ravel().tolist() == [0, 51, 255]
    assert to_pictures(half, (4, 1, 1), opacity=False).ravel().tolist() == [0, 51, 255]
    assert to_pictures(half[:, [1, 3]], (2, 1, 1), opacity=False).ravel().tolist() == [51, 128, 0], "red and green"


RED, BLUE = [180, 4, 38], [59, 76, 192]


def test_bars_of_vectors():
    """Columns of mean 5 and deviation 2: at 3, at the mean, 3 deviations above, far below."""
    values = torch.tensor([[3.0, 5.0, 11.0, -99.0]])
    (picture,) = to_pictures(values, (4,), mean=torch.full((4,), 5.0), stddev=2.0)
    assert picture.shape == (49, 64, 3)
    assert (picture[24] == 221).all(), "the mean"
    lengths = {
        name: (picture == colour).all(2).sum(0)[8::16].tolist() for name, colour in (("up", RED), ("down", BLUE))
    }
    assert lengths == {"up": [0, 0, 24, 0], "down": [8, 0, 0, 24]}
    constant = to_pictures(torch.full((200, 3), 3.7), (3,))  # of which single precision rounds the mean
    assert not (constant == RED).all(3).any() and not (constant == BLUE).all(3).any()


def test_of_many_columns_none_that_is_far_is_lost():
    values = torch.zeros(1, 1000)
    values[0, 777] = -3
    (picture,) = to_pictures(values, (1000,), mean=0.0, stddev=1.0)
    assert picture.shape == (49, 250, 3) and (picture == BLUE).all(2).sum() == 24


# Errors


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: figures.levels(m, num=0), "num is 0"),
        (lambda m: figures.levels(m, others="fixed"), "choose one of hold, random"),
        (lambda m: figures.levels(m, start=(torch.zeros(1, 2),)), r"\[\(1, 2\), \(1, 3\)\]"),
        (lambda m: figures.levels(m, start=m.draw_noise(2)), "one datum"),
        (lambda m: figures.levels(m, start="first"), "start is 'first'; give a datum, its noise, or 'random'"),
        (lambda m: figures.samples(m, num=0), "num is 0"),
        (lambda m: figures.reconstructions(m, torch.rand(2, 1, 5, 4)), r"give data of shape \(n, 1, 4, 4\)"),
        (lambda m: figures.reconstructions(m, torch.rand(0, 1, 4, 4)), "from 1 up"),
        (lambda m: figures.reconstructions(m, torch.zeros(2, 1, 4, 4, dtype=torch.uint8)), "divide uint8 by 255"),
        (lambda m: figures.reconstructions(m, torch.rand(2, 1, 4, 4), num=-1), "num is -1"),
        (lambda m: figures.traversal(m, steps=1), "steps is 1"),
        (lambda m: figures.traversal(m, max_rows=0), "max_rows is 0"),
        (lambda m: figures.mix(m, torch.rand(1, 1, 4, 4)), "from 2 up"),
        (lambda m: figures.mix(m, torch.rand(2, 1, 4, 4), num=0), "num is 0"),
        (lambda m: to_pictures(torch.rand(2, 3), (1, 4, 4)), r"expected \(n, 1, 4, 4\)"),
        (lambda m: progress({}), "columns none; give step and the terms"),
        (lambda m: progress({"step": [1], "distortion": [1.0], "rate_1": []}), "differ in length"),
    ],
)
def test_errors_say_what_to_do(call, message):
    with pytest.raises(ValueError, match=message):
        call(Painter((2, 3)))
