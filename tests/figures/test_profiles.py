"""Figures of vectors: which lines are drawn, in which units, and with which names."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from vlae import recipes
from vlae.figures import contents, panels
from vlae.figures.contents import Seen
from vlae.figures.profiles import Panel, profiles
from vlae.training.preparing import statistics_of


@pytest.fixture
def model():
    torch.manual_seed(0)
    recipe = recipes.lean((3,), code_sizes=(2, 1), width=4)
    model = recipes.build(recipe, mean=torch.tensor([10.0, 0.0, -5.0]), stddev=torch.tensor([2.0, 1.0, 0.5]))
    model.columns = ("weight", "height", "a_name_that_is_far_too_long")
    return model.eval()


@pytest.fixture
def drawn(monkeypatch):
    """The figures of matplotlib that are rendered."""
    made = []
    subplots = Figure.subplots
    monkeypatch.setattr(
        Figure, "subplots", lambda self, *args, **kwargs: made.append(self) or subplots(self, *args, **kwargs)
    )
    return made


def lines(axis):
    return [np.asarray(line.get_ydata(), float) for line in axis.lines if len(line.get_xdata()) == 3]


def test_a_vector_is_a_line_in_standard_deviations_with_the_names_of_its_columns(model, drawn):
    values = torch.tensor([[12.0, -3.0, -5.5], [10.0, 0.0, -5.0]])
    picture = profiles(model, [Panel(title="two", values=values, start=values[1:])], per_row=2, black="the mean")
    (axis,) = drawn[0].axes
    first, second, black = lines(axis)
    assert np.allclose(first, [1, -3, -1]) and np.allclose(second, 0) and np.allclose(black, 0)
    assert [text.get_text() for text in axis.get_xticklabels()] == ["weight", "height", "a_name_that_is_far_…"]
    assert axis.get_title() == "two" and drawn[0]._supylabel.get_text() == "standard deviations"
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["the mean"]
    assert picture.ndim == 3 and picture.dtype == np.uint8


def test_what_is_very_far_is_cut_and_the_figure_says_so(model, drawn):
    profiles(model, [Panel(title="", values=torch.tensor([[1e6, 0.0, 0.0]]))], per_row=1)
    assert drawn[0].axes[0].get_ylim() == (-8, 8)
    assert drawn[0]._supylabel.get_text() == "standard deviations (cut at 8)"


@pytest.mark.parametrize("num", [1, 2, 41, 3_000])
def test_any_number_of_columns(num):
    model = recipes.build(
        recipes.lean((num,), code_sizes=(1, 2), width=2), mean=torch.zeros(num), stddev=torch.ones(num)
    )
    picture = profiles(model, [Panel(title="", values=torch.randn(4, num), in_order=True)], per_row=1)
    assert (picture != 255).any()


@pytest.mark.parametrize(
    ("draw", "titles"),
    [
        (lambda m, x: panels.levels(m, held_out=x), ["level 1 (2)", "level 2 (1)"]),
        (lambda m, x: panels.samples(m, held_out=x), ["drawn from N(0, I)", "held-out data"]),
        (lambda m, x: panels.reconstructions(m, x), [""] * 4),
        (lambda m, x: panels.traversal(m, held_out=x), ["level 1, dim 1", "level 1, dim 2", "level 2, dim 1"]),
        (lambda m, x: panels.mix(m, x), ["", ""]),
        (lambda m, x: panels.rows(m, [("level 1", x), ("whole", x)]), ["level 1", "whole"]),
    ],
)
def test_every_figure_of_vectors_has_a_panel_of_lines_for_each_part(model, drawn, draw, titles):
    x = torch.randn(4, 3) * torch.tensor([2.0, 1.0, 0.5]) + torch.tensor([10.0, 0.0, -5.0])
    draw(model, x)
    assert [axis.get_title() for axis in drawn[0].axes if axis.axison] == titles
    assert all(lines(axis) for axis in drawn[0].axes if axis.axison)


def test_a_level_changes_from_the_black_line(model, drawn):
    """A sweep of the first level; the black line is what the codes of the datum draw."""
    x = torch.tensor([[11.0, 1.0, -4.0]])
    panels.levels(model, held_out=x, num=2)
    decoded = model.decode(tuple(q.mean for q in model.infer(x))).detach().numpy()
    expected = (decoded[0] - [10, 0, -5]) / [2, 1, 0.5]
    for axis in drawn[0].axes:
        *changed, black = lines(axis)
        assert len(changed) == 4 and np.allclose(black, expected, atol=1e-5)


def test_nearest_training_rows_are_drawn_beside_samples(model, drawn):
    known = np.full((5, 3), [10, 0, -5], np.float32)
    panels.samples(model, known=Seen("training datum", known), num=3)
    assert len(drawn[1].axes) >= 3 and all(np.allclose(lines(axis)[-1], 0) for axis in drawn[1].axes[:3])


def wide(num, *, named):
    model = recipes.build(
        recipes.lean((num,), code_sizes=(1, 2), width=2), mean=torch.zeros(num), stddev=torch.ones(num)
    )
    model.columns = tuple(f"c{i}" for i in range(num)) if named else ()
    values = 0.01 * torch.randn(4, num, generator=torch.Generator().manual_seed(0))
    values[:, 5 : num : num // 40] *= 100
    return model, values


def test_of_many_columns_with_names_those_that_differ_most_are_drawn_and_named(drawn):
    model, values = wide(4_000, named=True)
    for per_row, most in ((1, 42), (4, 22)):
        profiles(model, [Panel(title="", values=values)] * per_row, per_row=per_row)
        axis, figure = drawn[-1].axes[0], drawn[-1]
        names = [text.get_text() for text in axis.get_xticklabels()]
        columns = [int(name.removeprefix("c")) for name in names]
        assert len(names) == most and columns == sorted(columns)
        assert len({*columns} & {*range(5, 4_000, 100)}) == min(most, 40)
        assert np.allclose(axis.lines[0].get_ydata(), values[0, columns])
        assert figure._supxlabel.get_text() == f"the {most} of 4,000 columns that differ most between the lines"


def test_of_many_columns_without_names_some_are_drawn_at_equal_steps(drawn):
    model, values = wide(4_000, named=False)
    profiles(model, [Panel(title="", values=values)], per_row=1)
    (line, *_) = drawn[0].axes[0].lines
    assert line.get_xdata().tolist() == list(range(1, 4_001, 8)) and np.allclose(line.get_ydata(), values[0, ::8])
    assert drawn[0]._supxlabel.get_text() == "column, one of every 8"


def test_copies_of_rows_are_found_in_any_units(rng):
    known = np.column_stack([rng.normal(1e6, 1, 1000), rng.normal(0, 1e-3, (1000, 2))]).astype(np.float32)
    mean, stddev = statistics_of(known)
    model = recipes.build(recipes.lean((3,), code_sizes=(2,), width=2), mean=mean, stddev=stddev)
    copies = torch.from_numpy(known[:8])
    assert torch.equal(contents._nearest(model, copies, Seen("row", known)), copies)
    assert torch.equal(contents._nearest(model, copies, Seen("row", known[:20])), copies)
    near, far = mean + stddev * torch.tensor([[0.5, 0, 0], [0, 5, 0]])  # the first is farther in the columns' own units
    assert torch.equal(contents._nearest(model, mean[None], Seen("row", torch.stack([far, near]).numpy())), near[None])
