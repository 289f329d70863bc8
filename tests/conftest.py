"""What holds for every test: shapes are checked, the cache is its own, one thread does the work."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jaxtyping
import numpy as np
import pytest
from beartype import BeartypeConf, beartype

collect_ignore = [
    "blocks.py",
    "newcomers.py",
    "model_cases.py",
    "networks.py",
]  # imported by tests, and by nobody twice

CHECKED = ("nn", "models", "objectives", "figures")


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Checks shapes and types as mypy does: where a float is wanted, an int will do.

    Choices by name are left to the door that checks them, with a message of its own.
    """
    choices = [name for name, annotation in function.__annotations__.items() if "Literal[" in str(annotation)]
    function.__annotations__ |= dict.fromkeys(choices, Any)
    return beartype(conf=BeartypeConf(is_pep484_tower=True))(function)


# Signatures cannot lie: these folders are imported with every shape and type checked at every call.
if os.environ.get("VLAE_NO_SHAPE_CHECKS") != "1":
    jaxtyping.install_import_hook([f"vlae.{room}" for room in CHECKED], f"{__name__}.check")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; subprocesses would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Numbers that tests expect are those of fp32. Processes that tests start take it, too: without the instructions for
# bf16 it is the faster one.
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_VNNI"
os.environ["VLAE_LOGGER"] = "none"  # TensorBoard is installed; tests/training/test_loggers.py tests it


@pytest.fixture(scope="module")
def no_pages() -> Iterator[None]:
    """For tests that train and do not look at the page: drawing its figures takes longer than their trainings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vlae.workflows.page", SimpleNamespace(write=lambda run: None))
        yield


@pytest.fixture
def unchecked() -> Iterator[None]:
    """For tests of what a function itself says of a wrong type or shape."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _fp32() -> Iterator[None]:
    """Numbers that tests expect are those of fp32, also where a processor is faster in bf16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vlae.training.precision.lacks_bf16", lambda: True)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For tests of what the cache holds: an empty one for each."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("VLAE_CACHE", str(folder))
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    return failed_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    return failed_in_ci((yield))


def failed_in_ci(report: Any) -> Any:
    """In CI nothing that is promised may be skipped, a test or a whole file, so a skip is a failure there."""
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome, report.longrepr = "failed", f"skipped in CI: {report.longrepr}"
    return report
