"""Photos from the web: within bounds whatever the server does, and from public hosts alone."""

import contextlib
import gzip
import io
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from wastebook.answers import web
from wastebook.answers.predictor import Predictor, find_model

PUBLIC = "127.0.0.2"  # of this machine, and taken for an address of the internet by some tests


class Host(BaseHTTPRequestHandler):
    """A host with a trick at each address; `asked` lists what was asked of it, by which name."""

    def __init__(self, asked, good, *arguments):
        self.asked, self.good = asked, good
        super().__init__(*arguments)

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.asked.append((self.headers["Host"], self.path))
        with contextlib.suppress(OSError):  # the other side may hang up
            getattr(self, "_" + self.path.strip("/").partition(".")[0].split("?")[0])()

    def reply(self, content=b"", status=200, **headers):
        self.send_response(status)
        for name, value in ({"Content_Length": len(content)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def _good(self):
        self.reply(self.good)

    def _gone(self):
        self.reply(b"no", 404)

    def _page(self):
        self.reply(b"<!doctype html><script>alert(1)</script>")

    def _endless(self):
        self.reply(Content_Length=10**12)
        while True:
            self.wfile.write(bytes(1 << 16))

    def _packed(self):
        self.reply(gzip.compress(bytes(10**7)), Content_Encoding="gzip")

    def _cut(self):
        self.reply(self.good[:1000], Content_Length=len(self.good))

    def _many(self):
        picture = io.BytesIO()
        Image.new("1", (8000, 6000)).save(picture, "PNG")
        self.reply(picture.getvalue())

    def _silent(self):
        time.sleep(5)

    def _drip(self, seconds=5):
        self.reply(Content_Length=10**6)
        for _ in range(20 * seconds):
            self.wfile.write(b"x")
            time.sleep(0.05)

    def _slow(self):
        self._drip(seconds=60)

    def _drip_head(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100):
            self.wfile.write(b"X")
            time.sleep(0.05)

    def _loop(self):
        self.reply(status=302, Location=self.path)

    def _to_file(self):
        self.reply(status=302, Location="file:///etc/hostname")

    def _inside(self):
        self.reply(status=302, Location=f"http://127.0.0.1:{self.server.server_port}/good.jpg")


@pytest.fixture(scope="module")
def predictor(kept_runs):
    return Predictor(find_model(str(kept_runs / "small")))


@pytest.fixture(scope="module")
def photo(sample):
    return sample.root / sample.photos["path"][0]


@pytest.fixture
def host(photo, monkeypatch):
    """Starts a host at an address of this machine: gives its port and what it was asked."""
    with contextlib.ExitStack() as running:

        def start(address="127.0.0.1"):
            asked = []
            handler = partial(Host, asked, photo.read_bytes())
            server = running.enter_context(ThreadingHTTPServer((address, 0), handler))
            server.daemon_threads, server.block_on_close = True, False
            threading.Thread(target=server.serve_forever, daemon=True).start()
            running.callback(server.shutdown)
            return server.server_port, asked

        for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(proxy, raising=False)
        yield start


@pytest.fixture
def public(monkeypatch):
    """`PUBLIC` is taken for an address of the internet."""

    class Address(ipaddress.IPv4Address):
        is_global = property(lambda address: str(address) == PUBLIC)

    monkeypatch.setattr(web.ipaddress, "ip_address", Address)


@pytest.mark.fault(
    "network",
    "a host that sends no photo, no end, too much, too little, nothing, a byte at a time, or elsewhere",
    "one line with the reason, within the bounds of size, pixels and time",
)
@pytest.mark.parametrize(
    ("path", "note"),
    [
        ("gone.jpg", "not brought: HTTPError"),
        ("page.jpg", "unreadable: no picture in a format that is read here"),
        ("endless.jpg", "huge: it has more than 1 MB"),
        ("packed.jpg", "huge: it has more than 1 MB"),
        ("cut.jpg", "not brought: ChunkedEncodingError"),
        ("many.png", "huge: it has more than 40 million pixels"),
        ("silent.jpg", "not brought: ReadTimeout"),
        ("drip.jpg", "not brought: TimeoutError"),
        ("drip_head.jpg", "not brought: TimeoutError"),
        ("loop.jpg", "not brought: TooManyRedirects"),
        ("to_file.jpg", "not brought: InvalidSchema"),
    ],
)
def test_a_bad_host_costs_a_line(predictor, host, monkeypatch, path, note):
    monkeypatch.setenv(web.PRIVATE, "1")
    monkeypatch.setattr(web, "MOST_BYTES", 1 << 20)
    if path.startswith("drip"):
        monkeypatch.setattr(web, "MOST_SECONDS", 1)
    if path.startswith("silent"):
        monkeypatch.setattr(web, "TIMEOUT", (3, 0.5))
    port, _ = host()
    started = time.monotonic()
    answer, pixels = predictor.look(f"http://127.0.0.1:{port}/{path}")
    assert (answer.probabilities, pixels, answer.note) == (None, None, note)
    assert time.monotonic() - started < 15


def test_a_photo_from_the_web_gets_the_answer_of_the_file(predictor, host, photo, monkeypatch):
    monkeypatch.setenv(web.PRIVATE, "1")
    port, asked = host()
    answer = predictor.look(f"HTTP://127.0.0.1:{port}/good.jpg?size=1")[0]
    assert np.array_equal(answer.probabilities, predictor.look(photo)[0].probabilities)
    assert asked == [(f"127.0.0.1:{port}", "/good.jpg?size=1")]


def test_a_name_that_is_none_is_said_in_words(predictor):
    note = predictor.look("http://no-such-host.invalid/a.jpg")[0].note
    assert note.startswith("not brought: ") and " " in note.removeprefix("not brought: ")


@pytest.mark.fault(
    "network",
    "an address of this machine or of a private network, in each spelling, by IPv4 and IPv6",
    "refused unless WASTEBOOK_PRIVATE is set, and nothing is asked of it",
)
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0.0.0.0",
        "user:word@127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00::1]",
    ],
)
def test_no_private_address_is_asked(predictor, host, monkeypatch, address):
    monkeypatch.delenv(web.PRIVATE, raising=False)
    port, asked = host()
    note = predictor.look(f"http://{address}:{port}/good.jpg")[0].note
    assert note.startswith("refused: ") and note.endswith("set WASTEBOOK_PRIVATE=1 to let it be asked)")
    assert asked == []


