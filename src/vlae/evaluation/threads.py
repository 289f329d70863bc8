"""A second thread, in which something is measured beside the rest."""

import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits


@contextmanager
def thread_beside() -> Iterator[Executor]:
    """A thread that measures while the caller measures something else; an error of the caller does not wait for it.

    Meanwhile PyTorch leaves it a processor: more threads than processors wait for each other, and burn time. BLAS has
    one thread, so that no number depends on what the other one does. Filters of warnings belong to the process, so the
    one that both need is set around both.
    """
    thread = ThreadPoolExecutor(1, initializer=partial(np.seterr, over="ignore", invalid="ignore"))
    num_threads = torch.get_num_threads()
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        torch.set_num_threads(max(1, num_threads - 1))
        try:
            yield thread
        finally:
            torch.set_num_threads(num_threads)
            thread.shutdown(wait=False, cancel_futures=True)
