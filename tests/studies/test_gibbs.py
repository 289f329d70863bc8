import json

import numpy as np
import pytest
import torch
from PIL import Image

from vlae.evaluation.samples import Judge
from vlae.models.ladder import VLAE
from vlae.models.levels import Level
from vlae.recipes import build, hvae, lean, lvae
from vlae.runs.opening import load
from vlae.studies import gibbs
from vlae.studies.gibbs import chain
from vlae.training.train import train as train_alone

QUICK = {"steps": 3, "batch_size": 8, "progress": False, "code_sizes": (1, 2), "seeds": 1}


def test_a_hierarchy_sees_level_1_alone_and_a_ladder_does_not():
    x = torch.rand(4, 1, 8, 8)
    for recipe, alone in (
        (hvae((1, 8, 8), code_sizes=(3, 2), width=4), True),
        (lean((1, 8, 8), code_sizes=(3, 2), width=4), False),
    ):
        torch.manual_seed(0)
        model = build(recipe).eval()
        with torch.inference_mode():
            one, all_levels = (
                chain(model, x, levels=levels, generator=torch.Generator().manual_seed(0)) for levels in ((1,), (1, 2))
            )
        assert torch.equal(one, all_levels) == alone


def test_what_a_posterior_depends_on_is_drawn_too():
    torch.manual_seed(0)
    model = build(lvae((1, 8, 8), code_sizes=(2, 2), width=4)).eval()
    x = torch.rand(1, 1, 8, 8).expand(3000, -1, -1, -1)
    with torch.inference_mode():
        list(model.priors.parameters())[-2].mul_(20)  # the prior of z_1 hangs on z_2, and by it the posterior
        seen = []
        model.generate = lambda codes: seen.append(codes) or torch.distributions.Normal(x, 1.0)
        chain(model, x, levels=(1,), generator=torch.Generator().manual_seed(0))
        at_the_mean = model.infer(x)[0].stddev[0]
        torch.manual_seed(1)
        truth = model(x).codes[0].std(0)
    assert seen[0][0].std(0).numpy() == pytest.approx(truth.numpy(), rel=0.1)
    assert (truth > 1.1 * at_the_mean).any()


def test_levels_that_are_not_inferred_come_from_the_prior():
    torch.manual_seed(0)
    model = VLAE((5,), [Level(code_size=2, dense=(8,)), Level(code_size=2, dense=(8,))], mean=0.0, stddev=1.0).eval()
    with torch.inference_mode():
        one, other = (
            chain(model, x, levels=(), generator=torch.Generator().manual_seed(0))
            for x in (torch.zeros(3, 5), torch.ones(3, 5))
        )
    assert torch.equal(one, other)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "flat.npy"
    rng = np.random.default_rng(0)
    np.save(file, (rng.integers(20, 200, (900, 1, 1)) + rng.integers(0, 50, (900, 8, 8))).astype(np.uint8))
    return str(file)


@pytest.mark.slow
def test_study(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gibbs, "STEPS", (1, 3))
    (result,) = gibbs.study(("hvae", "lean"), data=[source], out=tmp_path, **QUICK)
    json.dumps(result, allow_nan=False)
    folder = tmp_path / "flat"
    assert json.loads((folder / "gibbs.json").read_text()) == result
    with Image.open(folder / "gibbs.png") as picture:
        assert picture.height > 400
    text = (folder / "gibbs.md").read_text()
    assert text.strip() == gibbs.as_text(result) and len(text.splitlines()) == 5
    for runs_of in result["systems"].values():
        assert set(runs_of[0]["chains"]["level 1"]) == {"1", "3"}
        assert runs_of[0]["chains"]["level 1"]["1"]["moved"] > 0

    # What was followed once is not followed again; of another seed it is.
    followed = []
    real = gibbs.study_run
    monkeypatch.setattr(gibbs, "study_run", lambda run, *a, **k: followed.append(run.path.name) or real(run, *a, **k))
    (again,) = gibbs.study(("hvae", "lean"), data=[source], out=tmp_path, **QUICK)
    assert followed == [] and again == result
    gibbs.study(("hvae",), data=[source], out=tmp_path, seed=1, **QUICK)
    assert followed == ["hvae-0"]


def test_the_groups_of_sorted_data_are_like_all(tmp_path):
    classes = np.repeat(np.arange(5), 400)
    rng = np.random.default_rng(0)
    x = (5 * rng.normal(size=(5, 4))[classes] + rng.normal(size=(2_000, 4))).astype(np.float32)
    for name, rows in (("sorted", np.arange(2_000)), ("shuffled", rng.permutation(2_000))):
        np.save(tmp_path / f"{name}.npy", x[rows])
    far = {}
    for name in ("sorted", "shuffled"):
        run = train_alone(str(tmp_path / f"{name}.npy"), out=tmp_path / name, steps=2, batch_size=8, progress=False)
        start, further, held_out = gibbs._parts(run, 0)
        assert not {row.tobytes() for row in start} & {row.tobytes() for row in further}
        judge = Judge(further, held_out)
        far[name] = [np.mean(judge.distances(part)["frechet"]) for part in (start, further)]
    assert max(*far["sorted"], *far["shuffled"]) < 1  # single classes are at 5


def test_a_run_that_was_trained_further_is_measured_again(tmp_path, monkeypatch):
    path, data, measured = tmp_path / "run", np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32), []
    monkeypatch.setattr(gibbs, "study_run", lambda run, *_, **__: measured.append(run.identity) or {"n": len(measured)})
    run = train_alone(data, out=path, steps=2, batch_size=8, progress=False)
    asked = (None, np.zeros((1, 3), np.float32), {"samples": 1}, 0, False)
    assert [gibbs._result_of(run, *asked), gibbs._result_of(load(path), *asked)] == [{"n": 1}] * 2
    further = train_alone(data, out=path, more=2, progress=False)
    assert [gibbs._result_of(further, *asked), gibbs._result_of(load(path), *asked)] == [{"n": 2}] * 2
    assert measured == [run.identity, further.identity] and len(set(measured)) == 2


def test_the_numbers_of_a_borrowed_run_are_kept_in_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gibbs, "study_run", lambda *_, **__: {"n": 1})
    run = load("streets")
    gibbs._result_of(run, None, np.zeros(1), {"seed": 0}, 0, progress=False)
    assert not (run.path / gibbs.NUMBERS).exists()
    assert [file.name for file in run.outputs.iterdir()] == [
        gibbs.NUMBERS
    ] and tmp_path in run.outputs.absolute().parents


def test_too_few_data(tmp_path, rng):
    np.save(tmp_path / "few.npy", rng.integers(0, 256, (100, 8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match="the study needs 200 and 40"):
        gibbs.study(("lean",), data=[str(tmp_path / "few.npy")], out=tmp_path, **QUICK)
