"""Handles: what runs beside its caller, and what it never does to them."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import databridge
from databridge import Background, Bridge, begin

SLOW = 100_000


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    path = tmp_path / "plate.dpx"
    path.write_bytes(b"x" * 30_000_000)
    return path


def test_a_handle_gives_what_the_call_would(shot: Path, tmp_path: Path) -> None:
    listed = tmp_path / "SHA256SUMS"
    databridge.write_manifest(shot, listed)
    calls: list[tuple[Callable[..., object], tuple[Path, ...]]] = [
        (databridge.checksum_tree, (shot,)),
        (databridge.verify, (shot, listed)),
        (databridge.read_manifest, (listed,)),
        (databridge.find_sequences, (shot,)),
    ]
    for call, args in calls:
        handle = begin(call, *args)
        found = handle.wait(60)
        assert found == call(*args)
        assert handle.poll()
        assert handle.wait() is found
    assert begin(databridge.verification, shot, listed).wait(60).verified
    report = begin(databridge.scan, shot).wait(60)
    assert report[0].verdict == "not_scanned"
    copied = begin(databridge.verified_copy, shot, tmp_path / "copy").wait(60)
    assert copied.destination == tmp_path / "copy"


def test_a_handle_fails_as_the_call_would(tmp_path: Path) -> None:
    handle = begin(databridge.checksum, tmp_path / "missing")
    with pytest.raises(databridge.DatabridgeError, match="missing"):
        handle.wait(60)
    with pytest.raises(databridge.DatabridgeError, match="missing"):
        handle.wait()
    assert "Error" in repr(handle) or "NotFound" in repr(handle)
    with pytest.raises(TypeError, match="path: expected"):
        begin(databridge.checksum, 7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="call it"):
        begin(print)
    with pytest.raises(TypeError, match="timeout"):
        handle.wait("1")  # type: ignore[arg-type]
    # Nothing of the failed attempts is left behind.
    assert databridge.checksum(__file__).size_bytes


def test_waiting_ends_and_the_work_goes_on_until_it_is_cancelled(
    plate: Path, tmp_path: Path
) -> None:
    handle = begin(databridge.verified_copy, plate, tmp_path / "copy", limit_bytes_per_second=SLOW)
    assert not handle.poll()
    with pytest.raises(databridge.WaitTimeout):
        handle.wait(0)
    with pytest.raises(TimeoutError):
        handle.wait(0.05)
    handle.cancel()
    handle.cancel()
    with pytest.raises(databridge.Cancelled) as cancelled:
        handle.wait()
    assert not isinstance(cancelled.value, databridge.WaitTimeout)
    assert not (tmp_path / "copy").exists()


def test_events_tell_each_change_and_end(plate: Path, tmp_path: Path) -> None:
    handle = begin(
        databridge.verified_copy, plate, tmp_path / "copy", limit_bytes_per_second=20_000_000
    )
    seen = list(handle.events())
    assert seen[-1].bytes == seen[-1].bytes_total == 30_000_000
    assert len(set(seen)) == len(seen) > 1
    assert handle.wait().size_bytes == 30_000_000


def test_without_dispatch_only_pump_and_wait_call_back(plate: Path) -> None:
    threads: list[threading.Thread] = []
    handle = begin(databridge.checksum, plate, progress=lambda _: note())
    done: list[object] = []

    def note() -> None:
        threads.append(threading.current_thread())

    handle.on_done(done.append)
    while not handle.poll():
        pass
    assert (threads, done) == ([], [])
    assert handle.pump()
    assert (threads, done) == ([threading.current_thread()], [handle])
    handle.pump()
    assert done == [handle]
    handle.on_done(done.append)
    handle.pump()
    assert len(done) == 2


def test_dispatch_brings_every_callback_to_the_main_thread(plate: Path, tmp_path: Path) -> None:
    """A queue that the main thread empties is what `executeDeferred` and its like are."""
    posted: queue.Queue[Callable[[], None]] = queue.Queue()
    told: list[tuple[str, threading.Thread]] = []

    def note(what: str) -> None:
        told.append((what, threading.current_thread()))

    background = Background(dispatch=posted.put)
    handle = background.begin(
        databridge.verified_copy,
        plate,
        tmp_path / "copy",
        limit_bytes_per_second=50_000_000,
        progress=lambda _: note("progress"),
    )
    handle.on_done(lambda _: note("done"))
    while not told or told[-1][0] != "done":
        posted.get(timeout=60)()
    assert {thread for _, thread in told} == {threading.current_thread()}
    assert [what for what, _ in told].count("done") == 1
    assert "progress" in [what for what, _ in told]
    # Also for who asks late.
    handle.on_done(lambda _: note("late"))
    while told[-1][0] != "late":
        posted.get(timeout=60)()
    with pytest.raises(TypeError, match="dispatch: expected"):
        Background(dispatch=7)  # type: ignore[arg-type]


def test_a_bridge_works_behind_its_caller(bridge: Bridge, shot: Path) -> None:
    artist = bridge.as_user("artist")
    code = artist.create("Comp", "alpha", "comp").code
    added = begin(artist.add, code, shot)
    assert added.wait(60).file_count == 6
    # Its last step, which shows the transfer, counts nothing.
    assert added.progress.files == added.progress.files_total == 6
    assert begin(artist.call, "transfer_show", code=code).wait(60)["code"] == code
    artist.submit(code)
    assert begin(bridge.wait, code).wait(60).state == "team_lead_review"
    # In review it is at rest; a wait for less than nothing is refused at once.
    with pytest.raises(databridge.InvalidError):
        begin(bridge.wait, code, timeout=-1)
    with pytest.raises(TypeError, match="create"):
        begin(artist.create, "Comp", "alpha", "comp")


def test_ctrl_c_ends_the_waiting(plate: Path, tmp_path: Path) -> None:
    program = f"""
