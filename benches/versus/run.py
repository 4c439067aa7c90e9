"""Runs one command and says what it took: wall, processors, memory."""

from __future__ import annotations

import os
import shutil
import subprocess
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


def settle() -> None:
    """Writes everything out and empties the page cache where we may: each run starts cold."""
    os.sync()
    if is_root():
        Path("/proc/sys/vm/drop_caches").write_text("3\n")


def once(peer: Peer, databridge: Path, source: Path, work: Path) -> Run:
    """Runs `peer` from `source` to a fresh target below `work`, which is then removed."""
    target, scratch = work / "target", work / "scratch"
    for left in (target, scratch):
        shutil.rmtree(left, ignore_errors=True)
    scratch.mkdir(parents=True)
    script = peer.script(Place(databridge, source, target, scratch))
    settle()
    start = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        stdout=subprocess.DEVNULL,
        stderr=(scratch / "errors").open("wb"),
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if os.waitstatus_to_exitcode(status) != 0:
        said = (scratch / "errors").read_text(errors="replace")[-2000:]
        raise Failed(f"{peer.name}: exit {os.waitstatus_to_exitcode(status)}: {script}\n{said}")
    shutil.rmtree(target, ignore_errors=True)
    return Run(wall, used.ru_utime, used.ru_stime, used.ru_maxrss * 1024)


def same(databridge: Path, source: Path, work: Path) -> None:
    """Copies once by databridge, and lets `diff -r` be the witness."""
    target = work / "target"
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run([databridge, "copy", source, target], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["diff", "-r", source, target], check=True)
    shutil.rmtree(target)
