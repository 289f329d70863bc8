import numpy as np
import pytest

from vlae.data import Images
from vlae.errors import NotDefinedError
from vlae.evaluation.factors import MAX_CLASSES, factors_of, factors_to_predict, read_factor, subset


def test_a_subset_keeps_the_order(rng):
    images = Images(values=np.arange(20, dtype=np.float32)[:, None])
    chosen = subset(images, seed=0, num=5).values[:, 0]
    assert len(chosen) == 5 and (np.diff(chosen) > 0).all()
    assert not np.array_equal(chosen, subset(images, seed=1, num=5).values[:, 0])
    assert subset(images, num=20) is images


def test_true_factors_come_before_statistics(rng):
    values, kind = rng.integers(0, 256, (10, 1, 8, 8), dtype=np.uint8), rng.integers(0, 3, 10)
    simple, judged = factors_of(Images(values=values))
    assert judged.keys() == simple.keys() and "brightness" in simple
    assert list(factors_of(Images(values=values, factors={"kind": kind}, labels=kind))[1]) == ["kind"]
    assert list(factors_of(Images(values=values, factors={"kind": kind}, labels=kind + 1))[1]) == ["kind", "label"]
    assert factors_of(Images(values=values.reshape(10, -1).astype(np.float32))) == ({}, {})


def test_a_table_is_a_factor_a_column_or_the_class_it_marks(rng):
    values, kinds = rng.normal(size=(30, 2)).astype(np.float32), rng.integers(0, 4, 30)
    attributes = rng.integers(0, 2, (30, 3))
    attributes[0] = (1, 1, 0)
    images = Images(values=values, factors={"worn": attributes, "kind": np.eye(4)[kinds]}, labels=np.eye(4)[kinds])
    judged = factors_of(images)[1]
    assert list(judged) == ["worn 0", "worn 1", "worn 2", "kind"]  # the label says the same as the kind
    assert (judged["worn 1"] == attributes[:, 1]).all() and (judged["kind"] == kinds).all()


@pytest.mark.parametrize("bad", [np.zeros(9), np.zeros((9, 2)), np.zeros((10, 2, 2))])
def test_a_factor_of_another_length_is_refused(bad):
    with pytest.raises(ValueError, match=r"'kind' (is of 9 data, and there are 10|has .* for 10 data); give"):
        factors_of(Images(values=np.zeros((10, 3), np.float32), factors={"kind": bad}))


def kind_of(values, name="it", **more):
    return read_factor(name, np.asarray(values), **more).kind


def test_what_a_factor_is(rng):
    hundred = rng.permutation(1000) % 101
    assert kind_of(hundred) == "number" and kind_of(hundred, is_label=True) == "class"
    assert kind_of(rng.permutation(1000) % MAX_CLASSES) == "class"
    assert kind_of(rng.normal(size=1000)) == "number"
    assert kind_of(rng.permutation(100) % 2 == 0) == "yes or no"
    assert kind_of(rng.permutation(100) % 2.0) == "yes or no"  # floats of two values
    assert kind_of((rng.permutation(99) % 4).astype(float)) == "class"  # 0.0, 1.0, 2.0, 3.0
    assert kind_of((rng.permutation(99) % 4) / 2) == "number"
    assert kind_of(hundred.astype(float)) == "number"
    assert kind_of(np.array(["cat", "dog", "cow"])[rng.permutation(99) % 3]) == "class"
    assert kind_of(np.array(["no", "yes"], object)[rng.permutation(99) % 2]) == "yes or no"
    gaps = (rng.permutation(99) % 4).astype(float)
    gaps[::7] = np.nan  # a table with gaps has no integers
    assert kind_of(gaps) == "class"


def test_values_are_those_given():
    number = read_factor("it", np.array([np.nan, *np.linspace(5, 6.5, 20)]))
    assert number.kinds is None and number.as_given is number.values and number.values[:2].tolist() == [0, 5]
    kind = read_factor("it", np.arange(20) % 2 + 3)
    assert kind.values is None and kind.as_given.tolist() == [0, 1] * 10


