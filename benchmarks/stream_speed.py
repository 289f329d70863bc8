"""How fast a stream gives batches beside the memory map, and whether its memory stays flat; see README.md."""

import argparse
import io
import os
import resource
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet

from vlae.data import load, open_stream
from vlae.data.sampling import sample_of
from vlae.recipes import Training
from vlae.training.batches import Batches
from vlae.training.streaming import StreamBatches


class Start:
    """Where a training begins."""

    global_step, global_rank, world_size = 0, 0, 1


def pictures(num: int, side: int) -> Iterator[tuple[str, bytes]]:
    """Smooth random pictures as JPEG files, drawn one by one; as large as photographs of that side."""
    rng = np.random.default_rng(0)
    for number in range(num):
        rough = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        rough.resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        yield f"{number:08d}", buffer.getvalue()


def write(folder: Path, num: int, side: int, per_shard: int) -> None:
    """The same pictures as .tar shards, as a Parquet file, and as an array of their size."""
    for kind in ("tar", "parquet"):
        (folder / kind).mkdir()
    tar: tarfile.TarFile | None = None
    rows: list[bytes] = []
    writer = parquet.ParquetWriter(folder / "parquet" / "all.parquet", pyarrow.schema({"image": pyarrow.binary()}))
    for number, (name, content) in enumerate(pictures(num, side)):
        if number % per_shard == 0:
            if tar is not None:
                tar.close()
            tar = tarfile.open(folder / "tar" / f"{number // per_shard:05d}.tar", "w")  # noqa: SIM115
        info = tarfile.TarInfo(f"{name}.jpg")
        info.size = len(content)
        assert tar is not None
        tar.addfile(info, io.BytesIO(content))
        rows.append(content)
        if len(rows) == per_shard or number == num - 1:
            writer.write_table(pyarrow.table({"image": rows}))
            rows = []
    assert tar is not None
    tar.close()
    writer.close()


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run(batches: object, num: int, clock: Callable[[], float], every: int) -> tuple[float, list[int]]:
    """Take batches of so many pictures: the time after the first, and the memory after each `every` pictures."""
    seen, memory = 0, []
    iterator = iter(batches)  # type: ignore[call-overload]
    next(iterator)
    begun = clock()
    for batch in iterator:
        seen += len(batch.x)
        if seen // every > len(memory):
            memory.append(resident())
        if seen >= num:
            return clock() - begun, memory
    raise AssertionError("the batches have no end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000, help="how many there are")
    parser.add_argument("--side", type=int, default=64, help="of each, in pixels")
    parser.add_argument("--buffers", type=int, default=10, help="how many times the buffer is read")
    parser.add_argument(
        "--processor-time", action="store_true", help="count seconds of the processor, not of the clock"
    )
    args = parser.parse_args()
    clock = time.process_time if args.processor_time else time.perf_counter
    num, buffer = args.pictures, max(128, args.pictures // args.buffers)
    with tempfile.TemporaryDirectory() as place:
        os.environ["VLAE_CACHE"] = str(Path(place) / "cache")
        write(Path(place), num, args.side, per_shard=max(1, buffer // 2))
        array = np.lib.format.open_memmap(
            Path(place) / "all.npy", mode="w+", dtype=np.uint8, shape=(num, 3, args.side, args.side)
        )
        stream = open_stream(Path(place) / "tar")
        at = 0
        for shard in range(len(stream.shards)):
            for piece in stream.read(shard):
                array[at : at + len(piece.images)] = piece.images.values
                at += len(piece.images)
        array.flush()
        del array
        training = Training(batch_size=64)
        mapped = load(Path(place) / "all.npy", split="all")
        seconds, _ = run(Batches(mapped.values, None, training, Start()), num, clock, buffer)
        print(f"{'memory map':>12} {num / seconds:10,.0f} pictures/s")
        encoded = [content for _, content in zip(range(2_000), pictures(2_000, args.side), strict=False)]
        begun = clock()
        for _, content in encoded:
            np.asarray(Image.open(io.BytesIO(content)))
        print(f"{'Pillow alone':>12} {len(encoded) / (clock() - begun):10,.0f} pictures/s decoded in one thread")
        for kind in ("tar", "parquet"):
            stream = open_stream(Path(place) / kind)
            sample = sample_of(stream)
            none = np.zeros(0, np.int64)
            batches = StreamBatches(stream.like(sample), training, Start(), buffer=buffer, left_out=none, sample=sample)
            seconds, memory = run(batches, num, clock, buffer)
            batches.close()
            first, last = max(memory[:2]) / 2**20, max(memory[2:] or memory) / 2**20
            of_buffer = f"buffer of {buffer:,}, {batches.num_bytes / 2**20:.0f} MiB"
            print(
                f"{kind:>12} {num / seconds:10,.0f} pictures/s; {of_buffer}; in memory"
                f" {first:,.0f} MiB after 2 buffers, at most {last:,.0f} MiB later"
            )
    print(f"{'peak':>12} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:10,.0f} MiB of this process")


if __name__ == "__main__":
    main()
