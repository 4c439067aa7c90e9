"""DataBridge from afar: the same calls to a daemon."""

from __future__ import annotations

import time
from typing import Any

from . import _arguments as arguments
from . import _databridge
from ._work import Work, can_begin, finish
from .errors import WaitTimeout
from .results import TransferDetail
from .session import Session

# States in which DataBridge itself is at work.
_AT_WORK = frozenset(
    {
        "submitting",
        "scanning",
        "preparing",
        "transferring",
        "verifying",
        "recalling",
        "cancelling",
    }
)
_LONGEST_WAIT_SECONDS = 30


def _is_adding(detail: TransferDetail) -> bool:
    """Whether a job is still to add something."""
    return any(
        job["kind"] == "transfer.take_in" and job["state"] in ("ready", "leased")
        for job in detail.jobs
    )


class Client(Session):
    """A daemon at `url`, with an access token or an API key.

    Lost connections and 5xx answers are tried again twice, under one idempotency
    key; 4xx answers are not.
    """

    def __init__(self, url: str, token: str | None = None, api_key: str | None = None) -> None:
        if token is not None and api_key is not None:
            raise TypeError("either token or api_key, not both")
        self._url = arguments.text("url", url)
        given = arguments.optional_text("token", token)
        if given is None:
            given = arguments.optional_text("api_key", api_key)
        self._far = self._daemon = _databridge.Daemon(url, given)

    @classmethod
    def login(
        cls, url: str, username: str, password: str, new_password: str | None = None
    ) -> Client:
        """Signs in by password; `new_password` changes it on the way.

        The session renews itself for as long as the client is used once a week.
        """
        client = cls(url)
        task = client._daemon.login(
            arguments.text("username", username),
            arguments.text("password", password),
            arguments.optional_text("new_password", new_password),
        )
        client._daemon, _ = task.finish(None)
        client._far = client._daemon
        return client

    @can_begin
    def wait(self, code: str, timeout: float | None = None) -> TransferDetail:
        """Until a transfer waits for a person or is at its end.

        Raises `WaitTimeout` after `timeout` seconds.
        """
        seconds = float("inf") if timeout is None else arguments.seconds("timeout", timeout)
        deadline = time.monotonic() + seconds
        seen = -1

        def shown(detail: TransferDetail) -> TransferDetail | Work[TransferDetail]:
            rests = detail.state not in _AT_WORK and not _is_adding(detail)
            if rests or detail.paused is not None:
                return detail
            left = deadline - time.monotonic()
            if left <= 0:
                message = f"{code} is still {detail.state} after {timeout:g} s"
                raise WaitTimeout(message, "transfer.stopped", "its work goes on; wait again")
            pause = max(1, int(min(left, _LONGEST_WAIT_SECONDS)))
            fields = {"code": code, "after": seen, "wait": pause}
            return Work(self._asked("transfer_history", fields), heard)

        def heard(events: list[dict[str, Any]]) -> Work[TransferDetail]:
            nonlocal seen
            seen = max([seen, *(event["position"] for event in events)])
            return self._shown(code).then(shown)

        return finish(self._shown(code).then(shown))

    def logout(self, *, everywhere: bool = False) -> None:
        """Ends the session, or every one of the caller's."""
        self.call("logout", everywhere=everywhere)

    def close(self) -> None:
        """Nothing is held open: only here so that a `with` takes either."""

    def __repr__(self) -> str:
        return f"Client({self._url!r})"
