"""Where a run's network is found again: by its SHA-256, never by a path in the run."""

import pytest
import torch
from networks import Detail, Scaled, save

from vlae.data.networks import recalled, remembered
from vlae.nn.pretrained import open_network

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def network(tmp_path):
    return open_network(save(Detail(), tmp_path / "net.pt2"), side=32)


def test_a_network_is_found_where_it_was_given(network):
    record = remembered(network)
    assert record == {"network": network.name, "sha256": network.sha256, "side": 32}
    x = torch.rand(2, 3, 9, 9)
    assert torch.equal(recalled(record)(x), network(x))


def test_a_path_in_a_record_is_not_opened(network):
    record = {"network": network.name, "sha256": network.sha256, "side": 32}
    with pytest.raises(FileNotFoundError, match=r"net\.pt2 .*never given on this machine; say where.*VLAE_FEATURES="):
        recalled(record)(torch.rand(2, 3, 9, 9))


def test_a_network_that_moved_is_asked_for_and_then_remembered(network, tmp_path, monkeypatch):
    record = remembered(network)
    moved = (tmp_path / "net.pt2").rename(tmp_path / "moved.pt2")
    with pytest.raises(FileNotFoundError, match=r"net\.pt2 .*no longer at .*VLAE_FEATURES=FILE"):
        recalled(record)(torch.rand(2, 3, 9, 9))
    monkeypatch.setenv("VLAE_FEATURES", str(save(Scaled(2.0), tmp_path / "other.pt2")))
    with pytest.raises(ValueError, match=r"net\.pt2 .*other\.pt2 is another"):
        recalled(record)(torch.rand(2, 3, 9, 9))
    monkeypatch.setenv("VLAE_FEATURES", str(moved))
    assert recalled(record)(torch.rand(2, 3, 9, 9)).shape == (2, 15)
    monkeypatch.delenv("VLAE_FEATURES")
    assert recalled(record)(torch.rand(2, 3, 9, 9)).shape == (2, 15)


@pytest.mark.parametrize("wrong", [{"sha256": "../x"}, {"side": -1}, {"side": True}, {"network": 3}, {"sha256": None}])
def test_a_record_that_is_not_whole_is_refused(network, wrong):
    with pytest.raises(ValueError, match="does not describe the network"):
        recalled({"network": network.name, "sha256": network.sha256, "side": 32} | wrong)