import signal, sys, databridge
signal.signal(signal.SIGINT, signal.default_int_handler)
handle = databridge.begin(databridge.verified_copy, {str(plate)!r}, {str(tmp_path / "copy")!r},
                          limit_bytes_per_second={SLOW})
try:
    # Within the `try`: the signal may come before the next line does.
    print("under way", flush=True)
    handle.wait()
except KeyboardInterrupt:
    assert not handle.poll()
    sys.exit(42)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "under way\n"
        try:
            child.send_signal(signal.SIGINT)
            assert child.wait(60) == 42
        finally:
            child.kill()


@pytest.mark.parametrize("dispatch", ["None", "lambda call: None", "blocked"])
def test_the_end_of_the_interpreter_waits_for_nothing(
    plate: Path, tmp_path: Path, dispatch: str
) -> None:
    """Minutes of work are left, or a host that calls nothing back, or never returns."""
    program = f"""
import threading, databridge
blocked = lambda call: threading.Event().wait()
handle = databridge.Background({dispatch}).begin(
    databridge.verified_copy, {str(plate)!r}, {str(tmp_path / "copy")!r},
    limit_bytes_per_second={SLOW}, progress=print)
bridge = databridge.Bridge({str(tmp_path / "data")!r})
code = bridge.create("Comp", "alpha", "comp").code
waiting = databridge.begin(bridge.call, "transfer_history", code=code, after=10**6, wait=600)
assert not waiting.poll()
"""
    ended = subprocess.run([sys.executable, "-c", program], timeout=120, stderr=subprocess.PIPE)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_forked_child_is_told_that_the_work_is_not_its_own(plate: Path, tmp_path: Path) -> None:
    program = f"""
import multiprocessing, os, databridge
plate, folder = {str(plate)!r}, {str(tmp_path)!r}
handle = databridge.begin(databridge.verified_copy, plate, folder + "/copy",
                          limit_bytes_per_second={SLOW})
databridge.checksum_tree(os.path.dirname(databridge.__file__))

def refused(what):
    try:
        what()
    except databridge.IllegalState as error:
        assert error.code == "python.forked" and error.hint, error
        return True

def child(answers):
    answers.put((
        all(map(refused, (handle.poll, handle.wait, handle.pump))),
        databridge.checksum(plate).size_bytes,
        len(databridge.checksum_tree(os.path.dirname(databridge.__file__))) > 5,
        databridge.begin(databridge.checksum, plate).wait(60).size_bytes,
        databridge.Bridge(folder + "/data").create("Comp", "alpha", "comp").state,
    ))

fork = multiprocessing.get_context("fork")
answers = fork.Queue()
one = fork.Process(target=child, args=(answers,))
one.start()
assert answers.get(timeout=60) == (True, 30_000_000, True, 30_000_000, "draft")
one.join()
assert not handle.poll()
with fork.Pool(2) as pool:
    assert len(pool.map(databridge.checksum, [plate] * 4)) == 4
handle.cancel()
"""
    # Forking beside threads is what is tried here.
    env = {**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env=env)
