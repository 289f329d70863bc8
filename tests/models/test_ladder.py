"""The ladder's order, where each code enters and is read off, and what it refuses."""

import pytest
import torch

from vlae.models.ladder import VLAE
from vlae.models.levels import Level, MomentsLevel
from vlae.models.likelihoods import Bernoulli
from vlae.nn.layers import Blocks
from vlae.objectives import rates
from vlae.recipes import build, celeba, mnist, svhn

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

SHAPE = (1, 8, 8)


def ladder(*levels, shape=SHAPE, **settings):
    torch.manual_seed(0)
    return VLAE(shape, levels, blocks=Blocks(norm=False), **settings)


def three(**last):
    """Three levels of codes of one size, so that no shape could tell if two were swapped."""
    return ladder(
        Level(code_size=2, convolutions=((4, 2),)),
        Level(code_size=2, convolutions=((6, 2),), acts="add"),
        Level(code_size=2, dense=(8,), **last),
    )


def touched(model, value):
    """The parts, as level.part, whose parameters move `value`."""
    model.zero_grad(set_to_none=True)
    value.backward()
    names = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    return {".".join(name.split(".")[1:3]) for name in names if name.startswith("levels")}


def test_a_level_is_read_off_at_its_own_depth():
    model, x = three(), torch.rand(4, *SHAPE)
    assert touched(model, rates(model(x))[0].sum()) == {"0.g", "0.head"}
    assert touched(model, rates(model(x))[1].sum()) == {"0.g", "1.g", "1.head"}
    assert touched(model, rates(model(x))[2].sum()) == {"0.g", "1.g", "2.g", "2.head"}


def test_a_deep_head_reads_the_level_below_by_networks_of_its_own():
    model, x = three(head_dense=(8,)), torch.rand(4, *SHAPE)
    assert touched(model, rates(model(x))[2].sum()) == {"0.g", "1.g", "2.encode_again", "2.head"}
    assert model.levels[2].g is None  # nothing would read it


def test_a_code_passes_the_levels_below_it_on_its_way_to_the_pixels():
    model = three()
    passed = []
    for number, level in enumerate(model.levels, start=1):
        for name, part in level.named_children():
            part.register_forward_hook(lambda *_, at=f"{name} {number}": passed.append(at))
    model.generate(tuple(torch.randn(3, 2) for _ in range(3)))
    assert passed == ["v 3", "u 3", "v 2", "u 2", "v 1", "u 1"]


def test_each_code_enters_at_its_own_level():
    codes = tuple(torch.randn(3, 2) for _ in range(3))
    for level in (1, 2, 3):
        model = three()
        for parameter in model.levels[level - 1].v.embed.parameters():
            parameter.data.zero_()
        picture = model.decode(codes)
        for other in (1, 2, 3):
            moved = tuple(code + (number == other) for number, code in enumerate(codes, start=1))
            assert model.decode(moved).equal(picture) == (other == level)


def test_the_equations():
    model, x = three(), torch.rand(4, *SHAPE)
    one, two, top = model.levels
    h1 = one.g((x - 0.5) / 0.25)
    h2 = two.g(h1)
    h3 = top.g(h2)
    for level, h, q in zip(model.levels, (h1, h2, h3), model.infer(x), strict=True):
        torch.testing.assert_close(q.mean, level.head.linear(h.flatten(1))[:, :2])
    z1, z2, z3 = (torch.randn(4, 2) for _ in range(3))
    z = top.u(top.v.embed(z3))
    z = two.u(z + 0.1 * two.v.embed(z2))
    z = one.u(torch.cat([z, one.v.embed(z1)], dim=1))
    torch.testing.assert_close(model.generate((z1, z2, z3)).mean, torch.sigmoid(z))


def test_a_level_without_a_code_only_lets_pass():
    model = ladder(Level(code_size=0, convolutions=((4, 2),)), Level(code_size=3, dense=(8,)))
    assert {name for name, _ in model.levels[0].named_children()} == {"g", "u"}
    assert [tuple(code.shape) for code in model(torch.rand(2, *SHAPE)).codes] == [(2, 0), (2, 3)]


def test_a_plain_vae_is_the_ladder_with_a_code_at_the_top_alone():
    vae = build(mnist(SHAPE, code_sizes=(0, 0, 5)))
    heads = [name for name, _ in vae.named_modules() if name.endswith((".head", ".v"))]
    assert heads == ["levels.2.head", "levels.2.v"]
    assert touched(vae, rates(vae(torch.rand(2, *SHAPE))).sum()) == {"0.g", "1.g", "2.g", "2.head"}


