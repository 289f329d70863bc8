"""A training on several devices: one model, the whole batch, exact resume, and an end in bounded time."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from vlae.models.together import mean_over_devices, training_together
from vlae.objectives.elbo import ELBO
from vlae.runs.layout import RunError
from vlae.training import companions, loop
from vlae.training.companions import LostError, Started, counted, started
from vlae.training.train import Stopped, train

STEPS = 60
OUTSIDE = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")


def pictures(num=60, size=8):
    return np.random.default_rng(0).integers(0, 256, (num, size, size), dtype=np.uint8)


def together(out, source=None, **settings):
    usual = {"steps": STEPS, "batch_size": 8, "code_sizes": (1, 2), "progress": False, "accelerator": "cpu"}
    return train(pictures() if source is None else source, out=out, **{**usual, "devices": 2, **settings})


def assert_same(a, b):
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]


def at_step(monkeypatch, step, act, *, save_at_once=True):
    """Does something in the first process after a step; the others know nothing of it."""
    original = loop.Recorder.on_train_batch_end

    def acting(self, trainer, *args):
        if trainer.global_step == step:
            act()
        return original(self, trainer, *args)

    monkeypatch.setattr(loop.Recorder, "on_train_batch_end", acting)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 0 if save_at_once else 1e9)


@pytest.fixture
def theirs(monkeypatch):
    """The processes that a training starts."""
    seen, start = [], companions._Others._start

    def noted(rank):
        seen.append(start(rank))
        return seen[-1]

    monkeypatch.setattr(companions._Others, "_start", staticmethod(noted))
    return seen


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What two processes train, and what the first leaves of it behind: nothing."""
    before, threads = dict(os.environ), torch.get_num_threads()
    run = together(tmp_path_factory.mktemp("undisturbed") / "run")
    assert dict(os.environ) == before and torch.get_num_threads() == threads
    assert not torch.distributed.is_initialized()
    return run


def test_two_processes_train_one_run(undisturbed):
    assert undisturbed.history["step"].tolist() == [50, 60]
    assert not (undisturbed.path / "checkpoint.ckpt").exists()


def test_a_signal_to_the_first_stops_both_and_resume_is_exact(undisturbed, tmp_path, monkeypatch, theirs):
    with monkeypatch.context() as patch:
        at_step(patch, 5, lambda: signal.raise_signal(signal.SIGINT), save_at_once=False)
        with pytest.raises(Stopped, match="stopped after 50 of 60 steps"):
            together(tmp_path / "run")
    assert [process.returncode for process in theirs] == [0]
    with pytest.raises(RunError, match=r"begun on 2 devices, and 1 were asked for; .*: leave devices out, or give 2"):
        together(tmp_path / "run", resume=True, devices=1)
    resumed = together(tmp_path / "run", resume=True, devices="auto")
    assert_same(resumed, undisturbed)
    assert len(theirs) == 2


@pytest.mark.slow
def test_a_signal_to_another_process_stops_both(tmp_path, monkeypatch, theirs):
    at_step(monkeypatch, 5, lambda: theirs[0].send_signal(signal.SIGTERM), save_at_once=False)
    with pytest.raises(Stopped, match="stopped after 50 of 60 steps"):
        together(tmp_path / "run", on_interrupt="finish")
    assert (tmp_path / "run" / "checkpoint.ckpt").exists()


def test_when_another_process_is_killed_one_line_says_so_and_resume_is_exact(
    undisturbed, tmp_path, monkeypatch, theirs
):
    with monkeypatch.context() as patch:
        at_step(patch, 55, lambda: theirs[0].kill())
        line = (
            r"process 2 of 2 of the training has ended \(killed by SIGKILL\); go on with: vlae train --resume .*/run$"
        )
        with pytest.raises(LostError, match=line):
            together(tmp_path / "run")
    assert not torch.distributed.is_initialized()
    assert_same(together(tmp_path / "run", resume=True), undisturbed)


