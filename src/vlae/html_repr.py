"""What a notebook shows of an object at the end of a cell: the class says that it has HTML, `vlae.notebook` makes it.

The rooms below know nothing of HTML, and import nothing to show it: `vlae.notebook` is looked up by its name when a
notebook asks.
"""

from importlib import import_module


class HtmlRepr:
    """An object that Jupyter shows as HTML; anywhere else it is its `repr`."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        """HTML that stands alone, for a notebook; None: the notebook shows the `repr`."""
        html: str | None = import_module("vlae.notebook.views").html_of(self)
        return html
