"""Frozen networks: what they take, what they may give, and where they come from."""

import copy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from networks import Detail, Maps, Scaled, save
from torch import nn

from vlae.errors import MissingExtraError
from vlae.nn import network_formats
from vlae.nn.network_formats import Opened
from vlae.nn.pretrained import FeatureNetwork, open_network


def test_the_features_are_the_networks_outputs_at_its_side(tmp_path):
    network = open_network(save(Detail(), tmp_path / "net.pt2"), side=32)
    x = torch.rand(5, 3, 32, 32)
    torch.testing.assert_close(network(x), Detail()(x))
    large = nn.functional.interpolate(x, (64, 64), mode="nearest")
    torch.testing.assert_close(network(large)[:, :12], Detail()(x)[:, :12], atol=0.01, rtol=0)  # resized to 32
    assert network(torch.rand(2, 1, 9, 7)).shape == (2, 15)  # grey becomes colour
    assert copy.deepcopy(network) is network


def test_a_network_that_gives_no_vector_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"maps.pt2 gives outputs of shape \(2, 3, 4, 4\).*one vector of each"):
        open_network(save(Maps(), tmp_path / "maps.pt2"), side=32)(torch.rand(2, 3, 32, 32))


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(ValueError, match="a row of finite numbers"):
        open_network(save(Scaled(float("inf")), tmp_path / "inf.pt2"), side=32)(torch.rand(2, 3, 32, 32))


def test_a_place_without_a_network_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no file none.onnx; give a network as a .pt \(TorchScript\).*hf:USER/NAME$"
    ):
        open_network("none.onnx")
    for side in (0, 4097):
        with pytest.raises(ValueError, match=f"the side of the network's pictures is {side} pixels; .* from 1 to 4096"):
            open_network(save(Detail(), tmp_path / "net.pt2"), side=side)


class Named(nn.Module):
    """A dictionary instead of a tensor."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"features": x.mean((2, 3))}


class Half(nn.Module):
    """Features in bf16, after features of another kind."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.mean((2, 3)).to(torch.bfloat16), x


def test_what_is_no_tensor_is_refused_and_half_precision_is_taken(tmp_path):
    for network in (Named(), Half()):
        torch.jit.script(network).save(tmp_path / f"{type(network).__name__}.pt")
    x = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"Named.pt gives a dict, not a tensor; let it give one tensor"):
        open_network(tmp_path / "Named.pt")(x)
    torch.testing.assert_close(open_network(tmp_path / "Half.pt")(x), x.mean((2, 3)).bfloat16().float())


class Backbone(nn.Module):
    """A network of timm, or of the hub, as far as this package uses it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 6)

    def forward(self, pixel_values):
        pooled = self.linear(pixel_values.mean((2, 3)))
        return SimpleNamespace(pooler_output=pooled) if self.on_hub else pooled


def test_a_network_of_timm_brings_its_normalisation_and_side(monkeypatch):
    made, asked = Backbone(), {}
    made.on_hub = False
    timm = ModuleType("timm")
    timm.create_model = lambda name, **options: asked.update(name=name, **options) or made
    settings = {"input_size": (3, 20, 20), "mean": (0.5, 0.4, 0.3), "std": (0.1, 0.2, 0.4)}
    timm.data = SimpleNamespace(resolve_model_data_config=lambda model: settings)
    monkeypatch.setitem(sys.modules, "timm", timm)
    network = open_network("timm:resnet18")
    assert asked == {"name": "resnet18", "pretrained": True, "num_classes": 0}
    assert network.side == 20 and network.short_name == "timm:resnet18"
    x = torch.rand(4, 3, 20, 20)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.1, 0.2, 0.4])
    torch.testing.assert_close(network(x), made.linear((x.mean((2, 3)) - mean) / std).detach())
    with torch.no_grad():
        made.linear.bias += 1
    assert open_network("timm:resnet18").sha256 != network.sha256  # other weights are another network


def test_a_network_of_the_hub_gives_its_pooled_output(monkeypatch):
    made, asked = Backbone(), {}
    made.on_hub = True
    transformers = ModuleType("transformers")
    transformers.AutoModel = SimpleNamespace(
        from_pretrained=lambda name, **options: asked.update(name=name, **options) or (made, {"missing_keys": missing})
    )
    missing = []
    processor = SimpleNamespace(size={"height": 24, "width": 24}, image_mean=[0.5] * 3, image_std=[0.25] * 3)
    transformers.AutoImageProcessor = SimpleNamespace(from_pretrained=lambda name: processor)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    network = open_network("hf:user/net")
    assert asked == {
        "name": "user/net",
        "use_safetensors": True,
        "output_loading_info": True,
    }  # no weights that can run code
    x = torch.rand(4, 3, 24, 24)
    torch.testing.assert_close(network(x), made.linear((x.mean((2, 3)) - 0.5) / 0.25).detach())
    assert network.side == 24
    processor.size, processor.crop_size = {"shortest_edge": 30}, {"height": 28, "width": 28}
    assert open_network("hf:user/net").side == 28
    processor.do_center_crop = False
    assert open_network("hf:user/net").side == 30
    processor.do_normalize = False
    plain = open_network("hf:user/net")
    torch.testing.assert_close(plain(x), made.linear(x.mean((2, 3))).detach(), atol=1e-3, rtol=1e-3)
    assert plain.sha256 != network.sha256  # such runs had other features before
    for name, value in (
        ("do_pad", True),
        ("rescale_offset", True),
        ("rescale_factor", 1 / 127.5),
        ("do_rescale", False),
    ):
        setattr(processor, name, value)
        with pytest.raises(
            ValueError, match=rf"processor of hf:user/net does more than .*\({name}.*\); choose another"
        ):
            open_network("hf:user/net")
        delattr(processor, name)
    missing.append("encoder.weight")
    with pytest.raises(ValueError, match=r"hf:user/net comes without weights .*\(encoder.weight\); choose another"):
        open_network("hf:user/net")


class Headless(nn.Module):
    """A network of the hub whose file has no pooler, which is drawn at random; its first token stands for all."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.ones(3))
        self.pooler = nn.Linear(3, 3)

    def forward(self, pixel_values):
        tokens = pixel_values.flatten(2).transpose(1, 2) * self.cls_token
        return SimpleNamespace(last_hidden_state=tokens, pooler_output=self.pooler(tokens[:, 0]))


