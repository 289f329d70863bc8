import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from vlae import recipes
from vlae.data import Images, load
from vlae.evaluation import level_card, level_order, measures
from vlae.evaluation.complexity import complexity_of
from vlae.evaluation.measures import factor_table
from vlae.evaluation.rates import summarise
from vlae.evaluation.text import as_text
from vlae.runs import layout
from vlae.runs import run as runs
from vlae.training.train import train
from vlae.workflows import evaluate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train("streets:600", out=tmp_path_factory.mktemp("runs") / "streets", steps=150, size=16, progress=False)


@pytest.fixture(scope="module")
def images():
    return load("streets:3000", split="test", size=16)


@pytest.fixture(scope="module")
def evaluation(trained, images):
    return evaluate(trained, images, importance_samples=2)


def run_of(recipe, path, values, **more):
    """An untrained run on the values."""
    torch.manual_seed(0)
    model = recipes.build(recipe).eval()
    run = runs.Run(
        path=path,
        recipe=recipe,
        model=model,
        data={"source": "an array"},
        summary=summarise(model, values),
        examples=values[:8],
    )
    return run, Images(values=values, **more)


def test_has_what_is_promised(evaluation, trained):
    json.dumps(evaluation, allow_nan=False)  # nothing that JSON cannot hold, no NaN
    assert set(evaluation) == {
        "num_images", "reconstruction", "distortion_nats", "elbo_nats", "bits_per_dimension", "log_likelihood_nats",
        "levels", "judged_on", "pixel_probes", "complexity", "level_separation", "level_order", "information",
        "disentanglement", "not_defined", "protocol",
    }  # fmt: skip
    assert set(evaluation["reconstruction"]) == {"mse", "mae", "psnr"}
    for level, size in zip(evaluation["levels"], trained.recipe.code_sizes, strict=True):
        assert level["code_size"] == size == len(level["kl_nats_per_dimension"])
        assert {"kl_nats", "active_units", "share", "without_it", "kept_upwards"} <= set(level)
        assert {"label_probe_accuracy", "label_linear_probe_accuracy", "disentanglement"} <= set(level)
        assert set(level["statistics"]) >= {"mean red", "brightness", "contrast", "edges", "x position", "size"}
        assert "digit" in level["factors"] and all(value <= 1 for value in level["factors"].values())
    assert sum(level["share"] for level in evaluation["levels"]) == pytest.approx(1)
    bits = trained.model.bits_per_dimension(evaluation["elbo_nats"])
    assert evaluation["bits_per_dimension"] == pytest.approx(bits)  # of the bound, not of the distortion alone
    gained = evaluation["log_likelihood_nats"] - evaluation["elbo_nats"]  # per datum: it closes a part of the gap
    assert 0 < gained < sum(level["kl_nats"] for level in evaluation["levels"])
    assert np.shape(evaluation["information"]["levels"]) == (
        len(evaluation["levels"]),
        len(evaluation["information"]["factors"]),
    )


def test_agrees_with_its_parts(evaluation, trained, images):
    summary = summarise(trained.model, images.values)
    assert evaluation["reconstruction"] == summary["reconstruction"] and evaluation["elbo_nats"] == summary["elbo_nats"]
    table = factor_table(evaluation)
    assert table.shape == (len(evaluation["levels"]), len(evaluation["complexity"]))
    assert evaluation["level_order"] == level_order.order(table, np.array(list(evaluation["complexity"].values())))
    assert evaluation["level_separation"] == level_order.separation(table)
    for name, value in evaluation["complexity"].items():
        assert value == level_order.complexity(list(evaluation["pixel_probes"][name].values()))


