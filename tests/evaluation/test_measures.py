import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from vlae import recipes, runs
from vlae.data import Images, load
from vlae.evaluation import level_card, level_order, measures
from vlae.evaluation.cautions import EARLIER
from vlae.evaluation.complexity import complexity_of
from vlae.evaluation.factors import factors_of
from vlae.evaluation.feature_spaces import FeatureSpace
from vlae.evaluation.judging import factor_table
from vlae.evaluation.pictures import moved
from vlae.evaluation.protocol import protocol as protocol_of
from vlae.evaluation.rates import summarise
from vlae.evaluation.text import as_text
from vlae.runs import layout
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
        "levels", "judged_on", "num_known", "num_compared", "cautions", "checks", "scored_by", "pixel_probes",
        "complexity", "information", "disentanglement", "pictures", "not_defined", "protocol", "of",
        "label_probe_accuracy", "label_linear_probe_accuracy", "label_commonest",
        *(name + what for name in ("told", "level_order", "level_separation")
          for what in ("", "_interval", "_untrained", "_components")),
    }  # fmt: skip
    assert set(evaluation["reconstruction"]) == {"mse", "mae", "psnr"}
    for level, size in zip(evaluation["levels"], trained.recipe.code_sizes, strict=True):
        assert level["code_size"] == size == len(level["kl_nats_per_dimension"])
        assert {"kl_nats", "active_units", "share", "without_it", "kept_upwards", "read_back", "moves"} <= set(level)
        assert level["standard_errors"].keys() == level["statistics"].keys() | level["factors"].keys()
        assert {"label_probe_accuracy", "label_linear_probe_accuracy", "disentanglement"} <= set(level)
        assert set(level["statistics"]) >= {"mean red", "brightness", "contrast", "edges", "x position", "size"}
        assert "digit" in level["factors"] and all(value <= 1 for value in level["factors"].values())
    for name in ("told", "level_order", "level_separation"):
        low, high = evaluation[f"{name}_interval"]
        assert low <= evaluation[name] <= high and high - low < 0.2
        assert evaluation[f"{name}_untrained"] < low  # it has learnt something
    assert evaluation["scored_by"]["digit"] == "balanced accuracy above chance"
    assert evaluation["pictures"]["num_data"] == 150
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
    complexities = np.array(list(evaluation["complexity"].values()))
    assert evaluation["told"] == level_order.told(table)
    assert evaluation["level_order"] == level_order.order(table, complexities)
    assert evaluation["level_separation"] == level_order.separation(table, complexities)
    doubtful = json.loads(json.dumps(evaluation))
    doubtful["levels"][0]["standard_errors"] = dict.fromkeys(doubtful["levels"][0]["standard_errors"], 0.51)
    assert (factor_table(doubtful)[0] == 0).all()  # what is not surely above 0 does not count
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
    assert evaluation["label_probe_accuracy"] > 0.94  # of both levels together; equal pictures are fitted to once
    assert difficult["label_probe_accuracy"] > 0.94 and difficult["statistics"]["brightness"] < 0.1
    assert evaluation["complexity"]["brightness"] < 0.05 < 0.25 < evaluation["complexity"]["label"]
    assert evaluation["told"] > 0.5 and evaluation["level_separation"] > 0.4
    assert evaluation["level_order"] == pytest.approx(evaluation["level_separation"] * (-1 if upside_down else 1), 0.1)
    assert abs(evaluation["level_order_components"]) < 0.2
    broken = [warning for warning in level_card.warnings(evaluation) if "The order breaks" in warning]
    assert bool(broken) == upside_down


def test_complexity_is_of_the_data_alone(evaluation, images):
    scores = complexity_of(images)
    for name in evaluation["judged_on"]:
        assert evaluation["pixel_probes"][name] == pytest.approx(scores[name], abs=1e-9)
    known = evaluation["complexity"]
    assert known["background_red"] < known["ink_red"]  # the wall is most of the picture
    assert all(0 <= value <= 1 for value in known.values())


def test_complexity_of_other_factors_is_refused(trained, images):
    with pytest.raises(ValueError, match=r"says nothing of .*digit"):
        evaluate(trained, images, complexity={"brightness": {"mean": 1.0}})


def test_kept_for_the_runs_own_data_and_only_then(trained, evaluation, images):
    about = evaluation["protocol"]["data"]
    assert about == {"source": "streets:3000", "split": "test", "num_images": 300, "hash": about["hash"]}
    assert trained.evaluation is None
    own = evaluate(trained)
    assert trained.evaluation == json.loads(json.dumps(own))
    assert own["protocol"]["data"]["source"] == "streets:600" and own["num_images"] == 60  # these are held out
    assert own["protocol"]["probed"] == {"split": "all", "num_images": 660, "hash": own["protocol"]["probed"]["hash"]}
    assert "parts" in own["protocol"]["probes"] and own["level_order"] > own["level_order_untrained"]
    old = json.loads(json.dumps(own)) | {"cautions": ["Undertrained: elsewhere."]}
    del old["checks"]
    old["levels"][0]["kl_nats"], old["reconstruction"]["mse"] = 1e9, None
    (trained.path / layout.EVALUATION).write_text(json.dumps(old))
    today = trained.evaluation
    assert today["cautions"] == [EARLIER] and [said[:20] for said in today["absurd"]] == ["Level 1 costs 1e+09 "]
    (trained.path / layout.EVALUATION).write_text("{")
    with pytest.raises(runs.RunError, match="damaged"):
        _ = trained.evaluation
    (trained.path / layout.EVALUATION).unlink()


