"""DataBridge from afar: the same calls to a daemon."""

from __future__ import annotations

import time

from . import _databridge
from .errors import WaitTimeout
from .results import TransferDetail
from .session import Session

# States in which DataBridge itself is at work.
_AT_WORK = frozenset(
    {"submitting", "scanning", "preparing", "transferring", "verifying", "cancelling"}
)
_LONGEST_WAIT_SECONDS = 30


class Client(Session):
    """A daemon at `url`, with an access token or an API key.

    Lost connections and 5xx answers are tried again twice, under one idempotency
    key; 4xx answers are not.
    """

    _far: _databridge.Daemon

    def __init__(self, url: str, token: str | None = None, api_key: str | None = None) -> None:
        if token is not None and api_key is not None:
            raise TypeError("either token or api_key, not both")
        self._url = url
        self._far = _databridge.Daemon(url, token if token is not None else api_key)

    @classmethod
    def login(
        cls, url: str, username: str, password: str, new_password: str | None = None
    ) -> Client:
        """Signs in by password; `new_password` changes it on the way.

        The session renews itself for as long as the client is used once a week.
        """
        client = cls(url)
        client._far, _ = client._far.login(username, password, new_password)
        return client

    def wait(self, code: str, timeout: float | None = None) -> TransferDetail:
        """Until a transfer waits for a person or is at its end.

        Raises `WaitTimeout` after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        seen = -1
        while True:
            detail = self.show(code)
            if detail.state not in _AT_WORK or detail.paused is not None:
                return detail
            left = float("inf") if deadline is None else deadline - time.monotonic()
            if left <= 0:
                message = f"{code} is still {detail.state} after {timeout:g} s"
                raise WaitTimeout(message, "transfer.stopped", "its work goes on; wait again")
            pause = max(1, int(min(left, _LONGEST_WAIT_SECONDS)))
            for event in self.history(code, after=seen, wait=pause):
                seen = event.position

    def close(self) -> None:
        """Nothing is held open: only here so that a `with` takes either."""

    def __repr__(self) -> str:
        return f"Client({self._url!r})"
