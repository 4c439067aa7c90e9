"""What callers give, made into what the machine room takes."""

from __future__ import annotations

import os
from typing import Any, Callable, Union

from .results import Progress

Pathish = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
OnProgress = Callable[[Progress], object]


def path(name: str, given: Pathish) -> str:
    """Any path; bytes that are no UTF-8 survive as the interpreter keeps them."""
    try:
        return os.fsdecode(given)
    except TypeError:
        kind = type(given).__name__
        raise TypeError(f"{name}: expected str, bytes or os.PathLike, not {kind}") from None


def progress(on: OnProgress | None) -> Callable[..., Any] | None:
    """Calls arrive on the thread that asked, about ten a second."""
    if on is None:
        return None
    tell = on
    return lambda *counts: tell(Progress(*counts))
