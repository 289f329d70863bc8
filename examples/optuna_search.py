"""Searches settings of a ladder with Optuna, by the validation ELBO. Trials that do worse than others are cut short.

    pip install optuna
    python examples/optuna_search.py                                      # scikit-learn's digits, a minute or two
    python examples/optuna_search.py photos/ --trials 30 --steps 2000

The ELBO is that of data which are kept from the training part. So the held-out part, on which the best run is measured
at its end, has chosen nothing. ELBOs can be compared because all trials have one likelihood.
"""

import argparse
from pathlib import Path
from typing import Any

import lightning
import optuna
from sklearn.datasets import load_digits

from vlae.training.train import train  # vlae.train draws figures besides


class Pruning(lightning.Callback):
    """Tells Optuna every new validation ELBO, and ends a trial that Optuna gives up.

    Args:
        trial: the trial that is being trained.
    """

    def __init__(self, trial: optuna.Trial):
        self.trial, self.last = trial, None

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Looks at the latest row of metrics.csv."""
        elbo = trainer.callback_metrics.get("val_elbo")
        if elbo is None or elbo == self.last:
            return
        self.last = elbo
        self.trial.report(float(elbo), step=trainer.global_step)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def search(source: Any, out: Path, *, trials: int, steps: int, **settings: Any) -> optuna.Study:
    """Trains a run for each trial, in OUT/trial-0, OUT/trial-1, …, and returns what Optuna knows of them.

    Args:
        source: anything that `vlae.train` reads.
        out: the folder of all runs; a trial that was cut short leaves an unfinished one.
        trials: the number of trials.
        steps: steps of each.
        settings: further settings of the training, the same for all.
    """

    def validation_elbo(trial: optuna.Trial) -> float:
        top = trial.suggest_int("top", 2, 12)
        run = train(
            source,
            out=out / f"trial-{trial.number}",
            code_sizes=(2, 2, top),
            learning_rate=trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
            free_bits=trial.suggest_categorical("free_bits", [0.0, 0.5]),
            validation=0.1,
            steps=steps,
            callbacks=[Pruning(trial)],
            logger="none",
            progress=False,
            **settings,
        )
        return float(run.summary["validation"]["elbo_nats"])

    pruner = optuna.pruners.MedianPruner(n_startup_trials=2)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0), pruner=pruner)
    study.optimize(validation_elbo, n_trials=trials)
    return study


def main() -> None:
    parser = argparse.ArgumentParser(description="Search settings of a ladder with Optuna.")
    parser.add_argument("source", nargs="?", help="data to train on; by default scikit-learn's digits")
    parser.add_argument("--out", type=Path, default=Path("runs/optuna"))
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--steps", type=int, default=300)
    asked = parser.parse_args()
    study = search(asked.source or load_digits().images / 16, asked.out, trials=asked.trials, steps=asked.steps)
    pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    print(f"best of {len(study.trials)} trials, of which {pruned} were cut short: {study.best_params}")
    print(f"validation ELBO {study.best_value:.2f} nats; the run is in {asked.out}/trial-{study.best_trial.number}")


if __name__ == "__main__":
    main()
