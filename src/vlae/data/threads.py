"""The rows of a source, each on its own, in threads: what each gives, or why it fails."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vlae.data.counting import counting
from vlae.data.source import DataError


def for_each(do: Any, indices: list[int], title: str, progress: bool) -> tuple[dict[int, Any], dict[int, str]]:
    """Call a function for every row, in threads; Pillow decodes without Python's lock.

    Args:
        do: the function, which takes the number of a row.
        indices: the numbers of the rows.
        title: of the progress bar.
        progress: whether to show a progress bar; if the error output is no terminal, a line every ten seconds.

    Returns:
        What the function returns, by row; and why it failed, by row.

    Raises:
        DataError: if the function raises it; every other exception is a failure of its row.
    """

    def run(start: int) -> list[tuple[int, Any, str | None]]:
        return [attempt(i) for i in indices[start : start + 64]]

    def attempt(i: int) -> tuple[int, Any, str | None]:
        try:
            return i, do(i), None
        except DataError:
            raise
        except Exception as error:  # a broken or hostile file makes Pillow raise almost anything
            return i, None, _reason(error)
        finally:
            advance()

    results: dict[int, Any] = {}
    failures: dict[int, str] = {}
    starts = range(0, len(indices), 64)
    with counting(title, len(indices), progress) as advance, ThreadPoolExecutor() as pool:
        for outcomes in pool.map(run, starts):
            for i, result, failure in outcomes:
                if failure is None:
                    results[i] = result
                else:
                    failures[i] = failure
    return results, failures


def _reason(error: Exception) -> str:
    """Return in one line why a picture cannot be read."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not a picture that Pillow can read"
    if isinstance(error, Image.DecompressionBombError):
        return f"{error}; if you trust it, set VLAE_MAX_PIXELS to its number of pixels"
    told = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
    return (told.splitlines() or ["ValueError"])[0]
