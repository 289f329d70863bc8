"""Data from any source: `load` → one `Images`, decoded once and cached; `open_stream` → shards, read one by one."""

from vlae.data.images import Images as Images
from vlae.data.loader import load as load
from vlae.data.source import DataError as DataError
from vlae.data.streams import Stream as Stream
from vlae.data.streams import open_stream as open_stream
