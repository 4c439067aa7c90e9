"""Long calls that do not hold up whoever made them.

    handle = databridge.begin(databridge.verified_copy, source, destination)
    while not handle.poll():
        draw(handle.progress)
    report = handle.wait()

The work runs on a thread that never enters Python. Callbacks run in `pump` and `wait`,
on the thread that calls these; or, where a `Background` was told how a host reaches its
main thread, there.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import _arguments as arguments
from ._arguments import OnProgress
from ._work import Begun, Work, for_begin
from .errors import Cancelled, WaitTimeout
from .results import Progress

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    _P = ParamSpec("_P")

_T = TypeVar("_T")

Dispatch = Callable[[Callable[[], None]], object]
"""Lets a host's main thread call something soon: `maya.utils.executeDeferred`,
`nuke.executeInMainThread`, `hdefereval.executeDeferred`, a Qt signal's `emit`."""

_LOOK_SECONDS = 0.1
_LEAVE_SECONDS = 5.0
_END_SECONDS = 1.0


class Handle(Generic[_T]):
    """Work that was begun. Its methods may be called from any thread.

    What takes several steps (`Client.wait`) takes the next one when somebody asks.
    """

    def __init__(self, begun: Begun[_T], dispatch: Dispatch | None) -> None:
        self._work: Work[_T] = begun.work
        self._progress: OnProgress | None = begun.progress
        self._dispatch = dispatch
        self._lock = threading.RLock()
        self._ended = False
        # Nobody asks the host to pump it any more.
        self._is_over = False
        self._result: _T | None = None
        self._error: BaseException | None = None
        self._cancelled_at: float | None = None
        self._before: Progress | None = None
        self._told: Progress | None = None
        self._done: list[Callable[[Handle[_T]], object]] = []
        if dispatch is not None:
            _Courier(self, dispatch)

    # How it is

    def poll(self) -> bool:
        """Whether it has ended. Never blocks, calls nobody back."""
        with self._lock:
            while not self._ended and self._work.task.wait(0):
                self._step()
            since = self._cancelled_at
            if not self._ended and since is not None and time.monotonic() - since > _LEAVE_SECONDS:
                # It waits for somebody else; it is left to end by itself.
                self._end(None, Cancelled("this was cancelled", "python.cancelled"))
            return self._ended

    @property
    def progress(self) -> Progress:
        """How far it is, by its last step that counts something."""
        now = Progress(*self._work.task.counts())
        return now if now.files_total or self._before is None else self._before

    def events(self) -> Iterator[Progress]:
        """Each change of `progress`, about ten a second, until it has ended."""
        seen: Progress | None = None
        while True:
            ended = self.poll()
            now = self.progress
            if now != seen:
                seen = now
                yield now
            if ended:
                return
            self._work.task.wait(_LOOK_SECONDS)

    # What comes of it

    def wait(self, timeout: float | None = None) -> _T:
        """Its result, or what it failed with. Ctrl-C ends the waiting, not the work.

        Raises `WaitTimeout` after `timeout` seconds; the work goes on.
        """
        deadline = None
        if timeout is not None:
            deadline = time.monotonic() + arguments.seconds("timeout", timeout)
        while not (self.poll() if self._dispatch else self.pump()):
            left = _LOOK_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                hint = "its work goes on; wait again"
                raise WaitTimeout(f"not done after {timeout:g} s", "python.timeout", hint)
            self._work.task.wait(min(left, _LOOK_SECONDS))
        if self._error is not None:
            raise self._error
        return cast(_T, self._result)

    def cancel(self) -> None:
        """Asks it to stop; `wait` then raises `Cancelled`, unless it was quicker."""
        with self._lock:
            if self._cancelled_at is None:
                self._cancelled_at = time.monotonic()
            self._work.task.cancel()

    # Callbacks

    def on_done(self, call: Callable[[Handle[_T]], object]) -> Handle[_T]:
        """Once it has ended, `call(handle)`: in the next `pump` where it has."""
        with self._lock:
            self._done.append(call)
            is_late = self._is_over
        if is_late and self._dispatch is not None:
            self._dispatch(self._pump_once)
        return self

    def pump(self) -> bool:
        """Calls back, on this thread, for what has changed; whether it has ended."""
        ended = self.poll()
        now = self.progress
        counts = now.files_total or (ended and self._error is None)
        if self._progress is not None and now != self._told and counts:
            self._told = now
            self._progress(now)
        while ended:
            with self._lock:
                if not self._done:
                    break
                call = self._done.pop(0)
            call(self)
        return ended

    # Inside

    def _pump_once(self) -> None:
        self.pump()

    def _step(self) -> None:
        self._before = self.progress
        try:
            made: _T | Work[_T] = self._work.answer()
        except Exception as error:
            self._end(None, error)
            return
        if not isinstance(made, Work):
            self._end(made, None)
        elif self._cancelled_at is not None:
            self._end(None, Cancelled("this was cancelled", "python.cancelled"))
        else:
            self._work = made

    def _end(self, result: _T | None, error: BaseException | None) -> None:
        self._result, self._error, self._ended = result, error, True

    def _due(self) -> bool:
        if self._ended or self._cancelled_at is not None:
            return True
        now = self.progress
        return self._progress is not None and bool(now.files_total) and now != self._told

    def __repr__(self) -> str:
        state = "under way"
        if self._ended:
            state = "done" if self._error is None else type(self._error).__name__
        return f"<Handle: {state}, {self.progress.bytes} bytes>"


