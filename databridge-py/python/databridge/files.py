"""Functions over files; none of them needs a store.

`progress` is called on the calling thread, about ten times a second; Ctrl-C, and
whatever it raises, stops the work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import _arguments as arguments
from . import _databridge
from ._arguments import OnProgress, Pathish
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
    found = _databridge.checksum(name, list(algorithms), arguments.progress(progress))
    return build(Checksum, found, path=name)


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
    found = _databridge.checksum_tree(
        arguments.path("root", root),
        list(algorithms),
        jobs,
        None if cache is None else arguments.path("cache", cache),
        arguments.progress(progress),
    )
    return tuple(build(Checksum, one) for one in found)


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
        "jobs": jobs,
        "file_mode": file_mode,
        "dir_mode": dir_mode,
        "keep_mode": keep_mode,
        "keep_mtime": keep_mtime,
        "keep_dir_mtime": keep_dir_mtime,
        "hard_links": hard_links,
        "manifest": None if manifest is None else arguments.path("manifest", manifest),
        "algorithms": list(algorithms),
        "xattrs": list(xattrs),
        "acls": acls,
        "tolerate_attributes": tolerate_attributes,
        "owner": owner,
        "readable_by": readable_by,
    }
    report, made = _databridge.verified_copy(
        arguments.path("source", source),
        arguments.path("destination", destination),
        json.dumps(choice),
        arguments.progress(progress),
    )
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
    name = arguments.path("root", root)
    found = _databridge.verify(
        name,
        _list_of(name) if manifest is None else arguments.path("manifest", manifest),
        jobs,
        from_device,
        None if state is None else arguments.path("state", state),
        max_age_seconds,
        for_seconds,
        limit_bytes_per_second,
        arguments.progress(progress),
    )
    differences = tuple(build(Difference, one) for one in found["differences"])
    return build(Verification, found, differences=differences)


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
    return verification(
        root,
        manifest,
        jobs=jobs,
        from_device=from_device,
        limit_bytes_per_second=limit_bytes_per_second,
        progress=progress,
    ).differences


def _verdict(verdict: dict[str, Any]) -> dict[str, Any]:
    rest = (value for key, value in verdict.items() if key != "kind")
    return {"verdict": verdict["kind"], "detail": next(rest, None)}


def scan(
    paths: Pathish | Iterable[Pathish],
    engine: str = "rules",
    *,
    clamd: str | None = None,
    clamscan_database: Pathish | None = None,
    progress: OnProgress | None = None,
) -> tuple[ScanReport, ...]:
    """Scans files and folders; a report for each, in their order.

    `engine` is `rules` (which never says clean), `clamd`, `clamscan`, or `auto` for the
    first of clamd, clamscan and rules that is there; `clamd` is its address,
    `/run/clamav/clamd.ctl` or `host:port`, `clamscan_database` the signatures for
    clamscan where it does not keep them itself.
    """
    if isinstance(paths, (str, bytes, os.PathLike)):
        paths = [paths]
    names = [arguments.path("paths", one) for one in paths]
    database = None
    if clamscan_database is not None:
        database = arguments.path("clamscan_database", clamscan_database)
    reports = _databridge.scan(names, engine, clamd, database, arguments.progress(progress))
    made = []
    for name, report in zip(names, reports):
        files = tuple(
            build(FileVerdict, one, **_verdict(one["verdict"])) for one in report["files"]
        )
        engines = tuple(f"{one['name']} {one['version']}" for one in report["engines"])
        made.append(
            build(
                ScanReport,
                report,
                path=Path(name),
                files=files,
                engines=engines,
                size_bytes=report["bytes"],
                **_verdict(report["verdict"]),
            )
        )
    return tuple(made)


def _manifest(found: dict[str, Any]) -> Manifest:
    return Manifest(tuple(build(ManifestEntry, one) for one in found["entries"]), found["format"])


def read_manifest(path: Pathish) -> Manifest:
    """Reads a list: SHA256SUMS and its like, ASC MHL, MHL 1.1, JSON; a folder with an
    ASC MHL history in it, or a bag."""
    return _manifest(_databridge.read_manifest(arguments.path("path", path)))


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
    return _manifest(
        _databridge.write_manifest(
            arguments.path("root", root),
            None if path is None else arguments.path("path", path),
            format,
            jobs,
            arguments.progress(progress),
        )
    )


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
    says = _databridge.verify_receipt(
        arguments.path("path", path),
        arguments.path("key", key),
        None if tree is None else arguments.path("tree", tree),
        allow_embedded,
        arguments.progress(progress),
    )
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
