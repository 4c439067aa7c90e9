"""Functions over files; none of them needs a store.

`progress` is called on the calling thread, about ten times a second; Ctrl-C, and
whatever it raises, stops the work.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import _arguments as arguments
from . import _databridge
from ._arguments import OnProgress, Pathish, plain
from ._work import Work, can_begin, finish
from .results import (
    Checksum,
    CopiedFile,
    CopyReport,
    Difference,
    FileVerdict,
    Manifest,
    ManifestEntry,
    Receipt,
    ScanReport,
    Verification,
    build,
)


@can_begin
def checksum(
    path: Pathish,
    algorithms: Sequence[str] = ("sha256",),
    *,
    progress: OnProgress | None = None,
) -> Checksum:
    """One file's digests, all from a single read; SHA-256 is always among them.

    Algorithms: sha256, sha512, sha1, md5, c4, xxh64, xxh3, xxh128, blake3.
    """
    name = arguments.path("path", path)
    task = _databridge.checksum(name, arguments.strings("algorithms", algorithms))
    return finish(Work(task, lambda found: build(Checksum, found, path=name)), progress)


@can_begin
def checksum_tree(
    root: Pathish,
    algorithms: Sequence[str] = ("sha256",),
    *,
    jobs: int | None = None,
    cache: Pathish | None = None,
    progress: OnProgress | None = None,
) -> tuple[Checksum, ...]:
    """The digests of every file below a folder, sorted by relative path.

    Links, special files and names that no delivery may hold are refused by name. With
    `cache`, a file, what was read in an earlier run and has not changed since (by
    device, inode, size, mtime and ctime; local disks only) is not read again: not for
    the verification of anything.
    """
    task = _databridge.checksum_tree(
        arguments.path("root", root),
        arguments.strings("algorithms", algorithms),
        arguments.optional_whole("jobs", jobs, least=1),
        arguments.optional("cache", cache),
    )
    return finish(Work(task, lambda found: tuple(build(Checksum, one) for one in found)), progress)


@can_begin
def verified_copy(
    source: Pathish,
    destination: Pathish,
    *,
    resume: bool = True,
    limit_bytes_per_second: int | None = None,
    jobs: int | None = None,
    file_mode: int | None = None,
    dir_mode: int | None = None,
    keep_mode: bool = False,
    keep_mtime: bool = True,
    keep_dir_mtime: bool = False,
    hard_links: str = "copy",
    manifest: Pathish | None = None,
    algorithms: Sequence[str] = (),
    xattrs: Sequence[str] = (),
    acls: bool = False,
    tolerate_attributes: bool = False,
    owner: str | None = None,
    readable_by: str | None = None,
    progress: OnProgress | None = None,
) -> CopyReport:
    """Copies a file or folder to `destination`, which must not exist yet.

    Everything is read back from the device and compared; the content appears there
    whole, or nothing does. With `resume` an interrupted copy is taken up again.

    Files get `file_mode` (0o644) and folders `dir_mode` (0o755), or with `keep_mode`
    the source's rwx bits; never set-ID or sticky bits. `hard_links` inside the source
    become files of their own (`copy`), are linked again (`keep`), or fail (`refuse`).
    `manifest` is a list of any format and digests that says what the source is: only
    the files that it names are copied, and one that is another fails. `algorithms` are
    digests besides SHA-256, made in the same read. `xattrs` are namespaces,
    `("user",)`; `acls` brings POSIX access lists along. What the destination does not
    take is an error, or with `tolerate_attributes` listed in `lost_attributes`.
    `owner` is `USER`, `USER:GROUP` or `:GROUP`; `readable_by` (`group:NAME`,
    `user:NAME` or `others`) fails before anything is written unless they can read it.
    """
    choice = {
        "resume": resume,
        "limit_bytes_per_second": limit_bytes_per_second,
        "jobs": arguments.optional_whole("jobs", jobs, least=1),
        "file_mode": arguments.optional_whole("file_mode", file_mode),
        "dir_mode": arguments.optional_whole("dir_mode", dir_mode),
        "keep_mode": keep_mode,
        "keep_mtime": keep_mtime,
        "keep_dir_mtime": keep_dir_mtime,
        "hard_links": hard_links,
        "manifest": arguments.optional("manifest", manifest),
        "algorithms": arguments.strings("algorithms", algorithms),
        "xattrs": arguments.strings("xattrs", xattrs),
        "acls": acls,
        "tolerate_attributes": tolerate_attributes,
        "owner": owner,
        "readable_by": readable_by,
    }
    task = _databridge.verified_copy(
        arguments.path("source", source),
        arguments.path("destination", destination),
        plain(choice),
    )
    return finish(Work(task, _copied), progress)


def _copied(found: tuple[dict[str, Any], str]) -> CopyReport:
    report, made = found
    files = tuple(build(CopiedFile, one) for one in report["files"])
    lost = tuple(report["lost_attributes"])
    return build(CopyReport, report, files=files, destination=Path(made), lost_attributes=lost)


def _list_of(name: str) -> str:
    """Where the list of a folder is: its proof, its history or bag, its SHA256SUMS."""
    folder = Path(name)
    proof = Path(f"{folder}.proof") / "SHA256SUMS"
    inside = folder / "SHA256SUMS"
    if proof.is_file():
        return os.fspath(proof)
    if (folder / "ascmhl").is_dir() or (folder / "bagit.txt").is_file():
        return os.fspath(folder)
    return os.fspath(inside if inside.is_file() else proof)


@can_begin
def verification(
    root: Pathish,
    manifest: Pathish | None = None,
    *,
    jobs: int | None = None,
    from_device: bool = True,
    state: Pathish | None = None,
    max_age_seconds: float = 30 * 86_400,
    for_seconds: float | None = None,
    limit_bytes_per_second: int | None = None,
    progress: OnProgress | None = None,
) -> Verification:
    """Holds a folder against a list in any format and tells all that it came to.

    Without `manifest` it is `<root>.proof/SHA256SUMS`, the ASC MHL history or bag that
    stands in the folder, or its SHA256SUMS. With `state`, a file, it goes on from what
    earlier runs verified less than `max_age_seconds` ago; `for_seconds` ends it before.
    """
    return finish(
        _verification(
            root,
            manifest,
            jobs,
            from_device,
            state,
            max_age_seconds,
            for_seconds,
            limit_bytes_per_second,
        ),
        progress,
    )


def _verification(
    root: Pathish,
    manifest: Pathish | None,
    jobs: int | None,
    from_device: bool,
    state: Pathish | None,
    max_age_seconds: float,
    for_seconds: float | None,
    limit_bytes_per_second: int | None,
) -> Work[Verification]:
    name = arguments.path("root", root)
    task = _databridge.verify(
        name,
        _list_of(name) if manifest is None else arguments.path("manifest", manifest),
        arguments.optional_whole("jobs", jobs, least=1),
        from_device,
        arguments.optional("state", state),
        arguments.seconds("max_age_seconds", max_age_seconds),
        None if for_seconds is None else arguments.seconds("for_seconds", for_seconds),
        arguments.optional_whole("limit_bytes_per_second", limit_bytes_per_second),
    )

    def made(found: dict[str, Any]) -> Verification:
        differences = tuple(build(Difference, one) for one in found["differences"])
        return build(Verification, found, differences=differences)

    return Work(task, made)


@can_begin
def verify(
    root: Pathish,
    manifest: Pathish | None = None,
    *,
    jobs: int | None = None,
    from_device: bool = True,
    limit_bytes_per_second: int | None = None,
    progress: OnProgress | None = None,
) -> tuple[Difference, ...]:
    """How a folder differs from a list; nothing where it is right.

    As `verification`, of which it gives the differences.
    """
    whole = _verification(
        root, manifest, jobs, from_device, None, 30 * 86_400, None, limit_bytes_per_second
    )
    return finish(whole.then(lambda found: found.differences), progress)


def _verdict(verdict: dict[str, Any]) -> dict[str, Any]:
    rest = (value for key, value in verdict.items() if key != "kind")
    return {"verdict": verdict["kind"], "detail": next(rest, None)}


@can_begin
def scan(
    paths: Pathish | Iterable[Pathish],
    engine: str | None = None,
    *,
    clamd: str | None = None,
    clamscan_database: Pathish | None = None,
    policy: Pathish | None = None,
    project: str = "",
    category: str = "",
    progress: OnProgress | None = None,
) -> tuple[ScanReport, ...]:
    """Scans files and folders; a report for each, in their order.

    `engine` is `rules` (which never says clean), `clamd`, `clamscan`, or `auto` for the
    first of clamd, clamscan and rules that is there; `clamd` is its address,
    `/run/clamav/clamd.ctl` or `host:port`, `clamscan_database` the signatures for
    clamscan where it does not keep them itself. `policy` is a TOML file with the `[scan]`
    tables of a daemon's configuration, of which `project` and `category` choose the
    rules; without an engine it is the policy's, or `rules`.
    """
    if isinstance(paths, (str, bytes, os.PathLike)):
        paths = [paths]
    names = arguments.paths("paths", paths)
    choice = {
        "engine": arguments.optional_text("engine", engine),
        "clamd": arguments.optional_text("clamd", clamd),
        "clamscan_database": arguments.optional("clamscan_database", clamscan_database),
        "policy": arguments.optional("policy", policy),
        "project": arguments.text("project", project),
        "category": arguments.text("category", category),
    }
    task = _databridge.scan(names, plain(choice))

    def made(reports: list[dict[str, Any]]) -> tuple[ScanReport, ...]:
        return tuple(_scanned(name, report) for name, report in zip(names, reports))

    return finish(Work(task, made), progress)


def _scanned(name: str, report: dict[str, Any]) -> ScanReport:
    return build(
        ScanReport,
        report,
        path=Path(name),
        files=tuple(build(FileVerdict, one, **_verdict(one["verdict"])) for one in report["files"]),
        engines=tuple(f"{one['name']} {one['version']}" for one in report["engines"]),
        size_bytes=report["bytes"],
        **_verdict(report["verdict"]),
    )


def _manifest(found: dict[str, Any]) -> Manifest:
    return Manifest(tuple(build(ManifestEntry, one) for one in found["entries"]), found["format"])


@can_begin
def read_manifest(path: Pathish) -> Manifest:
    """Reads a list: SHA256SUMS and its like, ASC MHL, MHL 1.1, JSON; a folder with an
    ASC MHL history in it, or a bag."""
    return finish(Work(_databridge.read_manifest(arguments.path("path", path)), _manifest))


@can_begin
def write_manifest(
    root: Pathish,
    path: Pathish | None = None,
    *,
    format: str = "sha256sums",
    jobs: int | None = None,
    progress: OnProgress | None = None,
) -> Manifest:
    """Writes the list of a folder into a new file, best outside of it.

    `sha256sums` is what `sha256sum -c` accepts inside the folder; `json` is ours.
    `ascmhl` adds a generation to the history in the folder and `bagit` makes a folder
    whose payload is in its `data` a bag: these take no `path`.
    """
    task = _databridge.write_manifest(
        arguments.path("root", root),
        arguments.optional("path", path),
        arguments.text("format", format),
        arguments.optional_whole("jobs", jobs, least=1),
    )
    return finish(Work(task, _manifest), progress)


@can_begin
def verify_receipt(
    path: Pathish,
    key: Pathish,
    tree: Pathish | None = None,
    *,
    allow_embedded: bool = False,
    progress: OnProgress | None = None,
) -> Receipt:
    """Verifies a receipt against a public key kept elsewhere; answers what it says.

    With `tree`, every file there is read too and must be what was delivered (by the
    SHA256SUMS that stands beside the receipt). Receipts of an embedded store are
    refused unless `allow_embedded`: its owner could have written anything.
    """
    task = _databridge.verify_receipt(
        arguments.path("path", path),
        arguments.path("key", key),
        arguments.optional("tree", tree),
        allow_embedded,
    )
    return finish(Work(task, _receipt), progress)


def _receipt(says: dict[str, Any]) -> Receipt:
    manifest = says["manifest"]
    return build(
        Receipt,
        {**says["transfer"], **says},
        manifest_digest=manifest["sha256"],
        file_count=manifest["file_count"],
        total_bytes=manifest["total_bytes"],
        verdict=says["scan"]["verdict"]["kind"],
        destination=says["copy"]["destination"],
        statement=says,
    )
