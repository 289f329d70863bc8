"""The content of data: hashes of decoded values, by which a run knows its own, whatever their file is called."""

import hashlib

import numpy as np

from vlae.data.source import Array


def content_hash(value: Array) -> int:
    """Return a hash of a datum's content as a signed 64-bit number.

    Args:
        value: one datum, of any shape and type.
    """
    content = hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=8)
    return int.from_bytes(content.digest(), "big", signed=True)


def content_hashes(values: Array) -> Array:
    """Return the hash of each datum, int64 (N,).

    Args:
        values: data of any type, (N, ...); memory-mapped ones are read once, a datum at a time.
    """
    return np.fromiter((content_hash(value) for value in values), np.int64, len(values))


def digest(*hashes: Array) -> str:
    """Return one hash of the parts of a data set, in hex. It depends on the order of the data.

    Args:
        hashes: the hashes of each part's data, int64 (N,).
    """
    whole = hashlib.blake2b(digest_size=16)
    for part in hashes:
        whole.update(len(part).to_bytes(8, "big") + part.astype(">i8").tobytes())
    return whole.hexdigest()
