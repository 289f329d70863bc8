"""The example that searches settings with Optuna."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import vlae
from vlae.runs.layout import RunError
from vlae.training import loop, validation

ROOT = Path(__file__).parents[2]


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("optuna_search", ROOT / "examples" / "optuna_search.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_finds_the_best_trial_and_cuts_others_short(example, tmp_path, monkeypatch):
    optuna = example.optuna
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    monkeypatch.setattr(validation, "COST", 1.0)
    monkeypatch.setattr(optuna.pruners, "MedianPruner", lambda **_: Second())
    pictures = np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8)

    class Second(optuna.pruners.BasePruner):
        """Cuts the second trial short."""

        def prune(self, study, trial):
            return trial.number == 1 and trial.last_step >= 4

    study = example.search(pictures, tmp_path, trials=3, steps=6, batch_size=16)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert list(study.trials[0].intermediate_values) == [2, 4, 6]
    assert list(study.trials[1].intermediate_values) == [2, 4]
    best = vlae.load(tmp_path / f"trial-{study.best_trial.number}")
    assert best.summary["validation"]["elbo_nats"] == study.best_value
    assert best.recipe.training.learning_rate == study.best_params["learning_rate"]
    with pytest.raises(RunError, match="not finished"):
        vlae.load(tmp_path / "trial-1")