def alive(command):
    """The processes that were started with an argument, and still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if command in (folder / "environ").read_bytes().decode() and "Z" not in (folder / "stat").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
@pytest.mark.parametrize("how", ["kill the first", "kill all", "Ctrl-C"])
def test_nothing_is_left_when_the_first_or_all_are_killed(tmp_path, how):
    np.save(tmp_path / "a.npy", pictures())
    words = f"train {tmp_path}/a.npy --out {tmp_path}/run --code-sizes 1,2 --batch-size 8 --steps 1000000 --devices 2"
    mark = f"VLAE_TEST_OF_DEVICES={tmp_path}"
    name, value = mark.split("=")
    process = subprocess.Popen(
        [sys.executable, "-m", "vlae", *words.split(), "--accelerator", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": "1", name: value},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    until = time.monotonic() + 300
    while not (tmp_path / "run/metrics.csv").exists() or (tmp_path / "run/metrics.csv").read_bytes().count(b"\n") < 3:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.1)
    assert len(alive(mark)) == 2
    if how == "kill the first":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL if how == "kill all" else signal.SIGINT)
    _, said = process.communicate(timeout=120)
    until = time.monotonic() + 30
    while alive(mark):
        assert time.monotonic() < until, "a process was left behind"
        time.sleep(0.1)
    if how == "Ctrl-C":
        assert process.returncode == 130 and said.count(b"vlae:") == 1 and b"Traceback" not in said, said.decode()
        assert (tmp_path / "run/checkpoint.ckpt").exists()


SHARE = """
import torch
from torch.distributions import normal
torch.set_num_threads(1)
normal._standard_normal = lambda shape, dtype, device: torch.zeros(shape, dtype=dtype, device=device)
from vlae.nn import layers
layers._Bounded.forward = lambda self, h: h * self.weight.view(-1, *[1] * (h.dim() - 2)) + self.bias.sum()
from vlae.training.train import train
"""


def test_two_processes_with_half_a_batch_are_one_with_the_whole(tmp_path, monkeypatch):
    """Up to rounding, without noise and batch norm, which are each process's own."""
    from torch.distributions import normal

    from vlae.nn import layers

    def silent(shape, dtype, device):
        return torch.zeros(shape, dtype=dtype, device=device)

    monkeypatch.setattr(normal, "_standard_normal", silent)
    monkeypatch.setattr(
        layers._Bounded, "forward", lambda self, h: h * self.weight.view(-1, *[1] * (h.dim() - 2)) + self.bias.sum()
    )
    settings = {"steps": 4, "augment": "none", "free_bits": 0.5, "logger": "none", "schedule": "constant"}
    np.save(tmp_path / "a.npy", pictures())
    whole = together(tmp_path / "whole", str(tmp_path / "a.npy"), devices=1, batch_size=16, **settings)
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(companions._free_port()), "WORLD_SIZE": "2"}
    asked = {"out": f"{tmp_path}/halves", "batch_size": 8, "code_sizes": (1, 2), "progress": False, **settings}
    script = f"{SHARE}\ntrain({str(tmp_path / 'a.npy')!r}, accelerator='cpu', **{asked!r})"
    other = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, **environment, "LOCAL_RANK": "1"})
    for name, value in {**environment, "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    halves = together(tmp_path / "halves", str(tmp_path / "a.npy"), devices="auto", **settings)
    assert other.wait(60) == 0
    ours, theirs = halves.model.state_dict(), whole.model.state_dict()
    far = {name: ((ours[name] - value).abs() > 1e-4).float().mean().item() for name, value in theirs.items()}
    assert max(far.values()) < 0.02, far  # where the gradient is 0 but for rounding, Adam takes steps of either sign
    for name in ("distortion", "rate_1", "rate_2"):
        assert halves.history[name].iloc[-1] == pytest.approx(whole.history[name].iloc[-1], rel=1e-3)


def test_a_function_of_means_has_the_gradient_of_the_whole_batch(monkeypatch):
    """With the other share simulated: its mean is 3."""
    share = torch.tensor([1.0, 2.0], requires_grad=True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda total: total.add_(3.0))
    with training_together(2):
        mean = mean_over_devices(share.mean())
    assert mean.item() == 2.25
    mean.log().backward()
    assert share.grad.tolist() == pytest.approx([0.5 / 2.25] * 2)
    assert mean_over_devices(share) is share
    with training_together(2):
        rate = torch.tensor([1.0], requires_grad=True)  # 2 over both: above the free bits, though the share is not
        ELBO(free_bits=1.5)._charged(rate, 0.0).sum().backward()
    assert rate.grad.item() == 1


# What was started by others


@pytest.fixture
def alone(monkeypatch):
    for name in list(os.environ):
        if name in OUTSIDE or name.startswith("SLURM"):
            monkeypatch.delenv(name)
    return monkeypatch


def test_torchrun_and_slurm_say_how_many_processes_there_are(alone):
    assert started() is None and counted("auto", 1, begun_on=None) == ("auto", 1)
    assert counted("auto", 1, begun_on=2) == (2, 1) and counted(3, 1, begun_on=2) == (3, 1)
    with pytest.raises(ValueError, match="several machines need torchrun or SLURM"):
        counted(2, 2, begun_on=None)
    for name, value in {
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "4",
        "LOCAL_WORLD_SIZE": "2",
        "TORCHELASTIC_RUN_ID": "x",
    }.items():
        alone.setenv(name, value)
    assert started() == Started("torchrun", 4, 2)
    assert counted("auto", 1, begun_on=None) == counted(2, 2, begun_on=None) == (2, 2)
    with pytest.raises(ValueError, match=r"torchrun has started 4 processes, 2 on each machine, and 1 devices on 2"):
        counted(1, 1, begun_on=None)
    slurm = {"SLURM_NTASKS": "6", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "train", "SLURM_NNODES": "3"}
    for name, value in slurm.items():
        alone.setenv(name, value)
    assert started() == Started("SLURM", 6, 2)
    alone.setenv("SLURM_NTASKS_PER_NODE", "2")
    assert counted("auto", 1, begun_on=None) == (2, 3)
    alone.setenv("SLURM_JOB_NAME", "interactive")
    assert started().by == "torchrun"


def environments(num, port):
    """Of processes that torchrun starts on two machines, and SLURM; both on this one."""
    slurm = {"SLURM_NTASKS": num, "SLURM_NNODES": num, "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": 7}
    for rank in range(num):
        yield {
            **slurm,
            "SLURM_PROCID": rank,
            "SLURM_LOCALID": 0,
            "SLURM_NODEID": rank,
            "SLURM_NTASKS_PER_NODE": 1,
            "SLURM_NODELIST": "127.0.0.1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }


@pytest.mark.slow
@pytest.mark.parametrize("by", ["torchrun", "torchrun on two machines", "SLURM"])
def test_processes_that_others_start_train_one_run(tmp_path, by):
    np.save(tmp_path / "a.npy", pictures())
    words = f"-m vlae train {tmp_path}/a.npy --out {tmp_path}/run --code-sizes 1,2 --batch-size 8 --steps 20"
    words += " --accelerator cpu --logger none"
    port = companions._free_port()
    plain = {**os.environ, "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    if by == "torchrun":
        commands = [([*torchrun, "--nproc-per-node", "2", *words.split()], {})]
    elif by == "SLURM":
        commands = [
            ([sys.executable, *words.split()], {name: str(value) for name, value in each.items()})
            for each in environments(2, port)
        ]
    else:
        rendezvous = f"--nnodes 2 --nproc-per-node 1 --master-addr 127.0.0.1 --master-port {port} --node-rank"
        commands = [([*torchrun, *rendezvous.split(), str(rank), *words.split()], {}) for rank in (0, 1)]
    begun = [
        subprocess.Popen(command, env={**plain, **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command, more in commands
    ]
    said = [process.communicate(timeout=300) for process in begun]
    assert [process.returncode for process in begun] == [0] * len(begun), said
    assert "".join(out for out, _ in said).count("held-out squared error") == 1
    assert "".join(errors for _, errors in said).count("step 20 (100%)") == 1


# What cannot be


class Odd:
    """A callback that no other process can be given."""

    def __init__(self):
        self.lock = threading.Lock()


def test_what_cannot_be_is_refused_first(tmp_path, theirs):
    for source, settings, message in (
        (pictures(), {"minutes": 1}, "minutes cannot be kept by several devices"),
        (pictures(5), {"devices": 3}, "data are too few for 3 devices"),
        (pictures(), {"num_nodes": 2}, "several machines need torchrun or SLURM"),
        (pictures(), {"callbacks": [Odd()]}, r"arguments that another process can be given .*; define callbacks"),
    ):
        with pytest.raises(ValueError, match=message):
            together(tmp_path / "run", source, **settings)
    assert not theirs


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"recipe": "infogan"},
        {"recipe": "implicit"},
        {"sharp": True},
        {"labels": "all"},
        {"patience": 1},
        {"recipe": "m1+m2", "labels": "all"},
    ],
    ids=str,
)
def test_every_kind_of_objective_trains_on_several(tmp_path, settings):
    values = np.random.default_rng(0).integers(0, 256, (120, 16, 16), dtype=np.uint8)
    run = together(tmp_path / "run", (values, np.arange(120) % 3), code_sizes=None, steps=6, batch_size=16, **settings)
    assert run.history["step"].tolist() == [6]
