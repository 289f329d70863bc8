"""Optional parts of vlae, which need packages that are not always installed."""


class MissingExtraError(ImportError, ValueError):
    """A part of vlae whose packages are not installed; says how to install them."""
