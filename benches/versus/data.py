"""The media that is copied: made by seed, the same on every machine."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
BLOCK = 16 * MIB


@dataclass(frozen=True)
class Case:
    """A kind of tree: its name and what stands in it."""

    name: str
    about: str
    # Of many files: its targets are removed only now and then, and with a rest.
    many: bool = False


CASES = {
    case.name: case
    for case in (
        Case("large", "one file of 4 GiB"),
        Case("frames", "240 frames of 12 MiB"),
        Case("small", "50,000 files of 1 to 16 KiB in 500 folders", many=True),
        Case("mixed", "a shot: 48 frames of 12 MiB, a movie of 1 GiB, 2,000 small files"),
    )
}


def make(case: str, root: Path, scale: float = 1.0) -> Path:
    """Makes the tree of `case` below `root`, unless it stands there; answers its path.

    `scale` shrinks it, for a trial of the bench itself. A process of its own does it: what
    this one once held in memory would count as the peak of every program it starts.
    """
    tree = root / f"{case}-{scale:g}"
    done = root / f"{tree.name}.made"
    if not done.exists():
        subprocess.run([sys.executable, __file__, case, tree, str(scale)], check=True)
        done.touch()
    return tree


def fill(case: str, tree: Path, scale: float) -> None:
    """Writes the tree of `case`."""
    source = random.Random(f"databridge {case}")
    if case == "large":
        _write(tree / "camera.mov", int(4096 * scale) * MIB, source)
    elif case == "frames":
        _frames(tree, int(240 * scale), source)
    elif case == "small":
        _small(tree, int(50_000 * scale), 500, source)
    elif case == "mixed":
        _frames(tree / "plates", int(48 * scale), source)
        _write(tree / "movie" / "shot.mov", int(1024 * scale) * MIB, source)
        _small(tree / "notes", int(2_000 * scale), 20, source)
    else:
        raise ValueError(f"there is no case {case!r}; there are {', '.join(CASES)}")


def many(root: Path, count: int) -> Path:
    """A tree of `count` files of 64 bytes, a thousand in each folder."""
    tree = root / f"many-{count}"
    done = root / f"{tree.name}.made"
    if not done.exists():
        for number in range(count):
            folder = tree / f"{number // 1000:05}"
            if number % 1000 == 0:
                folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number % 1000:03}").write_bytes(b"%064d" % number)
        done.touch()
    return tree


def _frames(tree: Path, count: int, source: random.Random) -> None:
    for number in range(1001, 1001 + max(count, 1)):
        _write(tree / f"comp_v003.{number}.exr", 12 * MIB, source)


def _small(tree: Path, count: int, folders: int, source: random.Random) -> None:
    for number in range(max(count, 1)):
        path = tree / f"{number % folders:03}" / f"cache.{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(source.randint(1024, 16 * 1024)))


def _write(path: Path, size_bytes: int, source: random.Random) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for offset in range(0, size_bytes, BLOCK):
            file.write(source.randbytes(min(BLOCK, size_bytes - offset)))


if __name__ == "__main__":
    fill(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
