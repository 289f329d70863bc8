"""What follows a training is computed where the model was trained, and gives what the processor gives."""

import copy
import json
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from far_device import FAR, far_device

import vlae
from vlae import recipes, workflows
from vlae.codes import onnx, outliers
from vlae.codes.mix import mix
from vlae.evaluation.dimension_names import dimension_names
from vlae.evaluation.prior_fit import fit_prior
from vlae.evaluation.rates import ablate, summarise
from vlae.figures import panels
from vlae.models.devices import measuring_device, or_on_the_processor
from vlae.models.inference import as_input, evaluating
from vlae.report import page
from vlae.studies.gibbs import chain
from vlae.training import train as training
from vlae.web.studio import Studio
from vlae.workflows import train as train_and_report

PICTURES = np.random.default_rng(0).integers(0, 256, (80, 3, 8, 8), dtype=np.uint8)
GREY, VECTORS = PICTURES[:, :1], np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)
LABELS = np.arange(80) % 2
SETTINGS = {"steps": 2, "batch_size": 16, "progress": False, "precision": "fp32"}
SYSTEMS = ("lean", "joint", "hvae", "lvae", "vae", "implicit", "infogan")
KINDS = {
    **{name: (PICTURES, {"recipe": name}) for name in SYSTEMS},
    "m2": ((PICTURES, LABELS), {"recipe": "m2", "labels": "all"}),
    "m1": (PICTURES, {"recipe": "m1"}),
    "classes": ((PICTURES, LABELS), {"labels": "all"}),
    "hidden polarity": (PICTURES, {"recipe": recipes.lean((3, 8, 8), polarity="hidden")}),
    "of high quality": (PICTURES, {"quality": "high"}),
    "pixels": (GREY, {"family": "pixel"}),
    "vectors": (VECTORS, {}),
}


@pytest.fixture(scope="module", params=KINDS)
def run(request, tmp_path_factory):
    data, settings = KINDS[request.param]
    return training.train(data, out=tmp_path_factory.mktemp("runs") / "run", **SETTINGS, **settings)


@pytest.fixture
def far(run):
    """The same run, its model on another device, which stays there for the test."""
    with far_device() as device:
        there = copy.deepcopy(run)
        there.model.to(device)
        yield there


def test_the_far_device_refuses_what_a_gpu_refuses():
    with far_device() as device:
        there, here = torch.ones(2, device=device), torch.ones(2)
        assert there.device.type == "meta" and (there + 1).tolist() == [2, 2] and float(there.sum()) == 2
        assert (there * 2).cpu().numpy().tolist() == [2, 2]
        assert (there * torch.tensor(3.0)).tolist() == [3, 3]  # of no dimension
        assert there[torch.tensor([0])].tolist() == [1]
        number = torch.tensor([0])
        for both in (
            lambda: there + here,
            lambda: torch.cat([here, there]),
            lambda: here @ there,
            lambda: here[number.to(device)],
            lambda: here.index_put_((number,), there[:1]),
            lambda: there.index_put_((number,), here[:1]),
        ):
            with pytest.raises(RuntimeError, match="same device"):
                both()
        for into in (np.asarray, lambda tensor: tensor.numpy()):
            with pytest.raises(TypeError, match=r"Tensor\.cpu"):
                into(there)


def alike(here, there):
    """Whether two results are the same, but for the last digits of numbers."""
    if isinstance(here, dict):
        return here.keys() == there.keys() and all(alike(here[key], there[key]) for key in here)
    if isinstance(here, (list, tuple)):
        return len(here) == len(there) and all(alike(*pair) for pair in zip(here, there, strict=True))
    if isinstance(here, (float, torch.Tensor, np.ndarray)):
        return np.allclose(here, there, rtol=1e-3, atol=1e-4, equal_nan=True)
    return here == there


def figures(run):
    model, prior, x = run.model, run.prior, as_input(run.examples[:4])
    drawn = [
        panels.levels(model, prior=prior, held_out=x, num=2),
        panels.samples(model, prior=prior, held_out=x, num=2),
        panels.reconstructions(model, x),
        panels.traversal(model, prior=prior, held_out=x, steps=2, max_rows=1),
        panels.mix(model, x, num=1),
    ]
    return [picture.astype(float) for picture in drawn]


def scores(run):
    return outliers.find_outliers(run, vlae.data.load(PRIOR_DATA[run.recipe.shape])).scores


def studio_codes(run):
    studio, noise = Studio(run), tuple(level.cpu() for level in run.noise_of(run.examples[0]))
    return studio.codes(noise), studio.pictures(noise)


def drawn_codes(run):
    with evaluating(run.model, seed=0):
        x = as_input(run.examples, run.model.device)
        drawn = [run.model(x).codes, *run.model.sample_posterior(x, 2)]
    return [[code.cpu() for code in codes] for codes in drawn]


