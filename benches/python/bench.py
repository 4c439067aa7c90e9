"""`databridge` beside what a TD would use instead: medians and ratios, as Markdown.

python bench.py [--quick] [--write]

The sides of a row take turns, so that what else the machine does meets all of them.
`--write` puts the table into docs/python.md. The files are read from the page cache, but
for what a verified copy reads back from the device.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fileseq
import pyseq

import databridge

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BEGIN, END = "<!-- performance -->", "<!-- /performance -->"
Side = tuple[str, Callable[[], object]]


def median_seconds(sides: list[Side], runs: int) -> list[float]:
    taken: list[list[float]] = [[] for _ in sides]
    for _ in range(runs):
        for times, (_, work) in zip(taken, sides):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
    return [statistics.median(times) for times in taken]


def span(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def row(what: str, sides: list[Side], runs: int) -> str:
    ours, *others = median_seconds(sides, runs)
    cells = [
        f"{name}: {span(seconds)} (x {seconds / ours:.2g})"
        for (name, _), seconds in zip(sides[1:], others)
    ]
    return f"| {what} | {span(ours)} | {'; '.join(cells)} |"


# The other sides, as they are written in pipelines.


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def pooled(folder: Path) -> dict[Path, str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = files(folder)
        return dict(zip(found, pool.map(sha256, found)))


def looped(folder: Path) -> dict[str, str]:
    found = fileseq.findSequencesOnDisk(str(folder))
    return {path: sha256(Path(path)) for sequence in found for path in sequence}


def copied(source: Path, destination: Path) -> None:
    shutil.copytree(source, destination)
    before = {path.relative_to(source): sha256(path) for path in files(source)}
    after = {path.relative_to(destination): sha256(path) for path in files(destination)}
    assert before == after


def fresh(folder: Path, work: Callable[[Path], object]) -> Callable[[], object]:
    """Into a new place each time."""
    return lambda: work(Path(tempfile.mkdtemp(dir=folder), "copy"))


def imported(name: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, "-c", f"import {name}"], check=True)


def table(folder: Path, quick: bool) -> list[str]:
    frames, size = (20, 1_000_000) if quick else (200, 10_000_000)
    runs = 3 if quick else 9
    shot = folder / "shot"
    shot.mkdir()
    content = random.Random(1).randbytes(size)
    for frame in range(frames):
        (shot / f"comp_v003.{1001 + frame}.exr").write_bytes(frame.to_bytes(8, "big") + content)
    tiny = folder / "tiny"
    tiny.write_bytes(b"x")
    count = 10_000 if quick else 100_000
    names = [f"shot_{at % 100:03}_comp_v003.{1001 + at // 100}.exr" for at in range(count)]
    random.Random(1).shuffle(names)
    total = f"{frames} files of {size // 1_000_000} MB"
    rows = [
        row(
            f"`checksum_tree`, {total}",
            [
                ("", lambda: databridge.checksum_tree(shot)),
                ("hashlib in a thread pool", lambda: pooled(shot)),
                ("Fileseq and a loop over hashlib", lambda: looped(shot)),
            ],
            runs,
        ),
        row(
            f"`verified_copy`, {total}, read back from the device",
            [
                ("", fresh(folder, lambda to: databridge.verified_copy(shot, to))),
                ("copytree, hashlib twice", fresh(folder, lambda to: copied(shot, to))),
            ],
            3 if quick else 5,
        ),
        row(
            f"`find_sequences`, {count:,} names",
            [
                ("", lambda: databridge.find_sequences(names)),
                ("Fileseq", lambda: fileseq.findSequencesInList(names)),
                ("pyseq", lambda: pyseq.get_sequences(names)),
            ],
            runs,
        ),
        row(
            "one call: `checksum` of a file of one byte",
            [("", lambda: databridge.checksum(tiny)), ("hashlib", lambda: sha256(tiny))],
            200,
        ),
        row(
            "`import databridge` in a new interpreter",
            [
                ("", imported("databridge")),
                ("nothing imported", imported("sys")),
                ("`import fileseq`", imported("fileseq")),
                ("`import pyseq`", imported("pyseq")),
            ],
            runs,
        ),
    ]
    return [
        f"By `make bench-python`: medians, CPython {platform.python_version()}, "
        f"{os.cpu_count()} cores, Fileseq 3.4.0, pyseq 0.9.3. "
        "A ratio says how many times as long the other took."
        + (" A quick run: not for comparing." if quick else ""),
        "",
        "| | databridge | others |",
        "|---|---|---|",
        *rows,
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="small, to see that it runs")
    options.add_argument("--write", action="store_true", help="into docs/python.md")
    options.add_argument("--folder", type=Path, help="where the files are made")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        lines = table(Path(folder), given.quick)
    text = "\n".join(lines)
    print(text)
    if given.write:
        page = PAGE.read_text()
        head, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
