"""Runs one command and says what it took: wall, processors, memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from peers import Peer, Place


@dataclass(frozen=True)
class Run:
    """One run: seconds on the wall and of processors, and the largest process's memory."""

    wall_seconds: float
    user_seconds: float
    system_seconds: float
    peak_bytes: int


class Failed(Exception):
    """A command of the bench ended with an error."""


def is_root() -> bool:
    """Whether the page cache can be dropped between runs."""
    return os.geteuid() == 0


def missing(peer: Peer) -> list[str]:
    """The programs that `peer` needs and this machine lacks."""
    return [program for program in peer.needs if shutil.which(program) is None]


def settle(source: Path, warm: bool) -> None:
    """Writes everything out and empties the page cache where we may: each run starts cold.

    A `warm` one has its source in memory, as after a scan or an upload just before.
    """
    os.sync()
    if is_root():
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    if warm:
        for path in source.rglob("*"):
            if path.is_file():
                with path.open("rb", buffering=0) as file:
                    while file.read(16 << 20):
                        pass


def clear(work: Path, rest_seconds: float = 0) -> None:
    """Removes what runs left.

    ext4 without a journal gives the inodes of many small files back only a minute after they
    were deleted, and makes whoever creates files before that search long for others.
    """
    for left in work.glob("run-*"):
        shutil.rmtree(left, ignore_errors=True)
    os.sync()
    time.sleep(rest_seconds)


def once(
    peer: Peer,
    databridge: Path,
    source: Path,
    work: Path,
    keep: bool = False,
    warm: bool = False,
) -> Run:
    """Runs `peer` from `source` to a fresh target below `work`, removed after it or kept."""
    place = Path(tempfile.mkdtemp(prefix="run-", dir=work))
    target, scratch = place / "target", place / "scratch"
    scratch.mkdir()
    script = peer.script(Place(databridge, source, target, scratch))
    settle(source, warm)
    told = scratch / "peak"
    start = time.monotonic()
    process = subprocess.Popen(
        # A program's peak begins at that of who starts it: not us, who grew with the data.
        ["/usr/bin/time", "-q", "-f", "%M", "-o", told, "bash", "-euo", "pipefail", "-c", script],
        stdout=subprocess.DEVNULL,
        stderr=(scratch / "errors").open("wb"),
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if os.waitstatus_to_exitcode(status) != 0:
        said = (scratch / "errors").read_text(errors="replace")[-2000:]
        raise Failed(f"{peer.name}: exit {os.waitstatus_to_exitcode(status)}: {script}\n{said}")
    peak_bytes = int(told.read_text()) * 1024
    if not keep:
        shutil.rmtree(place, ignore_errors=True)
    return Run(wall, used.ru_utime, used.ru_stime, peak_bytes)


def same(databridge: Path, source: Path, work: Path) -> None:
    """Copies once by databridge, and lets `diff -r` be the witness."""
    target = work / "target"
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run([databridge, "copy", source, target], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["diff", "-r", source, target], check=True)
    shutil.rmtree(target)