def test_a_pooler_that_was_drawn_at_random_is_not_used(monkeypatch):
    transformers = ModuleType("transformers")
    info = {"missing_keys": {"pooler.weight", "pooler.bias"}}
    transformers.AutoModel = SimpleNamespace(from_pretrained=lambda name, **options: (Headless(), info))
    processor = SimpleNamespace(size={"height": 8}, image_mean=[0.0] * 3, image_std=[1.0] * 3)
    transformers.AutoImageProcessor = SimpleNamespace(from_pretrained=lambda name: processor)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    first, second = open_network("hf:user/net"), open_network("hf:user/net")
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(first(x), x[:, :, 0, 0])
    assert first.sha256 == second.sha256


def noisy(*, dropout):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Dropout(0.5) if dropout else nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


@pytest.mark.parametrize("dropout", [True, False])
def test_a_network_that_was_saved_in_training_is_refused(tmp_path, dropout):
    x = torch.rand(4, 3, 16, 16)
    for kind in ("pt2", "pt"):
        for mode in (True, False):
            module, file = noisy(dropout=dropout).train(mode), tmp_path / f"{mode}.{kind}"
            if kind == "pt":
                torch.jit.trace(module, x, check_trace=False).save(file)
            else:
                batch = ({0: torch.export.Dim("n", min=2)},)
                torch.export.save(torch.export.export(module, (x,), dynamic_shapes=batch), file)
        assert open_network(tmp_path / f"False.{kind}")(x).shape == (4, 8)
        with pytest.raises(ValueError, match=rf"True.{kind} says something else of a picture.*after .eval\(\)$"):
            open_network(tmp_path / f"True.{kind}")(x)


def exported(file, channels):
    example = torch.rand(2, channels, 8, 8)
    program = torch.export.export(nn.Flatten().eval(), (example,), dynamic_shapes=({0: torch.export.Dim("n", min=1)},))
    torch.export.save(program, file)
    return file


def test_an_exported_network_takes_the_channels_that_it_declares(tmp_path):
    grey, colour = (open_network(exported(tmp_path / f"{n}.pt2", n)) for n in (1, 3))
    for x in (torch.rand(2, 1, 8, 8), torch.rand(2, 3, 8, 8)):
        torch.testing.assert_close(grey(x), x.mean(1).flatten(1))
        assert colour(x).shape == (2, 192)
    with pytest.raises(ValueError, match=r"4.pt2 takes pictures of 4 channels; C of 1, 3, or 5 to 16"):
        open_network(exported(tmp_path / "4.pt2", 4))


