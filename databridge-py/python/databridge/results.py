"""What calls answer: frozen, comparable, picklable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar, cast

_T = TypeVar("_T")


def instant(text: str) -> datetime:
    """A time in RFC 3339, always UTC here, to the microsecond."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S")
    return moment.replace(microsecond=int(fraction[:6].ljust(6, "0")), tzinfo=timezone.utc)


def build(cls: type[_T], answer: Mapping[str, Any], **given: Any) -> _T:
    """An answer as `cls`; what a newer daemon adds to it is passed over."""
    known: dict[str, Any] = {}
    for one in fields(cls):  # type: ignore[arg-type]
        if one.name in given:
            known[one.name] = given[one.name]
            continue
        if one.name not in answer and one.default is not MISSING:
            continue
        value = answer.get(one.name)
        if one.name.endswith("_at") and value is not None:
            value = instant(value)
        elif isinstance(value, list):
            value = tuple(cast("Iterable[Any]", value))
        known[one.name] = value
    return cls(**known)


@dataclass(frozen=True)
class Progress:
    """How far a long call is. The copy counts anew in each of its phases."""

    files: int
    files_total: int
    bytes: int
    bytes_total: int


@dataclass(frozen=True)
class Checksum:
    """One file's digests, by the algorithm's name; lower-case hex (C4: its own form)."""

    path: str
    size_bytes: int
    digests: dict[str, str]
    cached: bool = False
    """The file was not read: a cache knew it."""

    @property
    def sha256(self) -> str:
        """The one that decides."""
        return self.digests["sha256"]


@dataclass(frozen=True)
class CopiedFile:
    """A file that was copied and read back."""

    path: str
    size_bytes: int
    sha256: str
    digests: dict[str, str] | None = None
    """All digests, where more than the SHA-256 were asked for."""
    cloned: bool = False
    """It shares the source's blocks (a reflink)."""


@dataclass(frozen=True)
class CopyReport:
    """What a verified copy did."""

    destination: Path
    shape: str
    """`tree` or `file`."""
    manifest_digest: str
    files: tuple[CopiedFile, ...]
    size_bytes: int
    kept_bytes: int
    """Bytes that an earlier, interrupted copy had written."""
    read_back: str
    """What reading back was worth: `direct`, `dropped`, `server` or `memory`."""
    rename: str
    """`no_replace`, or `checked` where the file system knows no better."""
    seconds: float
    lost_attributes: tuple[str, ...]
    """What the destination did not take, as `path: attribute`."""
    read_back_files: dict[str, int] = field(default_factory=dict[str, int])
    """How many files were read back in which way."""
    cloned_files: int = 0
    """Files that share the source's blocks."""
    shared_files: int = 0
    """Hard links in the source, beyond the first name of each file."""
    linked_files: int = 0
    """Of them, those that are hard links at the destination too."""
    bytes_per_second: dict[str, int] = field(default_factory=dict[str, int])
    """Of the `transfer`, and of the `read_back` after it."""


@dataclass(frozen=True)
class Difference:
    """One path that is not as its manifest says."""

    path: str
    difference: str
    """`missing`, `extra`, `kind`, `size`, `content` (SHA-256), `digest` (another) or
    `unproven` (the list has nothing to compare it with)."""
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Verification:
    """What holding a folder against a list came to. True where it is verified."""

    format: str
    verified: bool
    """Nothing differs, nothing is unproven, and everything was looked at."""
    complete: bool
    """Everything was looked at."""
    files: int
    """Files that were read and are right."""
    bytes: int
    remembered_files: int
    """Files that an earlier run, in the state, had verified."""
    left_files: int
    """What is left for the next run."""
    worth: str | None
    """What reading from the device was worth: `direct`, `dropped`, `server`, `memory`."""
    differences: tuple[Difference, ...]

    def __bool__(self) -> bool:
        return self.verified


@dataclass(frozen=True)
class ManifestEntry:
    """A path and the digests of what should stand there."""

    path: str
    sha256: str | None
    """The one that decides, where the list has it."""
    size_bytes: int | None = None
    digests: dict[str, str] = field(default_factory=dict[str, str])
    """All of them, by the algorithm's name."""


