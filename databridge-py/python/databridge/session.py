"""What can be asked of a store, embedded or far away."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from . import _arguments as arguments
from . import _databridge
from ._arguments import OnProgress, Pathish, plain
from ._databridge import Task
from ._work import Work, can_begin, finish
from .lineage import Lineage
from .results import (
    Event,
    Explanation,
    Transfer,
    TransferDetail,
    TransferFile,
    User,
    Whereabouts,
    build,
)

_S = TypeVar("_S", bound="Session")


class Session(ABC):
    """The methods that `Bridge` and `Client` share. A context manager."""

    _far: _databridge.Engine | _databridge.Daemon

    # The way in

    @can_begin
    def call(self, op: str, *, idempotency_key: str | None = None, **fields: Any) -> Any:
        """Any command or query by its name, answered as plain JSON values.

        The same call under the same key is done once and answered each time.
        """
        return finish(Work(self._asked(op, fields, idempotency_key), lambda found: found))

    def _asked(self, op: str, fields: dict[str, Any], key: str | None = None) -> Task:
        given = {name: value for name, value in fields.items() if value is not None}
        return self._far.call(op, plain(given), key)

    def _shown(self, code: str) -> Work[TransferDetail]:
        task = self._asked("transfer_show", {"code": code})
        return Work(task, lambda found: build(TransferDetail, found))

    @property
    def lineage(self) -> Lineage:
        """Lots and their genealogy, runs, gates, flows."""
        return Lineage(self.call)

    def _transfer(self, op: str, **fields: Any) -> Transfer:
        return build(Transfer, self.call(op, **fields))

    # Transfers

    def create(
        self,
        title: str,
        project: str,
        category: str,
        chain: str | None = None,
        priority: str | None = None,
        parents: Iterable[str] = (),
        metadata: Mapping[str, str | int] | None = None,
    ) -> Transfer:
        """Makes a transfer with nothing in it; `parents` are what it is made from.

        `priority` is `low` or `normal`; `high` and `urgent` by who executes transfers.
        `metadata` is what else is known of it (`{"shot": "sh010", "version": 3}`): its
        `path` in production may ask for some, and is decided now.
        """
        return self._transfer(
            "transfer_create",
            title=title,
            project=project,
            category=category,
            chain=chain,
            priority=priority,
            parents=[*parents],
            metadata=dict(metadata or {}),
        )

    def prioritise(self, code: str, priority: str) -> Transfer:
        """Says how urgent it is: low, normal, high or urgent."""
        return self._transfer("transfer_priority", code=code, priority=priority)

    def pause(self, code: str, reason: str | None = None) -> Transfer:
        """Lets the work on it stand still, in its place."""
        return self._transfer("transfer_pause", code=code, reason=reason)

    def resume(self, code: str) -> Transfer:
        """Lets it go on."""
        return self._transfer("transfer_resume", code=code)

    def retry_hook(self, code: str, hook: str) -> tuple[dict[str, Any], ...]:
        """Lets a hook of a delivery run again that was given up; answers all its hooks."""
        return tuple(self.call("hook_retry", code=code, hook=hook))

    def housekeeping(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Removes what staging and the store no longer need; answers the job.

        With `dry_run` nothing is removed, and what would be is the answer.
        """
        op = "housekeeping_plan" if dry_run else "housekeeping_run"
        found: dict[str, Any] = self.call(op)
        return found

    def limit_bandwidth(
        self, bytes_per_second: int | None, host: str | None = None
    ) -> tuple[dict[str, Any], ...]:
        """Limits all copies of a host together, or of every host; `None`: no limit.

        Answers every limit that is set. Copies that run follow within a second.
        """
        limits = self.call("bandwidth_set", bytes_per_second=bytes_per_second, host=host)
        return tuple(limits)

    @can_begin
    def add(self, code: str, path: Pathish, *, progress: OnProgress | None = None) -> Transfer:
        """Adds a file, or a folder's content (not the folder itself)."""
        task = self._far.add(arguments.text("code", code), arguments.path("path", path))
        work: Work[TransferDetail] = Work(task, lambda _: self._shown(code))
        return finish(work, progress)

    def add_from(self, code: str, path: Pathish) -> Transfer:
        """Adds a file, or a folder's content, that the store's own host has.

        `path` is that host's, below one of its `uploads.add_roots`: nothing is sent. A job
        does it; `wait` waits for its end. Where it could not be done, `failure` says why,
        and its `from` which path it was.
        """
        return self._transfer("transfer_add", code=code, **{"from": arguments.path("path", path)})

    def remove(self, code: str, path: str) -> Transfer:
        """Takes a file out again, by its path in the transfer."""
        return self._transfer("transfer_remove_file", code=code, path=path)

    def submit(self, code: str) -> Transfer:
        """Freezes what is in it and asks for review."""
        return self._transfer("transfer_submit", code=code)

    def approve(
        self, code: str, *, manifest_digest: str | None = None, comment: str | None = None
    ) -> Transfer:
        """Agrees, at the current stage; to that content only, where a digest is given."""
        return self._transfer(
            "approve", code=code, manifest_digest=manifest_digest, comment=comment
        )

    def reject(self, code: str, reason: str) -> Transfer:
        """Gives it back to its artist."""
        return self._transfer("reject", code=code, reason=reason)

    def override(self, code: str, reason: str) -> Transfer:
        """Stands in for the stages that are left (admin; recorded)."""
        return self._transfer("override_approval", code=code, reason=reason)

    def scan(self, code: str) -> Transfer:
        """Starts the scan."""
        return self._transfer("scan", code=code)

    def decide(self, code: str, decision: str, reason: str) -> Transfer:
        """Decides what a scan left open: accept, send_back, release or override_scan."""
        return self._transfer("decide", code=code, decision=decision, reason=reason)

    def start(self, code: str) -> Transfer:
        """Starts the way to production."""
        return self._transfer("start", code=code)

    def retry(self, code: str) -> Transfer:
        """Takes a failed step up again."""
        return self._transfer("retry", code=code)

    def cancel(self, code: str, reason: str | None = None) -> Transfer:
        """Withdraws it."""
        return self._transfer("transfer_cancel", code=code, reason=reason)

    def recall(
        self, code: str, reason: str, *, force: bool = False, digests: bool = False
    ) -> Transfer:
        """Takes a wrong delivery out of production: it is moved aside whole (IT).

        Where what stands there is not the delivery any more it fails, and nothing is
        touched, unless by `force`. With `digests` every file is read first.
        """
        return self._transfer(
            "transfer_recall", code=code, reason=reason, force=force, digests=digests
        )

    def recall_receipt(self, code: str) -> dict[str, Any]:
        """The signed statement that a delivery was taken back, a DSSE envelope."""
        found: dict[str, Any] = self.call("transfer_recall_receipt", code=code)
        return found

    def where(self, code: str, system: str | None = None) -> Whereabouts:
        """Where its files are, as `linux`, `windows` or `macos` calls the place.

        As this computer does, where no system is named.
        """
        asked = arguments.system("system", system)
        return build(Whereabouts, self.call("transfer_where", code=code, system=asked))

    def translate(self, path: Pathish, source: str, target: str | None = None) -> str:
        """What the system `target`, or this computer, calls a path of `source`."""
        found = self.call(
            "path_translate",
            path=arguments.path("path", path),
            to=arguments.system("target", target),
            **{"from": arguments.system("source", source)},
        )
        translated: str = found["path"]
        return translated

    @can_begin
    def show(self, code: str) -> TransferDetail:
        """All that is known of a transfer."""
        return finish(self._shown(code))

    def files(self, code: str) -> tuple[TransferFile, ...]:
        """The files of its current revision."""
        found = self.call("transfer_files", code=code)
        return tuple(build(TransferFile, one) for one in found)

    def list(
        self,
        *,
        state: str | None = None,
        project: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> tuple[Transfer, ...]:
        """Transfers that the caller may see, newest first, a page at a time.

        `after` is the last code of the page before; `limit` is 1 to 200.
        """
        found = self.call("transfer_list", state=state, project=project, after=after, limit=limit)
        return tuple(build(Transfer, one) for one in found)

    def history(
        self,
        code: str,
        *,
        after: int | None = None,
        limit: int | None = None,
        wait: int | None = None,
    ) -> tuple[Event, ...]:
        """What happened to it after a position; waits `wait` seconds for something."""
        found = self.call("transfer_history", code=code, after=after, limit=limit, wait=wait)
        return tuple(build(Event, one, at=one["at"]) for one in found)

    def explain(self, code: str) -> Explanation:
        """Where it stands, since when, what it waits for, who does what next."""
        return build(Explanation, self.call("transfer_explain", code=code))

    def receipt(self, code: str) -> dict[str, Any]:
        """The signed receipt of a delivery, a DSSE envelope."""
        found: dict[str, Any] = self.call("transfer_receipt", code=code)
        return found

    def scan_report(self, code: str) -> dict[str, Any]:
        """How far the scan of a transfer is (`job`), and what it came to (`report`)."""
        found: dict[str, Any] = self.call("scan_report", code=code)
        return found

    def scan_engines(self) -> tuple[dict[str, Any], ...]:
        """The store's scan engines, and how old their signatures are."""
        return tuple(self.call("scan_engines"))

    def receipt_key(self) -> str:
        """The public key that verifies the store's receipts, in PEM."""
        pem: str = self.call("receipt_key")["pem"]
        return pem

    @abstractmethod
    def wait(self, code: str, timeout: float | None = None) -> TransferDetail:
        """Until a transfer waits for a person or is at its end.

        Raises `WaitTimeout` after `timeout` seconds. A failed step is a state, and
        no error.
        """

    def waiting(self) -> tuple[Transfer, ...]:
        """What waits for the caller's decision."""
        return tuple(build(Transfer, one) for one in self.call("approvals_waiting"))

    # The ledger

    def events(self, *, after: int = -1) -> Iterator[Event]:
        """What happened so far, to everything that the caller may see, in order.

        Begin the next time after the `position` of the last one.
        """
        while True:
            page = self.call("activity", after=after, limit=1000)
            for one in page:
                yield build(Event, one)
            if not page:
                return
            after = page[-1]["position"]

    @can_begin
    def verify_ledger(self, checkpoints: Iterable[str] = ()) -> dict[str, Any]:
        """Reads the whole ledger and proves it, also against signed checkpoints."""
        task = self._asked("ledger_verify", {"checkpoints": [*checkpoints]})
        return finish(Work(task, lambda found: found))

    # People

    def me(self) -> dict[str, Any]:
        """Who the caller is."""
        found: dict[str, Any] = self.call("me")
        return found

    def user(self, username: str) -> dict[str, Any]:
        """Somebody; `terms` has every grant and denial, from when until when."""
        found: dict[str, Any] = self.call("user_show", username=username)
        return found

    def users(self) -> tuple[User, ...]:
        """Everybody."""
        return tuple(build(User, one) for one in self.call("user_list"))

    def create_user(
        self,
        username: str,
        *,
        roles: Iterable[str] = (),
        display_name: str | None = None,
        email: str | None = None,
        password: str | None = None,
    ) -> User:
        """Makes somebody known; without a password they sign in by API key only."""
        made = self.call(
            "user_create",
            username=username,
            roles=[*roles],
            display_name=display_name,
            email=email,
            password=password,
        )
        return build(User, made)

    def set_role(
        self,
        username: str,
        role: str,
        *,
        project: str | None = None,
        granted: bool = True,
        deny: bool = False,
        begin: datetime | None = None,
        until: datetime | None = None,
    ) -> User:
        """Gives a role, takes it away (`granted=False`) or forbids it (`deny=True`).

        It holds from `begin` to `until`; from now on and for good where they are not said.
        """
        term: dict[str, Any] = {"from": begin}
        made = self.call(
            "user_role",
            username=username,
            role=role,
            project=project,
            granted=granted,
            deny=deny,
            until=until,
            **term,
        )
        return build(User, made)

    def set_active(self, username: str, active: bool) -> User:
        """Lets somebody in, or no longer."""
        return build(User, self.call("user_active", username=username, active=active))

    def set_password(self, username: str, new_password: str) -> None:
        """Sets somebody's password, at least 12 characters."""
        self.call("user_password", username=username, new_password=new_password)

    # A context manager

    @abstractmethod
    def close(self) -> None:
        """Lets go of the store. Twice does no harm."""

    def __enter__(self: _S) -> _S:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
