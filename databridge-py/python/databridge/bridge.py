"""DataBridge embedded: a store in a folder of one's own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NoReturn

from . import _arguments as arguments
from . import _databridge
from ._arguments import Pathish, plain
from ._work import Work, can_begin, finish
from .errors import Cancelled, DatabridgeError, WaitTimeout
from .results import TransferDetail, build
from .session import Session

_FOREVER_SECONDS = 365 * 24 * 3600.0


class Bridge(Session):
    """A store in the folder `data`, made when it is first asked.

    It enforces nothing against the owner of its files: the OS user is the actor,
    `as_user` uses the roles of somebody else on record, and receipts say
    `embedded`. `config` holds settings as `databridge.toml` has them. A process
    that forks while a Bridge is open cannot use it in the child.
    """

    def __init__(
        self,
        data: Pathish,
        *,
        as_user: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._data = arguments.path("data", data)
        self._name = arguments.optional_text("as_user", as_user)
        self._far = self._engine = _databridge.Engine(
            self._data, plain({**(config or {})}), self._name
        )

    def as_user(self, username: str | None) -> Bridge:
        """The same store with the roles of somebody else; they share its opening."""
        view = object.__new__(Bridge)
        view._data, view._name = self._data, arguments.optional_text("username", username)
        view._far = view._engine = self._engine.acting_as(view._name)
        return view

    @can_begin
    def wait(self, code: str, timeout: float | None = None) -> TransferDetail:
        """Works the store's own jobs until a transfer waits for a person or is at
        its end. Raises `WaitTimeout` after `timeout` seconds.
        """
        seconds = _FOREVER_SECONDS if timeout is None else arguments.seconds("timeout", timeout)
        deadline = time.monotonic() + seconds

        def failed(error: DatabridgeError) -> NoReturn:
            if isinstance(error, Cancelled) and time.monotonic() >= deadline:
                raise WaitTimeout(str(error), error.code, error.hint) from None
            raise error

        task = self._engine.settle(arguments.text("code", code), seconds)
        return finish(Work(task, lambda found: build(TransferDetail, found), failed))

    @property
    def one_time_password(self) -> str | None:
        """The first admin's password for a daemon on this folder, where this very
        Bridge made the store: told only now.
        """
        return self._engine.one_time_password()

    def close(self) -> None:
        """Closes the store, for every view of it. Twice does no harm."""
        self._engine.close()

    def __repr__(self) -> str:
        return f"Bridge({self._data!r}, as_user={self._name!r})"