@dataclass(frozen=True)
class Manifest:
    """The content of a list, sorted by path."""

    entries: tuple[ManifestEntry, ...]
    format: str = "sums"
    """`sums`, `ascmhl`, `mhl1`, `bagit` or `json`."""

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True)
class FileVerdict:
    """A file that is not clean."""

    path: str
    verdict: str
    """`clean`, `not_scanned`, `suspicious`, `error` or `infected`."""
    detail: str | None
    """The reason, rule, message or signature."""
    engine: str
    size_bytes: int | None
    sha256: str | None


@dataclass(frozen=True)
class ScanReport:
    """What a scan came to. Only `clean` passes by itself."""

    path: Path
    verdict: str
    detail: str | None
    files: tuple[FileVerdict, ...]
    counts: dict[str, int]
    engines: tuple[str, ...]
    size_bytes: int
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True)
class Receipt:
    """A receipt whose signature holds."""

    code: str
    revision: int
    project: str
    category: str
    title: str
    authority: str
    """`daemon` or `embedded`."""
    manifest_digest: str
    file_count: int
    total_bytes: int
    verdict: str
    destination: str
    issued_at: datetime
    statement: dict[str, Any]
    """All that the receipt says."""


@dataclass(frozen=True)
class Transfer:
    """A transfer as it stands."""

    code: str
    title: str
    project: str
    category: str
    owner: str
    state: str
    stage: dict[str, Any] | None
    revision: int
    version: int
    chain: str
    chain_version: int
    manifest_digest: str | None
    file_count: int
    total_bytes: int
    reason: str | None
    failure: dict[str, Any] | None
    priority: str
    """`low`, `normal`, `high` or `urgent`."""
    paused: dict[str, Any] | None
    """Who paused it, when and why, where its work stands still."""
    destination: str | None
    path: str
    """The same below production's root: decided when it was made."""
    metadata: dict[str, Any]
    """What else is known of it: `shot`, `version` and the like."""
    recall: dict[str, Any] | None
    """Who took it out of production again, when, why, and where it is kept."""
    parents: tuple[str, ...]
    """What it is made from."""
    actions: tuple[str, ...]
    """What the caller can do with it now."""
    created_at: datetime
    updated_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True)
class TransferDetail(Transfer):
    """A transfer with all that is known of it."""

    revisions: tuple[dict[str, Any], ...]
    approvals: tuple[dict[str, Any], ...]
    overrides: tuple[dict[str, Any], ...]
    scan: dict[str, Any] | None
    scan_decision: dict[str, Any] | None
    jobs: tuple[dict[str, Any], ...]
    hooks: tuple[dict[str, Any], ...] = ()
    """What followed its delivery: `hook`, `state` (`done`, `dead`: given up), `last_error`."""


@dataclass(frozen=True)
class Whereabouts:
    """Where a transfer's files are, on one system."""

    code: str
    state: str
    """What is not delivered is not there yet."""
    system: str
    production: str
    """The payload; a URL, where production is an object store."""
    proof: str
    staging: str | None
    """The frozen files; `None` before there are any, or where staging is not mounted."""
    recalled: str | None
    """The folder where it is kept, if it was recalled."""


@dataclass(frozen=True)
class Explanation:
    """Where a transfer stands."""

    code: str
    state: str
    since_at: datetime
    """In this state at least since then."""
    waits_for: str
    """`person`, `work` or `nothing`."""
    next: tuple[dict[str, Any], ...]
    """What can be done: `action`, `by` (roles), `command` (on the command line)."""
    text: str
    """All of it, in a paragraph."""


@dataclass(frozen=True)
class TransferFile:
    """A file, or an empty folder, of a transfer's current revision."""

    path: str
    kind: str
    """`file` or `empty_dir`."""
    size_bytes: int
    sha256: str | None
    carried_from: int | None


@dataclass(frozen=True)
class Event:
    """A fact in the ledger."""

    position: int
    """Its place in the order of all events."""
    id: str
    kind: str
    subject: dict[str, Any]
    by: dict[str, Any]
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True)
class User:
    """Somebody known to the store."""

    id: str
    username: str
    display_name: str
    email: str | None
    kind: str
    active: bool
    grants: tuple[dict[str, Any], ...]
