"""What long calls do to the interpreter around them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import databridge


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    path = tmp_path / "plate.dpx"
    path.write_bytes(b"x" * 30_000_000)
    return path


def test_another_thread_runs_during_a_copy(plate: Path, tmp_path: Path) -> None:
    """At this rate the copy takes minutes; it ends because the other thread could act."""
    begun, enough = threading.Event(), threading.Event()

    class Enough(Exception):
        pass

    def progress(_: databridge.Progress) -> None:
        begun.set()
        if enough.is_set():
            raise Enough

    def other() -> None:
        begun.wait()
        enough.set()

    thread = threading.Thread(target=other)
    thread.start()
    with pytest.raises(Enough):
        databridge.verified_copy(
            plate, tmp_path / "copy.dpx", limit_bytes_per_second=100_000, progress=progress
        )
    thread.join()
    assert not (tmp_path / "copy.dpx").exists()


def test_another_thread_acts_while_a_call_waits_for_it(tmp_path: Path) -> None:
    with databridge.Bridge(tmp_path / "data") as bridge:
        code = bridge.create("Comp", "alpha", "comp").code
        seen = bridge.history(code)[-1].position
        thread = threading.Thread(target=bridge.cancel, args=(code,))
        thread.start()
        assert bridge.history(code, after=seen, wait=60)
        thread.join()


def test_ctrl_c_ends_a_long_call(plate: Path, tmp_path: Path) -> None:
    program = f"""
import signal, sys, databridge
signal.signal(signal.SIGINT, signal.default_int_handler)
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
        try:
            child.send_signal(signal.SIGINT)
            assert child.wait(60) == 42
        finally:
            child.kill()
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
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])
assert child(bridge.me) == 0
bridge.me()
assert child(bridge.me) == 3
assert child(lambda: databridge.Bridge({str(tmp_path / "other")!r}).me()) == 3
assert child(lambda: databridge.checksum(os.__file__)) == 0
bridge.close()
assert child(lambda: databridge.Bridge({str(tmp_path / "data")!r}).me()) == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_import_starts_no_thread_and_touches_no_signal_and_no_logging() -> None:
    program = """
import signal, threading, logging, pathlib
signals = [signal.getsignal(one) for one in signal.valid_signals()]
log = dict(logging.root.manager.loggerDict)
import databridge
for name in databridge.__all__:
    getattr(databridge, name)
assert threading.active_count() == 1
assert len(list(pathlib.Path("/proc/self/task").iterdir())) == 1
assert [signal.getsignal(one) for one in signal.valid_signals()] == signals
assert not logging.root.handlers and logging.root.level == logging.WARNING
assert logging.root.manager.loggerDict.keys() == log.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_an_open_bridge_does_not_hold_up_the_end(tmp_path: Path) -> None:
    program = f"import databridge; b = databridge.Bridge({str(tmp_path)!r}); b.me()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def _busy() -> dict[int, int]:
    """The processor time of each thread that works for us, in ticks of 10 ms."""
    times = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            name = (task / "comm").read_text()
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if name.startswith("databridge"):
            times[int(task.name)] = int(fields[11]) + int(fields[12])
    return times


def _hold_the_gil_while_others_work() -> None:
    """Runs Python, and nothing that lets go of the GIL, until other threads have had
    200 ms of processor time, or for 3 s."""

    def others() -> float:
        return time.process_time() - time.thread_time()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    begin, ends = others(), time.monotonic() + 3
    while others() - begin < 0.2 and time.monotonic() < ends:
        pass
    sys.setswitchinterval(interval)


def test_two_calls_in_two_threads_use_two_cores(tmp_path: Path) -> None:
    """While this thread keeps the GIL, both get on: tried until it has been seen."""
    plate = tmp_path / "plate.dpx"
    plate.write_bytes(b"x" * 200_000_000)
    enough = threading.Event()

    def work() -> None:
        while not enough.is_set():
            databridge.checksum(plate, ["sha512", "md5"])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        got_on: list[int] = []
        end = time.monotonic() + 120
        while len(got_on) < 2:
            assert time.monotonic() < end, "they never got on together"
            before = _busy()
            _hold_the_gil_while_others_work()
            after = _busy()
            # 30 ms each, of which the edges of the window account for less.
            got_on = [one for one in after if after[one] - before.get(one, after[one]) >= 3]
    finally:
        enough.set()
        for thread in threads:
            thread.join()
