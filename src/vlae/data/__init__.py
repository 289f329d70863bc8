"""Data from any source → one `Images`: `load` finds the reader, brings all pictures to one shape and caches them."""

from vlae.data.images import Images as Images
from vlae.data.loader import load as load
from vlae.data.source import DataError as DataError
