"""The error of files of codes."""


class CodesError(ValueError):
    """A file of codes cannot be written or read."""
