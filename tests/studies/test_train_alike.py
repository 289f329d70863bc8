from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vlae import recipes, workflows
from vlae.runs import layout
from vlae.runs.layout import RunError
from vlae.studies.train_alike import _grouped, _learns, are_recipes, train_alike
from vlae.training.train import Stopped

pytestmark = pytest.mark.usefixtures("no_pages")

QUICK = {"steps": 3, "batch_size": 8, "progress": False}


@pytest.fixture
def source(tmp_path, rng):
    np.save(tmp_path / "noise.npy", rng.integers(0, 256, (60, 8, 8), dtype=np.uint8))
    return str(tmp_path / "noise.npy")


def trained(source, out, what=("vae", "lean"), *, seeds=2, code_sizes=(1, 2), **more):
    ((folder, systems),) = train_alike(what, data=[source], out=out, seeds=seeds, code_sizes=code_sizes, **QUICK | more)
    return folder, systems


@pytest.mark.slow
def test_all_are_trained_alike(source, tmp_path):
    folder, systems = trained(source, tmp_path / "out", ("vae", "hvae", "lvae", "joint", "lean"))
    assert folder == tmp_path / "out" / "noise" and list(systems) == ["vae", "hvae", "lvae", "joint", "lean"]
    for name, runs in systems.items():
        assert [run.path.name for run in runs] == [f"{name}-0", f"{name}-1"]
        assert [run.recipe.training.seed for run in runs] == [0, 1]
        for run in runs:
            training = run.recipe.training
            assert (training.steps, training.batch_size, run.data["source"]) == (3, 8, source)
    assert [systems[name][0].recipe.code_sizes for name in systems] == [(0, 3), (3, 1), (3, 1), (1, 2), (1, 2)]


def test_goes_on_where_it_was_stopped(source, tmp_path, monkeypatch):
    real, calls = workflows.train, []

    def train(*arguments, **settings):
        calls.append((settings["out"].name, settings["resume"]))
        if len(calls) == 3:
            raise Stopped("stopped at step 1 of 3")
        return real(*arguments, **settings)

    monkeypatch.setattr("vlae.studies.train_alike.train", train)
    with pytest.raises(Stopped, match="vae-1 is stopped at step 1 of 3; the same command goes on from there"):
        trained(source, tmp_path)
    weights = {path: path.stat().st_mtime_ns for path in tmp_path.rglob(layout.MODEL)}
    assert len(weights) == 2
    trained(source, tmp_path)
    assert [name for name, _ in calls] == ["vae-0", "lean-0", "vae-1", "vae-1", "lean-1"]
    assert all(path.stat().st_mtime_ns == time for path, time in weights.items())


def test_an_unfinished_run_goes_on(source, tmp_path, monkeypatch):
    folder, systems = trained(source, tmp_path, ("lean",), seeds=1)
    (folder / "lean-0" / layout.MODEL).unlink()
    resumed = []
    real = workflows.train
    monkeypatch.setattr("vlae.studies.train_alike.train", lambda *a, **s: resumed.append(s["resume"]) or real(*a, **s))
    _, again = trained(source, tmp_path, ("lean",), seeds=1)
    assert resumed == [True] and again["lean"][0].recipe == systems["lean"][0].recipe


def test_a_range_that_was_found_is_no_other_setting(tmp_path):
    file = tmp_path / "deep.npy"
    np.save(file, np.random.default_rng(0).integers(0, 4000, (80, 8, 8)).astype(np.uint16))
    (_, first), (_, again) = (trained(str(file), tmp_path, ("lean",), seeds=1) for _ in range(2))
    assert first["lean"][0].data["value_range"] is not None and again["lean"][0].identity == first["lean"][0].identity


def test_other_settings_need_another_folder(source, tmp_path):
    trained(source, tmp_path, ("lean",), seeds=1)
    with pytest.raises(RunError, match="other settings"):
        trained(source, tmp_path, ("lean",), seeds=1, steps=4)


def test_codes_by_shape(source, tmp_path):
    _, systems = trained(source, tmp_path, ("lean",), seeds=1, code_sizes={(1, 8, 8): (2, 1), (1, 28, 28): (2, 2, 2)})
    assert systems["lean"][0].recipe.code_sizes == (2, 1)
    _, systems = trained(source, tmp_path / "own", ("lean",), seeds=1, code_sizes={(1, 28, 28): (2, 2, 2)})
    assert systems["lean"][0].recipe.code_sizes == recipes.lean((1, 8, 8)).code_sizes


