"""The numbers of an evaluation, each computed again from its parts, on a small table with planted codes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vlae import recipes
from vlae.data import Images
from vlae.evaluation import judging, level_order, measures, metrics, pictures, probes
from vlae.evaluation.complexity import components_of
from vlae.evaluation.factors import factors_of, factors_to_predict
from vlae.evaluation.feature_spaces import components
from vlae.evaluation.protocol import protocol
from vlae.evaluation.scoring import score
from vlae.models.inference import encode

NUM, SEED = 200, 3
RECIPE = replace(recipes.lean((5,), code_sizes=(2, 3), width=4), mean=0.0, stddev=1.0)
COMPLEXITY = {"first": {"linear": 0.8, "large": 0.8}, "gaps": {"linear": 0.4, "large": 0.8}}
COMPLEXITY |= {f"guess {i}": {"linear": 0.2, "large": 0.8} for i in range(4)} | {"label": {"linear": 0.1, "large": 0.8}}


@pytest.fixture(scope="module")
def images():
    """A table of which a column, a column with gaps, four guesses, and a label with gaps are known."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(NUM, 5)).astype(np.float32)
    factors = {"first": values[:, 0], "gaps": np.where(rng.random(NUM) < 0.3, np.nan, values[:, 1])}
    factors |= {f"guess {i}": rng.integers(0, 2, NUM) for i in range(4)}
    return Images(values=values, factors=factors, labels=rng.integers(-1, 2, NUM))


@pytest.fixture(scope="module")
def codes(images):
    """Level 1 tells the first column and the label, level 2 the second column."""
    rng = np.random.default_rng(1)
    label = np.where(images.labels < 0, rng.integers(0, 2, NUM), images.labels) + 0.05 * rng.normal(size=NUM)
    low = np.column_stack([images.values[:, 0] + 0.5 * rng.normal(size=NUM), label])
    return [low, np.column_stack([images.values[:, 1] + rng.normal(size=NUM), rng.normal(size=(NUM, 2))])]


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    return [recipes.build(RECIPE).eval() for _ in range(2)]


@pytest.fixture(scope="module")
def evaluation(images, codes, models):
    model, untrained = models
    posteriors = [(code, np.full_like(code, 0.5)) for code in codes]
    return measures.evaluate(model, images, codes=posteriors, untrained=untrained, complexity=COMPLEXITY, seed=SEED)


def scores_of(codes, images):
    """The score of each level, factor and draw of the rows; the first draw is the rows themselves."""
    factors, _ = factors_to_predict(factors_of(images)[1])
    weights = judging._draws(NUM, SEED)
    predictions = [probes.predict(code, factors, seed=SEED) for code in codes]
    return np.array([[score(factors[name], told[name], weights) for name in factors] for told in predictions])


def test_rows_count_once_and_then_as_often_as_they_are_drawn():
    weights = judging._draws(50, seed=0)
    assert weights.shape == (1 + judging.NUM_DRAWS, 50) and (weights[0] == 1).all()
    assert (weights.sum(1) == 50).all() and (weights == np.round(weights)).all()
    assert weights[1:].var() == pytest.approx(1 - 1 / 50, abs=0.05)  # the variance of a draw with replacement
    assert not np.array_equal(weights, judging._draws(50, seed=1))


def test_copies_are_drawn_together():
    weights = judging._draws(50, seed=0, kin=-1 - np.arange(50) % 20)
    assert (weights[:, :20] == weights[:, 20:40]).all() and (weights[0] == 1).all()
    assert np.array_equal(judging._draws(50, seed=0, kin=-1 - np.arange(50)[::-1]), judging._draws(50, seed=0))


def test_scores_and_standard_errors_are_those_of_the_rows_and_of_their_draws(evaluation, codes, images):
    for level, scores in zip(evaluation["levels"], scores_of(codes, images), strict=True):
        assert list(level["factors"].values()) == pytest.approx(scores[:, 0])
        assert list(level["standard_errors"].values()) == pytest.approx(scores[:, 1:].std(1))


