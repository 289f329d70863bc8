import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vlae import recipes, workflows
from vlae.data import Images
from vlae.evaluation import measures
from vlae.evaluation.text import LIKELIHOOD_CAUTION
from vlae.studies import compare as comparison
from vlae.studies.compare import Comparison, compare

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_pages")]

QUICK = {"steps": 80, "batch_size": 16, "progress": False, "code_sizes": (1, 2)}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rng = np.random.default_rng(0)
    bright = rng.integers(20, 200, (2400, 1, 1))
    file = tmp_path_factory.mktemp("data") / "flat.npy"
    np.save(file, (bright + rng.integers(0, 50, (2400, 8, 8))).astype(np.uint8))
    return str(file)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def compared(source, out) -> Comparison:
    (comparison,) = compare(("vae", "lean"), data=[source], out=out, seeds=2, **QUICK)
    return comparison


@pytest.fixture
def uncautioned(compared) -> Comparison:
    """The comparison without the caution that few data are held out."""
    for of_runs in compared.evaluations.values():
        assert all("only 120 are held out" in each["cautions"][-1] for each in of_runs)
    plain = {system: [{**each, "cautions": []} for each in runs] for system, runs in compared.evaluations.items()}
    return replace(compared, evaluations=plain)


def test_leaves_table_figure_and_numbers(compared, out):
    folder = out / "flat"
    assert (folder / comparison.TABLE).read_text().strip() == compared.as_text()
    with Image.open(folder / comparison.FIGURE) as picture:
        assert picture.width > 600
    rows = list(csv.reader((folder / comparison.ROWS).open(newline="")))
    assert rows[0] == ["data", "system", "run", "measure", "value"]
    errors = [float(row[4]) for row in rows if row[1] == next(iter(compared.systems)) and row[3] == "squared error"]
    assert errors == compared.measures()["squared error"][next(iter(compared.systems))]
    kept = json.loads((folder / comparison.NUMBERS).read_text())
    assert kept["measures"] == compared.measures() and set(kept["runs"]) == {"vae", "lean"}
    assert kept["recipes"]["lean"]["training"]["steps"] == 80
    assert kept["protocol"] == compared.evaluations["lean"][0]["protocol"]


def test_numbers_are_those_of_the_evaluation(compared, source):
    run = compared.systems["lean"][1]
    evaluation = workflows.evaluate(run)
    measures = {name: values["lean"][1] for name, values in compared.measures().items()}
    assert measures["squared error"] == evaluation["reconstruction"]["mse"]
    assert measures["KL (nats), level 2"] == evaluation["levels"][1]["kl_nats"]
    assert measures["class probe, all levels"] == evaluation.get("label_probe_accuracy")
    assert measures["images/s in training"] == np.median(run.history["images_per_second"]) > 0
    for kind in ("samples", "reconstructions", "real"):
        for period, value in evaluation["pictures"]["mesh"][kind].items():
            assert measures[f"mesh of {period} pixels, {kind}"] == value
        assert measures[f"sharpness, {kind}"] == evaluation["pictures"]["sharpness"][kind] > 0
    assert measures["level order"] == evaluation["level_order"]
    for what in ("untrained", "principal components"):
        key = {"untrained": "untrained", "principal components": "components"}[what]
        assert measures[f"level order, {what}"] == evaluation[f"level_order_{key}"]
    assert measures["Fréchet distance, samples"] == evaluation["pictures"]["frechet"]["samples"]
    assert measures["read back, level 1"] == evaluation["levels"][0]["read_back"]
    rows = {row[3]: row[4] for row in compared.rows() if row[2] == run.name}
    assert rows["brightness, level 1"] == evaluation["levels"][0]["statistics"]["brightness"]
    assert measures["parameters"] == sum(p.numel() for p in run.model.parameters())


def test_table_gives_median_least_and_most(uncautioned):
    for value, shown in (
        ([1.0, 3.0, 2.0], "2 (1 to 3)"),
        ([0.5, 0.5], "0.50"),
        ([None, None], "-"),
        ([0.5, None], "0.50, 1 of 2"),
        ([1e6], "1,000,000"),
    ):
        assert comparison._shown(value) == shown
    *lines, empty, caution = uncautioned.as_text().splitlines()
    assert (empty, caution) == ("", LIKELIHOOD_CAUTION) and any(line.startswith("| ELBO") for line in lines)
    assert "median of 2 runs" in lines[0] and len({len(line) for line in lines}) == 1
    kl = next(line for line in lines if line.startswith("| KL (nats), level 1"))
    assert kl.split("|")[2].strip() == "-"  # a VAE has no code there
    assert any(line.startswith("| squared error") for line in lines)