@pytest.mark.parametrize(("name", "package"), [("timm:resnet18", "timm"), ("hf:user/net", "transformers")])
def test_a_missing_package_is_named(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{name} needs {package}.*vlae\[features\]"):
        open_network(name)


# ONNX


class Means(nn.Module):
    """The mean colours of pictures times a number, with weights of a size that is kept in another file."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factors = nn.Parameter(factor * torch.eye(3).repeat(1, 1000))

    def forward(self, x):
        return (x.mean((2, 3)) @ self.factors)[:, :3]


class Classes(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)).argmax(1, keepdim=True)


class LastChannels(nn.Module):
    def forward(self, x):
        return x.mean((1, 2))


def onnx_file(file, module, shape=(2, 3, 16, 16), *, free=True, external=False):
    batch = {"x": {0: torch.export.Dim("n", min=1)}} if free else None
    program = torch.onnx.export(module.eval(), (torch.rand(shape),), dynamo=True, dynamic_shapes=batch, verbose=False)
    program.save(str(file), external_data=external)
    return file


def test_a_network_of_a_fixed_number_of_pictures_takes_any_number(tmp_path):
    network = open_network(onnx_file(tmp_path / "fixed.onnx", Means(), free=False))
    x = torch.rand(7, 3, 16, 16)
    torch.testing.assert_close(network(x), 2 * x.mean((2, 3)))
    torch.testing.assert_close(network(x[:1]), 2 * x[:1].mean((2, 3)))
    with pytest.raises(ValueError, match=r"fixed.onnx does not take pictures .*invalid dimensions.*give the side"):
        open_network(tmp_path / "fixed.onnx", side=9)(x)


def test_weights_beside_the_file_are_part_of_what_a_network_is(tmp_path):
    x = torch.rand(2, 3, 16, 16)
    networks = []
    for factor in (2.0, 5.0, 2.0):
        networks.append(open_network(onnx_file(tmp_path / "net.onnx", Means(factor), external=True)))
        torch.testing.assert_close(networks[-1](x), factor * x.mean((2, 3)))
    assert (tmp_path / "net.onnx.data").exists()
    first, other, again = (network.sha256 for network in networks)
    assert first == again != other
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(ValueError, match=r"net.onnx cannot be opened"):
        open_network(tmp_path / "net.onnx")


def opened_of(shape, monkeypatch):
    """What is opened of an ONNX file that declares an input of this shape."""
    import onnx
    import onnxruntime

    put = SimpleNamespace(name="x", shape=shape, type="tensor(float)")
    session = SimpleNamespace(get_inputs=lambda: [put])
    with monkeypatch.context() as patched:
        patched.setattr(onnxruntime, "InferenceSession", lambda *args, **how: session)
        patched.setattr(onnx, "load", lambda *args, **how: None)
        patched.setattr(network_formats, "_hash_onnx", lambda *args: "0" * 64)
        return network_formats._onnx(Path("net.onnx"))


def test_networks_of_other_inputs_are_refused_when_they_are_opened(tmp_path, monkeypatch):
    last = onnx_file(tmp_path / "last.onnx", LastChannels(), (2, 16, 16, 3))
    with pytest.raises(ValueError, match=r"last.onnx takes .*16, 16, 3\].*the channels come first, not last"):
        open_network(last)
    for shape in ([2, "h", "w", 3], [2, 224, 224, 8]):
        with pytest.raises(ValueError, match="the channels come first, not last"):
            opened_of(shape, monkeypatch)
    for shape in ([2, 4, 8, 8], [2, 2, 8, 8], [2, 17, 32, 32]):
        with pytest.raises(ValueError, match="C of 1, 3, or 5 to 16: opacity is left out"):
            opened_of(shape, monkeypatch)
    assert opened_of([], monkeypatch)[1:3] == (None, None)
    assert opened_of(["n", "c", 16, 16], monkeypatch)[1:3] == (None, 16)
    assert opened_of(["n", 5, 224, "w"], monkeypatch)[1:3] == (5, 224)
    with pytest.raises(ValueError, match=r"wide.onnx takes .*16, 24\].*as high as they are wide"):
        open_network(onnx_file(tmp_path / "wide.onnx", Means(), (2, 3, 16, 24)))
    with pytest.raises(ValueError, match=r"flat.onnx takes .*a network takes float32 pictures"):
        open_network(onnx_file(tmp_path / "flat.onnx", nn.Linear(4, 2), (2, 4), free=False))


def test_names_and_numbers_of_classes_are_no_features(tmp_path):
    network = open_network(onnx_file(tmp_path / "classes.onnx", Classes()))
    with pytest.raises(ValueError, match=r"classes.onnx gives int64 .*features are floats"):
        network(torch.rand(2, 3, 16, 16))
    for outputs in (np.array(["cat", "dog"]), np.array([{"cat": 0.5}, {"cat": 0.1}])):
        given = network.open()._replace(run=lambda x, outputs=outputs: outputs)
        with pytest.raises(ValueError, match=r"net gives .*features are floats"):
            FeatureNetwork("net", sha256="0" * 64, side=None, find=lambda given=given: given)(torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize(("channels", "taken"), [(1, 3), (3, 3), (4, 3), (5, 5), (16, 16)])
def test_pictures_of_many_channels_stay_as_they_are_if_the_network_does_not_say(tmp_path, channels, taken):
    silent = Opened(lambda x: x.mean((2, 3)).numpy(), None, None, "0" * 64)
    network = FeatureNetwork("net", sha256="0" * 64, side=None, find=lambda: silent)
    assert network(torch.rand(2, channels, 8, 8)).shape == (2, taken)
    colour = FeatureNetwork("net", sha256="0" * 64, side=None, find=lambda: silent._replace(channels=3))
    many = FeatureNetwork("net", sha256="0" * 64, side=None, find=lambda: silent._replace(channels=7))
    with pytest.raises(ValueError, match=f"net takes pictures of 7 channels, and these have {channels}"):
        many.outputs(torch.rand(2, channels, 8, 8))
    if channels > 4:
        with pytest.raises(ValueError, match=f"net takes pictures of 3 channels, and these have {channels}"):
            colour(torch.rand(2, channels, 8, 8))
    else:
        assert colour(torch.rand(2, channels, 8, 8)).shape == (2, 3)
