"""Media transfers between studio networks: approvals, scan, verified copy, proof.

Functions over files need no store: `checksum`, `checksum_tree`, `verified_copy`,
`verify`, `verification`, `scan`, `find_sequences`, `read_manifest`, `write_manifest`,
`verify_receipt`.
`Bridge` runs whole transfers on a data folder of one's own, `Client` on a daemon;
both have the same methods. `begin` runs any long call beside the caller, who gets a
`Handle`. Every failure is a `DatabridgeError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ._databridge import __version__
from .errors import (
    Cancelled,
    CheckFailed,
    ConflictError,
    DatabridgeError,
    IllegalState,
    InternalError,
    InvalidError,
    IoError,
    NotFound,
    NotSignedInError,
    Outdated,
    PermissionDenied,
    RateLimited,
    Unavailable,
    Unconditional,
    Undecided,
    WaitTimeout,
    WrongType,
)

if TYPE_CHECKING:
    from .background import Background, Handle, begin
    from .bridge import Bridge
    from .client import Client
    from .files import (
        checksum,
        checksum_tree,
        read_manifest,
        scan,
        verification,
        verified_copy,
        verify,
        verify_receipt,
        write_manifest,
    )
    from .lineage import Lineage
    from .results import (
        Checksum,
        CopiedFile,
        CopyReport,
        Difference,
        Event,
        Explanation,
        FileVerdict,
        Manifest,
        ManifestEntry,
        Progress,
        Receipt,
        ScanReport,
        Transfer,
        TransferDetail,
        TransferFile,
        User,
        Verification,
        Whereabouts,
    )
    from .sequences import Frames, FrameSequence, find_sequences

__all__ = [
    "Background",
    "Bridge",
    "Cancelled",
    "CheckFailed",
    "Checksum",
    "Client",
    "ConflictError",
    "CopiedFile",
    "CopyReport",
    "DatabridgeError",
    "Difference",
    "Event",
    "Explanation",
    "FileVerdict",
    "FrameSequence",
    "Frames",
    "Handle",
    "IllegalState",
    "InternalError",
    "InvalidError",
    "IoError",
    "Lineage",
    "Manifest",
    "ManifestEntry",
    "NotFound",
    "NotSignedInError",
    "Outdated",
    "PermissionDenied",
    "Progress",
    "RateLimited",
    "Receipt",
    "ScanReport",
    "Transfer",
    "TransferDetail",
    "TransferFile",
    "Unavailable",
    "Unconditional",
    "Undecided",
    "User",
    "Verification",
    "WaitTimeout",
    "Whereabouts",
    "WrongType",
    "__version__",
    "begin",
    "checksum",
    "checksum_tree",
    "find_sequences",
    "read_manifest",
    "scan",
    "verification",
    "verified_copy",
    "verify",
    "verify_receipt",
    "write_manifest",
]

# Where each name is at home. A DCC that imports us at its start pays for a name, and
# for what stands behind it, when somebody uses it.
_HOMES = {
    "background": ("Background", "Handle", "begin"),
    "bridge": ("Bridge",),
    "client": ("Client",),
    "files": (
        "checksum",
        "checksum_tree",
        "read_manifest",
        "scan",
        "verification",
        "verified_copy",
        "verify",
        "verify_receipt",
        "write_manifest",
    ),
    "lineage": ("Lineage",),
    "results": (
        "Checksum",
        "CopiedFile",
        "CopyReport",
        "Difference",
        "Event",
        "Explanation",
        "FileVerdict",
        "Manifest",
        "ManifestEntry",
        "Progress",
        "Receipt",
        "ScanReport",
        "Transfer",
        "TransferDetail",
        "TransferFile",
        "User",
        "Verification",
        "Whereabouts",
    ),
    "sequences": ("Frames", "FrameSequence", "find_sequences"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return import_module(f".{name}", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_HOMES})
