import copy
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import vlae
from vlae import recipes
from vlae.atomic import WriteError
from vlae.cli import main as cli
from vlae.codes import onnx as export
from vlae.errors import MissingExtraError
from vlae.models.priors import MixturePrior
from vlae.runs.layout import RunError
from vlae.workflows import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_pages")]

ort = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")


def quick(out, source, **settings):
    return train(source, out=out, steps=4, batch_size=8, progress=False, **settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pictures = np.random.default_rng(0).integers(0, 256, (120, 16, 16, 3), dtype=np.uint8)
    return quick(tmp_path_factory.mktemp("runs") / "run", pictures, code_sizes=(2, 0, 3))


@pytest.fixture(scope="module")
def traces():
    """What `result` traced, by the kind of module."""
    return {}


@pytest.fixture(scope="module")
def result(trained, traces):
    traced = export._traced

    def kept(module, *given):
        traces[type(module)] = traced(module, *given)
        return copy.deepcopy(traces[type(module)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_traced", kept)
        return export.export(trained, quantize="int8")


@pytest.fixture
def traced_before(result, traces, monkeypatch):
    """For tests of what follows the tracing, which takes seconds: `trained` is not traced again."""
    monkeypatch.setattr(export, "_traced", lambda module, *given: copy.deepcopy(traces[type(module)]))


def session(run, name):
    return ort.InferenceSession(str(run.path / "onnx" / name), providers=["CPUExecutionProvider"])


def properties(run, name):
    metadata = session(run, name).get_modelmeta().custom_metadata_map
    return {key: json.loads(value) for key, value in metadata.items()}


def test_the_pair_gives_what_the_model_gives_for_any_batch(trained, result):
    encoder, decoder = session(trained, "encoder.onnx"), session(trained, "decoder.onnx")
    fresh = np.random.default_rng(1).integers(0, 256, (50, 3, 16, 16), dtype=np.uint8)
    for size in (1, 2, 3, 50):
        x = fresh[:size]
        outputs = encoder.run(None, {"images": (x / 255).astype(np.float32)})
        wanted = [part for pair in zip(trained.encode(x), trained.stddevs(x), strict=True) for part in pair]
        wanted = [part for part in wanted if part.shape[1]]
        assert len(outputs) == len(wanted) == 4
        for a, b in zip(outputs, wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
        (pictures,) = decoder.run(None, {"level1_code": outputs[0], "level3_code": outputs[2]})
        np.testing.assert_allclose(pictures, trained.decode(trained.encode(x)), atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((28, 20), {"code_sizes": (2, 3, 16)}),
        ((17, 25, 3), {"code_sizes": (2, 16), "quality": "high", "width": 4, "polarity": "hidden"}),
    ],
    ids=["not square", "odd sides, high quality, hidden polarity"],
)
def test_gradients_and_even_convolutions_are_exported(tmp_path, rng, shape, settings):
    """Cells that do not divide the sides, too: 28 × 20 pixels have five cells a side."""
    pictures = rng.integers(0, 256, (60, *shape), dtype=np.uint8)
    channels = shape[2] if len(shape) == 3 else 1
    recipe = recipes.adjust(recipes.lean((channels, *shape[:2]), **settings), steps=4, batch_size=8)
    assert recipe.levels[-1].gradients > 1 and recipe.blocks.even
    run = train(pictures, out=tmp_path / "run", recipe=recipe, progress=False)
    assert max(export.export(run)["differences"].values()) < 1e-4
    x = rng.integers(0, 256, (7, channels, *shape[:2]), dtype=np.uint8)
    x[:3] //= 4  # of little contrast
    x[3], x[4, :, :9] = 99, 0  # of none, or in a part
    encoder, decoder = session(run, "encoder.onnx"), session(run, "decoder.onnx")
    means = encoder.run(None, {"images": (x / 255).astype(np.float32)})[0::2]
    codes = run.encode(x)
    for mean, code in zip(means, codes, strict=True):
        np.testing.assert_allclose(mean, code, atol=1e-4)
    names = [each.name for each in decoder.get_inputs()]
    (drawn,) = decoder.run(None, dict(zip(names, codes, strict=True)))
    np.testing.assert_allclose(drawn, run.decode(codes), atol=1e-4)


def test_the_sampler_draws_from_the_prior_of_the_run(tmp_path, rng):
    """A planted mixture, of hvae a kernel density: weights, means and spreads must come out of plain noise."""
    for recipe in ("lean", "hvae"):
        pictures = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8)
        run = quick(tmp_path / recipe, pictures, recipe=recipe, code_sizes=(2, 3))
        factors = 0.2 * torch.eye(5).double() + torch.ones(5, 5).double().tril(-1) * 0.1
        planted = MixturePrior(
            code_sizes=(2, 3),
            weights=torch.tensor([0.2, 0.3, 0.5]).double(),
            means=torch.tensor([-2.0, 0.0, 2.0]).double()[:, None].expand(3, 5),
            factors=factors.expand(1 if recipe == "hvae" else 3, 5, 5),
        )
        run.__dict__["prior"] = planted
        export.export(run)
        sampler = session(run, "sampler.onnx")
        assert [(x.name, x.shape[1]) for x in sampler.get_inputs()] == [("normal", 5), ("uniform", 1)]
        normal = rng.normal(size=(20_000, 5)).astype(np.float32)
        uniform = rng.random((20_000, 1)).astype(np.float32)
        codes = sampler.run(None, {"normal": normal, "uniform": uniform})
        with torch.no_grad():
            noise = torch.cat(run.model.noise_of(tuple(map(torch.from_numpy, codes))), dim=1).numpy()
        middle = noise[np.abs(noise.mean(1)) < 1]
        assert len(middle) / len(noise) == pytest.approx(0.3, abs=0.02)
        np.testing.assert_allclose(np.cov(middle.T), factors @ factors.T, atol=0.01)
        assert noise.mean() == pytest.approx(2 * (0.5 - 0.2), abs=0.05)


def test_the_model_is_left_as_it_was(trained, tmp_path):
    model = trained.model.train()
    first = next(model.children()).eval()
    export.export(trained, tmp_path)
    assert model.training and not first.training and all(p.requires_grad for p in model.parameters())
    model.eval()


def test_nothing_of_an_earlier_export_stays(trained, traced_before, tmp_path, monkeypatch):
    for name in (*export.FILES, "mine.onnx"):
        (tmp_path / name).write_bytes(b"of another model")
    traced = export._traced

    def without_sampler(module, *given):
        if isinstance(module, export._Sampler):
            raise RunError("it has no operator")
        return traced(module, *given)

    monkeypatch.setattr(export, "_traced", without_sampler)
    export.export(trained, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"encoder.onnx", "decoder.onnx", "mine.onnx"}
    assert (tmp_path / "encoder.onnx").stat().st_size > 1_000


def test_names_shapes_and_metadata(trained, result):
    encoder, decoder = session(trained, "encoder.onnx"), session(trained, "decoder.onnx")
    assert [(x.name, x.shape) for x in encoder.get_inputs()] == [("images", ["batch", 3, 16, 16])]
    assert [(x.name, x.shape) for x in encoder.get_outputs()] == [
        ("level1_mean", ["batch", 2]),
        ("level1_stddev", ["batch", 2]),
        ("level3_mean", ["batch", 3]),
        ("level3_stddev", ["batch", 3]),
    ]
    assert [(x.name, x.shape) for x in decoder.get_inputs()] == [
        ("level1_code", ["batch", 2]),
        ("level3_code", ["batch", 3]),
    ]
    assert [(x.name, x.shape) for x in decoder.get_outputs()] == [("images", ["batch", 3, 16, 16])]
    metadata = properties(trained, "encoder.onnx")
    assert metadata["code_sizes"] == [2, 0, 3]
    assert metadata["inputs"] == {"images": ["batch", 3, 16, 16]}
    assert metadata["outputs"]["level3_stddev"] == ["batch", 3]
    assert metadata["preprocessing"]["layout"] == "N C H W" and "[0, 1]" in metadata["preprocessing"]["values"]
    assert metadata["checked"]["differences"] == result["differences"]
    assert max(result["differences"].values()) < 1e-4 and len(result["differences"]) == 7
    assert properties(trained, "sampler.onnx")["prior"] == trained.prior.describe()
    model = onnx.load(trained.path / "onnx" / "encoder.onnx")
    onnx.checker.check_model(model)
    assert [each.version for each in model.opset_import if each.domain == ""] == [18]


@pytest.mark.parametrize("opset", [3, 99])
def test_a_version_that_cannot_be_written_is_refused(trained, tmp_path, opset):
    with pytest.raises(RunError, match=f"cannot be written as ONNX of opset {opset}"):
        export.export(trained, tmp_path, opset=opset)
    assert not list(tmp_path.iterdir())


def test_another_version_is_that_of_all_files(trained, tmp_path):
    result = export.export(trained, tmp_path, opset=20)
    for file in result["files"]:
        assert [each.version for each in onnx.load(file).opset_import if each.domain == ""] == [20] == [result["opset"]]


def test_int8_and_its_loss(trained, result):
    small = result["int8"]
    x = (trained.examples / 255).astype(np.float32)
    exact, rough = (session(trained, name).run(None, {"images": x}) for name in ("encoder.onnx", "encoder-int8.onnx"))
    for name, level in (("level1_mean", 0), ("level3_mean", 2)):
        error = np.abs(exact[level] - rough[level])
        assert 0 < error.max() < 1.5 * small["codes"][name]["max"] * exact[level].std(0).mean() + 0.05
        assert 0 < small["codes"][name]["mean"] <= small["codes"][name]["max"] < 3
        doubt = (error / exact[level + 1])[1::2].mean()
        assert small["codes"][name]["of_posterior"] == pytest.approx(doubt, rel=0.05)
    assert small["speedup"] > 0 and small["mse"]["int8"] == pytest.approx(small["mse"]["fp32"], rel=0.5)
    metadata = properties(trained, "encoder-int8.onnx")
    assert metadata["quantization"] == small and metadata["code_sizes"] == [2, 0, 3]
    assert "quantization" not in properties(trained, "encoder.onnx")
    kinds = {node.op_type for node in onnx.load(trained.path / "onnx" / "encoder-int8.onnx").graph.node}
    assert "QuantizeLinear" in kinds
    text = export.as_text(result)
    assert "level3_stddev" in text and "times as fast as fp32" in text


@pytest.mark.parametrize("recipe", ["hvae", "lvae"])
def test_the_hierarchies_are_exported_too(tmp_path, recipe, rng):
    run = quick(tmp_path / "run", rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), recipe=recipe, code_sizes=(3, 2))
    result = export.export(run)
    assert max(result["differences"].values()) < 1e-4
    assert list(result["differences"]) == [
        *(f"level{level}_{moment}" for level in (1, 2) for moment in ("mean", "stddev")),
        "images",
        *(f"level{level}_code" for level in (1, 2)),
    ]


def test_vectors(tmp_path, rng, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick(tmp_path / "run", rng.normal(size=(60, 5)), code_sizes=(1, 2))
    with pytest.raises(SystemExit) as stop:
        cli.main(["export", str(tmp_path / "run"), "--out", "out"])
    assert not stop.value.code
    printed = capsys.readouterr()
    assert printed.out.split() == ["out/encoder.onnx", "out/decoder.onnx", "out/sampler.onnx"]
    assert "vectors" in printed.err


def test_what_8_bits_lose_of_a_table_is_in_the_units_of_its_columns(tmp_path, rng):
    run = quick(tmp_path / "run", rng.normal(size=(90, 5)) * [1e9, 1, 1, 1e-9, 1], code_sizes=(1, 2))
    result = export.export(run, quantize="int8")
    assert "mse" not in result["int8"] and all(0.1 < each < 3 for each in result["int8"]["error_stddevs"].values())
    assert "error of the rows, in standard deviations" in export.as_text(result)


def test_the_last_channel_is_called_opacity_only_where_it_is(tmp_path, rng):
    wide = quick(tmp_path / "wide", rng.integers(0, 4096, (60, 8, 8, 4)).astype(np.uint16), code_sizes=(1, 2))
    called = [export._described(wide)["preprocessing"]["channels"]]
    wide.model.opacity = True
    assert [*called, export._described(wide)["preprocessing"]["channels"]] == ["4", "red, green, blue, alpha"]


def test_what_differs_is_not_written(trained, traced_before, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    (tmp_path / "encoder.onnx").write_text("earlier")
    with pytest.raises(RunError, match=r"in ONNX differs from the model by .*; it is not written"):
        export.export(trained, tmp_path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("encoder.onnx", "earlier")]


def test_what_is_not_a_number_is_not_written(trained, traced_before, tmp_path, monkeypatch):
    class Broken:
        def __init__(self, model, **settings):
            self.real = real(model, **settings)
            self.get_inputs, self.get_outputs = self.real.get_inputs, self.real.get_outputs

        def run(self, names, inputs):
            outputs = self.real.run(names, inputs)
            outputs[-1][0] = np.nan
            return outputs

    real = export._session
    monkeypatch.setattr(export, "_session", Broken)
    with pytest.raises(RunError, match="in ONNX differs from the model by nan; it is not written"):
        export.export(trained, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused(trained, traced_before, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="choose 'int8'"):
        export.export(trained, quantize="int4")
    with pytest.raises(ValueError, match=r"data of shape \(9, 3, 8, 8\) is given; this model takes \(N, 3, 16, 16\)"):
        export.export(trained, examples=np.zeros((9, 3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="values from 0 to 255 are given; images are uint8, or floats"):
        export.export(trained, examples=np.linspace(0, 255, 9 * 768, dtype=np.float32).reshape(9, 3, 16, 16))
    bare = vlae.load(trained.save_pretrained(tmp_path / "bare", examples=False))
    with pytest.raises(RunError, match="bare has 0 held-out examples to check an export with"):
        export.export(bare)
    with pytest.raises(WriteError, match="cannot be written"):
        export.export(trained, "/dev/null/x")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r'pip install "vlae\[export\]"'):
        export.export(trained)


def test_a_missing_extra_is_one_line(trained, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SystemExit) as stop:
        cli.main(["export", str(trained.path)])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vlae: ONNX files are written with onnx, which is not installed")


def test_the_example_needs_neither_torch_nor_vlae(trained, result, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    code = f"""
import sys
sys.modules["torch"] = sys.modules["vlae"] = None
sys.argv = ["onnx_only.py", {str(trained.path / "onnx")!r}, "photo.png", "back.png"]
exec(open({str(vlae_root() / "examples" / "onnx_only.py")!r}).read())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "level 3" in done.stdout
    back = np.asarray(Image.open(tmp_path / "back.png")).transpose(2, 0, 1)
    values = trained.read(tmp_path / "photo.png").values
    wanted = trained.decode(trained.encode(values))[0]
    assert np.abs(back / 255 - wanted).max() < 0.01


def vlae_root():
    from pathlib import Path

    return Path(__file__).parents[2]


def test_torch_is_left_as_it_was(trained, result):
    assert not trained.model.training and torch.is_grad_enabled()
