import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import multivariate_normal

from vlae.evaluation.text import LIKELIHOOD_CAUTION
from vlae.models.hierarchical import HierarchicalVAE
from vlae.models.ladder import VLAE
from vlae.models.levels import Level
from vlae.studies import proposition_2
from vlae.studies.proposition_2 import CROSSED, FEATURES, MIXTURES, Mixture, cost, entropy, held

BY_NAME = {mixture.name: mixture for mixture in MIXTURES}


def gaussian(covariance, *, means=((0.0, 0.0),)):
    return Mixture(name="planted", means=np.array([means]), covariance=np.array(covariance))


def test_a_round_gaussian_costs_nothing():
    assert cost(gaussian([[0.25, 0.0], [0.0, 0.09]]), "class")["total"] == pytest.approx(0, abs=1e-6)


def test_a_tilted_gaussian_costs_its_mutual_information():
    parts = cost(gaussian([[0.25, 0.15], [0.15, 0.25]]), "class")
    assert parts["dependence"] == pytest.approx(-np.log(1 - 0.6**2) / 2, abs=1e-6)
    assert parts["shape"] == pytest.approx(0, abs=1e-6)


def test_two_modes_far_apart_cost_the_log_of_the_ratio_of_spreads_less_one_bit():
    parts = cost(gaussian([[0.01, 0.0], [0.0, 0.01]], means=((-1.0, 0.0), (1.0, 0.0))), "class")
    assert parts["shape"] == pytest.approx(np.log(np.sqrt(1.01) / 0.1) - np.log(2), abs=1e-6)
    assert parts["dependence"] == pytest.approx(0, abs=1e-6)


def test_crossed_modes_are_dependent_only_if_the_class_is_known():
    nothing, of_class, mode = (cost(CROSSED, feature) for feature in FEATURES)
    assert nothing["dependence"] == pytest.approx(0, abs=1e-6)
    assert of_class["dependence"] == pytest.approx(np.log(2), abs=1e-3)
    assert of_class["total"] > nothing["total"] > 1
    assert mode["total"] == pytest.approx(0, abs=1e-6)


def test_a_feature_with_several_modes_below_it_costs_and_one_without_does_not():
    assert cost(BY_NAME["round"], "class")["total"] == pytest.approx(0, abs=1e-6)
    for name in ("stacked", "crossed", "rings"):
        assert cost(BY_NAME[name], "class")["total"] > 0.5
        assert cost(BY_NAME[name], "mode")["total"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("mixture", MIXTURES, ids=lambda mixture: mixture.name)
def test_entropy_is_that_of_drawn_data(mixture):
    x, _, _ = mixture.sample(40_000, np.random.default_rng(0))
    density = np.mean([multivariate_normal(mean, mixture.covariance).pdf(x) for mean in mixture.given("nothing")[0]], 0)
    assert entropy(mixture) == pytest.approx(-np.log(density).mean(), abs=0.02)


def test_drawn_data_lie_at_their_mode_and_class():
    x, classes, modes = CROSSED.sample(500, np.random.default_rng(0))
    assert x.dtype == np.float32
    assert np.abs(x - CROSSED.means.reshape(-1, 2)[modes]).max() < 6 * 0.25
    assert (np.sign(x[:, 0]) == np.sign(x[:, 1]))[classes == 0].mean() > 0.99
    assert (np.sign(x[:, 0]) != np.sign(x[:, 1]))[classes == 1].mean() > 0.99


@pytest.mark.parametrize("kind", [HierarchicalVAE, VLAE])
def test_the_held_level_keeps_its_code_and_the_others_change(kind):
    torch.manual_seed(0)
    model = kind((2,), [Level(code_size=2, dense=(8,)), Level(code_size=2, dense=(8,))], mean=0.0, stddev=1.0).eval()
    seen = []
    decode = model.generate
    model.generate = lambda codes: seen.append(codes) or decode(codes)
    with torch.inference_mode():
        for level in (1, 2):
            drawn = held(model, torch.randn(3, 2), level, draws=4, generator=torch.Generator().manual_seed(0))
            assert drawn.shape == (3, 4, 2)
    for level, codes in enumerate((seen[-2], seen[-1]), start=1):
        kept, other = codes[level - 1].reshape(3, 4, 2), codes[2 - level].reshape(3, 4, 2)
        assert torch.equal(kept, kept[:, :1].expand_as(kept))
        assert (other[:, 0] != other[:, 1]).all()


def test_a_hierarchy_without_its_top_draws_the_same():
    """In a hierarchy x depends on z_1 alone, so with level 1 held nothing is left to draw."""
    torch.manual_seed(0)
    model = HierarchicalVAE((2,), [Level(code_size=2, dense=(8,)), Level(code_size=2, dense=(8,))]).eval()
    with torch.inference_mode():
        drawn = held(model, torch.randn(3, 2), 1, draws=4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, drawn[:, :1].expand_as(drawn))


def test_study_writes_tables_figure_and_numbers(tmp_path):
    result = proposition_2.study(out=tmp_path / "new", seeds=1, steps=2, progress=False)
    kept = json.loads((tmp_path / "new" / "proposition-2.json").read_text())
    assert kept == result
    table = (tmp_path / "new" / "proposition-2.md").read_text()
    assert table.endswith(f"{LIKELIHOOD_CAUTION}\n")
    assert "| crossed " in table and "z_2 says class" in table and "mode kept, level 2 held" in table
    assert Image.open(tmp_path / "new" / "proposition-2.png").size == (1300, 1100)
    (run,) = result["systems"]["hierarchy"]
    assert run["elbo_nats"] <= run["log_likelihood_nats"] + 0.05 and len(run["kl_nats"]) == 2


@pytest.mark.parametrize("settings", [{"seeds": 0}, {"steps": 0}])
def test_bad_settings_are_refused(settings, tmp_path):
    with pytest.raises(ValueError, match="whole numbers from 1 up"):
        proposition_2.study(out=tmp_path / "new", **settings)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_trained_hierarchy_tells_all_in_level_1_and_never_the_class_alone_in_level_2(tmp_path):
    result = proposition_2.study(out=tmp_path, seeds=1, progress=False)
    (hierarchy,), (ladder,) = result["systems"]["hierarchy"], result["systems"]["ladder"]
    assert hierarchy["kept"]["level 1"]["mode"] > 0.95
    assert ladder["kept"]["level 1"]["mode"] < 0.9
    level_2 = hierarchy["kept"]["level 2"]
    assert level_2["mode"] > 0.75 * level_2["class"]  # a pure class level keeps half of the modes
    assert -result["entropy_nats"] >= hierarchy["log_likelihood_nats"] >= hierarchy["elbo_nats"]