@pytest.mark.parametrize("upside_down", [False, True])
def test_finds_in_each_level_what_was_put_there(tmp_path, rng, upside_down):
    """Pictures of a shade, which a mean can tell, and a place, which it cannot, each planted in a level of its own."""
    shade, place = rng.integers(0, 200, 1000), rng.integers(0, 4, 1000)
    values = np.full((1000, 1, 8, 8), 20, np.uint8)
    for image, s, p in zip(values, shade, place, strict=True):
        image[0, 4 * (p // 2) : 4 * (p // 2) + 4, 4 * (p % 2) : 4 * (p % 2) + 4] += s.astype(np.uint8)
    run, images = run_of(recipes.lean((1, 8, 8), code_sizes=(2, 2), width=4), tmp_path, values, labels=place)
    planted = [
        np.column_stack([shade, rng.normal(size=1000)]),
        np.column_stack([place // 2, place % 2]) + 0.1 * rng.normal(size=(1000, 2)),
    ]
    codes = [(code, np.ones_like(code)) for code in (planted[::-1] if upside_down else planted)]
    evaluation = measures.evaluate(run.model, images, codes=codes)
    simple, difficult = evaluation["levels"][::-1] if upside_down else evaluation["levels"]
    assert simple["statistics"]["brightness"] > 0.95 and simple["label_probe_accuracy"] < 0.4
    assert difficult["label_probe_accuracy"] > 0.95 and difficult["statistics"]["brightness"] < 0.1
    assert evaluation["complexity"]["brightness"] < 0.05 < 0.25 < evaluation["complexity"]["label"]
    assert evaluation["level_separation"] > 0.9
    assert evaluation["level_order"] * (-1 if upside_down else 1) > 0.9
    broken = [warning for warning in level_card.warnings(evaluation) if "The order breaks" in warning]
    assert bool(broken) == upside_down


def test_complexity_is_of_the_data_alone(evaluation, images):
    scores = complexity_of(images)
    assert evaluation["pixel_probes"] == {name: scores[name] for name in evaluation["judged_on"]}
    known = evaluation["complexity"]
    assert known["background_red"] < known["ink_red"]  # the wall is most of the picture
    assert all(0 <= value <= 1 for value in known.values())


def test_complexity_of_other_factors_is_refused(trained, images):
    with pytest.raises(ValueError, match=r"says nothing of .*digit"):
        evaluate(trained, images, complexity={"brightness": {"mean": 1.0}})


def test_kept_for_the_runs_own_data_and_only_then(trained, evaluation, images):
    assert evaluation["protocol"]["data"] == {"source": "streets:3000", "split": "test", "num_images": 300}
    assert trained.evaluation is None
    own = evaluate(trained)
    assert trained.evaluation == json.loads(json.dumps(own))
    assert own["protocol"]["data"]["source"] == "streets:600"
    assert "too few" in own["not_defined"]["level_order"] and own["level_order"] is None  # 60 are held out
    (trained.path / layout.EVALUATION).write_text("{")
    with pytest.raises(runs.RunError, match="damaged"):
        _ = trained.evaluation
    (trained.path / layout.EVALUATION).unlink()


def test_seeded_and_leaves_the_model_as_it_was(trained):
    images = load("streets:3000", split="test", size=16, limit=150)
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    one, again, other = (evaluate(trained, images, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert all(value.equal(before[name]) for name, value in trained.model.state_dict().items())


def test_labels_alone(tmp_path, rng):
    labels = rng.integers(0, 2, 300)
    values = (rng.integers(0, 100, (300, 1, 8, 8)) + 150 * labels[:, None, None, None]).astype(np.uint8)
    run, images = run_of(recipes.lean((1, 8, 8), code_sizes=(2, 2), width=4), tmp_path, values, labels=labels)
    evaluation = evaluate(run, images)
    assert evaluation["judged_on"][-1] == "label" and "brightness" in evaluation["judged_on"]
    assert evaluation["levels"][0]["label_probe_accuracy"] > 0.9  # brightness is the label
    assert "disentanglement" not in evaluation and "information" not in evaluation


def test_a_label_is_judged_beside_factors_unless_it_is_one_of_them(tmp_path, rng):
    values = rng.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)
    recipe, kind = recipes.lean((1, 8, 8), code_sizes=(2, 2), width=4), rng.integers(0, 3, 200)
    for labels, judged in ((rng.integers(0, 3, 200), ["kind", "label"]), (kind, ["kind"])):
        run, images = run_of(recipe, tmp_path, values, labels=labels, factors={"kind": kind})
        evaluation = evaluate(run, images)
        assert evaluation["judged_on"] == judged and evaluation["information"]["factors"] == ["kind"]


def test_one_label_class_and_constant_factors(tmp_path, rng):
    values = rng.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)
    run, images = run_of(
        recipes.lean((1, 8, 8), code_sizes=(2, 2), width=4), tmp_path, values,
        labels=np.zeros(200, int), factors={"same": np.ones(200), "other": rng.normal(size=200)},
    )  # fmt: skip
    evaluation = evaluate(run, images)
    assert evaluation["not_defined"]["same"] == "it is the same in all the data"
    assert evaluation["not_defined"]["level 1: label_probe_accuracy"] == "all the data have the same label"
    assert "label_probe_accuracy" not in evaluation["levels"][0]
    json.dumps(evaluation, allow_nan=False)


def test_nothing_known_of_vectors(tmp_path, rng):
    recipe = replace(recipes.lean((5,), code_sizes=(2, 3), width=4), mean=0.0, stddev=1.0)
    run, images = run_of(recipe, tmp_path, rng.normal(size=(200, 5)).astype(np.float32))
    evaluation = evaluate(run, images)
    assert evaluation["level_order"] is None and "give labels or factors" in evaluation["not_defined"]["level_order"]
    assert "bits_per_dimension" not in evaluation and evaluation["levels"][0]["kl_nats"] > 0


def test_vectors_with_factors(tmp_path, rng):
    values = rng.normal(size=(300, 5)).astype(np.float32)
    recipe = replace(recipes.lean((5,), code_sizes=(2, 3), width=4), mean=0.0, stddev=1.0)
    run, images = run_of(recipe, tmp_path, values, factors={"first": values[:, 0], "kind": rng.integers(0, 3, 300)})
    evaluation = evaluate(run, images)
    assert list(evaluation["pixel_probes"]["first"]) == ["linear", "small", "large"]  # there is no mean over a picture
    assert evaluation["complexity"]["first"] < 0.2


@pytest.mark.parametrize("recipe", [recipes.vae, recipes.hvae, recipes.lvae, recipes.joint])
def test_every_model(recipe, tmp_path, rng):
    values = rng.integers(0, 256, (120, 1, 8, 8), dtype=np.uint8)
    run, images = run_of(recipe((1, 8, 8), width=4), tmp_path, values, labels=rng.integers(0, 3, 120))
    evaluation = evaluate(run, images)
    json.dumps(evaluation, allow_nan=False)
    if recipe is recipes.vae:
        assert "two levels" in evaluation["not_defined"]["level_order"]
        assert evaluation["levels"][0]["without_it"] is None
    assert as_text(evaluation)


def test_one_datum(tmp_path, rng):
    run, images = run_of(recipes.lean((1, 8, 8), width=4), tmp_path, rng.integers(0, 256, (1, 1, 8, 8), dtype=np.uint8))
    evaluation = evaluate(run, images)
    assert evaluation["num_images"] == 1 and "too few" in evaluation["not_defined"]["level_order"]


def test_data_of_another_shape(trained, rng):
    with pytest.raises(ValueError, match=r"shape \(1, 16, 16\).*takes \(3, 16, 16\)"):
        evaluate(trained, Images(values=rng.integers(0, 256, (9, 1, 16, 16), dtype=np.uint8)))


def test_vectors_in_other_units(tmp_path, rng):
    values = rng.normal(size=(200, 5)).astype(np.float32)
    recipe = replace(recipes.lean((5,), code_sizes=(2, 3), width=4), mean=0.0, stddev=1.0)
    run, _ = run_of(recipe, tmp_path, values)
    with pytest.raises(ValueError, match=r"standard deviations from the mean.*same units"):
        evaluate(run, Images(values=1e6 * values))


def test_a_law_of_black_and_white_has_no_bits(tmp_path, rng):
    recipe = recipes.adjust(recipes.lean((1, 8, 8), width=4), family="bernoulli")
    run, images = run_of(recipe, tmp_path, rng.integers(0, 256, (20, 1, 8, 8), dtype=np.uint8))
    assert "bits_per_dimension" not in evaluate(run, images)


def test_runs_beside_are_others_of_the_recipe(trained, images, tmp_path, rng):
    with pytest.raises(ValueError, match="beside itself"):
        evaluate(trained, images, beside=[trained])
    other, _ = run_of(recipes.lean((1, 8, 8), width=4), tmp_path, rng.integers(0, 256, (20, 1, 8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match="another recipe"):
        evaluate(trained, images, beside=[other])