def test_what_is_not_surely_told_counts_for_no_model(evaluation, codes, images, models):
    sizes = np.cumsum(RECIPE.code_sizes)[:-1]
    rivals = {
        "told": codes,
        "told_untrained": [mean for mean, _ in encode(models[1], images.values)],
        "told_components": np.split(components_of(images.values, 5, seed=SEED), sizes, axis=1),
    }
    for name, of_rival in rivals.items():
        scores = scores_of(of_rival, images)
        sure = scores[:, :, 0] >= 2 * scores[:, :, 1:].std(2)
        assert evaluation[name] == pytest.approx(level_order.told(np.where(sure, scores[:, :, 0], 0)), abs=1e-9)
        assert evaluation[name] < level_order.told(scores[:, :, 0].clip(0))  # some guesses are lucky


def test_an_interval_holds_nine_of_ten_draws_of_scores_and_complexities(rng):
    tables, complexities = rng.random((3, 4, 41)), rng.random((41, 4))
    result, reasons = {}, {}
    judging._judge(result, tables, complexities, reasons)
    assert reasons == {}
    for name, measure in (("level_order", level_order.order), ("level_separation", level_order.separation)):
        assert result[name] == measure(tables[:, :, 0], complexities[0])
        drawn = [measure(tables[:, :, draw], complexities[draw]) for draw in range(1, 41)]
        assert result[f"{name}_interval"] == pytest.approx(np.percentile(drawn, (5, 95)))
    told = [level_order.told(tables[:, :, draw]) for draw in range(1, 41)]
    assert result["told_interval"] == pytest.approx(np.percentile(told, (5, 95)))


def test_the_largest_components_are_level_1s(rng):
    grey = Images(values=rng.integers(0, 256, (60, 1, 4, 4), dtype=np.uint8))
    low, high = judging._components(grey, [1, 3], seed=0)
    spread = [*low.var(0), *high.var(0)]
    assert len(spread) == 4 and spread == sorted(spread, reverse=True)
    assert judging._components(grey, [10, 10], seed=0) is None  # 16 pixels have no 20


def test_data_of_no_known_label_are_not_named(evaluation):
    assert evaluation["levels"][0]["label_probe_accuracy"] > 0.9
    assert evaluation["levels"][0]["label_linear_probe_accuracy"] > 0.9


def test_metrics_are_of_the_data_of_which_every_factor_is_known(evaluation, codes, images):
    rows = np.isfinite(images.factors["gaps"])
    known = {name: factor[rows] for name, factor in images.factors.items()}
    low, both = codes[0][rows], np.column_stack(codes)[rows]
    assert evaluation["disentanglement"]["mig"] == pytest.approx(metrics.mig(both, known))
    assert evaluation["levels"][0]["disentanglement"]["sap"] == pytest.approx(metrics.sap(low, known, seed=SEED))
    assert evaluation["disentanglement"]["mig_sampled"] == pytest.approx(
        metrics.mig_sampled(both, np.full_like(both, 0.5), known, seed=SEED)
    )


def test_a_code_far_out_takes_nothing_from_what_is_told(images, codes, models, evaluation):
    far = [code.copy() for code in codes]
    far[0][5], far[1][9] = 300, -300
    result = measures.evaluate(
        models[0], images, codes=[(code, np.full_like(code, 0.5)) for code in far], complexity=COMPLEXITY, seed=SEED
    )
    for one, other in zip(result["levels"], evaluation["levels"], strict=True):
        assert one["factors"] == pytest.approx(other["factors"], abs=0.1)
        for name in ("label_probe_accuracy", "label_linear_probe_accuracy"):
            assert one[name] == pytest.approx(other[name], abs=0.05)
    assert result["disentanglement"]["mig"] == pytest.approx(evaluation["disentanglement"]["mig"], abs=0.05)


def test_pictures_follow_from_the_seed(evaluation, images, models):
    values = images.values
    quality, _ = pictures.picture_quality(models[0], values, components(values, seed=SEED), seed=SEED)
    assert evaluation["pictures"] == quality
    assert [level["read_back"] for level in evaluation["levels"]] == pictures.read_back(models[0], seed=SEED)


def test_the_hash_follows_from_the_values_of_each_factor(images):
    changed = replace(images, factors={**images.factors, "first": images.factors["first"][::-1].copy()})
    assert protocol(images)["hash"] != protocol(changed)["hash"]
