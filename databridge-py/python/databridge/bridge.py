"""DataBridge embedded: a store in a folder of one's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import _arguments as arguments
from . import _databridge
from ._arguments import Pathish
from .errors import Cancelled, WaitTimeout
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

    _far: _databridge.Engine

    def __init__(
        self,
        data: Pathish,
        *,
        as_user: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._data = arguments.path("data", data)
        self._name = as_user
        self._far = _databridge.Engine(self._data, json.dumps({**(config or {})}), as_user)

    def as_user(self, username: str | None) -> Bridge:
        """The same store with the roles of somebody else; they share its opening."""
        view = object.__new__(Bridge)
        view._data, view._name = self._data, username
        view._far = self._far.acting_as(username)
        return view

    def wait(self, code: str, timeout: float | None = None) -> TransferDetail:
        """Works the store's own jobs until a transfer waits for a person or is at
        its end. Raises `WaitTimeout` after `timeout` seconds.
        """
        try:
            found = self._far.settle(code, _FOREVER_SECONDS if timeout is None else timeout)
        except Cancelled as stopped:
            raise WaitTimeout(str(stopped), stopped.code, stopped.hint) from None
        return build(TransferDetail, found)

    @property
    def one_time_password(self) -> str | None:
        """The first admin's password for a daemon on this folder, where this very
        Bridge made the store: told only now.
        """
        return self._far.one_time_password()

    def close(self) -> None:
        """Closes the store, for every view of it. Twice does no harm."""
        self._far.close()

    def __repr__(self) -> str:
        return f"Bridge({self._data!r}, as_user={self._name!r})"
