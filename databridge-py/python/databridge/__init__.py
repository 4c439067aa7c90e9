"""Media transfers between studio networks: approvals, scan, verified copy, proof.

Functions over files need no store: `checksum`, `checksum_tree`, `verified_copy`,
`verify`, `verification`, `scan`, `find_sequences`, `read_manifest`, `write_manifest`,
`verify_receipt`.
`Bridge` runs whole transfers on a data folder of one's own, `Client` on a daemon;
both have the same methods. `begin` runs any long call beside the caller, who gets a
`Handle`. Every failure is a `DatabridgeError`.
"""

from ._databridge import __version__
from .background import Background, Handle, begin
from .bridge import Bridge
from .client import Client
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
    PermissionDenied,
    RateLimited,
    Unavailable,
    Undecided,
    WaitTimeout,
    WrongType,
)
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
    "PermissionDenied",
    "Progress",
    "RateLimited",
    "Receipt",
    "ScanReport",
    "Transfer",
    "TransferDetail",
    "TransferFile",
    "Unavailable",
    "Undecided",
    "User",
    "Verification",
    "WaitTimeout",
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
