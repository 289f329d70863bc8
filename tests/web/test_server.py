"""What the server answers: to the page, to strangers, to nonsense, and in the end."""

import builtins
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Event, Thread
from types import SimpleNamespace

import numpy as np
import pytest

from vlae.cli import main
from vlae.web import address, app, body, login, server, serving
from vlae.web.answers import Answers
from vlae.web.collection import Collection
from vlae.web.collection_answers import CollectionAnswers
from vlae.web.encoding import Encoding
from vlae.web.map import Maps
from vlae.web.session import Session
from vlae.web.studio import Studio
from vlae.workflows import train

SIZES = (2, 0, 4)
ENDS = 20  # seconds: a page ends within one, on a machine that is not busy; one that waits for visitors never does
NOISE = [[0.5, -0.5], [], [0.0, 1.0, 2.0, 3.0]]
QUESTIONS = {
    "describe": [],
    "draw": [3, "fitted"],
    "redraw": [NOISE, 3, 2**32 - 1, "standard"],
    "datum": [1],
    "picture": [NOISE],
    "strips": [NOISE, [1, 3], 3, "fitted"],
    "codes": [NOISE],
    "mixes": [NOISE, NOISE],
    "data": [],
    "card": [],
    "progress": [],
    "known": [],
    "positions": [3, "pca"],
    "near": [NOISE, [1, 3], 5, 1],
    "neighbours": [NOISE, 1],
    "odd": [3],
    "along": [3, 2],
    "dimensions": [],
    "copies": [],
    "clusters": [3, 4],
    "why_near": [NOISE, [1, 2], [1, 3]],
    "why_odd": [[1, 2], 3],
    "about": [1],
    "export": ["atlas", [1, 2], ["nice", ""], 3],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    np.save(folder / "pictures.npy", np.random.default_rng(0).integers(0, 256, (120, 12, 12, 3), dtype=np.uint8))
    return train(folder / "pictures.npy", out=folder / "run", code_sizes=SIZES, steps=2, batch_size=8, progress=False)


@pytest.fixture
def serve(run):
    pages = []

    def start(**options):
        pages.append(app.explore(run, wait=False, **options))
        return Visitor(pages[-1].local_url)

    yield start
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def visitor(run):
    page = app.explore(run, wait=False)
    yield Visitor(page.local_url)
    page.close()


class Visitor:
    """Asks a page over a new connection each time, with any headers."""

    def __init__(self, url):
        self.url = url
        self.host = url.removeprefix("http://").removesuffix("/")
        self.name, _, port = self.host.rpartition(":")
        self.port = int(port)
        self.cookie = None

    def request(self, method, path, content=None, headers=()):
        connection = http.client.HTTPConnection(self.name.strip("[]"), self.port, timeout=30)
        headers = {**({"Cookie": self.cookie} if self.cookie else {}), **dict(headers)}
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            response.text = response.read().decode()
            return response
        finally:
            connection.close()

    def ask(self, name, *arguments, headers=()):
        content = json.dumps(arguments)
        answer = self.request("POST", f"/api/{name}", content, {"Content-Type": "application/json", **dict(headers)})
        return answer.status, json.loads(answer.text)

    def log_in(self, password, headers=()):
        answer = self.request("POST", "/", urllib.parse.urlencode({"user": "vlae", "password": password}), headers)
        self.cookie = (answer.headers["set-cookie"] or "").partition(";")[0]
        return answer

    def raw(self, content):
        """Sends bytes as they are, and returns all that comes back."""
        with socket.create_connection((self.name, self.port), timeout=30) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_page_and_every_question_are_answered(visitor):
    page = visitor.request("GET", "/")
    assert (
        page.status == 200
        and "<title>run · vlae</title>" in page.text
        and page.getheader("content-type")[:9] == "text/html"
    )
    assert "'use strict'" in visitor.request("GET", "/page.js").text
    assert "#vlae-card" in visitor.request("GET", "/page.css").text
    assert visitor.request("HEAD", "/").status == 200
    for name, arguments in QUESTIONS.items():
        status, answer = visitor.ask(name, *arguments)
        assert status == 200 and answer and "error" not in answer, name


def test_pictures_of_the_collection_are_sent_by_number_and_kept_by_the_browser(visitor, run):
    import io

    from PIL import Image

    def get(path):
        with urllib.request.urlopen(f"{visitor.url}{path}") as answer:
            return answer.headers, np.asarray(Image.open(io.BytesIO(answer.read())))

    headers, pixels = get("picture/1?size=64")
    assert np.array_equal(pixels, run.examples[1].transpose(1, 2, 0))
    assert headers["content-type"] == "image/png" and headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    version = visitor.ask("data")[1]["version"]
    headers, _ = get(f"picture/119?size=2000&v={version}")
    assert headers["cache-control"] == "private, max-age=86400, immutable"
    for path, status in (
        ("picture/120", 404),
        ("picture/99999999999999999999", 400),
        ("picture/1?size=0", 404),
        ("picture/1?size=-3", 400),
        ("picture/1?size=x", 400),
        ("picture/1?size=" + "9" * 99, 400),
        ("picture/..%2f..%2fetc%2fpasswd", 404),
        ("picture/-1", 400),
        ("picture/" + "9" * 5_000, 400),  # Python makes no whole number of so many digits
        ("picture/1?size=64&v=ofanother", 409),  # a tab that was opened when the page showed other data
    ):
        answer = visitor.request("GET", f"/{path}")
        assert answer.status == status and json.loads(answer.text)["error"], path


def test_pictures_are_behind_the_password_and_the_names_of_the_page(serve):
    guarded = serve(password="open sesame")
    assert guarded.request("GET", "/picture/1?size=64").status == 401
    assert guarded.request("GET", "/picture/1", headers={"Host": "evil.example"}).status == 400


def test_a_name_is_escaped(run, monkeypatch):
    monkeypatch.setattr(type(run), "name", "<script>alert(1)</script>")
    page = app.explore(run, wait=False)
    try:
        text = Visitor(page.local_url).request("GET", "/").text
    finally:
        page.close()
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text


# Strangers


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "*",
            "[::1",
            "localhost",
            "127.0.0.1",
            "localhost:1",
            "localhost.:{port}",
            "0.0.0.0:{port}",
            "10.0.0.1:{port}",
        ),
        *("evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}"),
        *("127.0.0.1:{port}@evil.example", "user@127.0.0.1:{port}", "127.0.0.1:{port}, evil.example"),
    ],
)
def test_only_the_page_s_own_names_are_answered(visitor, host):
    """A site can point a name of its own at this machine, and read what the browser then reads (DNS rebinding)."""
    headers = {"Host": host.format(port=visitor.port)}
    for method, path in (("GET", "/"), ("GET", "/page.js"), ("POST", "/api/data"), ("OPTIONS", "/api/data")):
        answer = visitor.request(method, path, "[]", {**headers, "Content-Type": "application/json"})
        assert answer.status == 400 and "--share NAME" in json.loads(answer.text)["error"]


