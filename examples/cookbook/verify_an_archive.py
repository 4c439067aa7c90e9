"""Reads an archive again, a few hours each night, and goes on where the last night ended.

0 1 * * *  python verify_an_archive.py STATE_FOLDER 5 /archive/show_a /archive/show_b
"""

from __future__ import annotations

import sys
from pathlib import Path

from databridge import verification


def verify(states: Path, hours: float, folders: list[str]) -> bool:
    states.mkdir(parents=True, exist_ok=True)
    good = True
    for folder in folders:
        state = states / f"{Path(folder).name}.state"
        night = verification(folder, state=state, for_seconds=hours * 3600 / len(folders))
        for difference in night.differences:
            print(f"{folder}: {difference}")
        good = good and not night.differences
    return good


if __name__ == "__main__":
    sys.exit(0 if verify(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]) else 1)