class Background:
    """Where callbacks go. With `dispatch`, to the main thread of a host program."""

    def __init__(self, dispatch: Dispatch | None = None) -> None:
        if dispatch is not None and not callable(dispatch):
            raise TypeError(f"dispatch: expected a callable, not {type(dispatch).__name__}")
        self._dispatch = dispatch

    def begin(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Handle[_T]:
        """As `databridge.begin`."""
        return Handle(for_begin(call, *args, **kwargs), self._dispatch)


def begin(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Handle[_T]:
    """Begins a long call: any function over files, or `add`, `wait`, `call` and
    `verify_ledger` of a `Bridge` or `Client`. Its `progress` is called by `pump`.
    """
    return Background().begin(call, *args, **kwargs)


# The host's main thread


class _Courier:
    """Watches a handle from a thread of its own, and asks the host's main thread to
    pump it: once, until it has. Made only where `dispatch` asks for it.
    """

    _all: set[_Courier] = set()  # noqa: RUF012

    def __init__(self, handle: Handle[Any], dispatch: Dispatch) -> None:
        self._handle = handle
        self._dispatch = dispatch
        self._pumped = threading.Event()
        self._stopped = False
        if not _Courier._all:
            atexit.unregister(_Courier._stop_all)
            atexit.register(_Courier._stop_all)
        _Courier._all.add(self)
        self._thread = threading.Thread(target=self._run, name="databridge-dispatch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            over = False
            while not (over or self._stopped):
                task = self._handle._work.task
                ended = task.wait(_LOOK_SECONDS)
                if not (ended or self._handle._due()):
                    continue
                self._pumped.clear()
                self._dispatch(self._pump)
                while not (self._stopped or self._pumped.wait(_LOOK_SECONDS)):
                    pass
                with self._handle._lock:
                    over = self._handle._ended and not self._handle._done
                    self._handle._is_over = over
        finally:
            _Courier._all.discard(self)

    def _pump(self) -> None:
        try:
            self._handle.pump()
        finally:
            self._pumped.set()

    @staticmethod
    def _stop_all() -> None:
        """At the interpreter's end: a host that pumps no more must not hold it up."""
        for one in list(_Courier._all):
            one._stopped = True
        for one in list(_Courier._all):
            one._thread.join(_END_SECONDS)
