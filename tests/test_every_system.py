"""Every system does what any run does: is killed and goes on, is drawn, measured, reported, exported, explored."""

import warnings

import numpy as np
import pytest

import vlae
from vlae.codes import onnx
from vlae.codes.encode import encode
from vlae.codes.files import open_codes
from vlae.evaluation.text import as_text
from vlae.report import page
from vlae.studies.compare import compare
from vlae.training import loop
from vlae.web.studio import Studio

LABELLED = {"labels": "40", "batch_size": 32}
SYSTEMS = {
    "infogan": {"recipe": "infogan"},
    "implicit": {"recipe": "implicit", "critic_width": 4},
    "sharp": {"sharp": True, "critic_width": 4},
    "denoise": {"denoise": True},
    "denoise of the paper": {"recipe": "joint", "denoise": True},
    "pixel": {"family": "pixel", "masked_width": 4, "masked_kernel": 3},
    "pixel of a hierarchy": {"recipe": "hvae", "family": "pixel", "masked_width": 4, "masked_kernel": 3},
    "labels": LABELLED,
    "m1": {"recipe": "m1"},
    "m2": {"recipe": "m2", **LABELLED},
    "m1+m2": {"recipe": "m1+m2", **LABELLED},
}
NO_DENSITY = {"infogan"}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_pages")]


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL; what was on disk before is all that stays."""


def images(num=120):
    """Squares, bright or dark, at a place of their own; the class is the ink."""
    rng = np.random.default_rng(0)
    values = np.full((num, 1, 8, 8), 20, np.uint8)
    places = rng.integers(0, [4, 4, 2], (num, 3))
    for picture, (row, column, ink) in zip(values, places, strict=True):
        picture[0, row : row + 4, column : column + 4] = (120, 250)[ink]
    return vlae.Images(values=values, labels=places[:, 2], label_names=("dark", "bright"))


def trained(out, system, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so short a training leaves dead levels
        return vlae.train(
            images(), out=out, **{"steps": 12, "batch_size": 8, "progress": False, **SYSTEMS[system]}, **settings
        )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Every system, and how it ended after it was killed and went on."""
    folder, found = tmp_path_factory.mktemp("systems"), {}
    for system in SYSTEMS:
        name = system.replace(" ", "-")
        whole = trained(folder / name, system)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "CHECKPOINT_EVERY", 0)
            patch.setattr(loop, "LOG_EVERY", 5)
            step, began = loop.Engine.training_step, []

            def kill(self, *given, step=step, began=began):
                began.append(self.global_step)
                if len(began) == 9:
                    raise Killed
                return step(self, *given)

            patch.setattr(loop.Engine, "training_step", kill)
            with pytest.raises(Killed):
                trained(folder / f"killed-{name}", system)
            assert (folder / f"killed-{name}" / "checkpoint.ckpt").exists()
            trained(folder / f"killed-{name}", system, resume=True)
            assert began[9] == 5  # from the checkpoint, not from the start
        found[system] = whole.path, folder / f"killed-{name}"
    return found


@pytest.fixture(params=SYSTEMS)
def system(request):
    return request.param


def test_after_a_kill_it_goes_on_to_the_same_bits(runs, system):
    one, other = (vlae.load(path).model.state_dict() for path in runs[system])
    assert one.keys() == other.keys()
    assert not [name for name, value in one.items() if not value.equal(other[name])]


def test_it_is_encoded_drawn_and_sampled(runs, system, tmp_path):
    run = vlae.load(runs[system][0])
    file = encode(run, images(), tmp_path / "codes.parquet")
    assert open_codes(file).num == 120
    sizes = [code.shape[1] for code in run.encode(images().values[:5])]
    assert sizes == list(run.recipe.code_sizes)
    assert run.figure("levels").size[0] > 50
    drawn = run.sample(3)
    assert drawn.shape == (3, 1, 8, 8) and drawn.min() >= 0 and drawn.max() <= 1


def test_it_is_measured_and_reported_and_says_what_is_not_defined(runs, system):
    run = vlae.load(runs[system][0])
    result = vlae.evaluate(run, run.read(images()))
    written = page.write(run).read_text()
    if system in NO_DENSITY:
        assert result["elbo_nats"] is None and "not defined" in as_text(result) and "not defined" in written
    else:
        assert np.isfinite(result["elbo_nats"]) and "Theis" in written
    assert set(result["pictures"]["sharpness"]) == set(result["pictures"]["frechet"])
    if run.recipe.classes is None:
        assert "class_error" not in result
    else:
        assert 0 <= result["class_error"] <= 1


def test_it_is_exported(runs, system, tmp_path):
    run = vlae.load(runs[system][0])
    differences = onnx.export(run, out=tmp_path / "onnx")["differences"]
    assert max(differences.values()) < 1e-3


def test_it_is_explored(runs, system):
    run = vlae.load(runs[system][0])
    studio = Studio(run)
    noise = studio.draw(0)
    assert [level.shape[1] for level in noise] == list(run.recipe.code_sizes)
    top = run.model.levels_with_code[-1]
    assert studio.pictures(studio.redraw(noise, top, 1)).shape[:3] == (1, 8, 8)


def test_it_stands_in_a_comparison(runs, tmp_path):
    np.savez(tmp_path / "data.npz", images=images().values, labels=images().labels)
    finished = [str(paths[0]) for paths in runs.values()]
    (compared,) = compare(finished, data=[str(tmp_path / "data.npz")], out=tmp_path, progress=False)
    measures = compared.measures()
    assert len(compared.systems) == len(SYSTEMS)
    assert [value[0] is None for value in measures["ELBO (nats)"].values()] == [s in NO_DENSITY for s in SYSTEMS]
