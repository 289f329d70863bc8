"""Errors that several folders raise; each says what was given, what was expected and what to do."""


class NotDefinedError(ValueError):
    """A number or a function that cannot be had here; says why, and what would define it."""


class MissingExtraError(ImportError, ValueError):
    """A part of vlae whose packages are not installed; says how to install them."""
