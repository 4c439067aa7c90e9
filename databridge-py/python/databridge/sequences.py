"""Frame sequences, folded for people.

The rules are those of Fileseq's disk names, except that a number after a lone `v` is a
version, that 999 is no frame of `####`, that UDIM tiles are no time, that a dash is a
sign only after a separator, and that more than 15 digits are no frame.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Union, overload

from . import _arguments as arguments
from . import _databridge
from ._arguments import Pathish
from ._work import Work, can_begin, finish

Frame = Union[int, Decimal]


@dataclass(frozen=True)
class Frames:
    """Rising frame numbers, kept as ranges: a million missing ones cost nothing.

    `str` is a frame range as Fileseq and Nuke read it: `1001-1010,1015`. Sub-frames
    are `Decimal`, whole frames `int`.
    """

    ranges: tuple[range, ...] = ()
    """In units of the last decimal."""
    decimals: int = 0
    text: str = ""

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    def __iter__(self) -> Iterator[Frame]:
        return (self._frame(one) for span in self.ranges for one in span)

    def __contains__(self, frame: object) -> bool:
        if not isinstance(frame, (int, Decimal)):
            return False
        units = frame * 10**self.decimals
        return units == int(units) and any(int(units) in span for span in self.ranges)

    @overload
    def __getitem__(self, at: int) -> Frame: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Frame, ...]: ...
    def __getitem__(self, at: int | slice) -> Frame | tuple[Frame, ...]:
        if isinstance(at, slice):
            return tuple(self)[at]
        left = at + len(self) if at < 0 else at
        for span in self.ranges:
            if 0 <= left < len(span):
                return self._frame(span[left])
            left -= len(span)
        raise IndexError(at)

    def _frame(self, units: int) -> Frame:
        return Decimal(units).scaleb(-self.decimals) if self.decimals else units

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Frames({self.text!r})"


@dataclass(frozen=True)
class FrameSequence:
    """Files that differ only in their frame."""

    directory: str
    basename: str
    """What stands before the frame."""
    padding: str
    """`####`, in the style that was asked for; nothing for a single file."""
    extension: str
    """What stands behind the frame, with its dot."""
    kind: str
    """`frames`; `tiles` for UDIM; `single` for a file without a frame."""
    width: int
    """At least so many characters for a frame, a sign included."""
    frames: Frames
    missing: Frames
    """Due between the first and the last, and not there."""
    zero_byte: Frames
    """Files with nothing in them. Sizes are known where a folder was searched."""
    outliers: Frames
    """Files whose size is far from the others': a modified z-score above 3.5."""
    duplicates: Frames
    """Also another file of the same name, but for padding or case."""
    total_bytes: int | None

    @property
    def frame_range(self) -> str:
        """`1001-1010,1015`."""
        return self.frames.text

    def path(self, frame: Frame) -> Path:
        """The file of a frame."""
        whole, point, rest = str(frame).partition(".")
        # `zfill` leaves a sign in front, and counts it.
        text = f"{whole.zfill(self.width)}{point}{rest}"
        return Path(self.directory, f"{self.basename}{text}{self.extension}")

    def paths(self) -> Iterator[Path]:
        """The files."""
        if not self.frames:
            yield Path(self.directory, f"{self.basename}{self.extension}")
        for frame in self.frames:
            yield self.path(frame)

    def __str__(self) -> str:
        name = f"{self.basename}{self.frames}{self.padding}{self.extension}"
        return os.path.join(self.directory, name)  # noqa: PTH118


def _frames(found: tuple[int, tuple[tuple[int, int, int], ...], str]) -> Frames:
    decimals, runs, text = found
    ranges = tuple(range(first, first + step * count, step) for first, step, count in runs)
    return Frames(ranges, decimals, text)


def _made(found: list[dict[str, Any]]) -> tuple[FrameSequence, ...]:
    numbers = ("frames", "missing", "zero_byte", "outliers", "duplicates")
    for one in found:
        one.update((name, _frames(one[name])) for name in numbers)
    return tuple(FrameSequence(**one) for one in found)


@can_begin
def find_sequences(
    path_or_names: Pathish | Iterable[Pathish],
    *,
    padding: str = "hash1",
    recursive: bool = True,
    subframes: bool = False,
    step: int = 1,
    singles: bool = False,
    hidden: bool = False,
) -> tuple[FrameSequence, ...]:
    """The frame sequences in a folder, or among names, sorted by folder and name.

    `padding` is how frames are written: `hash1` is one `#` for each digit, `hash4` one
    for four, else one `@` for each. `step=2` is due every second frame. `subframes`
    reads `a.1001.25.exr` as frame 1001.25. `singles` also tells files without a frame,
    and `hidden` those that begin with a dot.
    """
    root: str | None = None
    names: list[str] = []
    if isinstance(path_or_names, (str, bytes, os.PathLike)):
        root = arguments.path("path_or_names", path_or_names)
    else:
        names = arguments.paths("path_or_names", path_or_names)
    task = _databridge.find_sequences(
        root,
        names,
        arguments.text("padding", padding),
        recursive,
        subframes,
        arguments.whole("step", step),
        singles,
        hidden,
    )
    return finish(Work(task, _made))