def test_its_own_names_are_answered(visitor):
    for name in ("127.0.0.1", "localhost", "LocalHost", "[::1]"):
        assert visitor.ask("describe", headers={"Host": f"{name}:{visitor.port}"})[0] == 200


def test_no_host_and_two_hosts_are_refused(visitor):
    own = f"Host: 127.0.0.1:{visitor.port}\r\n"
    for lines in ("", own + "Host: evil.example\r\n", own + own):
        assert visitor.raw(f"GET / HTTP/1.0\r\n{lines}\r\n".encode()).startswith(b"HTTP/1.1 400")
    assert b"200" in visitor.raw(f"GET / HTTP/1.0\r\n{own}\r\n".encode())[:20]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Origin": "http://[127.0.0.1:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_sites_and_other_ports_of_this_machine_ask_in_vain(visitor, headers):
    headers = {name: value.format(port=visitor.port) for name, value in headers.items()}
    assert visitor.ask("data", headers=headers)[0] == 403
    preflight = visitor.request("OPTIONS", "/api/data", headers={**headers, "Access-Control-Request-Method": "POST"})
    assert preflight.status == 403
    assert visitor.ask("describe", headers={"Origin": visitor.url[:-1], "Sec-Fetch-Site": "same-origin"})[0] == 200


def test_every_response_has_the_policy_and_none_shares_with_other_origins(visitor):
    origin = {"Origin": visitor.url[:-1]}
    for method, path, extra in (
        ("GET", "/", {}),
        ("GET", "/page.js", {}),
        ("GET", "/nothing", {}),
        ("POST", "/api/describe", {"Content-Type": "application/json"}),
        ("POST", "/api/describe", {}),
        ("GET", "/", {"Host": "evil.example"}),
        ("OPTIONS", "/api/describe", {}),
    ):
        answer = visitor.request(method, path, "[]", {**origin, **extra})
        policy = answer.getheader("content-security-policy")
        assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert answer.getheader("x-content-type-options") == "nosniff"
        assert not [name for name, _ in answer.getheaders() if name.lower().startswith("access-control")]
        assert answer.getheader("server") is None