def stepped(run):
    x, generator = torch.from_numpy(run.decode(run.encode(run.examples))), torch.Generator().manual_seed(0)
    with evaluating(run.model):
        return chain(run.model, x.to(run.model.device), levels=(1,), generator=generator).cpu()


WORK = {
    "summary": lambda run: summarise(run.model, run.examples),
    "what is lost without a level": lambda run: ablate(run.model, run.examples),
    "drawn codes": lambda run: drawn_codes(run),
    "prior": lambda run: fit_prior(run.model, PRIOR_DATA[run.recipe.shape]).means,
    "codes": lambda run: run.encode(run.examples),
    "decoded codes": lambda run: run.decode(run.encode(run.examples)),
    "samples": lambda run: run.sample(3, seed=0),
    "names of dimensions": lambda run: str(dimension_names(run.model, run.examples, prior=run.prior)),
    "codes of the page": lambda run: studio_codes(run),
    "outliers": lambda run: scores(run) if "density" not in run.model.lacks else {},
    "chain": lambda run: stepped(run),
    "figures": lambda run: figures(run),
    "mix": lambda run: mix(run, dict.fromkeys(run.model.levels_with_code, run.examples[0])).picture,
}
PRIOR_DATA = {data.shape[1:]: data for data in (PICTURES, GREY, VECTORS)}


@pytest.mark.parametrize("work", WORK)
def test_what_follows_a_training_is_the_same_wherever_the_model_is(work, run, far):
    torch.manual_seed(0)
    here = WORK[work](run)
    torch.manual_seed(0)
    assert alike(here, WORK[work](far))


@pytest.mark.slow
@pytest.mark.parametrize("run", ["lean", "infogan", "m2", "pixels", "vectors"], indirect=True)
def test_an_evaluation_is_the_same_wherever_the_model_is(run, far):
    assert alike(vlae.evaluate(run, PRIOR_DATA[run.recipe.shape]), vlae.evaluate(far, PRIOR_DATA[run.recipe.shape]))


MEMORY, CUBLAS = torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")
ENDS = ("summarise", "fit_prior", "write")


@pytest.mark.parametrize(("error", "failing"), [(None, ()), (MEMORY, ENDS), (CUBLAS, ENDS[1:]), (CUBLAS, ENDS[2:])])
def test_what_ends_a_training_is_done_where_it_was_done_and_on_the_processor_if_that_fails(
    error, failing, tmp_path, monkeypatch, capsys
):
    seen = []

    def watched(work, name):
        def watching(first, *given, **settings):
            model = getattr(first, "model", first)
            seen.append((name, model.device.type))
            if name in failing and model.device == FAR:
                raise error
            return work(first, *given, **settings)

        return watching

    usual = train_and_report(PICTURES, out=tmp_path / "usual", **SETTINGS)
    for module, name in ((training, "summarise"), (training, "fit_prior"), (page, "write")):
        monkeypatch.setattr(module, name, watched(getattr(module, name), name))
    with ExitStack() as after_training:
        monkeypatch.setattr(training, "measuring_device", lambda _: after_training.enter_context(far_device()))
        monkeypatch.setattr(workflows, "measuring_device", lambda _: FAR)
        run = train_and_report(PICTURES, out=tmp_path / "far", **SETTINGS)
        assert run.model.device.type == "cpu" and alike(run.encode(PICTURES), usual.encode(PICTURES))
    assert seen == [(name, device) for name in ENDS for device in ("meta", *["cpu"] * (name in failing))]
    said = capsys.readouterr().err
    assert said.count(f"the device meta failed ({error}); the processor does this instead") == len(failing)
    for name in ("summary.json", "report.html", "model.safetensors", "prior.safetensors"):
        assert (tmp_path / "far" / name).exists()
    assert alike(*(json.loads((tmp_path / name / "summary.json").read_text()) for name in ("usual", "far")))
    assert (tmp_path / "far" / "model.safetensors").read_bytes() == (
        tmp_path / "usual" / "model.safetensors"
    ).read_bytes()


def test_a_run_on_another_device_is_exported(tmp_path):
    run = training.train(PICTURES, out=tmp_path / "run", **SETTINGS)
    with far_device() as device:
        run.model.to(device)
    assert max(onnx.export(run, tmp_path / "onnx")["differences"].values()) < 1e-3
    assert run.model.device == FAR


def test_what_the_processor_cannot_do_is_an_error():
    def fails(model):
        raise MEMORY

    with pytest.raises(torch.OutOfMemoryError):
        or_on_the_processor(torch.nn.Linear(1, 1), torch.device("cpu"), fails)
    with far_device() as device, pytest.raises(torch.OutOfMemoryError):
        or_on_the_processor(torch.nn.Linear(1, 1), device, fails)


def test_a_gpu_of_apple_lacks_float64_so_the_processor_measures():
    for trained_on, wanted in (("cuda", "cuda"), ("cpu", "cpu"), ("mps", "cpu")):
        assert measuring_device(torch.device(trained_on)).type == wanted
