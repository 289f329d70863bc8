"""Data of any source → one `Images`: `load` finds the reader, brings every picture to one shape and keeps a cache."""

from vlae.data.images import Images as Images
from vlae.data.loader import load as load
from vlae.data.source import DataError as DataError