@pytest.mark.parametrize(
    "path", ["/docs", "/openapi.json", "/etc/passwd", "//etc/passwd", "/../../etc/passwd", "/page/"]
)
def test_nothing_else_is_served(visitor, path):
    for dotted in (path, path.replace(".", "%2e")):
        answer = visitor.request("GET", dotted)
        assert answer.status == 404 and set(json.loads(answer.text)) == {"error"}


# Nonsense


HOSTILE = [
    ("wrong number", [[], [1], [1] * 9, [[]] * 3]),
    (
        "wrong kind",
        [{}, 3, None, "words", [None], [{}], ["x"], [True], ["x", "y"], [None] * 4, [True, True, True, True]],
    ),
    (
        "out of range",
        [[10_000], [-1], [-1, "fitted"], [2**32, "fitted"], [10**30], [99, "pca"], [-3, "pca"], [0, "code"]],
    ),
    ("unknown names", [[0, "best"], [3, "tsne"], [NOISE, 3, 3, "best"], [NOISE, [1], 3, ""]]),
    (
        "levels",
        [[NOISE, [2], 3, "fitted"], [NOISE, [0], 3, "fitted"], [NOISE, [9], 3, "fitted"], [NOISE, 2, 0, "fitted"]],
    ),
    ("neighbours", [[NOISE, -2], [NOISE, 5000], [NOISE, 10**12]]),
    (
        "codes",
        [[[[0, 0], [], [0, 0, 0, 1e9]]], [[[0]]], [[[0, 0], [], [0, 0, 0, "a"]]], [[[[0, 0]], [], [0] * 4]], [7]],
    ),
    (
        "huge",
        [
            [[[0] * 100_000] * 2],
            [[[]] * 100_000],
            ["x" * 100_000, "fitted"],
            [[[0, 0], [], [0] * 4], list(range(99_999))],
        ],
    ),
]
WORDS = [b"", b"[", b"nul", b"[NaN]", b"[Infinity]", b"[1e999]", b"[" * 50_000, b"\xff\xfe\x00", b'["\\ud800"]']
WORDS += [b'["data:image/png;base64,###"]', b"[" + b"9" * 5000 + b"]", b"[[[NaN, 0], [], [0, 0, 0, 0]]]"]


