"""Loggers besides metrics.csv: TensorBoard, and others by their name; callbacks of Lightning."""

import csv
import shutil
import sys
import warnings
from types import ModuleType, SimpleNamespace

import lightning
import numpy as np
import pytest
from command_line import refusal
from interrupting import stop_at_step

import vlae
from vlae import workflows
from vlae.cli.main import app
from vlae.errors import MissingExtraError
from vlae.training import loggers, loop
from vlae.training.loggers import Log, loggers_of
from vlae.training.train import Stopped


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(workflows.page, "write", lambda run: None)
    monkeypatch.setattr(loop, "LOG_EVERY", 4)


def quick(out, **settings):
    pictures = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    return vlae.train(
        pictures, out=out, **{"steps": 12, "batch_size": 8, "code_sizes": (1, 2), "progress": False} | settings
    )


def rows(path):
    with (path / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def scalars(path, name):
    """What TensorBoard shows of a column: step and value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


class Kept(lightning.pytorch.loggers.logger.DummyLogger):
    """Keeps what it is given."""

    def __init__(self, fails_at=None):
        super().__init__()
        self.config, self.rows, self.fails_at = None, [], fails_at

    def log_hyperparams(self, params):
        self.config = params

    def log_metrics(self, metrics, step=None):
        if step == self.fails_at:
            raise OSError("the server is away")
        self.rows.append((step, metrics))


def test_tensorboard_is_written_into_the_run_if_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.delenv("VLAE_LOGGER")
    run = quick(tmp_path / "run", validation=0.2)
    for name in ("distortion", "rate_2", "val_elbo", "learning_rate"):
        in_file = [(int(row["step"]), float(row[name])) for row in rows(run.path) if row[name] != "nan"]
        assert in_file and np.allclose(scalars(run.path, name), in_file, rtol=1e-6)
    shared = run.save_pretrained(tmp_path / "shared")
    assert not (shared / "tensorboard").exists()
    shutil.rmtree(run.path / "tensorboard")
    vlae.load(run.path)


def test_without_tensorboard_nothing_is_written_and_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("VLAE_LOGGER")
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    assert not (quick(tmp_path / "run").path / "tensorboard").exists()
    for name in ("tensorboard", "wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
        monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger", absent)
        with pytest.raises(MissingExtraError, match=f"the logger {name} needs .*: pip install {name}"):
            quick(tmp_path / "other", logger=name)
        assert not (tmp_path / "other").exists()


def absent(**options):
    raise ModuleNotFoundError("mlflow")


@pytest.mark.parametrize("off", ["none", None, False, []])
def test_it_can_be_switched_off(tmp_path, monkeypatch, off):
    monkeypatch.delenv("VLAE_LOGGER")
    assert loggers_of(off, tmp_path) == []
    monkeypatch.setenv("VLAE_LOGGER", "none")
    assert loggers_of("auto", tmp_path) == loggers_of(True, tmp_path) == []


def test_tensorboard_shows_no_step_twice_after_a_resume(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at_step(patch, 6)
        with pytest.raises(Stopped):
            quick(tmp_path / "run", logger="tensorboard")
    run = quick(tmp_path / "run", logger="tensorboard", resume=True)
    assert [step for step, _ in scalars(run.path, "distortion")] == [int(row["step"]) for row in rows(run.path)]


def test_a_logger_of_ones_own_gets_every_row_and_the_recipe(tmp_path):
    kept, other = Kept(), Kept()
    run = quick(tmp_path / "run", logger=[kept, other])
    in_file = [(int(row["step"]), {name: float(value) for name, value in row.items()}) for row in rows(run.path)]
    assert kept.rows == other.rows == in_file
    assert kept.config["training.steps"] == 12 and kept.config["objective.kind"] == "elbo"
    assert all(isinstance(value, str | int | float) for value in kept.config.values())


def test_a_logger_that_fails_is_left_out_and_the_training_goes_on(tmp_path):
    failing, kept = Kept(fails_at=8), Kept()
    with pytest.warns(UserWarning, match="Kept failed and logs no more .the server is away.; the training goes on"):
        run = quick(tmp_path / "run", logger=[failing, kept])
    assert [step for step, _ in failing.rows] == [4]
    assert [step for step, _ in kept.rows] == [4, 8, 12]
    assert (run.path / "model.safetensors").exists()


def test_a_logger_that_cannot_start_is_left_out(tmp_path):
    class Closed(Kept):
        @property
        def experiment(self):
            raise ConnectionError("no server")

    closed, kept = Closed(), Kept()
    with pytest.warns(UserWarning, match="Closed failed and logs no more .no server."):
        quick(tmp_path / "run", logger=[closed, kept])
    assert not closed.rows and [step for step, _ in kept.rows] == [4, 8, 12]


def test_what_is_no_logger_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="no logger 'tensorbord'; choose one of auto, tensorboard, wandb, mlflow, none"
    ):
        quick(tmp_path / "run", logger="tensorbord")
    with pytest.raises(ValueError, match="a logger of Lightning"):
        quick(tmp_path / "run", logger=3)
    assert not (tmp_path / "run").exists()


def test_a_value_that_was_not_measured_is_not_written():
    kept = Kept()
    Log([kept]).row(3, {"distortion": 1.0, "val_elbo": float("nan")})
    assert kept.rows == [(3, {"distortion": 1.0})]


@pytest.mark.parametrize(
    ("key", "mode", "netrc", "asked"),
    [
        (None, None, None, {"mode": "offline"}),
        (None, None, "machine api.wandb.ai\nlogin user\npassword key\n", {}),
        (None, None, "machine other\nlogin user\npassword key\n", {"mode": "offline"}),
        ("key", None, None, {}),
        (None, "online", None, {}),  # as it was told
    ],
)
def test_wandb_stays_off_the_network_where_nobody_is_logged_in(tmp_path, monkeypatch, key, mode, netrc, asked):
    made = {}
    monkeypatch.setitem(sys.modules, "wandb", ModuleType("wandb"))
    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", lambda **options: made.update(options) or Kept())
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if netrc:
        (tmp_path / "netrc").write_text(netrc)
    for name, value in (("WANDB_API_KEY", key), ("WANDB_MODE", mode), ("WANDB_BASE_URL", None)):
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    assert len(loggers_of("wandb", tmp_path / "run")) == 1
    assert made == {"project": "vlae", "name": "run", "save_dir": tmp_path / "run", **asked}


@pytest.mark.parametrize("of_the_caller", [False, True])
def test_each_training_ends_the_run_of_wandb_that_it_began(tmp_path, monkeypatch, of_the_caller):
    wandb, ended = ModuleType("wandb"), []
    wandb.run = object() if of_the_caller else None
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    experiment = SimpleNamespace(finish=lambda: ended.append(1))
    made = type("WandbLogger", (Kept,), {"experiment": experiment})
    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", lambda **options: made())
    quick(tmp_path / "run", logger="wandb")
    assert len(ended) == (0 if of_the_caller else 1)


def test_mlflow_writes_where_it_is_told_or_else_here(tmp_path, monkeypatch):
    made = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger", lambda **options: made.update(options) or Kept())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    loggers_of("mlflow", tmp_path / "run")
    assert made == {"experiment_name": "vlae", "run_name": "run", "tracking_uri": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking")
    loggers_of("mlflow", tmp_path / "run")
    assert made["tracking_uri"] == "http://tracking"


class Watching(lightning.Callback):
    """Keeps the latest row at every step; stops after some."""

    def __init__(self, until=99):
        self.seen, self.until = {}, until

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if "distortion" in trainer.callback_metrics:
            self.seen[trainer.global_step] = float(trainer.callback_metrics["distortion"])
        trainer.should_stop |= trainer.global_step >= self.until

    def state_dict(self):
        return {"seen": len(self.seen)}


def test_callbacks_see_every_row(tmp_path):
    watching = Watching()
    run = quick(tmp_path / "run", callbacks=[watching])
    for row in rows(run.path):
        assert watching.seen[int(row["step"])] == pytest.approx(float(row["distortion"]))
    assert 3 not in watching.seen and watching.seen[6] == watching.seen[4]


def test_a_training_that_a_callback_ends_goes_on_to_the_very_same_weights(tmp_path):
    until_7 = Watching()
    until_7.until = 7
    run = quick(tmp_path / "run", callbacks=until_7)  # one needs no list
    assert [int(row["step"]) for row in rows(run.path)] == [4, 7]
    resumed, whole = quick(tmp_path / "run", resume=True), quick(tmp_path / "whole")
    assert [int(row["step"]) for row in rows(run.path)] == [4, 7, 8, 12]
    assert all((resumed.model.state_dict()[name] == value).all() for name, value in whole.model.state_dict().items())


def test_callbacks_change_nothing_else(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", category=RuntimeWarning)
        runs = [quick(tmp_path / str(len(callbacks)), callbacks=callbacks) for callbacks in ([], [Watching()])]
    states = [run.model.state_dict() for run in runs]
    assert all((states[0][name] == states[1][name]).all() for name in states[0])


def test_a_callback_may_keep_checkpoints_of_its_own(tmp_path):
    keeps = lightning.pytorch.callbacks.ModelCheckpoint(tmp_path / "own", every_n_train_steps=5, save_top_k=-1)
    quick(tmp_path / "run", callbacks=[keeps])
    assert len(list((tmp_path / "own").glob("*.ckpt"))) == 2


def test_what_a_callback_raises_ends_the_training_and_leaves_the_run_to_be_resumed(tmp_path):
    class EnoughError(Exception):
        pass

    class Raising(lightning.Callback):
        def on_train_batch_end(self, trainer, *args):
            if trainer.global_step == 6:
                raise EnoughError

    with pytest.raises(EnoughError):
        quick(tmp_path / "run", callbacks=[Raising()])
    quick(tmp_path / "run", resume=True)


def test_the_command_takes_several_loggers_by_name(capsys):
    command, bound, _ = app.parse_args(["train", "photos", "--logger", "tensorboard", "--logger", "wandb"])
    assert command.__name__ == "train" and bound.arguments["logger"] == ["tensorboard", "wandb"]
    assert "tensorbord" in refusal(capsys, "train", "photos", "--logger", "tensorbord")
