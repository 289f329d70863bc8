"""What is measured beside the rest: an error or Ctrl-C of either surfaces, and nothing else of the process changes."""

import warnings
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info

from vlae import recipes
from vlae.data import Images
from vlae.evaluation import measures, metrics
from vlae.evaluation.threads import thread_beside

COMPLEXITY = {"one": {"linear": 0.8, "large": 0.8}, "two": {"linear": 0.4, "large": 0.8}}


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_an_interruption_does_not_wait_for_the_thread():
    go_on = Event()
    with pytest.raises(KeyboardInterrupt), thread_beside() as thread:
        running, waiting = thread.submit(go_on.wait, 60), thread.submit(go_on.wait, 60)
        raise KeyboardInterrupt
    assert not running.done() and waiting.cancelled()
    go_on.set()
    assert running.result()


def test_the_process_is_left_as_it_was():
    before = torch.get_num_threads(), blas_threads(), warnings.filters[:]
    try:
        torch.set_num_threads(3)
        with thread_beside() as thread:
            assert torch.get_num_threads() == 2 and set(blas_threads()) == {1}
            with warnings.catch_warnings(record=True) as caught:
                thread.submit(warnings.warn, "not the best", ConvergenceWarning).result()
                assert thread.submit(np.exp, np.float64(1e5)).result() == np.inf  # no warning of an overflow
        assert not caught and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before[0])
    assert (torch.get_num_threads(), blas_threads(), warnings.filters[:]) == before


@pytest.fixture
def table(rng):
    """A model of vectors, and data of which two factors are known."""
    values = rng.normal(size=(80, 5)).astype(np.float32)
    recipe = replace(recipes.lean((5,), code_sizes=(2, 3), width=4), mean=0.0, stddev=1.0)
    return recipes.build(recipe), Images(values=values, factors={"one": values[:, 0], "two": values[:, 1]})


def test_an_error_in_the_thread_is_an_error_of_the_evaluation(table, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("in a metric")

    monkeypatch.setattr(metrics, "sap", broken)
    with pytest.raises(ZeroDivisionError, match="in a metric"):
        measures.evaluate(*table, complexity=COMPLEXITY)


def test_metrics_are_measured_while_the_rest_is(table, monkeypatch):
    ended, said = Event(), []

    def last(*_, **__):
        ended.set()
        return metrics.DCI(0.0, 0.0, 0.0)

    def say(what):
        said.append(what)
        if what.startswith("what every level tells"):
            assert ended.wait(60)

    monkeypatch.setattr(metrics, "dci_boosted", last)
    measures.evaluate(*table, complexity=COMPLEXITY, say=say)
    assert said[-1] == "disentanglement"