@pytest.mark.fault(
    "network", "a public host that sends on to a private address", "refused, and nothing is asked of it"
)
def test_no_redirect_leads_inside(predictor, host, public):
    port, asked = host(PUBLIC)
    assert predictor.look(f"http://{PUBLIC}:{port}/good.jpg")[0].probabilities is not None
    assert predictor.look(f"http://{PUBLIC}:{port}/inside.jpg")[0].note.startswith("refused: 127.0.0.1 is on")
    assert [path for _, path in asked] == ["/good.jpg", "/inside.jpg"]


@pytest.mark.fault(
    "network",
    "a name that leads to a private address, at once or the second time it is looked up",
    "refused, or asked at the public address that was found first",
)
@pytest.mark.parametrize("answers", [["127.0.0.1"], [PUBLIC, "127.0.0.1"]])
def test_no_name_leads_inside(predictor, host, public, monkeypatch, answers):
    port, asked = host(PUBLIC)
    looked_up, real = iter(answers), socket.getaddrinfo

    def look_up(name, *arguments, **options):
        return real(next(looked_up) if name == "photos.example" else name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    answer = predictor.look(f"http://photos.example:{port}/good.jpg")[0]
    if answers[0] == PUBLIC:
        assert answer.probabilities is not None and asked == [(f"photos.example:{port}", "/good.jpg")]
    else:
        assert answer.note.startswith("refused: 127.0.0.1 is on") and asked == []


@pytest.mark.fault(
    "network",
    "Ctrl+C while a host sends a byte at a time",
    "the program ends in a moment, with exit code 130",
)
def test_nobody_waits_for_a_slow_host_after_ctrl_c(host, kept_runs):
    port, asked = host()
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # as in a terminal
    code += "from wastebook import cli; cli.main()"
    arguments = ["predict", f"http://127.0.0.1:{port}/slow.jpg", "--run", str(kept_runs / "small")]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {web.PRIVATE: "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not asked and process.poll() is None:
        time.sleep(0.1)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=50)
    assert process.returncode == 130 and "Traceback" not in told
    assert time.monotonic() - started < 10