def test_finished_runs_are_grouped_by_recipe(source, tmp_path):
    folder, _ = trained(source, tmp_path, ("lean", "vae"))
    trained(source, tmp_path / "longer", ("lean",), seeds=1, steps=4)
    paths = [folder / "lean-0", folder / "vae-0", folder / "lean-1", tmp_path / "longer" / "noise" / "lean-0"]
    ((out, systems),) = train_alike(paths, data=(), out=tmp_path / "out", seeds=1, code_sizes=None, progress=False)
    assert out == tmp_path / "out"
    assert {name: [run.path for run in runs] for name, runs in systems.items()} == {
        "lean": [paths[0], paths[2]], "vae": [paths[1]], "lean, lean-0": [paths[3]],
    }  # fmt: skip


def test_columns_of_one_recipe_name_the_family_where_it_differs():
    def run(path, **settings):
        recipe = recipes.adjust(recipes.lean((1, 8, 8)), **settings)
        return SimpleNamespace(path=Path(path), recipe=recipe, data={"source": "noise.npy"})

    runs = [run("a/run"), run("b/run", family="laplace"), run("c/run", steps=7), run("d/run", steps=8)]
    grouped = _grouped(runs, same_data=True)
    assert list(grouped) == ["lean (gaussian)", "lean (laplace)", "lean (gaussian), run", "lean (gaussian), d/run"]
    assert all(len(of_system) == 1 for of_system in grouped.values())


def test_runs_of_different_shapes(source, tmp_path, rng):
    one, _ = trained(source, tmp_path, ("lean",), seeds=1)
    np.save(tmp_path / "big.npy", rng.integers(0, 256, (60, 12, 12), dtype=np.uint8))
    other, _ = trained(str(tmp_path / "big.npy"), tmp_path, ("lean",), seeds=1)
    with pytest.raises(ValueError, match=r"different shapes, \(1, 8, 8\), \(1, 12, 12\)"):
        list(
            train_alike(
                [one / "lean-0", other / "lean-0"], data=(), out=tmp_path, seeds=1, code_sizes=None, progress=False
            )
        )


@pytest.mark.parametrize(
    ("what", "more", "message"),
    [
        ((), {}, "nothing to compare"),
        (("lean", "rnus/a"), {}, "rnus/a: no recipe"),
        (("lean", "lean"), {}, "name each recipe once"),
        (("lean",), {"seeds": 0}, "seeds is 0; give a whole number from 1 up"),
    ],
)
def test_what_cannot_be_compared(what, more, message, source, tmp_path):
    with pytest.raises(ValueError, match=message):
        trained(source, tmp_path, what, **more)


def test_no_data_and_no_run(tmp_path):
    with pytest.raises(ValueError, match="--data"):
        list(train_alike(("lean",), data=(), out=tmp_path, seeds=1, code_sizes=None, progress=False))
    with pytest.raises(FileNotFoundError, match="there is no run folder"):
        list(train_alike((tmp_path / "absent",), data=(), out=tmp_path, seeds=1, code_sizes=None, progress=False))
    assert are_recipes(("lean", "vae")) and not are_recipes((Path("runs/a"), "runs/b"))


def test_another_source_or_reading_of_one_name_is_refused(source, tmp_path, rng):
    trained(source, tmp_path, ("lean",), seeds=1)
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "noise.npy", rng.integers(0, 256, (60, 8, 8), dtype=np.uint8))
    with pytest.raises(RunError, match="other settings or data"):
        trained(str(tmp_path / "other" / "noise.npy"), tmp_path, ("lean",), seeds=1)
    with pytest.raises(RunError, match="other settings or data"):
        trained(source, tmp_path, ("lean",), seeds=1, reading={"limit": 20})
    with pytest.raises(ValueError, match="two of one name"):
        list(train_alike(("lean",), data=[source, source], out=tmp_path, seeds=1, code_sizes=None, progress=False))


def test_finished_runs_of_different_data_or_twice(source, tmp_path):
    folder, _ = trained(source, tmp_path / "one", ("lean",), seeds=1)
    other, _ = trained(source, tmp_path / "two", ("lean",), seeds=1, reading={"limit": 20})
    how = {"out": tmp_path, "seeds": 1, "code_sizes": None, "progress": False}
    with pytest.raises(ValueError, match=r"read differently.*--data"):
        list(train_alike([folder / "lean-0", other / "lean-0"], data=(), **how))
    assert list(train_alike([folder / "lean-0", other / "lean-0"], data=[source], **how))
    with pytest.raises(ValueError, match="given twice"):
        list(train_alike([folder / "lean-0", folder / "lean-0"], data=(), **how))


def test_systems_that_can_learn_labels_do():
    assert [name for name, make in recipes.RECIPES.items() if _learns(make((1, 28, 28)))] == [
        "lean", "joint", "vae", "mnist", "svhn", "celeba", "lsun", "m2", "m1+m2",
    ]  # fmt: skip
