"""The processes of a training on several devices: those that this one starts and watches, or those that others start.

On one machine, `vlae.train` starts the others itself. Each does what the first does, with the same arguments, but
writes and prints nothing. They end with the first, however it ends, because they hear its end through a pipe. If one
of them dies, the training ends.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, NamedTuple

import torch

from vlae.errors import reason

GRACE = 10.0
"""Seconds in which the first process ends by itself after another has died; a GPU may let it wait without end."""

PATIENCE = 30.0
"""Seconds in which the others end by themselves after the training."""

COMPANION = "VLAE_COMPANION"
"""The environment variable that tells a process that it was started here."""


class LostError(ConnectionError):
    """Another process of the training has ended, or cannot be reached."""


class Started(NamedTuple):
    """Processes that torchrun, SLURM or a user has started."""

    by: str
    """What started them, in words."""
    num: int
    """The number of processes in all."""
    num_here: int
    """The number of processes on each machine."""


def started() -> Started | None:
    """The processes to which this one belongs, as the environment says; None: it was started alone."""
    env = os.environ
    if "SLURM_NTASKS" in env and "SLURM_PROCID" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        by, num, num_here = "SLURM", env["SLURM_NTASKS"], env.get("SLURM_NTASKS_PER_NODE")
        num_here = num_here or str(int(num) // int(env.get("SLURM_NNODES", 1)))
    elif "LOCAL_RANK" in env and "WORLD_SIZE" in env and COMPANION not in env:
        by, num = "torchrun" if "TORCHELASTIC_RUN_ID" in env else "LOCAL_RANK", env["WORLD_SIZE"]
        num_here = env.get("LOCAL_WORLD_SIZE", num)
    else:
        return None
    return Started(by, int(num), int(num_here))


def is_alone(devices: int | str) -> bool:
    """Whether one process trains, as far as the words and the environment tell.

    Args:
        devices: the number that was asked for, or "auto".
    """
    return started() is None and COMPANION not in os.environ and str(devices) in ("1", "auto")


def counted(devices: int | str, num_nodes: int, *, begun_on: int | None) -> tuple[int | str, int]:
    """The devices of each machine, and the machines: as asked for, else as the processes were started.

    Args:
        devices: the number that was asked for, or "auto".
        num_nodes: the number of machines that was asked for.
        begun_on: devices in all that a training which goes on was begun on; None: it begins.

    Raises:
        ValueError: if other processes were started than were asked for.
    """
    there = started()
    if there is None:
        if num_nodes > 1 and COMPANION not in os.environ:
            raise ValueError(
                "several machines need torchrun or SLURM, which start the processes: torchrun --nnodes "
                f"{num_nodes} … -m vlae train …; see Several devices and machines in the docs"
            )
        return (begun_on or devices) if devices == "auto" else devices, num_nodes
    here = there.num_here if devices == "auto" else devices
    nodes = there.num // max(1, there.num_here) if num_nodes == 1 else num_nodes
    if not isinstance(here, int) or here * nodes != there.num:
        raise ValueError(
            f"{there.by} has started {there.num} processes, {there.num_here} on each machine, and {here} devices on "
            f"{nodes} machines were asked for; leave devices and num_nodes out"
        )
    return here, nodes


class _Others:
    """The processes that this one has started.

    Args:
        num: the number of processes, with this one.
        arguments: of `vlae.train`.
        again: the command by which the training goes on.

    Raises:
        ValueError: if the arguments cannot be given to another process.
    """

    def __init__(self, num: int, arguments: Mapping[str, Any], again: str):
        self.again, self.over = again, threading.Event()
        try:
            given = pickle.dumps((sys.path, _checked(arguments)))
        except Exception as error:  # a class of a user raises what it likes
            raise ValueError(
                f"several devices need arguments that another process can be given ({reason(error)}); define callbacks "
                "and other classes in a file that can be imported, not in the script or notebook itself"
            ) from error
        self.processes = [self._start(rank) for rank in range(1, num)]
        for process in self.processes:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it has died, which is found out later
                process.stdin.write(given)
                process.stdin.flush()  # and stays open: the end of this process is the end of the pipe
        threading.Thread(target=self._watch, daemon=True).start()

    @staticmethod
    def _start(rank: int) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "LOCAL_RANK": str(rank), COMPANION: "1"}
        command = [sys.executable, "-c", "from vlae.training.companions import main; main()"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def dead(self) -> str:
        """Which process has failed, and why; "" if none has."""
        for number, process in enumerate(self.processes, start=2):
            if process.poll():
                code = process.returncode
                said = process.stdout.read().decode(errors="replace").strip() if process.stdout else ""
                how = said or (f"killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with code {code}")
                return f"process {number} of {len(self.processes) + 1} of the training has ended ({how})"
        return ""

    def why(self, seconds: float) -> str:
        """As `dead`, after waiting so long for a process to end."""
        until = time.monotonic() + seconds
        while not (dead := self.dead()) and time.monotonic() < until:
            time.sleep(0.05)
        return dead

    def _watch(self) -> None:
        """Ends this process if another has died, and it does not notice by itself."""
        while not self.over.wait(0.5):
            if any(process.poll() for process in self.processes):
                if self.over.wait(GRACE):
                    return
                print(f"vlae: {self.dead()}; go on with: {self.again}", file=sys.stderr, flush=True)
                self.kill()
                os._exit(2)

    def kill(self) -> None:
        """Ends all of them now."""
        for process in self.processes:
            process.kill()
            process.wait()

    def end(self, *, failed: bool) -> None:
        """Waits until they have ended; kills those that do not, or all after a failure."""
        self.over.set()
        until = time.monotonic() + (0 if failed else PATIENCE)
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
        self.kill()
        for process in self.processes:
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    assert pipe is not None
                    pipe.close()


def _checked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments; refused if they need what only this script or notebook has."""
    for value in arguments.values():
        for each in value if isinstance(value, list | tuple) else (value,):
            if type(each).__module__ == "__main__" or getattr(each, "__module__", "") == "__main__":
                raise pickle.PicklingError(f"{type(each).__name__} is defined in __main__")
    return dict(arguments)


