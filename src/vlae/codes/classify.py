"""The class of data: by the class level of a model, or by a classifier on the codes of a model that has none."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vlae.data.content import content_hashes
from vlae.data.images import Images
from vlae.data.labels import classes_of, is_table, known_labels
from vlae.html_repr import HtmlRepr
from vlae.runs.run import Run

MAX_FITTED = 5_000
"""The most data with a label to which a classifier on codes is fitted."""

LANDMARKS = 300  # of its kernel; with fewer data it is exact


@dataclass(frozen=True, kw_only=True, repr=False)
class Classified(HtmlRepr):
    """The class of every datum.

    Attributes:
        images: the data that were classified.
        names: the name of each class.
        values: the label of each class in the data, in ascending order.
        probabilities: float (n, K), the probability of each class.
        learned: bool (n,), whether a classifier was fitted to the datum, or to one like it. None: there is none.
    """

    images: Images
    names: tuple[str, ...]
    values: tuple[int, ...]
    probabilities: np.ndarray
    learned: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Classified({len(self.images)} of {self.images.source}, {len(self.names)} classes)"

    @property
    def error(self) -> float | None:
        """The share of the data with a known label that are classified wrongly, in [0, 1]; None if none is known.

        Those that a classifier was fitted to do not count.
        """
        classes = classes_of(self.images, self.names, self.values)
        if classes is None:
            return None
        known = (classes >= 0) & (True if self.learned is None else ~self.learned)
        return float((self.probabilities.argmax(1) != classes)[known].mean()) if known.any() else None

    @property
    def verdict(self) -> str:
        """The error in words; "" if it is not known."""
        if self.error is None:
            return ""
        num = 0 if self.learned is None else int(self.learned.sum())
        left_out = f"; {num:,} of which the class was learned do not count" if num else ""
        return f"wrong, of those with a label  {self.error:.2%}{left_out}"

    def rows(self, num: int | None = None) -> list[dict[str, Any]]:
        """Return a table with a row per datum: row, name and label (if known), class, and probability_NAME of each.

        A label that is not known is None.

        Args:
            num: how many of the first data; None: all.
        """
        table = []
        for row, probability in enumerate(self.probabilities[:num]):
            entry: dict[str, Any] = {"row": row}
            if self.images.names is not None:
                entry["name"] = self.images.names[row]
            if self.images.labels is not None:
                entry["label"] = self.images.class_name(int(self.images.labels[row])) or None
            entry["class"] = self.names[probability.argmax()]
            each = zip(self.names, probability.tolist(), strict=True)
            table.append(entry | {f"probability_{name}": value for name, value in each})
        return table


def classify(run: Run, images: Images, *, labels: str | int = "all", seed: int = 0) -> Classified:
    """Classify data.

    A run that learned from labels has a class level; its posterior q(y|x) gives the probabilities. For another run a
    classifier is fitted to the codes of the run's own training data, all levels side by side: the model M1 of Kingma
    et al. 2014. It is a logistic regression on a radial kernel.

    Args:
        run: a run of any model that has an encoder.
        images: data of the run's shape.
        labels: for a run without a class level, which labels of its training data the classifier may know: "all", a
            number, or a .csv file (`vlae.data.labels.known_labels`); at most 5,000 are used.
        seed: of the choice of labels.

    Raises:
        NotDefinedError: if the model has no encoder.
        ValueError: if labels are chosen for a run that has a class level.
        DataError: if a classifier is needed, and the run's data cannot be read again or have no such labels.
    """
    run.model.require("encoder")
    if run.model.class_names:
        if labels != "all":
            raise ValueError("labels are for a run that learned none; this one names its own classes: leave labels out")
        names, values = run.model.class_names, run.model.class_values
        return Classified(images=images, names=names, values=values, probabilities=run.encode(images)[-1])
    train = run.part("train")
    known = known_labels(train, labels, seed=seed, beside=(run.part("all").names or ()) if is_table(labels) else ())
    rows = np.flatnonzero(known.labels >= 0)
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MAX_FITTED])
    classifier = classifier_of(len(rows), seed)
    chosen = train.take(rows)
    classifier.fit(np.concatenate(run.encode(chosen), axis=1), known.labels[rows])
    fitted = classifier.predict_proba(np.concatenate(run.encode(images), axis=1))
    probabilities = np.zeros((len(images), len(known.names)))
    probabilities[:, classifier.classes_] = fitted
    learned = np.isin(content_hashes(images.values), content_hashes(chosen.values))
    return Classified(
        images=images, names=known.names, values=known.values, probabilities=probabilities, learned=learned
    )


def classifier_of(num: int, seed: int) -> Any:
    """The classifier on codes: a logistic regression on a radial kernel, of standardised numbers.

    Args:
        num: the number of data with a label.
        seed: of the choice of landmarks, if there are more data than these.
    """
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kernel = Nystroem(n_components=min(num, LANDMARKS), random_state=seed)
    return make_pipeline(StandardScaler(), kernel, LogisticRegression(C=10.0, max_iter=1_000))


def as_text(classified: Classified, num: int = 20) -> str:
    """Return the first classes as lines of text, how many there are of each, and the error if labels are known.

    Args:
        classified: the classes.
        num: how many lines.
    """
    from vlae.text_table import columns

    lines = [["which", "class", "probability"]]
    for entry in classified.rows(num):
        datum = entry.get("name") or f"row {entry['row']}"
        lines.append([str(datum), entry["class"], f"{entry['probability_' + entry['class']]:.3f}"])
    counts = np.bincount(classified.probabilities.argmax(1), minlength=len(classified.names))
    of_each = ", ".join(f"{name}: {count}" for name, count in zip(classified.names, counts, strict=True))
    text = f"{columns(lines)}\n{'…' if len(classified.probabilities) > num else ''}\nof each class  {of_each}"
    return "\n".join(line for line in (text, classified.verdict) if line)
