"""Each recipe, run as its first lines say."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import databridge
from databridge import Bridge, Client

from daemon import serve

COOKBOOK = Path(__file__).parents[2] / "examples" / "cookbook"
PASSWORD = "correct horse battery"


def cook(
    recipe: str, *args: object, code: int = 0, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, COOKBOOK / f"{recipe}.py", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def reviewed(bridge: Bridge, code: str, rejected: str | None = None) -> None:
    for role in ("team_lead", "supervisor", "line_producer"):
        if rejected is not None:
            bridge.as_user(role).reject(code, rejected)
            return
        bridge.as_user(role).approve(code)
    bridge.wait(code)


def test_every_recipe_is_tried_here_and_listed() -> None:
    names = {path.stem for path in COOKBOOK.glob("*.py")}
    here = Path(__file__).read_text()
    page = (COOKBOOK / "README.md").read_text()
    assert len(names) == 8
    assert all(f'cook("{name}"' in here.replace("(\n        ", "(") for name in names)
    assert all(f"({name}.py)" in page for name in names)


def test_publish_a_shot(bridge: Bridge, shot: Path, tmp_path: Path) -> None:
    told = cook("publish_a_shot", shot, tmp_path / "data", "alpha").stdout
    assert "team_lead_review" in told
    (shot / "comp_v003.1003.exr").unlink()
    refused = cook("publish_a_shot", shot, tmp_path / "data", "alpha", code=1)
    assert "missing 1003" in refused.stderr
    assert len(bridge.list()) == 1


def test_what_comes_back_is_sent_again(bridge: Bridge, shot: Path, tmp_path: Path) -> None:
    data, artist = tmp_path / "data", bridge.as_user("artist")
    code = artist.create("Comp", "alpha", "comp").code
    artist.add(code, shot)
    artist.submit(code)
    bridge.wait(code)
    reviewed(bridge, code, rejected="the matte is soft")

    told = cook("handle_a_rejection", data, "artist").stdout
    assert told == f"{code}, revision 1: the matte is soft\n"
    assert cook("handle_a_rejection", data, "supervisor").stdout == ""
    told = cook("handle_a_rejection", data, "artist", shot).stdout
    assert f"{code} is in review again, as revision 2" in told

    reviewed(bridge, code, rejected="and the edge")
    (shot / "comp_v003.1002.exr").write_bytes((shot / "comp_v003.1001.exr").read_bytes())
    (shot / "notes" / "readme.txt").write_text("as you like it\n")
    (shot / "comp_v003.1005.exr").unlink()
    told = cook("resubmit_changed_frames", code, shot, data, "artist").stdout
    assert told.split() == ["comp_v003.1002.exr", "notes/readme.txt"]
    here = {file.path: file.sha256 for file in databridge.checksum_tree(shot)}
    assert {file.path: file.sha256 for file in bridge.files(code)} == here
    assert bridge.show(code).revision == 3


def test_watch_a_folder(
    bridge: Bridge, shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = shot / "comp_v003.1002.exr"
    absent.rename(tmp_path / "not yet")
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            (tmp_path / "not yet").rename(absent)

    settle = runpy.run_path(str(COOKBOOK / "watch_a_folder.py"))["settle"]
    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", nap)
        settle(shot, 0.05)
    # Nothing changed in the second nap, but a frame was missing; in the third it came.
    assert naps == [0.05] * 4
    (code,) = cook("watch_a_folder", shot, tmp_path / "data", "alpha", "0.05").stdout.split()
    assert bridge.show(code).file_count == 6


def test_verify_an_archive(shot: Path, tmp_path: Path) -> None:
    databridge.write_manifest(shot, shot / "SHA256SUMS")
    states = tmp_path / "states"
    assert cook("verify_an_archive", states, 1, shot).stdout == ""
    assert list(states.iterdir())
    (shot / "notes" / "readme.txt").write_text("for the supervisoR\n")
    told = cook("verify_an_archive", tmp_path / "others", 1, shot, code=1).stdout
    assert "notes/readme.txt" in told


def test_checksum_with_progress(shot: Path) -> None:
    done = cook("checksum_with_progress", shot)
    subprocess.run(
        ["sha256sum", "-c", "--quiet"], input=done.stdout, text=True, cwd=shot, check=True
    )
    assert "6 of 6 files, 100%" in done.stderr


def test_wait_for_a_delivery_and_verify_its_receipt(shot: Path, tmp_path: Path) -> None:
    with serve(tmp_path / "data") as daemon:
        admin = Client.login(daemon.url, "admin", daemon.one_time_password, PASSWORD + " 1")
        for role in ("artist", "data_team", "it_team"):
            admin.create_user(role, roles=[role], password=PASSWORD)
        people = {
            role: Client.login(daemon.url, role, PASSWORD, PASSWORD + " 2")
            for role in ("artist", "data_team", "it_team")
        }
        artist = people["artist"]
        secret = artist.call("key_create", name="farm")["secret"]
        code = artist.create("Comp", "alpha", "comp").code
        artist.add(code, shot)
        env = {"DATABRIDGE_TOKEN": str(secret)}
        late = cook("wait_for_a_delivery", daemon.url, code, 0, code=1, env=env)
        assert "is still uploading" in late.stderr

        told: list[str] = []
        farm = threading.Thread(
            target=lambda: told.append(
                cook("wait_for_a_delivery", daemon.url, code, 100, env=env).stdout
            )
        )
        farm.start()
        artist.submit(code)
        artist.wait(code)
        admin.override(code, "the last night before the delivery")
        admin.wait(code)
        people["data_team"].scan(code)
        if people["data_team"].wait(code).state == "undecided":
            people["data_team"].decide(code, "accept", "frames of our own farm")
        people["it_team"].start(code)
        farm.join()
        key = tmp_path / "kept-elsewhere.pub"
        key.write_text(artist.receipt_key())
    assert told[0].startswith("delivered ")

    payload = tmp_path / "elsewhere" / code
    produced = tmp_path / "data" / "production" / "alpha" / "comp"
    shutil.copytree(produced / code, payload)
    shutil.copytree(produced / f"{code}.proof", payload.with_name(f"{code}.proof"))
    assert "all as approved" in cook("verify_a_receipt", payload, key).stdout
    (payload / "notes" / "readme.txt").chmod(0o644)
    (payload / "notes" / "readme.txt").write_text("for the supervisoR\n")
    assert "do not use it" in cook("verify_a_receipt", payload, key, code=1).stderr
    key.write_text("no key")
    assert "cannot tell" in cook("verify_a_receipt", payload, key, code=1).stderr


@pytest.mark.parametrize("recipe", [path.stem for path in COOKBOOK.glob("*.py")])
def test_a_recipe_says_how_it_is_run(recipe: str) -> None:
    text = (COOKBOOK / f"{recipe}.py").read_text()
    assert f"python {recipe}.py" in text.split('"""')[1]
    assert len(text.splitlines()) < 60
