"""What is under way, and what it becomes: in the foreground, or for `begin`."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar, cast

from . import _arguments as arguments
from ._arguments import OnProgress
from ._databridge import Task
from .errors import DatabridgeError

_T = TypeVar("_T")
_U = TypeVar("_U")
_F = TypeVar("_F", bound=Callable[..., object])


def _as_it_is(error: DatabridgeError) -> NoReturn:
    raise error


class Work(Generic[_T]):
    """A task, and what is made of its answer: a result, or the next work."""

    def __init__(
        self,
        task: Task,
        make: Callable[[Any], _T | Work[_T]],
        failed: Callable[[DatabridgeError], NoReturn] = _as_it_is,
    ) -> None:
        self.task = task
        self._make = make
        self._failed = failed

    def then(self, make: Callable[[_T], _U | Work[_U]]) -> Work[_U]:
        """The same work, of whose result something is made."""

        def made(answer: Any) -> _U | Work[_U]:
            found = self._make(answer)
            if isinstance(found, Work):
                return cast("Work[_T]", found).then(make)
            return make(found)

        return Work(self.task, made, self._failed)

    def answer(self) -> _T | Work[_T]:
        """What an ended task comes to."""
        return self.made(self.task.answer)

    def made(self, answer: Callable[[], Any]) -> _T | Work[_T]:
        try:
            found = answer()
        except DatabridgeError as error:
            self._failed(error)
        return self._make(found)


class Begun(Generic[_T]):
    """What a function hands to `begin` in place of its result."""

    def __init__(self, work: Work[_T], progress: OnProgress | None) -> None:
        self.work = work
        self.progress = progress


_for_begin: ContextVar[bool] = ContextVar("databridge_for_begin", default=False)


def finish(work: Work[_T], progress: OnProgress | None = None) -> _T:
    """The last step of whatever can be begun: its result, or itself for `begin`."""
    if _for_begin.get():
        return cast(_T, Begun(work, progress))
    counts = arguments.progress(progress)
    current = work
    while True:
        made = current.made(partial(current.task.finish, counts))
        if not isinstance(made, Work):
            return made
        current, counts = cast("Work[_T]", made), None


def can_begin(function: _F) -> _F:
    """Says that `function` ends in `finish`."""
    function.__databridge_can_begin__ = True  # type: ignore[attr-defined]
    return function


def for_begin(function: Callable[..., _T], *args: Any, **kwargs: Any) -> Begun[_T]:
    """Lets `function` begin."""
    if not getattr(function, "__databridge_can_begin__", False):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"begin: {name} takes no time that is worth it; call it")
    before = _for_begin.set(True)
    try:
        return cast("Begun[_T]", function(*args, **kwargs))
    finally:
        _for_begin.reset(before)
