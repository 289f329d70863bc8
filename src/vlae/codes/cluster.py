"""Codes by the workers of a Ray cluster: actors with one model each, which write to one Lance data set."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vlae.atomic import WriteError
from vlae.codes.choice import Choice
from vlae.codes.encode import about_of, hash_of, identity, path_of
from vlae.codes.encoder import Encoder
from vlae.codes.files import CodesError
from vlae.codes.fragments import Fragments
from vlae.codes.lance import PATH, SETTINGS
from vlae.codes.parts import PART
from vlae.codes.shared import SharedSource
from vlae.data.counting import counting
from vlae.data.readers import STREETS
from vlae.data.sharding import SHARD, Share
from vlae.data.source import DataError
from vlae.errors import MissingExtraError, reason
from vlae.runs import Run
from vlae.runs.opening import load

SECONDS = 5
"""How long an address has to answer."""

PER_GPU = 4
"""Workers that share a GPU unless told otherwise: so many read and decode pictures for it."""


class ClusterError(ValueError):
    """A Ray cluster cannot be reached, or one of its workers failed."""


def encode_on_cluster(
    run: Run,
    source: str | Path,
    out: str | Path,
    *,
    address: str,
    workers: int | None = None,
    accelerator: str = "auto",
    progress: bool = False,
    **options: Any,
) -> str | Path:
    """Write the codes of all rows of a source to a Lance data set, by the workers of a Ray cluster.

    The rows and columns are those of `vlae.codes.encode.encode`. The source is cut into shares. Each is written whole
    or not at all, and all of them become one commit. If a worker is killed, another one encodes its share again; if
    this process is, the same call goes on with the shares that are missing.

    Args:
        run: a run of any model that has an encoder. Every worker opens it by its path, so that must lead to it there.
        source: a path, an address or a name that every worker can read.
        out: the folder of a data set that every worker can write to, or its address in an object store
            ("s3://bucket/codes.lance"). The name ends in .lance.
        address: where the cluster is: "local" starts one here, "auto" takes the one that this machine belongs to,
            or "ray://HOST:10001", or "HOST:6379".
        workers: how many actors encode, each with one processor, 1 or more. None: as many as there are processors; if
            the cluster has GPUs, at most four for each.
        accelerator: where a worker computes. "auto": on a GPU if the cluster has any. "cpu". "gpu".
        progress: whether to show a progress bar.
        options: how the source is read: `stream` (shard by shard; False), `layout` ("NHW", "NHWC" or "NCHW"; None:
            inferred), `key` (the array or column of the images), `id` (the column that names the rows); and what is
            written: `stddev` (False), `sample` (False), `reconstruction` (True), `seed` of the draws (0).

    Returns:
        The folder or address: `out`.

    Raises:
        ClusterError: if the cluster does not answer, or a worker fails.
        CodesError: if the output exists already, or was begun with something else, or has another ending.
        DataError: if the source cannot be read, or changes while it is encoded.
        MissingExtraError: if Ray or Lance is not installed.
        WriteError: if the output cannot be written.
    """
    if not str(out).rstrip("/").endswith(".lance"):
        raise CodesError(f"{out}: a cluster writes to a Lance data set; give a name that ends in .lance")
    if workers is not None and workers < 1:
        raise ClusterError(f"workers is {workers}; give 1 or more")
    if accelerator not in ("auto", "cpu", "gpu"):
        raise ClusterError(f"accelerator is {accelerator!r}; a worker computes on one of auto, cpu, gpu")
    run.model.require("encoder")
    choice = Choice(**options)
    place = str(out) if "://" in str(out) else str(Path(out).expanduser().resolve())
    fragments = Fragments(place)
    if fragments.is_whole() and not fragments.done():
        raise CodesError(f"{out} exists already, and is not written over; choose another --out (out=), or remove it")
    source = _from_anywhere(source)
    opened = SharedSource(run, source, choice)
    num = opened.num_shares
    about = about_of(run, opened.name, opened.label_names)
    if opened.stream is None:  # so that what is new in the source can be added by `encode`
        about |= {PATH: path_of(source, opened.name, opened.fingerprint), "source_hash": hash_of(opened.fingerprint)}
        about[SETTINGS] = choice.settings | {"rows_per_part": PART}
    record = Share(1, num).record(opened.total, opened.fingerprint, choice.settings)
    _check_begun(fragments, place, {**about, SHARD: record})
    there = {done["about"][SHARD]["number"] for done in fragments.done()}
    missing = [number for number in range(1, num + 1) if number not in there]
    job = {
        "run": Path(run.path).absolute(),
        "source": source,
        "choice": choice,
        "place": place,
        "about": about,
    }
    job |= {"record": record, "fingerprint": opened.fingerprint}
    if missing:
        with _cluster(address, workers) as (cpus, gpus), counting("encoding", num, progress) as advance:
            if accelerator == "gpu" and not gpus:
                raise ClusterError("the cluster has no GPU; choose auto or cpu, or start Ray where there is one")
            if accelerator == "cpu" or not gpus:
                accelerator, gpus = "cpu", 0
            many, share = _shared_out(workers, cpus, gpus, len(missing))
            advance(num - len(missing))
            for _ in _encoded(missing, job | {"accelerator": accelerator}, many, share):
                advance(1)
    opened.check_unchanged()
    fragments.commit()
    return out


def _from_anywhere(source: str | Path) -> str | Path:
    """A source by a path from the root, as a worker may run in another folder; links stay, names are no paths."""
    path = Path(source).expanduser()
    return str(path.absolute()) if path.exists() and not re.fullmatch(STREETS, str(source)) else source


def _check_begun(fragments: Fragments, place: str, about: dict[str, Any]) -> None:
    """Refuse to go on with shares of another run, source or choice of columns."""
    for done in fragments.done():
        told, asked = done["about"], about
        shard, wanted = told[SHARD], asked[SHARD]
        differing = [name for name in ("source_is", "total", "of", "settings") if shard.get(name) != wanted[name]]
        if told.get("weights") != asked["weights"]:
            differing = ["run"]
        if differing:
            what = {"source_is": "source, or state of it", "total": "source", "of": "source"}.get(differing[0])
            raise CodesError(
                f"{place} was begun with another {what or differing[0]}; go on with that, remove it, or choose another"
                " --out (out=)"
            )


def _shared_out(workers: int | None, cpus: int, gpus: int, num: int) -> tuple[int, float]:
    """How many workers encode so many shares of a source, and the part of a GPU that each has."""
    if workers is None:
        workers = min(cpus, PER_GPU * gpus) if gpus else cpus
    workers = min(workers, num)
    return workers, 1 / ceil(workers / gpus) if gpus else 0.0


class _Worker:
    """An actor: it opens the run and the source once, and encodes share after share."""

    def __init__(self, job: dict[str, Any]):
        import torch

        torch.set_num_threads(1)
        self.job = job
        run = load(job["run"], accelerator=job["accelerator"])
        if identity(run)["weights"] != job["about"]["weights"]:
            raise ClusterError(f"{job['run']} is another run on a worker; let all machines see the same folder")
        self.source = SharedSource(run, job["source"], job["choice"])
        if self.source.fingerprint != job["fingerprint"]:
            raise ClusterError(f"{job['source']} differs on a worker; let all machines see the same files")
        self.encoder = Encoder(run.model, **job["choice"].columns)
        self.fragments = Fragments(job["place"])

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = []
        for number in batch["number"].tolist():
            share = Share(number, self.job["record"]["of"])
            about = {**self.job["about"], SHARD: {**self.job["record"], "number": number}}
            rows.append(self.fragments.write(number, self.source.tables(self.encoder, share), about))
        return {"number": batch["number"], "rows": rows, "pid": [os.getpid()] * len(rows)}


def _encoded(numbers: list[int], job: dict[str, Any], workers: int, gpus: float) -> Iterator[dict[str, Any]]:
    """Let workers, each with this part of a GPU, encode shares; yield of each number, rows and writer."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    items = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
    done = items.map_batches(
        _Worker,
        fn_constructor_kwargs={"job": job},
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
        num_gpus=gpus,
    )
    try:
        yield from done.iter_rows()
    except Exception as error:
        raise _told(error) from error