@pytest.mark.parametrize("name", [*QUESTIONS, "upload"])
def test_nonsense_gets_one_line_and_never_a_traceback(visitor, name, capfd):
    bodies = [json.dumps(values).encode() for _, kind in HOSTILE for values in kind] + WORDS
    right = [tuple(QUESTIONS.get(name, ["?"]))]
    for content in bodies:
        answer = visitor.request("POST", f"/api/{name}", content, {"Content-Type": "application/json"})
        given = tuple(map(str, json.loads(content))) if content == b"[]" else None
        if given == () and right == [()]:
            continue
        if answer.status != 200:
            assert 400 <= answer.status < 500, (content[:60], answer.text)
            message = json.loads(answer.text)["error"]
            assert message and "\n" not in message and len(message) < 400, message
        else:
            assert _is_right(name, json.loads(content)), content[:60]
    assert capfd.readouterr() == ("", "")


def _is_right(name, values):
    """Whether a question of the lists above happens to be right for one of the names."""
    kinds = {"datum": ["index"], "draw": ["seed", "prior"], "positions": ["level", "method"], "odd": ["level"]}
    kinds |= {"about": ["number"], "clusters": ["level", "num"], "along": ["level", "dimension"]}
    return name in kinds and len(values) == len(kinds[name]) and isinstance(values[0], int)


def test_what_is_wrong_is_said(visitor):
    for name, arguments, words in (
        ("picture", [[[0]]], "codes of sizes (1,) are given; the run run takes (2, 0, 4)"),
        ("datum", [10_000], "there is no picture 10000"),
        ("datum", [-1], "there is no picture -1"),
        ("neighbours", [NOISE, 5000], "there is no picture 5000"),
        ("positions", [7, "pca"], "there is no level 7 with a code; there are 1, 3"),
        ("strips", [NOISE, [2], 0, "fitted"], "there is no level 2"),
        ("strips", [NOISE, [0], 0, "fitted"], "there is no level 0"),
        ("strips", [NOISE, [99], 0, "fitted"], "there is no level 99"),
        ("redraw", [NOISE, 2, 0, "fitted"], "there is no level 2"),
        ("draw", [0, "best"], "prior is 'best'; it must be 'fitted' or 'standard'"),
        ("draw", [-1, "fitted"], "seed is -1; it must be a whole number from 0"),
        ("upload", ["data:image/png;base64,###"], "did not arrive whole"),
        ("upload", ["data:image/png;base64,AAAA"], "cannot be read as a picture"),
    ):
        status, answer = visitor.ask(name, *arguments)
        assert status == 400 and words in answer["error"], (name, answer)
    status, answer = visitor.ask("delete")
    assert status == 404 and "there are describe, draw" in answer["error"]


def test_other_methods_and_kinds_of_content_are_refused(visitor):
    assert visitor.request("GET", "/api/describe").status == 405
    assert visitor.request("DELETE", "/").status == 405
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert visitor.request("POST", "/api/describe", "[]", {"Content-Type": kind}).status == 415
    assert (
        visitor.request("POST", "/api/describe", "[]", {"Content-Type": "application/json; charset=utf-8"}).status
        == 200
    )


def test_requests_are_limited_in_size(visitor):
    assert _too_large(visitor, "picture", server.MAX_QUESTION + 1)
    assert _too_large(visitor, "upload", server.MAX_UPLOAD + 1)
    start = f"POST /api/describe HTTP/1.1\r\nHost: {visitor.host}\r\nContent-Type: application/json\r\n"
    chunked = f"{start}Transfer-Encoding: chunked\r\n\r\n".encode() + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 40
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "MAX_QUESTION", 2**16)
        with suppress(OSError):  # cut off while it was still sending
            assert visitor.raw(chunked).startswith(b"HTTP/1.1 413")
    with suppress(OSError):
        endless = f"GET / HTTP/1.1\r\nHost: {visitor.host}\r\nX: {'x' * 200_000}\r\n\r\n"
        assert visitor.raw(endless.encode())[:12] == b"HTTP/1.1 400"
    assert visitor.ask("describe")[0] == 200


