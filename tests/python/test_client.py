"""The main job against a daemon, by the same methods as on an embedded store."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import databridge
from databridge import Client

from daemon import Daemon, serve

PASSWORD = "correct horse battery"
ROLES = ("artist", "team_lead", "supervisor", "line_producer", "data_team", "it_team")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with serve(tmp_path / "data") as served:
        yield served


@pytest.fixture
def people(daemon: Daemon) -> dict[str, Client]:
    admin = Client.login(daemon.url, "admin", daemon.one_time_password, PASSWORD + " 1")
    people = {"admin": admin}
    for role in ROLES:
        admin.create_user(role, roles=[role], password=PASSWORD)
        try:
            people[role] = Client.login(daemon.url, role, PASSWORD)
        except databridge.DatabridgeError:
            # A password that somebody else chose is changed at the first sign-in.
            people[role] = Client.login(daemon.url, role, PASSWORD, PASSWORD + " 2")
    return people


def test_from_frames_to_a_verified_delivery(
    people: dict[str, Client], shot: Path, tmp_path: Path
) -> None:
    (shot / "empty").mkdir()
    artist, admin = people["artist"], people["admin"]
    code = artist.create("Comp v003", project="alpha", category="comp").code
    seen: list[databridge.Progress] = []
    assert artist.add(code, shot, progress=seen.append).file_count == 6
    assert seen[-1].bytes == seen[-1].bytes_total > 0
    artist.submit(code)
    assert databridge.begin(artist.wait, code, timeout=60).wait(60).state == "team_lead_review"
    assert artist.wait(code, timeout=60).state == "team_lead_review"
    with pytest.raises(databridge.PermissionDenied) as refused:
        artist.approve(code)
    assert refused.value.required_roles
    for role in ("team_lead", "supervisor", "line_producer"):
        assert [one.code for one in people[role].waiting()] == [code]
        people[role].approve(code)
    people["data_team"].scan(code)
    scanned = people["data_team"].wait(code, timeout=60)
    if scanned.state == "undecided":
        people["data_team"].decide(code, "accept", "frames of our own farm")
    people["it_team"].start(code)
    delivered = people["it_team"].wait(code, timeout=60)
    assert delivered.state == "delivered"

    payload = tmp_path / "data" / "production" / "alpha" / "comp" / code
    assert (payload / "empty").is_dir()
    assert databridge.verify(payload) == ()
    key = tmp_path / "kept-elsewhere.pub"
    key.write_text(artist.receipt_key())
    receipt = databridge.verify_receipt(
        payload.with_name(f"{code}.proof") / "receipt.json", key, payload
    )
    assert (receipt.code, receipt.authority) == (code, "daemon")
    assert artist.receipt(code)["payloadType"]
    assert [event.position for event in artist.history(code)]
    assert any(event.subject["code"] == code for event in admin.events())


def test_a_daemon_refuses_with_the_same_tree(daemon: Daemon, people: dict[str, Client]) -> None:
    with pytest.raises(databridge.NotSignedInError):
        Client.login(daemon.url, "artist", "wrong horse battery")
    with pytest.raises(databridge.NotSignedInError):
        Client(daemon.url).me()
    with pytest.raises(databridge.NotSignedInError):
        Client(daemon.url, api_key="dbk_nonsense").me()
    with pytest.raises(databridge.NotFound) as missing:
        people["artist"].show("TRF-99999")
    assert missing.value.code == "transfer.not_found"
    assert missing.value.hint
    with pytest.raises(databridge.InvalidError):
        people["artist"].create("Comp", "../alpha", "comp")


def test_an_api_key_signs_in(daemon: Daemon, people: dict[str, Client]) -> None:
    made = people["artist"].call("key_create", name="farm")
    assert Client(daemon.url, api_key=made["secret"]).me()["username"] == "artist"
    people["artist"].call("key_revoke", name="farm")
    with pytest.raises(databridge.NotSignedInError):
        Client(daemon.url, api_key=made["secret"]).me()


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(databridge.Unavailable) as gone:
            Client(f"http://127.0.0.1:{port}", "token").me()
    assert gone.value.code == "remote.unreachable"
    with pytest.raises(TypeError, match="not both"):
        Client("http://127.0.0.1", "token", "key")


def test_files_of_the_daemon_s_host_and_one_session(
    monkeypatch: pytest.MonkeyPatch, shot: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABRIDGE_UPLOADS__ADD_ROOTS", f'["{shot}"]')
    (tmp_path / "store").mkdir()
    with serve(tmp_path / "store" / "data") as daemon:
        admin = Client.login(daemon.url, "admin", daemon.one_time_password, PASSWORD)
        code = admin.create("Comp v003", project="alpha", category="comp").code
        assert admin.add_from(code, shot / "notes").state == "uploading"
        added = admin.wait(code, timeout=60)
        assert (added.file_count, added.failure) == (1, None)
        with pytest.raises(databridge.PermissionDenied) as refused:
            admin.add_from(code, "/etc/passwd")
        assert refused.value.code == "add.outside_roots"
        other = Client.login(daemon.url, "admin", PASSWORD)
        third = Client.login(daemon.url, "admin", PASSWORD)
        other.logout()
        third.me()
        third.logout(everywhere=True)
        for ended in (admin, other, third):
            with pytest.raises(databridge.NotSignedInError):
                ended.me()
