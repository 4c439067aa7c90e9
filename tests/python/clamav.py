"""A real clamd with the signatures of this repository."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

OURS = Path(__file__).parents[2] / "testdata/clamd"

# Put together here, so that no scanner finds it in the source.
EICAR = "".join(
    [
        r"X5O!P%@AP[4\PZX54(P^)7CC)7}",
        "$" + "-".join(["EICAR", "STANDARD", "ANTIVIRUS", "TEST", "FILE!"]),
        "$H+H*",
    ]
)


@contextmanager
def clamd() -> Iterator[str]:
    """Its socket. The folder's name is short: a socket's path has a limit."""
    program = shutil.which("clamd") or "/usr/sbin/clamd"
    with TemporaryDirectory(prefix="databridge-clamd-") as name:
        folder = Path(name)
        shutil.copytree(OURS / "db", folder / "signatures")
        (folder / "tmp").mkdir()
        config = (OURS / "clamd.conf").read_text().replace("@DIR@", name)
        lines = [line for line in config.splitlines() if not line.startswith("TCP")]
        (folder / "clamd.conf").write_text("\n".join(lines) + "\n")
        with subprocess.Popen(
            [program, "-c", str(folder / "clamd.conf")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            assert child.stdout is not None
            try:
                if not any("Listening daemon" in line for line in child.stdout):
                    pytest.fail("clamd ended before it listened")
                yield str(folder / "clamd.sock")
            finally:
                child.kill()