def _too_large(visitor, name, size):
    try:
        return visitor.request("POST", f"/api/{name}", b" " * size, {"Content-Type": "application/json"}).status == 413
    except ConnectionError:  # cut off while it was still sending
        return True


def test_requests_that_do_not_arrive_are_given_up(visitor, monkeypatch):
    monkeypatch.setattr(body, "SECONDS", 0.2)
    start = f"POST /api/describe HTTP/1.1\r\nHost: {visitor.host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((visitor.name, visitor.port), timeout=10) as connection:
        connection.sendall(f"{start}Content-Length: 9\r\n\r\n[".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
    monkeypatch.setattr(serving, "SECONDS", 0.3)
    for beginning in (b"", b"GET / HT", f"{start}X-Slow".encode()):
        with socket.create_connection((visitor.name, visitor.port), timeout=10) as connection:
            connection.sendall(beginning)
            with suppress(ConnectionError):
                assert connection.recv(100) == b""


def test_a_failure_of_the_server_is_one_line_here_and_there(visitor, monkeypatch, capfd):
    monkeypatch.setattr(Studio, "codes", lambda *_: 1 / 0)
    status, answer = visitor.ask("codes", NOISE)
    assert status == 500 and answer["error"] == "codes failed: ZeroDivisionError: division by zero"
    assert capfd.readouterr().err == "vlae: codes failed: ZeroDivisionError: division by zero\n"


@pytest.mark.parametrize("failure", [FileNotFoundError("the network is gone"), MemoryError()])
def test_a_preparation_that_fails_is_told_to_who_waits_for_it(run, monkeypatch, capfd, failure):
    def fail(*_):
        raise failure

    monkeypatch.setattr(Encoding, "prepare", fail)
    page = app.explore(run, wait=False)
    page._preparing.join()
    told = [answer for answer in CollectionAnswers(page._session).all() if answer.__name__ == "progress"]
    with pytest.raises(ValueError, match=r"the network is gone|MemoryError"):
        told[0]()
    page.close()
    assert re.fullmatch(r"vlae: (the network is gone|MemoryError)\n", capfd.readouterr().err)


def test_the_card_is_of_the_evaluation_that_there_is_now(run, monkeypatch):
    answers = Answers(Session(run))
    drawn = []
    monkeypatch.setattr("vlae.report.page.content", lambda _: drawn.append(1) or f"card {len(drawn)}")
    assert [answers.card()["html"] for _ in range(2)] == ["card 1"] * 2
    monkeypatch.setattr(type(run), "evaluation", {"num_images": 9})
    assert [answers.card()["html"] for _ in range(2)] == ["card 2"] * 2


def test_missing_values_are_null(visitor, monkeypatch):
    values = np.array([0.5, np.nan, np.inf])
    monkeypatch.setattr(Collection, "properties", lambda _: {"age": values})
    assert visitor.ask("known")[1]["known"]["age"] == [0.5, None, None]


def test_many_users_at_once_get_their_own_answers(visitor):
    def answer(seed):
        noise = visitor.ask("draw", seed, "fitted")[1]["noise"]
        return noise, visitor.ask("picture", noise)[1], visitor.ask("strips", noise, [1, 3], seed, "fitted")[1]

    alone = [answer(seed) for seed in range(8)]
    with ThreadPoolExecutor(24) as users:
        together = list(users.map(answer, list(range(8)) * 3))
    assert together == alone * 3


# A password


def test_a_page_for_others_needs_a_password(run, capsys, monkeypatch):
    monkeypatch.delenv("VLAE_PASSWORD", raising=False)
    for words in (["--host", "0.0.0.0"], ["--host", "::"], ["--host", ""], ["--share", "photos.example.org"]):
        with pytest.raises(SystemExit) as stop:
            main.main(["explore", str(run.path), *words])
        assert stop.value.code == 2
        assert "needs a password: give one with --password" in capsys.readouterr().err


def test_nothing_but_the_form_and_its_style_is_served_before_login(serve):
    visitor = serve(password="open sesame")
    form = visitor.request("GET", "/")
    assert (
        form.status == 401 and "run" not in form.text and 'type="password"' in form.text and "<script" not in form.text
    )
    assert visitor.request("GET", "/page.css").status == 200
    for method, path in [
        ("GET", "/page.js"),
        ("GET", "/docs"),
        ("GET", "/page.css/"),
        ("GET", "//page.css"),
        ("PUT", "/"),
    ]:
        assert visitor.request(method, path).status in (401, 404), path
    for name in [*QUESTIONS, "upload", "nothing"]:
        status, answer = visitor.ask(name, *QUESTIONS.get(name, []))
        assert status == 401 and "password" in answer["error"]
    assert visitor.request("GET", "/", headers={"Host": "evil.example"}).status == 400


@pytest.fixture
def clock(monkeypatch):
    """The clock of wrong passwords, which goes on only where a test says so."""
    clock = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(login, "Pace", partial(login.Pace, lambda: clock.seconds))
    return clock


@pytest.mark.parametrize("password", ["open sesame", "пароль ☂ &=%+", " "])
def test_the_password_opens_the_page(serve, clock, password):
    visitor = serve(password=password)
    for wrong in ("", password + "x", password.encode().decode("latin-1") + "é"):
        assert visitor.log_in(wrong).status == 401 and visitor.cookie == ""
        clock.seconds += 0.12
    answer = visitor.log_in(password)
    assert answer.status == 303 and answer.getheader("location") == "/"
    cookie = answer.getheader("set-cookie")
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/")) and "Secure" not in cookie
    assert visitor.ask("describe")[1]["name"] == "run"
    name, _, token = visitor.cookie.partition("=")
    assert name == f"vlae-{visitor.port}" and len(token) > 40
    for other in (token[:-1], "", token + "x", "é"):
        visitor.cookie = f"{name}={other}"
        assert visitor.ask("describe")[0] == 401


def test_a_login_from_another_site_or_of_a_strange_form_is_refused(serve):
    visitor = serve(password="open sesame")
    assert visitor.log_in("open sesame", {"Origin": "http://evil.example"}).status == 403
    assert visitor.request("POST", "/", b"\xff\x00=&&;password").status == 401
    assert visitor.request("POST", "/", b"x" * 5000).status == 413


def test_wrong_passwords_are_slowed_down_and_others_are_not(serve, clock):
    visitor, other = serve(password="open sesame"), None
    assert visitor.log_in("open sesame").status == 303
    known, other = visitor.cookie, Visitor(visitor.url)
    statuses = []
    for _ in range(4):
        statuses.append(other.log_in("wrong").status)
        clock.seconds += 0.12
    assert statuses == [401] * 4
    slowed = other.log_in("open sesame")
    assert slowed.status == 429 and slowed.getheader("retry-after") == "1" and "Try again in 1 s" in slowed.text
    visitor.cookie = known
    assert visitor.ask("describe")[0] == 200
    clock.seconds += 1
    assert other.log_in("open sesame").status == 303


def test_a_shared_name_is_answered_and_its_cookie_is_for_https(serve):
    visitor = serve(password="open sesame", share="https://photos.example.org/")
    elsewhere = {"Host": "photos.example.org", "Origin": "https://photos.example.org", "X-Forwarded-Proto": "https"}
    answer = visitor.log_in("open sesame", elsewhere)
    assert answer.status == 303 and "Secure" in answer.getheader("set-cookie")
    assert visitor.ask("describe", headers=elsewhere)[0] == 200
    assert visitor.ask("describe", headers={**elsewhere, "Host": "evil.example"})[0] == 400
    assert visitor.ask("describe", headers={**elsewhere, "Origin": "https://evil.example"})[0] == 403
    assert visitor.ask("describe")[0] == 200  # from this machine


def test_a_shared_name_that_is_none_is_refused(run):
    with pytest.raises(ValueError, match="--share takes the name"):
        app.explore(run, share="*", password="open sesame", wait=False)


def test_a_page_for_the_network_is_answered_at_its_address_only(serve):
    visitor = serve(host="0.0.0.0", password="open sesame")
    assert visitor.name == "127.0.0.1"
    own = socket.gethostbyname(socket.gethostname())
    visitor.name = own
    assert visitor.request("GET", "/", headers={"Host": f"{own}:{visitor.port}"}).status == 401
    for host in (f"0.0.0.0:{visitor.port}", f"10.1.2.3:{visitor.port}", "evil.example"):
        assert visitor.request("GET", "/", headers={"Host": host}).status == 400


# The beginning and the end


def test_a_closed_page_computes_no_more(run):
    page = app.explore(run, wait=False)
    session = page._session
    page.close()
    with pytest.raises(ValueError, match="the page was closed"):
        session.studio.pictures(session.studio.parse_noise(NOISE))
    with pytest.raises(ValueError, match="the page was closed"):
        session.studio.noise_of(run.examples)


def test_the_page_ends_at_once_with_open_connections_and_work(run, monkeypatch):
    started, end, place = Event(), Event(), Maps.place

    def never(*arguments):
        started.set()
        end.wait(3 * ENDS)
        return place(*arguments)

    monkeypatch.setattr(Maps, "place", never)
    page = app.explore(run, wait=False)
    visitor = Visitor(page.local_url)
    idle = socket.create_connection((visitor.name, visitor.port))
    half = socket.create_connection((visitor.name, visitor.port))
    half.sendall(f"POST /api/describe HTTP/1.1\r\nHost: {visitor.host}\r\nContent-Length: 9\r\n\r\n".encode())
    failed = []

    def ask():
        try:
            visitor.ask("positions", 3, "pca")
        except (OSError, http.client.HTTPException, ValueError) as error:
            failed.append(error)

    asking = Thread(target=ask)
    asking.start()
    assert started.wait(10)
    began = time.monotonic()
    page.close()
    asking.join(ENDS)
    assert time.monotonic() - began < ENDS and failed
    address.listen("127.0.0.1", visitor.port).close()
    page.close()
    end.set()
    idle.close()
    half.close()


def test_a_port_in_use_is_one_line(run, visitor, capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["explore", str(run.path), "--port", str(visitor.port)])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    advice = "choose another with --port (port=), or leave it out for the first free one"
    assert message == f"vlae: port {visitor.port} is in use; {advice}\n"


def test_without_its_packages_it_says_what_to_install(run, monkeypatch, capsys):
    real = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] in ("starlette", "uvicorn"):
            raise ImportError(name)
        return real(name, *rest)

    for module in ("server", "serving", "guard", "login", "body"):
        monkeypatch.delitem(sys.modules, f"vlae.web.{module}", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SystemExit) as stop:
        main.main(["explore", str(run.path)])
    assert stop.value.code == 2
    assert 'pip install "vlae[web]"' in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_ends_the_command_within_a_second(run):
    command = [sys.executable, "-c", "from vlae.cli.main import main; main()", "explore", str(run.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        visitor = Visitor(re.search(r"http://\S+", line)[0])
        assert visitor.ask("describe")[0] == 200
        with socket.create_connection((visitor.name, visitor.port)):
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            while _is_served(visitor) and time.monotonic() - began < ENDS:
                time.sleep(0.02)
            assert not _is_served(visitor)
            _, errors = process.communicate(timeout=ENDS)
        assert process.returncode == 0 and errors == ""


def _is_served(visitor):
    try:
        socket.create_connection((visitor.name, visitor.port)).close()
    except ConnectionError:
        return False
    return True
