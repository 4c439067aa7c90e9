"""What goes wrong outside of us, and what callers get wrong: each is said, by name."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import databridge
from databridge import Bridge, Client


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made by a relative name is made there."""
    monkeypatch.chdir(tmp_path)


ANYWHERE: list[Callable[[Any], object]] = [
    databridge.checksum,
    databridge.checksum_tree,
    databridge.find_sequences,
    databridge.read_manifest,
    databridge.scan,
    lambda path: databridge.verified_copy(path, f"{path}.copy"),
    lambda path: databridge.write_manifest(path, f"{path}.sums"),
    lambda path: databridge.verify(__file__, path),
    lambda path: databridge.verify_receipt(path, __file__),
]


@pytest.mark.parametrize("call", ANYWHERE)
def test_a_missing_path_is_named(call: Callable[[Any], object], tmp_path: Path) -> None:
    with pytest.raises(databridge.DatabridgeError) as refused:
        call(tmp_path / "missing.exr")
    assert refused.value.code
    assert "missing.exr" in str(refused.value)


def test_a_missing_folder_is_no_empty_one(tmp_path: Path) -> None:
    listed = tmp_path / "SHA256SUMS"
    listed.write_text("")
    with pytest.raises(databridge.DatabridgeError, match="missing"):
        databridge.verify(tmp_path / "missing", listed)


@pytest.mark.parametrize("call", ANYWHERE)
@pytest.mark.parametrize("given", [7, 1.5, ["x"], object()])
def test_what_is_no_path_is_a_type_error(call: Callable[[Any], object], given: object) -> None:
    if isinstance(given, list) and call in (databridge.find_sequences, databridge.scan):
        given = [7]
    with pytest.raises(TypeError, match=r"^(path|path_or_names|paths|root|source|manifest): "):
        call(given)


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    for call in (databridge.checksum, databridge.read_manifest):
        with pytest.raises(databridge.DatabridgeError, match=tmp_path.name):
            call(tmp_path)
    with pytest.raises(databridge.DatabridgeError, match=tmp_path.name):
        databridge.verify_receipt(tmp_path, tmp_path)
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for tree in (databridge.checksum_tree, databridge.find_sequences):
        with pytest.raises(databridge.DatabridgeError, match="file"):
            tree(file)
    with pytest.raises(databridge.DatabridgeError):
        Bridge(file).me()