def test_cautions_stand_below_the_table_once_with_their_systems(uncautioned):
    lean, vae = uncautioned.evaluations["lean"], uncautioned.evaluations["vae"]
    cautioned = {
        "lean": [{**each, "cautions": ["By heart."]} for each in lean],
        "vae": [vae[0], {**vae[1], "cautions": ["Far.", "By heart."]}],
    }
    warned = replace(uncautioned, evaluations=cautioned)
    assert warned.as_text().split("\n\n")[2:] == ["lean and vae: By heart.", "vae: Far."]
    assert json.loads(warned.to_json())["cautions"]["lean"] == [["By heart."]] * 2


def test_learned_labels_and_families_are_told_below_the_table(uncautioned):
    vae, lean = uncautioned.systems["vae"], uncautioned.systems["lean"]
    learned = [replace(run, data=run.data | {"labels": None, "labels_sha256": "0"}) for run in vae]
    laplace = [replace(run, recipe=recipes.adjust(run.recipe, family="laplace")) for run in lean]
    told = replace(uncautioned, systems={"vae": learned, "lean": laplace})
    *_, families, labels = told.as_text().split("\n\n")
    assert "only likelihoods of one family. Here are gaussian: vae; laplace: lean." in families
    assert labels.startswith("vae: Learned every label of its training data, others here other labels or none")
    kept = json.loads(told.to_json())
    assert kept["families"] == {"vae": "gaussian", "lean": "laplace"}
    assert len(kept["cautions"]["vae"]) == 2 and "every label" in kept["cautions"]["vae"][1][-1]
    assert not any("label" in caution for of_run in kept["cautions"]["lean"] for caution in of_run)
    hundred = [replace(run, data=run.data | {"labels": "100", "labels_sha256": "0"}) for run in vae]
    assert "vae: Learned labels 100, others" in replace(uncautioned, systems={"vae": hundred, "lean": lean}).as_text()
    alike = replace(uncautioned, systems=dict.fromkeys(("vae", "lean"), learned))
    assert "Learned" not in alike.as_text() and "families" not in alike.as_text()


def test_agreement_of_seeds(rng):
    table = rng.normal(size=(300, 3))
    assert comparison._udr_of_each([table, -table[:, ::-1]]) == [pytest.approx(1, abs=0.2)] * 2
    assert comparison._udr_of_each([table]) == [None]


def test_agreement_is_of_the_data_of_which_every_run_has_finite_codes(rng):
    table = rng.normal(size=(300, 3))
    other, broken = -table[:, ::-1], np.full_like(table, np.nan)
    of_some = comparison._udr_of_each([table[20:], other[20:]])
    table[:10], other[10:20, 1] = np.nan, np.inf
    assert comparison._udr_of_each([table, other]) == of_some
    assert comparison._udr_of_each([table, other, broken]) == [*of_some, None]
    assert comparison._udr_of_each([broken, broken]) == [None, None]
    first, rest = np.where(np.arange(300) < 150, table.T, np.nan).T, np.where(np.arange(300) < 150, np.nan, other.T).T
    assert comparison._udr_of_each([first, rest]) == [None, None]  # no datum in common


def test_agreement_is_of_data_of_all_classes_where_they_are_stored_by_class():
    run = SimpleNamespace(encode=lambda images: [np.array(images.values, float)])
    values = np.arange(10_000, dtype=np.float32)[:, None]
    (codes,) = comparison._codes(run, Images(values=values, source="rows")).T
    assert len(codes) == 2_000 and abs(codes.mean() - 5_000) < 300 and len(set(codes)) == 2_000


@pytest.fixture
def measured(monkeypatch):
    """The folders of the runs that are measured."""
    paths, real = [], workflows.evaluate
    monkeypatch.setattr(workflows, "evaluate", lambda run, *a, **k: paths.append(run.path) or real(run, *a, **k))
    return paths


def test_nothing_is_measured_twice(compared, source, out, measured):
    (again,) = compare(("vae", "lean"), data=[source], out=out, seeds=2, **QUICK)
    assert measured == [] and again.measures() == compared.measures()


def test_another_protocol_is_measured_again_once_and_stays(compared, source, out, measured):
    run = compared.systems["lean"][0]
    file = run.path / "evaluation.json"
    before = file.read_text()
    own = json.loads(before)
    own |= {"protocol": own["protocol"] | {"hash": "0123456789abcdef"}}
    about = own["protocol"]
    try:
        for changed in (
            {"seed": 7},
            {"pictures": about["pictures"] | {"features": "outputs of net.pt"}},
            {"complexity": "given: 0123"},
            {"importance_samples": 10},
            {"udr_runs": 3},
        ):
            kept = own | {"protocol": about | changed, "checks": 0}
            assert comparison._asked(kept["protocol"]) != comparison._asked(json.loads(before)["protocol"])
        file.write_text(json.dumps(kept))
        for _ in range(2):
            (again,) = compare(("vae", "lean"), data=[source], out=out, seeds=2, **QUICK)
            assert again.evaluations["lean"][0]["protocol"]["hash"] == json.loads(before)["protocol"]["hash"]
        assert measured == [run.path] and json.loads(file.read_text()) == kept
    finally:
        file.write_text(before)
        (run.path / "evaluation-compared.json").unlink(missing_ok=True)


