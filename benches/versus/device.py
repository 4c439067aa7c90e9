"""What the device alone takes for the three passes of a copy: source read, copy written and
read back, all at once, past the page cache, nothing hashed. The floor below every copy that is
durable and read back; `device.py SOURCE TARGET`, both folders of files."""

from __future__ import annotations

import ctypes
import mmap
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

BLOCK = 4 << 20
STRETCH = 64 << 20
LANES = 4
PAGE = 2 << 20
SECTOR = 4096
HUGE = 14  # madvise(2): one stretch of memory, so that one request need not gather pages.


def buffer() -> memoryview:
    """A block that direct I/O takes, in huge pages, filled with what no host folds away."""
    memory = mmap.mmap(-1, BLOCK + PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(HUGE)
    memory[:] = os.urandom(BLOCK + PAGE)
    skip = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % PAGE
    return memoryview(memory)[skip : skip + BLOCK]


def read(path: Path, start: int, end: int, block: memoryview) -> None:
    """Reads a stretch of `path`."""
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        for offset in range(start, end, BLOCK):
            os.preadv(file, [block], offset)
    finally:
        os.close(file)


def write(path: Path, start: int, end: int, block: memoryview) -> None:
    """Writes a stretch of `path`, durably; its end is written up to a whole sector."""
    file = os.open(path, os.O_WRONLY | os.O_DIRECT)
    try:
        for offset in range(start, end, BLOCK):
            length = min(BLOCK, -(-(end - offset) // SECTOR) * SECTOR)
            os.pwritev(file, [block[:length]], offset)
        os.fdatasync(file)
    finally:
        os.close(file)


def main(source: Path, target: Path) -> None:
    """Three passes, each of `LANES` threads; a stretch is read back once it is written."""
    stretches: list[tuple[Path, Path, int, int]] = []
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        size = file.stat().st_size
        with copy.open("wb") as made:
            os.posix_fallocate(made.fileno(), 0, max(size, 1))
        for start in range(0, size, STRETCH):
            stretches.append((file, copy, start, min(start + STRETCH, size)))
    blocks: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
    for _ in range(3 * LANES):
        blocks.put(buffer())

    def lent(
        work: Callable[[Path, int, int, memoryview], None], path: Path, start: int, end: int
    ) -> None:
        block = blocks.get()
        try:
            work(path, start, end, block)
        finally:
            blocks.put(block)

    with (
        ThreadPoolExecutor(LANES) as reading,
        ThreadPoolExecutor(LANES) as writing,
        ThreadPoolExecutor(LANES) as following,
    ):
        ends: list[Future[None]] = []
        held = threading.Lock()

        def carry(file: Path, copy: Path, start: int, end: int) -> None:
            reading.submit(lent, read, file, start, end).result()
            lent(write, copy, start, end)
            with held:
                ends.append(following.submit(lent, read, copy, start, end))

        for done in [writing.submit(carry, *stretch) for stretch in stretches]:
            done.result()
        for done in ends:
            done.result()
    for path in target.rglob("*"):
        if path.is_file():
            os.truncate(path, (source / path.relative_to(target)).stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