def _told(error: Exception) -> Exception:
    """What a worker has raised, as this process would have; or one line. Ray tells it by the text of its traceback."""
    kinds = {kind.__name__: kind for kind in (ClusterError, CodesError, DataError, FileNotFoundError, WriteError)}
    lines = re.findall(r"^((?:\w+\.)*)([A-Z]\w*): (.+)$", str(error), re.MULTILINE)
    lines = [line for line in lines if not line[0].startswith("ray.")]
    for module, kind, words in reversed(lines):  # the last was raised from those before
        if module.startswith("vlae."):
            return kinds.get(kind, ClusterError)(words)
    for module, kind, words in lines:
        if not module and kind == FileNotFoundError.__name__:
            return FileNotFoundError(words)
    what = "{}{}: {}".format(*lines[0]) if lines else reason(error)
    return ClusterError(f"a worker of the cluster failed: {what}")


@contextmanager
def _cluster(address: str, workers: int | None) -> Iterator[tuple[int, int]]:
    """Join a cluster, or start one here; leave it afterwards.

    Yields:
        How many processors and how many GPUs it has.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError('a cluster needs Ray; install it with: pip install "vlae[cluster]"') from error
    _check_answers(address)
    if ray.is_initialized():
        raise ClusterError("this process has joined a Ray cluster already; leave it first: ray.shutdown()")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    settings: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    quiet = logging.getLogger("ray.data")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False, configure_logging=True, **settings)
    except Exception as error:  # of many kinds
        raise ClusterError(f"no Ray cluster answers at {address} ({reason(error)}); check the address") from error
    try:
        resources: Any = ray.available_resources  # has no types
        yield max(1, int(resources().get("CPU", 1))), int(resources().get("GPU", 0))
    finally:
        ray.shutdown()
        quiet.setLevel(level)


def _check_answers(address: str) -> None:
    """Check within seconds that somebody listens at an address; Ray itself tries for a minute."""
    if address in ("local", "auto"):
        return
    wrong = ClusterError(f"{address!r} is no address of a Ray cluster; give local, auto, ray://HOST:10001 or HOST:6379")
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if host is None or port is None or parts.scheme not in ("", "ray"):
        raise wrong
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster answers at {address} ({error.strerror or reason(error)}); check the address, or start one:"
            " ray start --head"
        ) from error