def test_a_label_beside_the_names_of_its_classes_counts_once(rng):
    labels, names = rng.integers(-1, 3, 30), ("cat", "dog", "cow")
    words = np.array([names[label] if label >= 0 else None for label in labels], object)
    images = Images(values=np.zeros((30, 3), np.float32), factors={"animal": words}, labels=labels, label_names=names)
    assert list(factors_of(images)[1]) == ["animal"]
    other = np.array([*words[1:], "cow"], object)
    assert list(factors_of(Images(**{**vars(images), "factors": {"animal": other}}))[1]) == ["animal", "label"]


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize(("gaps", "counts"), [("factor", "label"), ("label", "kind"), ("both", "kind")])
def test_a_label_beside_itself_with_gaps_counts_once(rng, gaps, counts, as_text):
    labels = rng.integers(0, 3, 200)
    values = np.array([f"name {label}" for label in labels], object) if as_text else labels.astype(object)
    if gaps in ("factor", "both"):
        values[:20] = None
    if gaps in ("label", "both"):
        labels[-40:] = -1
    names = ("name 0", "name 1", "name 2")

    def judged():
        factors = {"kind": values, "other": np.arange(200.0)}
        images = Images(values=np.zeros((200, 3), np.float32), factors=factors, labels=labels, label_names=names)
        return set(factors_of(images)[1])

    assert judged() == {"other", counts}
    values[100] = values[np.flatnonzero(values != values[100])[-1]]
    assert judged() == {"other", "kind", "label"}


@pytest.mark.parametrize(
    ("name", "values", "period"),
    [
        ("light_angle", np.linspace(-np.pi, np.pi, 50), 2 * np.pi),
        ("heading", np.linspace(0, 2 * np.pi, 50), 2 * np.pi),
        ("Azimuth", np.linspace(0, 359, 50), 360),
        ("object hue", np.linspace(0, 1, 50), 1),
        ("orientation", np.linspace(-30, 30, 50), 360),
        ("triangle", np.linspace(0, 6, 50), None),
        ("chuengue", np.linspace(0, 1, 50), None),
    ],
)
def test_angles_are_read_as_sine_and_cosine(name, values, period):
    factor = read_factor(name, values)
    assert factor.kind == ("angle" if period else "number")
    if period:
        turned = values * 2 * np.pi / period
        expected = np.stack([np.cos(turned), np.sin(turned)], 1)
        expected -= expected.mean(0)
        assert factor.columns == pytest.approx(expected / np.sqrt((expected**2).sum(1).mean()), abs=1e-9)


def test_missing_values_are_not_known(rng):
    labels = rng.integers(0, 3, 90)
    labels[:10] = -1
    label = read_factor("label", labels, is_label=True)
    assert not label.known[:10].any() and label.known[10:].all() and (label.kinds[:10] == -1).all()
    assert label.columns[:10] == pytest.approx(0) and label.columns[10:].mean(0) == pytest.approx(0, abs=1e-9)
    numbers = read_factor("it", np.array([np.nan, np.inf, *rng.normal(size=50)]))
    assert not numbers.known[:2].any() and np.isfinite(numbers.columns).all()
    words = read_factor("it", np.array([None, "", *(["a"] * 6), *(["b"] * 6)], object))
    assert words.known.tolist() == [False] * 2 + [True] * 12 and words.kind == "yes or no"
    assert read_factor("it", np.array([None, *range(9)], object)).known.sum() == 9
    assert (read_factor("attribute", np.array([-1, 1] * 9)).kinds >= 0).all()  # -1 is missing in labels alone


def test_a_class_of_too_few_is_not_asked_for():
    factor = read_factor("it", np.array([0] * 9 + [1] * 9 + [2] * 9 + [3] * 4))
    assert factor.columns.shape == (31, 3) and factor.known.sum() == 27
    assert read_factor("it", np.array([0] * 9 + [1] * 5)).known.all()  # five are enough
    with pytest.raises(NotDefinedError, match="fewer than two of its 3 classes have 5 data each"):
        read_factor("it", np.array([0] * 9 + [1] * 4 + [2] * 4))


def test_columns_are_standardised(rng):
    known, left_out = factors_to_predict(
        {"few": np.arange(200) % 5, "many": np.arange(200), "truth": np.arange(200) > 9}
    )
    assert left_out == {} and {name: factor.columns.shape[1] for name, factor in known.items()} == {
        "few": 5, "many": 1, "truth": 1,
    }  # fmt: skip
    for factor in known.values():
        assert factor.columns.mean(0) == pytest.approx(0, abs=1e-9) and factor.columns.std(0) == pytest.approx(1)


def test_what_cannot_be_predicted_is_named():
    known, left_out = factors_to_predict(
        {"constant": np.zeros(9), "nothing": np.full(9, np.nan), "label": np.full(9, -1), "good": np.arange(9.0)}
    )
    assert list(known) == ["good"]
    assert left_out["constant"] == "it is the same in all the data"
    assert left_out["nothing"] == left_out["label"] == "it is not known of any of the data"
