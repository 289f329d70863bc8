import socket

import pytest

from vlae.web import address


def test_only_loopback_addresses_are_local():
    assert all(map(address.is_local, ("127.0.0.1", "localhost", "LOCALHOST", "::1", "127.0.0.9")))
    assert not any(map(address.is_local, ("0.0.0.0", "::", "", "192.168.0.2", "localhost.example.org", "photos")))


def test_the_first_free_port_is_taken_and_a_port_in_use_is_named():
    with address.listen("127.0.0.1", None) as one, address.listen("127.0.0.1", None) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
        assert address.FIRST_PORT <= ports[0] < ports[1]
        with pytest.raises(OSError, match=f"port {ports[0]} is in use; choose another with --port"):
            address.listen("127.0.0.1", ports[0])


@pytest.mark.parametrize("port", [0, -1, 65536, 10**9])
def test_a_port_out_of_range_is_refused(port):
    with pytest.raises(ValueError, match=f"port is {port}; give one from 1 to 65535"):
        address.listen("127.0.0.1", port)


def test_no_free_port_is_said(monkeypatch):
    with address.listen("127.0.0.1", None) as taken:
        monkeypatch.setattr(address, "FIRST_PORT", taken.getsockname()[1])
        monkeypatch.setattr(address, "TRIED_PORTS", 1)
        with pytest.raises(OSError, match="are in use; choose a free one with --port"):
            address.listen("127.0.0.1", None)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7", "not a name"])
def test_a_host_of_another_machine_is_one_line(host):
    with pytest.raises(OSError, match=r"cannot listen at .*; choose another --host"):
        address.listen(host, None)


def test_names_are_those_that_were_bound():
    local = {"127.0.0.1:7860", "localhost:7860", "[::1]:7860"}
    assert address.names("127.0.0.1", 7860) == local
    assert address.names("::1", 7860) == local
    assert address.names("0.0.0.0", 7860) == local  # and each connection's own address
    assert address.names("192.168.0.2", 7860) == {"192.168.0.2:7860"}
    assert address.names("Photos", 80) == {"photos:80", "photos"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photos.example.org", ("https", "photos.example.org")),
        ("https://Photos.Example.org/", ("https", "photos.example.org")),
        ("http://photos:8080", ("http", "photos:8080")),
        ("photos:443", ("https", "photos")),
        ("localhost:9000", ("https", "localhost:9000")),
        ("bücher.example", ("https", "xn--bcher-kva.example")),
        ("[2001:db8::1]:7860", ("https", "[2001:db8::1]:7860")),
    ],
)
def test_a_public_name_is_as_browsers_send_it(text, expected):
    assert address.public_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "*", "*.example.org", "a b", "ftp://a", "a/b", "https://u:p@a", "a:99999", "a:x", "a,b", ".", "a..b"]
)
def test_what_is_no_public_name_is_refused(text):
    with pytest.raises(ValueError, match="--share takes the name"):
        address.public_address(text)


def test_ipv6():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        listener = address.listen("::1", None)
    except OSError:
        pytest.skip("this machine has no IPv6")
    listener.close()


def test_every_address_is_answered_by_ipv4_too():
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6 beside IPv4")
    with address.listen("::", None) as listener:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, listener.getsockname()[1]), timeout=5).close()
