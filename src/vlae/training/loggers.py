"""Loggers of a training besides metrics.csv: TensorBoard, Weights & Biases, MLflow, or any logger of Lightning."""

import os
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from vlae.errors import MissingExtraError, reason
from vlae.runs.layout import TENSORBOARD

LoggerName = Literal["auto", "tensorboard", "wandb", "mlflow", "none"]
"""auto: what $VLAE_LOGGER names; without it, TensorBoard if it is installed."""

PROJECT = "vlae"
"""The project of Weights & Biases, and the experiment of MLflow, that runs belong to."""

_NAMES = get_args(LoggerName)


def loggers_of(logger: Any, path: Path, *, step: int = 0) -> list[Any]:
    """The loggers that were asked for.

    Nothing is written and no server is asked before `Log.start`.

    Args:
        logger: a name (`LoggerName`), a logger of Lightning, or a list of these; None or False: none; True: "auto".
        path: the run's folder, in which TensorBoard and Weights & Biases write.
        step: the step from which a training goes on; what TensorBoard has of later steps is dropped.

    Raises:
        MissingExtraError: if the package of a logger is not installed.
        ValueError: if there is no logger of a name.
    """
    if logger is None or logger is False:
        return []
    several = logger if isinstance(logger, Sequence) and not isinstance(logger, str) else [logger]
    made = [_made("auto" if each is True else each, path, step) for each in several]
    return [each for each in made if each is not None]


def _made(logger: Any, path: Path, step: int) -> Any:
    """One logger; None: none."""
    if not isinstance(logger, str):
        if not hasattr(logger, "log_metrics"):
            raise ValueError(f"logger is {logger!r}; give {', '.join(_NAMES)}, or a logger of Lightning")
        return logger
    if logger == "auto":
        logger = os.environ.get("VLAE_LOGGER") or ("tensorboard" if find_spec("tensorboard") else "none")
    if logger not in _NAMES:
        raise ValueError(f"there is no logger {logger!r}; choose one of {', '.join(_NAMES)}")
    if logger == "none":
        return None
    try:
        return _named(logger, path, step)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the logger {logger} needs a package that is not installed ({reason(error)}): pip install {logger}"
        ) from error


def _named(name: str, path: Path, step: int) -> Any:
    """A logger of a package that may not be installed."""
    from lightning.pytorch import loggers

    if name == "tensorboard":
        import_module(name)  # else Lightning takes another package that writes such files
        beyond: dict[str, Any] = {"purge_step": step + 1} if step else {}
        return loggers.TensorBoardLogger(path, name=TENSORBOARD, version="", **beyond)
    if name == "wandb":
        wandb = import_module(name)
        stay: dict[str, Any] = {} if os.environ.get("WANDB_MODE") or _is_logged_in() else {"mode": "offline"}
        logger: Any = loggers.WandbLogger(project=PROJECT, name=path.name, save_dir=path, **stay)
        logger.begins_a_run = getattr(wandb, "run", None) is None  # else it writes into the run that the caller began
        return logger
    return loggers.MLFlowLogger(
        experiment_name=PROJECT,
        run_name=path.name,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{Path('mlflow.db').resolve()}"),
    )


def _is_logged_in() -> bool:
    """Whether Weights & Biases knows a user here; else it would ask for one, or refuse to start."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False


class Log:
    """Writes rows of a training to loggers. One that fails is told of and left out; the training goes on.

    Args:
        loggers: of Lightning; those that fail are removed from this list.
    """

    def __init__(self, loggers: list[Any]):
        self.loggers = loggers

    def start(self) -> "Log":
        """Opens files and asks servers, so that a logger that cannot is left out before the training starts."""
        self._each(lambda logger: getattr(logger, "experiment", None))
        return self

    def config(self, settings: Mapping[str, Any]) -> None:
        """Writes the settings of the run.

        Args:
            settings: of the recipe, nested; lists become text.
        """
        self._each(lambda logger: logger.log_hyperparams(_flat(settings)))

    def row(self, step: int, values: Mapping[str, float]) -> None:
        """Writes a row.

        Args:
            step: the number of steps done.
            values: by the names of the columns of metrics.csv; NaN is left out.
        """
        known = {name: value for name, value in values.items() if value == value}
        self._each(lambda logger: logger.log_metrics(known, step=step))

    def close(self) -> None:
        """Ends the runs of Weights & Biases that were begun here, so that the next training gets one of its own."""
        self._each(lambda logger: getattr(logger, "begins_a_run", False) and logger.experiment.finish())

    def _each(self, write: Any) -> None:
        for logger in list(self.loggers):
            try:
                write(logger)
            except Exception as error:  # of a server, a disk or a package: nothing that a training should die of
                self.loggers.remove(logger)
                name = type(logger).__name__
                warnings.warn(f"{name} failed and logs no more ({reason(error)}); the training goes on", stacklevel=4)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; lists as text."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, str | int | float | bool) else str(value)
    return flat