def test_seeded_and_leaves_the_model_as_it_was(tmp_path, rng):
    values = rng.integers(0, 256, (70, 3, 8, 8), dtype=np.uint8)
    recipe, kind = recipes.lean((3, 8, 8), code_sizes=(2, 2), width=4), rng.integers(0, 3, 70)
    run, images = run_of(recipe, tmp_path, values, factors={"kind": kind, "red": values[:, 0].mean((1, 2))})
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    one, again, other = (evaluate(run, images, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert all(value.equal(before[name]) for name, value in run.model.state_dict().items())


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
        assert list(evaluation["pixel_probes"]) == judged and evaluation["information"]["factors"] == ["kind"]


def test_one_label_class_and_constant_factors(tmp_path, rng):
    values = rng.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)
    run, images = run_of(
        recipes.lean((1, 8, 8), code_sizes=(2, 2), width=4), tmp_path, values,
        labels=np.zeros(200, int), factors={"same": np.ones(200), "other": rng.normal(size=200)},
    )  # fmt: skip
    evaluation = evaluate(run, images)
    assert evaluation["not_defined"]["same"] == "it is the same in all the data"
    assert evaluation["not_defined"]["label"] == "it is the same in all the data"
    assert "label_probe_accuracy" not in evaluation["levels"][0] and "label_probe_accuracy" not in evaluation
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
    assert list(evaluation["pixel_probes"]["first"]) == [
        "linear",
        "small",
        "medium",
        "large",
    ]  # there is no mean over a picture
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
    assert evaluation["num_images"] == 1 and evaluation["pictures"] is None
    assert evaluation["not_defined"]["level_order"] == evaluation["not_defined"]["pictures"]
    assert evaluation["not_defined"]["statistics"] == "1 pictures, 60 are needed"


def test_vectors_for_a_run_of_images(trained, rng):
    with pytest.raises(ValueError, match="these are vectors"):
        evaluate(trained, rng.normal(size=(9, 5)))


def test_far_too_many_importance_samples(trained, images):
    with pytest.raises(ValueError, match=r"importance_samples is 1000000000; give a whole number from 0 to 100,000"):
        evaluate(trained, images, importance_samples=10**9)


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


def test_what_is_random_scores_nothing(tmp_path, rng):
    """Random codes, one level that holds all, and every level that holds all, on pictures of known factors."""
    images = load("streets:3000", split="test", size=16)
    chosen = ("background_red", "ink_red", "scale", "digit", "slant")
    images = replace(images, factors={name: images.factors[name] for name in chosen}, labels=None)
    recipe = recipes.lean((3, 16, 16), code_sizes=(6, 4, 4, 10), width=4)
    run, _ = run_of(recipe, tmp_path, np.ascontiguousarray(images.values[:50]))
    noise = [rng.normal(size=(len(images), size)) for size in recipe.code_sizes]
    known = {name: np.asarray(values, float) for name, values in images.factors.items()}
    everything = np.column_stack([(values - values.mean()) / values.std() for values in known.values()])
    tables = {
        "random": noise,
        "one level": [everything, *noise[1:]],
        "every level": [everything] * 4,
    }
    for name, means in tables.items():
        evaluation = measures.evaluate(run.model, images, codes=[(mean, np.ones_like(mean)) for mean in means])
        assert abs(evaluation["level_order"]) < 0.03 and evaluation["level_separation"] < 0.04, name
        assert (evaluation["told"] < 0.05) == (name == "random")
    assert evaluation["not_defined"]["level_order_untrained"] == "no untrained model is given"


def test_factors_as_they_are(tmp_path, rng):
    """Many classes, a rare yes, gaps, an angle and a table of attributes, each told where it is planted."""
    num, size = 606, 8
    kind, rare, turn = rng.permutation(num) % 101, rng.random(num) < 0.05, rng.uniform(-np.pi, np.pi, num)
    gaps = np.where(rng.random(num) < 0.3, np.nan, rng.normal(size=num))
    worn = rng.integers(0, 2, (num, 2))
    values = rng.integers(0, 256, (num, 1, size, size), dtype=np.uint8)
    run, images = run_of(
        recipes.lean((1, size, size), code_sizes=(4, 9), width=4), tmp_path, values, labels=kind,
        factors={"rare": rare, "light_angle": turn, "gaps": gaps, "worn": worn},
    )  # fmt: skip
    place = rng.normal(size=(101, 4))[kind] + 0.05 * rng.normal(size=(num, 4))
    told = np.column_stack([rare, np.cos(turn), np.sin(turn), np.nan_to_num(gaps), worn, rng.normal(size=(num, 3))])
    evaluation = measures.evaluate(run.model, images, codes=[(code, np.ones_like(code)) for code in (place, told)])
    asked = ["rare", "light_angle", "gaps", "worn 0", "worn 1", "label"]
    assert list(evaluation["pixel_probes"]) == asked
    assert evaluation["judged_on"] == list(evaluation["complexity"]) != asked  # the pixels are noise
    assert all((name in evaluation["judged_on"]) != (f"complexity of {name}" in evaluation["not_defined"])
               for name in asked)  # fmt: skip
    low, high = (level["factors"] for level in evaluation["levels"])
    assert low["label"] > 0.8 and abs(high["label"]) < 0.1
    assert all(high[name] > 0.9 for name in ("rare", "light_angle", "gaps", "worn 0", "worn 1"))
    assert all(abs(low[name]) < 0.35 for name in ("rare", "light_angle", "gaps", "worn 0", "worn 1"))
    assert evaluation["scored_by"]["rare"] == "2 AUC - 1" and "sine" in evaluation["scored_by"]["light_angle"]
    assert "mig" in evaluation["disentanglement"]
    json.dumps(evaluation, allow_nan=False)


def test_a_factor_of_another_length_is_refused_before_anything_is_measured(trained):
    images = load("streets:3000", split="test", size=16, limit=100)
    said = []
    with pytest.raises(ValueError, match="'kind' is of 7 data, and there are 100"):
        measures.evaluate(trained.model, replace(images, factors={"kind": np.arange(7)}), say=said.append)
    assert said == []


def test_all_that_a_number_depends_on_is_in_the_hash(trained, images):
    protocol = protocol_of(images)
    other = replace(images, labels=images.labels[::-1].copy())
    changed = [
        protocol_of(images, seed=1),
        protocol_of(images, complexity={"digit": {"mean": 0.5}}),
        protocol_of(replace(images, features=np.zeros((len(images), 2), np.float16))),
        protocol_of(images.take(slice(0, 200))),
        protocol_of(images, probed=images.take(slice(0, 200))),
        protocol_of(other),
        protocol_of(replace(images, factors={})),
        protocol_of(images, features=FeatureSpace("another", lambda values: values)),
    ]
    assert len({each["hash"] for each in (protocol, *changed)}) == 9
    assert protocol_of(images, importance_samples=9, num_runs=3)["hash"] == protocol["hash"]
    assert protocol_of(load("streets:3000", split="test", size=16))["hash"] == protocol["hash"]


@pytest.mark.parametrize("num", [60, 100])
def test_every_level_of_few_pictures_is_named(tmp_path, rng, num):
    images = load(f"streets:{num + 40}", split="all", size=16).take(slice(0, num))
    images = replace(images, factors={}, labels=None)
    run, _ = run_of(recipes.lean((3, 16, 16), code_sizes=(6, 4, 4, 10), width=8), tmp_path, images.values)
    evaluation = evaluate(run, images)
    cards = level_card.level_cards(evaluation)
    assert len(cards) == 4 and all(card.title not in ("not measured", "not named") for card in cards)
    assert all(len(level["statistics"]) == 9 for level in evaluation["levels"])


def test_pictures_are_compared_in_the_outputs_of_a_network(trained, images, tmp_path):
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    torch.export.save(
        torch.export.export(
            net, (torch.zeros(2, 3, 16, 16),), dynamic_shapes=({0: torch.export.Dim("n", min=1)},)
        ),
        tmp_path / "net.pt2",
    )  # fmt: skip
    few = replace(images.take(slice(0, 100)), factors={}, labels=None)
    evaluation = evaluate(trained, few, features=tmp_path / "net.pt2")
    assert "net.pt2" in evaluation["pictures"]["features"]
    assert evaluation["pictures"]["features"] == evaluation["protocol"]["pictures"]["features"]


@pytest.mark.parametrize("channels", [2, 4])
def test_the_last_channel_of_wide_pictures_counts(tmp_path, rng, channels):
    """Infrared beside red, green and blue is told and moved; of 8 bits the last channel would be opacity."""
    values = np.full((200, channels, 8, 8), 0.5, np.float32)
    values[:, -1] = rng.uniform(0, 1, (200, 1, 1))
    run, images = run_of(recipes.lean((channels, 8, 8), code_sizes=(2, 2), width=4), tmp_path, values)
    run.model.opacity = False
    wide = replace(images, value_range=((0.0, 4095.0),) * channels)
    asked = factors_of(wide)[0]
    assert np.ptp(asked[f"mean channel {channels}"]) > 0.9 and np.ptp(factors_of(images)[0]["brightness"]) == 0
    moves = moved(run.model, values)
    assert all(f"mean channel {channels}" in level for level in moves)
