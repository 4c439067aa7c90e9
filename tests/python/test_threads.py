"""What long calls do to the interpreter around them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import databridge


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    path = tmp_path / "plate.dpx"
    path.write_bytes(b"x" * 30_000_000)
    return path


def test_another_thread_runs_while_a_copy_does(plate: Path, tmp_path: Path) -> None:
    """The copy is held until the other thread has run: with the GIL held it never would."""
    ran = threading.Event()
    begun = threading.Event()

    def other() -> None:
        begun.wait()
        ran.set()

    def progress(_: databridge.Progress) -> None:
        begun.set()
        assert ran.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    databridge.verified_copy(plate, tmp_path / "copy.dpx", progress=progress)
    begun.set()
    thread.join()
    assert ran.is_set()


def test_the_gil_is_free_inside_a_call(tmp_path: Path) -> None:
    """The call reads what the other thread only makes once the call is under way."""
    os.mkfifo(tmp_path / "pipe")
    done = threading.Event()
    bridge = databridge.Bridge(tmp_path / "data")
    bridge.create_user("artist", roles=["artist"])
    code = bridge.create("t", "alpha", "comp").code
    seen = bridge.history(code)[-1].position

    def act() -> None:
        bridge.cancel(code)
        done.set()

    thread = threading.Thread(target=act)
    thread.start()
    assert bridge.history(code, after=seen, wait=60)
    thread.join()
    assert done.is_set()
    bridge.close()


def test_ctrl_c_ends_a_long_call(plate: Path, tmp_path: Path) -> None:
    program = f"""
import sys, databridge
def progress(_):
    print("under way", flush=True)
try:
    databridge.verified_copy({str(plate)!r}, {str(tmp_path / "copy.dpx")!r},
                             limit_bytes_per_second=100_000, progress=progress)
except KeyboardInterrupt:
    sys.exit(42)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "under way\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 42
    assert not (tmp_path / "copy.dpx").exists()


def test_fork_after_import_works_and_with_an_open_bridge_is_refused(tmp_path: Path) -> None:
    program = f"""
import os, databridge
bridge = databridge.Bridge({str(tmp_path / "data")!r})
def child(act):
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        except databridge.IllegalState as error:
            os._exit(3 if error.code == "python.forked" else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert child(bridge.me) == 0
bridge.me()
assert child(bridge.me) == 3
assert child(lambda: databridge.Bridge({str(tmp_path / "other")!r}).me()) == 3
assert child(lambda: databridge.checksum(os.devnull.replace("null", "null") and __import__("os").__file__)) == 0
bridge.close()
assert child(lambda: databridge.Bridge({str(tmp_path / "data")!r}).me()) == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_import_starts_no_thread_and_touches_no_signal() -> None:
    program = """
import signal, threading, pathlib
before = signal.getsignal(signal.SIGINT)
import databridge
assert threading.active_count() == 1
assert len(list(pathlib.Path("/proc/self/task").iterdir())) == 1
assert signal.getsignal(signal.SIGINT) is before
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_an_open_bridge_does_not_hold_up_the_end(tmp_path: Path) -> None:
    program = f"import databridge; b = databridge.Bridge({str(tmp_path)!r}); b.me()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
