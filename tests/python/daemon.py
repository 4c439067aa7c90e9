"""A real daemon on a free port, from the program that DATABRIDGED names."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Daemon:
    url: str
    one_time_password: str


@contextmanager
def serve(data: Path) -> Iterator[Daemon]:
    program = os.environ.get("DATABRIDGED")
    if not program:
        pytest.fail("DATABRIDGED must name the databridged program")
    with subprocess.Popen(
        [program, "--data", str(data), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=(data.parent / "daemon.log").open("w"),
        text=True,
        # Many people sign in within seconds here.
        env={**os.environ, "DATABRIDGE_LIMITS__LOGIN_PER_MINUTE": "0"},
    ) as child:
        assert child.stdout is not None
        try:
            password = ""
            for line in child.stdout:
                name, _, value = line.strip().partition(": ")
                if name == "one-time password for admin":
                    password = value
                if line.startswith("listening on "):
                    yield Daemon(line.split()[-1], password)
                    break
            else:
                pytest.fail((data.parent / "daemon.log").read_text())
        finally:
            child.terminate()
