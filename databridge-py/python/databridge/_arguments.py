"""What callers give, made into what the machine room takes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Callable, NoReturn, Union, cast

from .results import Progress

Pathish = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
OnProgress = Callable[[Progress], object]


def _refuse(name: str, expected: str, given: object) -> NoReturn:
    raise TypeError(f"{name}: expected {expected}, not {type(given).__name__}") from None


def path(name: str, given: Pathish) -> str:
    """Any path; bytes that are no UTF-8 survive as the interpreter keeps them."""
    try:
        return os.fsdecode(given)
    except TypeError:
        _refuse(name, "str, bytes or os.PathLike", given)


def optional(name: str, given: Pathish | None) -> str | None:
    """A path, or none."""
    return None if given is None else path(name, given)


def paths(name: str, given: object) -> list[str]:
    """Paths, one by one."""
    if not isinstance(given, Iterable):
        _refuse(name, "a path or paths", given)
    items = list(cast("Iterable[Pathish]", given))
    try:
        return list(map(os.fsdecode, items))
    except TypeError:
        return [path(name, one) for one in items]


def strings(name: str, given: object) -> list[str]:
    """Several; one alone would be taken for its letters."""
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        _refuse(name, "a sequence of str", given)
    return [text(name, one) for one in cast("Iterable[object]", given)]


def text(name: str, given: object) -> str:
    """A str."""
    if not isinstance(given, str):
        _refuse(name, "str", given)
    return given


def optional_text(name: str, given: object) -> str | None:
    """A str, or none."""
    return None if given is None else text(name, given)


def system(name: str, given: str | None) -> str:
    """A system; this computer's where none is given."""
    if given is not None:
        return text(name, given)
    if sys.platform in {"win32", "cygwin"}:
        return "windows"
    return "macos" if sys.platform == "darwin" else "linux"


def whole(name: str, given: object) -> int:
    """An int."""
    if not isinstance(given, int):
        _refuse(name, "int", given)
    return given


def optional_whole(name: str, given: object, least: int = 0) -> int | None:
    """An int, or none; no less than `least`."""
    if given is None:
        return None
    number = whole(name, given)
    if number < least:
        raise ValueError(f"{name}: {number} is less than {least}")
    return number


def seconds(name: str, given: object) -> float:
    """A span of time."""
    if not isinstance(given, (int, float)):
        _refuse(name, "a number of seconds", given)
    return given


def progress(on: OnProgress | None) -> Callable[..., Any] | None:
    """Calls arrive on the thread that asked, about ten a second."""
    if on is None:
        return None
    if not callable(on):
        _refuse("progress", "a callable", on)
    tell = on
    return lambda *counts: tell(Progress(*counts))


def plain(fields: Mapping[str, Any]) -> str:
    """Fields as JSON."""
    for name, value in fields.items():
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError(f"{name}: {value!r} has no time zone")
    try:
        return json.dumps(fields, default=_moment)
    except TypeError as error:
        wrong = [name for name, value in fields.items() if not _can_be_sent(value)]
        raise TypeError(f"{', '.join(wrong)}: {error}") from None


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _can_be_sent(value: object) -> bool:
    try:
        json.dumps(value, default=_moment)
    except TypeError:
        return False
    return True
