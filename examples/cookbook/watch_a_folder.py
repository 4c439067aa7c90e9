"""Waits until a render has settled, that is nothing in the folder changes any more and no
frame is missing or empty, and submits it.

python watch_a_folder.py FOLDER DATA PROJECT [QUIET_SECONDS]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from databridge import Bridge, find_sequences


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def settle(folder: Path, quiet_seconds: float) -> None:
    before = state(folder)
    while True:
        time.sleep(quiet_seconds)
        now = state(folder)
        found = find_sequences(folder)
        is_whole = found and not any(one.missing or one.zero_byte for one in found)
        if is_whole and now == before:
            return
        before = now


def submit(folder: Path, data: str, project: str) -> str:
    with Bridge(data) as bridge:
        code = bridge.create(folder.name, project=project, category="renders").code
        bridge.add(code, folder)
        bridge.submit(code)
        return bridge.wait(code).code


if __name__ == "__main__":
    settle(Path(sys.argv[1]), float(sys.argv[4]) if len(sys.argv) > 4 else 60.0)
    print(submit(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
