"""docs/python.md is what the package says of itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import databridge

REPO = Path(__file__).parents[2]
MAKER = REPO / "databridge-py" / "reference.py"


def check(*args: Path) -> int:
    return subprocess.run([sys.executable, MAKER, "--check", *args], timeout=60).returncode


def test_the_page_is_fresh_and_whole() -> None:
    assert check() == 0
    page = (REPO / "docs" / "python.md").read_text()
    missing = [name for name in databridge.__all__ if f"`{name}`" not in page]
    assert missing == ["__version__"]


def test_a_changed_signature_makes_it_stale(tmp_path: Path) -> None:
    package, page = tmp_path / "databridge", tmp_path / "python.md"
    shutil.copytree(REPO / "databridge-py" / "python" / "databridge", package)
    shutil.copy(REPO / "docs" / "python.md", page)
    assert check(package, page) == 0
    files = package / "files.py"
    files.write_text(files.read_text().replace("resume: bool = True", "resume: bool = False"))
    assert check(package, page) == 1
    shutil.copy(REPO / "databridge-py" / "python" / "databridge" / "files.py", files)
    page.write_text(page.read_text().replace("## Files", "## File"))
    assert check(package, page) == 1
