import numpy as np
import pytest
import torch
from torch import nn

from vlae.evaluation.feature_spaces import components, network
from vlae.nn.pretrained import in_channels

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit still opens the files there are


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten()).eval()
    torch.jit.trace(net, torch.zeros(2, 3, 16, 16)).save(folder / "net.pt")
    batch = {0: torch.export.Dim("n", min=1)}
    torch.export.save(
        torch.export.export(net, (torch.zeros(2, 3, 16, 16),), dynamic_shapes=(batch,)), folder / "net.pt2"
    )
    torch.onnx.export(net, (torch.zeros(2, 3, 16, 16),), folder / "net.onnx", dynamo=True, dynamic_shapes=(batch,))
    return folder, net


def test_components_are_of_pixels_or_of_standardised_columns(rng):
    pictures = rng.integers(0, 256, (50, 1, 8, 8), dtype=np.uint8)
    space = components(pictures)
    assert space.name == "32 principal components of the pixels" and space(pictures).shape == (50, 32)
    assert space(pictures.astype(np.float32) / 255) == pytest.approx(space(pictures), abs=1e-4)
    vectors = (rng.normal(size=(200, 3)) * [1, 1000, 1]).astype(np.float32)
    space = components(vectors)
    assert space.name.startswith("3 ") and space(vectors).var(0) == pytest.approx(1, abs=0.3)


def test_a_column_that_does_not_vary_is_no_distance(rng):
    vectors = np.column_stack([rng.normal(size=(200, 2)), np.full(200, 3.5)]).astype(np.float32)
    decoded = vectors + np.float32([0, 0, 0.01])  # a decoder draws a constant not to the last digit
    space = components(vectors)
    assert space(decoded) == pytest.approx(space(vectors), abs=1e-4)


@pytest.mark.parametrize("file", ["net.pt", "net.pt2", "net.onnx"])
def test_a_network_of_each_kind_gives_its_outputs(files, rng, file):
    folder, net = files
    pictures = rng.integers(0, 256, (230, 3, 16, 16), dtype=np.uint8)
    with torch.inference_mode():
        expected = net(torch.from_numpy(pictures).float() / 255).numpy()
    space = network(folder / file, (3, 16, 16))
    assert space(pictures) == pytest.approx(expected, abs=1e-5) and file in space.name


def test_grey_pictures_and_other_sides_fit_what_an_onnx_file_declares(files, rng):
    space = network(files[0] / "net.onnx", (1, 28, 28))
    assert space(rng.integers(0, 256, (5, 1, 28, 28), dtype=np.uint8)).shape == (5, 16)
    assert "at 16 × 16" in space.name


def test_pictures_are_resized_to_the_side_that_is_asked_for(files, rng):
    space = network(files[0] / "net.pt", (4, 40, 40), side=16)  # alpha is left out
    assert space(rng.integers(0, 256, (5, 4, 40, 40), dtype=np.uint8)).shape == (5, 16)


def test_grey_is_the_mean_of_the_colours_and_alpha_is_left_out(rng):
    x = torch.from_numpy(rng.random((5, 4, 3, 3), dtype=np.float32))
    assert in_channels(x, 1).equal(x[:, :3].mean(1, keepdim=True))
    assert in_channels(x, 3).equal(x[:, :3]) and in_channels(x, None).equal(x[:, :3])
    assert in_channels(x[:, :2], 3).equal(x[:, [0, 0, 0]]) and in_channels(x[:, :2], None).equal(x[:, :1])


def test_a_side_other_than_the_one_a_file_declares_is_refused(files):
    with pytest.raises(ValueError, match=r"net\.onnx does not take pictures \(2, 3, 20, 20\)"):
        network(files[0] / "net.onnx", (3, 16, 16), side=20)


def test_a_network_of_another_input_is_refused_before_anything_is_measured(files, tmp_path):
    with pytest.raises(ValueError, match=r"net.pt does not take pictures \(2, 1, 28, 28\).*give the side it needs"):
        network(files[0] / "net.pt", (1, 28, 28))
    with pytest.raises(ValueError, match="takes images; these data are vectors"):
        network(files[0] / "net.pt", (28,))
    with pytest.raises(FileNotFoundError, match=r"give a network as a .pt .TorchScript., .pt2"):
        network(tmp_path / "none.pt", (3, 16, 16))
    for name in ("bad.pt", "bad.pt2", "bad.onnx"):
        (tmp_path / name).write_bytes(b"no network")
        with pytest.raises(ValueError, match="cannot be opened"):
            network(tmp_path / name, (3, 16, 16))
    (tmp_path / "net.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="a network is a"):
        network(tmp_path / "net.h5", (3, 16, 16))


class Broken(nn.Module):
    def forward(self, x):
        return x.mean((1, 2, 3))[:, None] / 0


def test_outputs_that_are_no_numbers_are_refused(tmp_path):
    torch.jit.trace(Broken(), torch.ones(2, 3, 4, 4)).save(tmp_path / "broken.pt")
    with pytest.raises(ValueError, match="a row of finite numbers"):
        network(tmp_path / "broken.pt", (3, 4, 4))