def test_what_may_not_be_read_is_named() -> None:
    """As nobody, since root may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "secret.exr")
        file.write_bytes(b"x")
        file.chmod(0)
        databridge.checksum(__file__)
        child = os.fork()
        if child == 0:
            try:
                if os.getuid() == 0:
                    os.setuid(65534)
                databridge.checksum(file)
            except databridge.IoError as refused:
                os._exit(42 if "secret.exr" in str(refused) and refused.code else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/shot.\xff.0001.exr"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    (found,) = databridge.find_sequences(os.fsencode(tmp_path))
    assert os.fsencode(next(found.paths())) == name
    for tree in (databridge.checksum_tree, databridge.scan):
        with pytest.raises(databridge.InvalidError, match=r"\\xff"):
            tree(tmp_path)
    copy = os.fsencode(tmp_path.parent) + b"/\xfe"
    with pytest.raises(databridge.DatabridgeError, match=r"\\xff|UTF-8"):
        databridge.verified_copy(tmp_path, copy)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("algorithms", lambda: databridge.checksum(__file__, "md5")),
        ("algorithms", lambda: databridge.checksum(__file__, 7)),  # type: ignore[arg-type]
        ("algorithms", lambda: databridge.checksum(__file__, [7])),  # type: ignore[list-item]
        ("progress", lambda: databridge.checksum(__file__, progress=7)),  # type: ignore[arg-type]
        ("jobs", lambda: databridge.checksum_tree(".", jobs="all")),  # type: ignore[arg-type]
        ("cache", lambda: databridge.checksum_tree(".", cache=7)),  # type: ignore[arg-type]
        ("destination", lambda: databridge.verified_copy(".", 7)),  # type: ignore[arg-type]
        ("jobs", lambda: databridge.verified_copy(".", "x", jobs="all")),  # type: ignore[arg-type]
        ("file_mode", lambda: databridge.verified_copy(".", "x", file_mode="644")),  # type: ignore[arg-type]
        ("owner", lambda: databridge.verified_copy(".", "x", owner=7)),  # type: ignore[arg-type]
        ("xattrs", lambda: databridge.verified_copy(".", "x", xattrs="user")),
        ("xattrs", lambda: databridge.verified_copy(".", "x", xattrs=object())),  # type: ignore[arg-type]
        ("max_age_seconds", lambda: databridge.verification(".", "x", max_age_seconds="1")),  # type: ignore[arg-type]
        ("engine", lambda: databridge.scan(".", 7)),  # type: ignore[arg-type]
        ("clamd", lambda: databridge.scan(".", "clamd", clamd=7)),  # type: ignore[arg-type]
        ("format", lambda: databridge.write_manifest(".", "x", format=7)),  # type: ignore[arg-type]
        ("key", lambda: databridge.verify_receipt("x", 7)),  # type: ignore[arg-type]
        ("step", lambda: databridge.find_sequences(".", step="2")),  # type: ignore[arg-type]
        ("padding", lambda: databridge.find_sequences(".", padding=4)),  # type: ignore[arg-type]
        ("data", lambda: Bridge(7)),  # type: ignore[arg-type]
        ("as_user", lambda: Bridge("x", as_user=7)),  # type: ignore[arg-type]
        ("workers", lambda: Bridge("x", config={"workers": "many"})),
        ("title", lambda: Bridge("x").create(7, "alpha", "comp")),  # type: ignore[arg-type]
        ("priority", lambda: Bridge("x").create("t", "alpha", "comp", priority=7)),  # type: ignore[arg-type]
        ("code", lambda: Bridge("x").call("transfer_show", code=object())),
        ("timeout", lambda: Bridge("x").wait("TRF-00001", timeout="1")),  # type: ignore[arg-type]
        ("url", lambda: Client(7)),  # type: ignore[arg-type]
        ("token", lambda: Client("http://127.0.0.1", 7)),  # type: ignore[arg-type]
        ("username", lambda: Client.login("http://127.0.0.1", 7, "x")),  # type: ignore[arg-type]
        ("call", lambda: databridge.begin(print)),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(name: str, call: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=rf"\b{name}\b"):
        call()


def test_values_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="jobs"):
        databridge.checksum_tree(tmp_path, jobs=-1)
    for call in (databridge.checksum_tree, databridge.verify):
        with pytest.raises(ValueError, match="jobs: 0 is less than 1"):
            call(tmp_path, jobs=0)
    with pytest.raises(ValueError, match="jobs: 0 is less than 1"):
        databridge.verified_copy(tmp_path, tmp_path / "copy", jobs=0)
    with pytest.raises(ValueError, match="jobs: 0 is less than 1"):
        databridge.write_manifest(tmp_path, tmp_path / "sums", jobs=0)
    with pytest.raises(ValueError, match="limit_bytes_per_second"):
        databridge.verify(tmp_path, "x", limit_bytes_per_second=-1)
    with pytest.raises(ValueError, match="file_mode"):
        databridge.verified_copy(tmp_path, tmp_path / "copy", file_mode=-1)
    with pytest.raises(databridge.InvalidError) as refused:
        databridge.find_sequences(tmp_path, padding="####")
    assert "hash1" in (refused.value.hint or "")


def test_two_processes_on_one_data_folder_work_side_by_side(tmp_path: Path, shot: Path) -> None:
    with Bridge(tmp_path / "data") as bridge:
        code = bridge.create("Comp", "alpha", "comp").code
        program = f"""
import databridge
with databridge.Bridge({str(tmp_path / "data")!r}) as bridge:
    bridge.add({code!r}, {str(shot)!r})
    bridge.submit({code!r})
    print(bridge.wait({code!r}, timeout=60).state)
"""
        other = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120
        )
        assert other.stdout == "team_lead_review\n"
        assert bridge.show(code).state == "team_lead_review"


def test_a_bridge_that_is_closed_under_a_handle_ends_it(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path / "data")
    code = bridge.create("Comp", "alpha", "comp").code
    handle = databridge.begin(bridge.call, "transfer_history", code=code, after=10**6, wait=600)
    with pytest.raises(databridge.WaitTimeout):
        handle.wait(0)
    bridge.close()
    with pytest.raises(databridge.IllegalState):
        bridge.me()
    handle.cancel()
    with pytest.raises(databridge.DatabridgeError):
        handle.wait(60)


def test_a_huge_tree_takes_little_memory(tmp_path: Path) -> None:
    """What is known of a file is kept, what is in it is not."""
    folders, files = (200, 1000) if os.environ.get("DATABRIDGE_TEST_LONG") else (10, 400)
    for folder in range(folders):
        (tmp_path / f"{folder:03}").mkdir()
        for frame in range(files):
            (tmp_path / f"{folder:03}" / f"a.{frame:04}.exr").touch()
    with (tmp_path / "plate.mov").open("wb") as file:
        file.truncate(500_000_000)
    program = f"""
import resource, databridge
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
databridge.checksum(databridge.__file__)
before = peak()
assert len(databridge.find_sequences({str(tmp_path)!r})) == {folders}
assert peak() - before < 20_000_000, peak() - before
assert len(databridge.checksum_tree({str(tmp_path)!r})) == {folders * files + 1}
assert peak() - before < 40_000_000 + 3000 * {folders * files}, peak() - before
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