@contextmanager
def accompanied(num: int, arguments: Mapping[str, Any], again: str) -> Iterator[None]:
    """Starts the other processes of a training, which all train in the block; or finds those that others started.

    Args:
        num: processes that train together on this machine; 1: nothing is done.
        arguments: of `vlae.train`, for the other processes.
        again: the command by which the training goes on.

    Raises:
        LostError: if another process ends before its time, or cannot be reached.
        ValueError: if the arguments cannot be given to another process.
    """
    if num == 1 and started() is None:
        yield
        return
    others = None
    with _environment():
        if started() is None and COMPANION not in os.environ:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"}
            os.environ |= {"WORLD_SIZE": str(num)}
            others = _Others(num, arguments, again)
            os.environ["LOCAL_RANK"] = "0"  # by which Lightning knows that it is not to start them
        if not os.environ.get("OMP_NUM_THREADS"):
            torch.set_num_threads(max(1, _cores() // num))
        failed = True
        try:
            yield
            failed = False
        except RuntimeError as error:
            dead = others.why(2.0) if others else ""
            if not dead and not _is_broken(error):
                raise
            what = dead or f"another process of the training has ended, or cannot be reached ({reason(error)})"
            raise LostError(f"{what}; go on with: {again}") from error
        finally:
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                with suppress(RuntimeError):
                    torch.distributed.destroy_process_group()
            if others:
                others.end(failed=failed)


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_broken(error: RuntimeError) -> bool:
    """Whether an error of PyTorch says that another process cannot be reached."""
    words = ("gloo", "connection", "nccl", "timed out")
    return isinstance(error, torch.distributed.DistError) or any(word in str(error).lower() for word in words)


@contextmanager
def _environment() -> Iterator[None]:
    """Restores the environment and the number of threads after the block, so that the next training begins alike."""
    before, threads = dict(os.environ), torch.get_num_threads()
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ |= before
        torch.set_num_threads(threads)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def leave() -> None:
    """Ends this process if it was started by another, which does the rest alone."""
    if COMPANION in os.environ:
        raise SystemExit(0)


def main() -> None:
    """What a companion does: it takes the arguments of `vlae.train` from the standard input, and trains."""
    import warnings

    pipe, told = sys.stdin.buffer, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed is no answer
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the first process says when all stop
    warnings.simplefilter("ignore")
    path, arguments = _received(pipe)
    sys.path[:] = path
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    from vlae.training.train import train

    try:
        train(**{**arguments, "progress": False})
    except KeyboardInterrupt:
        os._exit(0)  # stopped together
    except Exception as error:
        print(reason(error), file=told, flush=True)
        os._exit(1)


def _received(pipe: IO[bytes]) -> Any:
    try:
        return pickle.load(pipe)  # of the process that has started this one
    except EOFError:
        os._exit(1)


def _end_with_the_first() -> None:
    """Ends this process when the one that has started it ends, and with it the pipe."""
    os.read(0, 1)
    os._exit(1)