@pytest.mark.parametrize("early", [{"checks": 0}, {"protocol": {}}, {"protocol": {"hash": "0123456789abcdef"}}])
def test_an_evaluation_by_earlier_methods_is_replaced(compared, source, out, measured, early):
    run = compared.systems["lean"][0]
    file = run.path / "evaluation.json"
    before = json.loads(file.read_text())
    file.write_text(json.dumps(before | early))
    for _ in range(2):
        compare(("vae", "lean"), data=[source], out=out, seeds=2, **QUICK)
    assert measured == [run.path] and not (run.path / "evaluation-compared.json").exists()
    assert json.loads(file.read_text())["protocol"]["hash"] == before["protocol"]["hash"]


@pytest.mark.parametrize("num", [9, 120])
def test_a_run_with_codes_that_are_not_finite_stands_beside_others(compared, monkeypatch, num):
    runs = compared.systems["lean"]
    broken, images = runs[0].model, runs[0].part("test")

    def encode(model, *args, real=measures.encode, **how):
        codes = real(model, *args, **how)
        if model is broken:
            codes[0][0][:num] = np.nan
        return codes

    monkeypatch.setattr(measures, "encode", encode)
    for order in (runs, runs[::-1]):
        beside = comparison.measure({"lean": order}, images, progress=False)
        assert f"lean: {num} of 120 data have no finite code" in beside.as_text()
        assert beside.figure().ndim == 3 and json.loads(beside.to_json())


def test_evaluations_of_two_protocols_do_not_stand_in_one_table(compared):
    one, other = compared.evaluations["lean"]
    other = other | {"protocol": other["protocol"] | {"seed": 7, "hash": "0123456789abcdef"}}
    with pytest.raises(ValueError, match=r"not measured alike \(they differ in seed\).*measure them again"):
        replace(compared, evaluations={**compared.evaluations, "lean": [one, other]})


def test_finished_runs_on_other_data(compared, tmp_path, rng):
    np.save(tmp_path / "other.npy", rng.integers(0, 256, (2400, 8, 8), dtype=np.uint8))
    paths = [run.path for runs in compared.systems.values() for run in runs]
    (other,) = compare(paths, data=[str(tmp_path / "other.npy")], out=tmp_path, progress=False)
    assert other.source == "other" and [len(runs) for runs in other.systems.values()] == [2, 2]
    assert other.measures()["squared error"] != compared.measures()["squared error"]
    assert json.loads((paths[0] / "evaluation.json").read_text())["protocol"]["data"]["source"].endswith("flat.npy")


def test_a_perfect_ladder_is_a_rising_diagonal(compared):
    evaluation = {**compared.evaluations["lean"][0]}
    evaluation["complexity"] = {"hard": 0.9, "easy": 0.1}
    for level, scores in zip(
        evaluation["levels"], ({"hard": 0.0, "easy": 1.0}, {"hard": 1.0, "easy": 0.0}), strict=True
    ):
        level |= {"factors": scores, "standard_errors": dict.fromkeys(scores, 0.1)}
    one = replace(
        compared,
        systems={"lean": compared.systems["lean"][:1]},
        evaluations={"lean": [evaluation]},
        udr={"lean": [None]},
    )
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    one._heat(axes, "lean", last=True)
    (shown,) = axes.get_images()
    assert shown.get_array().tolist() == [[1, 0], [0, 1]] and shown.origin == "lower"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["easy", "hard"]


def test_presets(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(comparison, "train_alike", lambda what, **how: asked.update(what=what, **how) or iter(()))
    compare(preset="hierarchy", data=["streets"], out=tmp_path)
    assert asked["what"] == ("vae", "hvae", "lvae", "joint", "lean") and asked["data"] == ["streets"]
    assert asked["code_sizes"][1, 28, 28] == (2, 2, 2)
    compare(preset="hierarchy")
    assert asked["data"] == ("streets", "hf:ylecun/mnist") and str(asked["out"]) == "runs/hierarchy"
    with pytest.raises(ValueError, match="choose one of hierarchy"):
        compare(preset="hirarchy")
    with pytest.raises(ValueError, match="no recipes or runs beside"):
        compare(("lean",), preset="hierarchy")
    with pytest.raises(ValueError, match="on one data set"):
        compare(("runs/a",), data=["one", "two"])


def test_tables_are_compared_by_what_is_defined_for_rows(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    np.savetxt(tmp_path / "t.csv", np.c_[x, x @ rng.normal(size=(2, 3))], delimiter=",", header="a,b,c,d,e")
    (of_rows,) = compare(("vae", "lean"), data=[str(tmp_path / "t.csv")], out=tmp_path / "out", seeds=1, **QUICK)
    text = of_rows.as_text()
    assert "rows/s in training" in text and "R², mean of columns" in text
    assert not any(word in text for word in ("images", "mesh", "squared error", "sharpness"))
