"""The prior of a run: kept, shared, missing, damaged, of other weights, fitted again; and pictures drawn from it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from command_line import cli_exit, refusal
from safetensors import safe_open
from safetensors.torch import save_file

import vlae
from vlae.models.priors import MixturePrior, PriorFit, standard_prior
from vlae.report import page
from vlae.runs import RunError, store
from vlae.training.train import train


def grey(num=200):
    """Pictures of one grey each, so that codes follow no N(0, I)."""
    rng = np.random.default_rng(0)
    shades = rng.choice([40, 200], num)[:, None, None, None] + rng.integers(-20, 20, (num, 3, 8, 8))
    return shades.astype(np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("priors")
    np.save(folder / "data.npy", grey())
    run = train(folder / "data.npy", out=folder / "run", steps=60, batch_size=16, code_sizes=(2, 3), progress=False)
    planted = MixturePrior(
        code_sizes=(2, 3),
        weights=torch.tensor([0.25, 0.75]).double(),
        means=torch.randn(2, 5, generator=torch.Generator().manual_seed(0)).double(),
        factors=torch.eye(5).double().expand(2, 5, 5) * 0.5,
        fit=PriorFit(num_data=7, num_codes=9, gain=1.5, reason="planted"),
    )
    run.__dict__["planted"] = planted
    return run


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "copy")
    return tmp_path / "copy"


def test_training_fits_a_prior(trained):
    assert (trained.path / "prior.safetensors").exists()
    assert trained.prior.fit.num_data == len(trained.part("train")) and not trained.prior.is_standard


@pytest.mark.parametrize("num_factors", [1, None])
def test_a_prior_is_read_as_it_was_written(trained, copy, num_factors):
    planted = trained.__dict__["planted"]
    planted = replace(planted, factors=planted.factors[:num_factors])
    store.write_prior(copy / "prior.safetensors", planted, trained.identity)
    again = vlae.load(copy).prior
    for name in ("weights", "means", "factors"):
        torch.testing.assert_close(getattr(again, name), getattr(planted, name), atol=1e-6, rtol=1e-6)
    assert again.fit == planted.fit and again.code_sizes == (2, 3)


def test_samples(trained):
    pictures = trained.sample(7, seed=3)
    assert pictures.shape == (7, 3, 8, 8) and pictures.dtype == np.float32
    assert np.array_equal(pictures, trained.sample(7, seed=3))
    np.testing.assert_allclose(pictures, trained.sample(7, seed=3, batch_size=2), atol=1e-5)
    assert not np.array_equal(pictures, trained.sample(7, seed=4))
    noise = standard_prior((2, 3)).draw(7, torch.Generator().manual_seed(3))
    np.testing.assert_allclose(
        trained.sample(7, seed=3, prior="standard"), trained.decode([code.numpy() for code in noise]), atol=1e-5
    )
    with pytest.raises(ValueError, match="num is 0; give a whole number from 1 up"):
        trained.sample(0)
    with pytest.raises(ValueError, match="prior is 'best'; choose one of fitted, standard"):
        trained.sample(1, prior="best")


def test_copies_are_looked_for_in_the_training_data_that_are_here(trained, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("vlae.figures.contents._nearest", lambda model, drawn, known: asked.append(known) or drawn)
    lost = replace(trained, data=trained.data | {"source": str(tmp_path / "gone.npy")})
    for run in (trained, lost, replace(trained, borrowed="me/run")):
        run.figure("samples", num=4, out=tmp_path / "a.png")
    assert [len(known.values) for known in asked] == [len(trained.part("train")), *[len(trained.examples)] * 2]


def test_what_a_run_was_trained_on_ends_at_its_limit(tmp_path):
    np.save(tmp_path / "data.npy", grey())
    run = train(tmp_path / "data.npy", out=tmp_path / "run", limit=40, steps=2, code_sizes=(2, 3), progress=False)
    begun = run.prior
    assert (len(run.part("train")), len(run.part("all"))) == (40, 200) and len(run.known().values) == 40
    again = run.fit_prior()
    assert again.fit.num_data == 40 and torch.equal(again.means, begun.means)


def test_a_run_without_a_prior_opens_and_has_n01(trained, copy):
    (copy / "prior.safetensors").unlink()
    run = vlae.load(copy)
    assert run.prior.is_standard and run.prior.fit is None
    assert np.array_equal(run.sample(3), trained.sample(3, prior="standard"))


def test_a_prior_is_shared_and_checked(trained, copy, tmp_path):
    shared = trained.save_pretrained(tmp_path / "shared")
    assert "prior.safetensors" in json.loads((shared / "config.json").read_text())["sha256"]
    assert np.array_equal(vlae.load(shared).sample(3), trained.sample(3))
    store.write_prior(shared / "prior.safetensors", trained.__dict__["planted"], trained.identity)
    with pytest.raises(RunError, match=r"prior\.safetensors is not the file that was shared"):
        vlae.load(shared)


def test_no_code_of_a_datum_is_shared(trained, copy, tmp_path):
    planted = trained.__dict__["planted"]
    store.write_prior(copy / "prior.safetensors", replace(planted, factors=planted.factors[:1]), trained.identity)
    measured = vlae.evaluate(copy)
    assert measured["pictures"]["prior"].startswith("a kernel density")
    shared = vlae.load(vlae.load(copy).save_pretrained(tmp_path / "shared"))
    assert shared.prior.name == "a Gaussian" and len(shared.prior.means) == 1
    assert "drawn from a Gaussian" in (shared.path / "README.md").read_text()
    pictures = shared.evaluation["pictures"]
    assert pictures["frechet"]["samples"] is None and pictures["prior"] == "a Gaussian"
    assert pictures["frechet"]["reconstructions"] == measured["pictures"]["frechet"]["reconstructions"]
    assert {level["read_back"] for level in shared.evaluation["levels"]} == {None}
    assert "a Gaussian" in page.write(shared, tmp_path / "page.html").read_text()


def test_a_prior_of_other_weights_does_not_hide_that_of_a_borrowed_run(trained, copy, tmp_path, monkeypatch):
    monkeypatch.setattr(type(trained), "outputs", property(lambda run: tmp_path / "own"))
    (tmp_path / "own").mkdir()
    stale = tmp_path / "own" / "prior.safetensors"
    store.write_prior(stale, trained.__dict__["planted"], "0" * 64)
    borrowed = vlae.load(copy)
    assert borrowed.prior.describe() == trained.prior.describe()
    shared = borrowed.save_pretrained(tmp_path / "shared")
    assert (shared / "prior.safetensors").read_bytes() == (copy / "prior.safetensors").read_bytes()
    store.write_prior(stale, trained.__dict__["planted"], trained.identity)  # fitted again: that is the one
    assert vlae.load(copy).prior.fit.reason == "planted"


def test_a_prior_of_other_weights_is_not_shared_and_the_card_names_none_that_is_not_there(trained, copy, tmp_path):
    store.write_prior(copy / "prior.safetensors", trained.__dict__["planted"], "0" * 64)
    with pytest.raises(RunError, match=r"fitted to the codes of other weights; fit it again with: vlae fit-prior"):
        vlae.load(copy).save_pretrained(tmp_path / "shared")
    assert not (tmp_path / "shared").exists()
    for there, words in ((True, "Weights and prior (safetensors), recipe"), (False, "Weights (safetensors), recipe")):
        shutil.copy(trained.path / "prior.safetensors", copy)
        if not there:
            (copy / "prior.safetensors").unlink()
        card = vlae.load(copy).save_pretrained(tmp_path / str(there)) / "README.md"
        assert words in card.read_text()


def broken(trained, change):
    """The tensors and description of a good file, changed."""
    with safe_open(trained.path / "prior.safetensors", framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        about = json.loads(stored.metadata()["vlae"])
    change(tensors, about)
    return tensors, {"vlae": json.dumps(about)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, about: tensors.pop("means"), "holds tensors of shapes"),
        (lambda tensors, about: tensors.update(means=tensors["means"][:, :4].contiguous()), "holds tensors of shapes"),
        (lambda tensors, about: tensors.update(more=torch.zeros(2)), "holds tensors of shapes"),
        (lambda tensors, about: tensors["means"].fill_(torch.nan), "all its numbers are finite"),
        (lambda tensors, about: tensors["factors"].neg_(), "diagonal above 0"),
        (lambda tensors, about: about.pop("gain"), "does not say what the prior was fitted to"),
        (lambda tensors, about: about.update(num_data="<b>"), "does not say what the prior was fitted to"),
        (lambda tensors, about: about.update(weights="other"), "was fitted to the codes of other weights"),
    ],
)
def test_a_damaged_prior_is_refused_and_says_what_to_do(trained, copy, change, message):
    tensors, metadata = broken(trained, change)
    save_file(tensors, copy / "prior.safetensors", metadata)
    with pytest.raises(RunError, match=rf"{message}.*fit it again with: vlae fit-prior RUN"):
        _ = vlae.load(copy).prior
    assert vlae.load(copy).sample(2, prior="standard").shape == (2, 3, 8, 8)


def test_half_a_file_is_refused_and_fitted_again(copy):
    file = copy / "prior.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    run = vlae.load(copy)
    with pytest.raises(RunError, match="no whole safetensors file"):
        run.sample(1)
    run.fit_prior()
    assert run.sample(1).shape == (1, 3, 8, 8) and vlae.load(copy).prior.describe() == run.prior.describe()


def test_an_evaluation_counts_for_its_own_weights_and_prior(trained, copy, tmp_path):
    kept = vlae.evaluate(vlae.load(copy))
    assert kept["of"]["weights"] == trained.identity
    run = vlae.load(copy)
    assert run.evaluation["of"] == kept["of"]
    assert vlae.load(run.save_pretrained(tmp_path / "shared")).evaluation["of"] == kept["of"]
    run.fit_prior()  # the same as at the end of the training
    assert run.evaluation is not None
    run.fit_prior(seed=5)
    assert run.evaluation is None and vlae.load(copy).evaluation is None
    measured = vlae.compare([copy], out=tmp_path / "compared", progress=False)[0].evaluations["lean"][0]
    assert measured == vlae.load(copy).evaluation and measured["of"]["prior"] != kept["of"]["prior"]
    assert measured["pictures"]["frechet"]["samples"] != kept["pictures"]["frechet"]["samples"]
    (copy / "prior.safetensors").unlink()
    assert vlae.load(copy).evaluation is None

    file = copy / "evaluation.json"
    other = {**kept, "of": {"weights": "0" * 64, "prior": ""}}
    file.write_text(json.dumps(other))
    assert vlae.load(copy).evaluation is None
    del other["of"]  # as earlier versions wrote it
    file.write_text(json.dumps(other))
    run = vlae.load(copy)
    assert run.evaluation == json.loads(json.dumps(other))
    again = vlae.compare([copy], out=tmp_path / "again", progress=False)[0].evaluations["lean"][0]
    assert again["of"] == run.made_of  # it may have been measured by another method
    file.write_text(json.dumps(other))
    run.fit_prior(seed=6)
    assert vlae.load(copy).evaluation is None and json.loads((copy / "evaluation-old.json").read_text())["levels"]


def test_an_evaluation_of_ones_own_does_not_hide_that_of_a_borrowed_run(trained, copy, tmp_path, monkeypatch):
    kept = vlae.evaluate(vlae.load(copy))
    monkeypatch.setattr(type(trained), "outputs", property(lambda run: tmp_path / "own"))
    (tmp_path / "own").mkdir()
    of_another_version = {**kept, "of": {"weights": "0" * 64, "prior": ""}}
    (tmp_path / "own" / "evaluation.json").write_text(json.dumps(of_another_version))
    assert vlae.load(copy).evaluation["of"] == kept["of"]


def test_the_command_fits_a_prior(trained, copy, capsys):
    (copy / "prior.safetensors").unlink()
    assert cli_exit("fit-prior", copy) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(copy / "prior.safetensors") and "codes of" in said.err
    again = vlae.load(copy).prior
    assert torch.equal(again.factors, trained.prior.factors), "the same as at the end of the training"
    assert "no run folder" in refusal(capsys, "fit-prior", copy / "none")
