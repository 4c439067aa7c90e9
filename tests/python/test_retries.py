"""What a client does with a daemon in trouble. The daemon here answers by a script, since
a real one has no such troubles at hand."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import databridge
from databridge import Client

ME = {"username": "artist"}


class Script(ThreadingHTTPServer):
    """Answers with the next status; the last one again and again. 0 hangs up."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.statuses: list[int] = []
        self.asked: list[tuple[str, str, str | None]] = []
        self.health: dict[str, str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    server: Script

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        script = self.server
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/api/health":
            self._send(200 if script.health else 404, script.health)
            return
        script.asked.append((self.command, self.path, self.headers.get("idempotency-key")))
        status = script.statuses[0] if len(script.statuses) == 1 else script.statuses.pop(0)
        if status == 0:
            # A reset, not an end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        kinds = {422: "invalid", 404: "not_found", 429: "rate_limited", 503: "unavailable"}
        told = {"kind": kinds.get(status, "internal"), "code": "x.y", "detail": f"said {status}"}
        self._send(status, ME if status == 200 else None if status == 418 else told)

    do_GET = do_POST = do_DELETE = _answer

    def _send(self, status: int, body: object) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def script() -> Iterator[Script]:
    with Script() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("trouble", [500, 503, 0])
def test_troubles_of_the_daemon_are_waited_out_twice(script: Script, trouble: int) -> None:
    script.statuses = [trouble, trouble, 200]
    assert Client(script.url, "token").me() == ME
    assert len(script.asked) == 3

    script.asked.clear()
    script.statuses = [trouble]
    with pytest.raises((databridge.Unavailable, databridge.InternalError)) as gone:
        Client(script.url, "token").create("Comp", "alpha", "comp")
    assert gone.value.code in {"x.y", "remote.unreachable"}
    # Three times the same command, under one key: done at most once.
    assert len(script.asked) == 3
    (one,) = {*script.asked}
    assert one[:2] == ("POST", "/api/v1/transfers")
    assert one[2]


@pytest.mark.parametrize("refusal", [422, 404, 429])
def test_refusals_are_final(script: Script, refusal: int) -> None:
    script.statuses = [refusal]
    with pytest.raises(databridge.DatabridgeError, match=f"said {refusal}"):
        Client(script.url, "token").create("Comp", "alpha", "comp")
    assert len(script.asked) == 1


def test_a_handle_leaves_a_daemon_that_does_not_answer(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("databridge.background._LEAVE_SECONDS", 0.1)
    asked, answered = threading.Event(), threading.Event()

    class Silent(Answer):
        def do_GET(self) -> None:
            asked.set()
            answered.wait()
            self.close_connection = True

    script.RequestHandlerClass = Silent
    handle = databridge.begin(Client(script.url, "token").call, "me")
    assert asked.wait(60)
    assert not handle.poll()
    handle.cancel()
    with pytest.raises(databridge.Cancelled) as cancelled:
        handle.wait()
    assert cancelled.value.code == "python.cancelled"
    answered.set()


def test_a_key_of_ones_own_is_sent(script: Script) -> None:
    script.statuses = [200]
    client = Client(script.url, "token")
    client.call("transfer_create", idempotency_key="mine", title="t", project="p", category="c")
    client.call("transfer_create", title="t", project="p", category="c")
    client.call("transfer_create", title="t", project="p", category="c")
    keys = [key for _, _, key in script.asked]
    assert keys[0] == "mine"
    assert len(set(keys)) == 3


def test_a_daemon_of_another_interface_says_which(script: Script) -> None:
    script.statuses = [418]
    with pytest.raises(databridge.Unavailable) as strange:
        Client(script.url, "token").me()
    assert strange.value.code == "remote.strange"
    script.health = {"status": "ok", "version": "7.1.0"}
    script.statuses = [404]
    with pytest.raises(databridge.NotFound):
        Client(script.url, "token").me()


def test_an_address_that_a_daemon_does_not_know(script: Script) -> None:
    class Newer(Answer):
        def do_GET(self) -> None:
            health = self.path == "/api/health"
            self._send(200 if health else 404, self.server.health if health else "nothing here")

    script.RequestHandlerClass = Newer
    script.health = {"status": "ok", "version": "7.1.0"}
    with pytest.raises(databridge.InvalidError, match=r"7\.1\.0, does not serve /api/v1") as other:
        Client(script.url, "token").me()
    assert other.value.code == "remote.version"
    assert other.value.hint
    script.health = None
    with pytest.raises(databridge.Unavailable):
        Client(script.url, "token").me()