def test_above_the_highest_code_there_are_no_networks():
    low = Level(code_size=2, convolutions=((4, 2),))
    assert len(ladder(low, Level(code_size=0, dense=(8,)), Level(code_size=0, dense=(8,))).levels) == 1


@pytest.mark.parametrize(
    ("recipe", "millions"), [(mnist, 25.9), (svhn, 18.5), (celeba, 51.6)], ids=["mnist", "svhn", "celeba"]
)
def test_with_deep_heads_the_nets_are_as_large_as_the_authors(recipe, millions):
    with torch.device("meta"):
        model = build(recipe(deep_heads=True))
        assert sum(p.numel() for p in model.parameters()) == pytest.approx(millions * 1e6, rel=0.01)
        shape = (2, *model.shape)
        assert model(torch.zeros(shape)).likelihood.mean.shape == shape


@pytest.mark.parametrize("deep_heads", [False, True])
def test_the_papers_posteriors_are_never_wider_than_the_prior(deep_heads):
    model = build(mnist(SHAPE, deep_heads=deep_heads))
    model.levels[0].head.linear.bias.data.fill_(50.0)
    assert all(q.stddev.max() <= 1.0011 for q in model.infer(torch.rand(2, *SHAPE)))


def test_the_papers_weights_start_small():
    torch.manual_seed(0)
    weights = [p for name, p in build(mnist(SHAPE)).named_parameters() if p.ndim > 1 and p.numel() > 10_000]
    assert len(weights) > 10
    assert all(weight.std().item() == pytest.approx(0.02, rel=0.03) for weight in weights)


def test_input_is_standardised():
    level = Level(code_size=2, dense=(8,))
    plain = ladder(level, shape=(3,), mean=0.0, stddev=1.0)
    mean, stddev = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.1, 1.0, 10.0])
    scaled = ladder(level, shape=(3,), mean=mean, stddev=stddev)
    x = torch.randn(4, 3)
    torch.testing.assert_close(scaled.infer(x * stddev + mean)[0].mean, plain.infer(x)[0].mean)
    code = (torch.randn(4, 2),)
    torch.testing.assert_close(scaled.generate(code).mean, plain.generate(code).mean * stddev + mean)
    torch.testing.assert_close(scaled.generate(code).stddev, plain.generate(code).stddev * stddev)


def test_weights_loaded_after_a_move_are_all_in_force():
    level = Level(code_size=2, dense=(8,))
    moved = ladder(level, shape=(3,)).to(torch.float64).to(torch.float32)
    trained = ladder(level, shape=(3,), mean=7.0, stddev=2.0)
    moved.load_state_dict(trained.state_dict())
    code = (torch.randn(4, 2),)
    torch.testing.assert_close(moved.generate(code).mean, trained.generate(code).mean)


@pytest.mark.parametrize(
    ("levels", "shape", "message"),
    [
        ([], SHAPE, "at least one above 0"),
        ([Level(code_size=0, dense=(8,))] * 2, SHAPE, "at least one above 0"),
        ([Level(code_size=-1, dense=(8,)), Level(code_size=2, dense=(8,))], SHAPE, "from 0 up"),
        (
            [Level(code_size=2, convolutions=((8, 2),), head_dense=(8,), reads="grid")],
            SHAPE,
            r"reads='grid' needs a map .* shape \(8,\)",
        ),
        ([Level(code_size=2, dense=(8,), reads="grid")], (5,), "reads='grid' needs a map"),
        ([Level(code_size=2, convolutions=((8, 2),))], (5,), "needs a map"),
        ([Level(code_size=2, dense=(8,)), Level(code_size=2, convolutions=((8, 2),))], SHAPE, "needs a map"),
        ([MomentsLevel(code_size=2, convolutions=((8, 1),))] * 2, (3, 1, 1), "no moments"),
    ],
)
def test_what_cannot_be_built_is_refused(levels, shape, message):
    with pytest.raises(ValueError, match=message):
        VLAE(shape, levels)


def test_vectors_have_no_bernoulli():
    with pytest.raises(ValueError, match="is for images"):
        ladder(Level(code_size=2, dense=(8,)), shape=(5,), likelihood=Bernoulli())
