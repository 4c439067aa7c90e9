"""Media transfers between studio networks: approvals, scan, verified copy, proof.

Functions over files need no store: `checksum`, `checksum_tree`, `verified_copy`,
`verify`, `scan`, `read_manifest`, `write_manifest`, `verify_receipt`.
`Bridge` runs whole transfers on a data folder of one's own, `Client` on a daemon;
both have the same methods. Every failure is a `DatabridgeError`.
"""

from ._databridge import __version__
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
)
from .files import (
    checksum,
    checksum_tree,
    read_manifest,
    scan,
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
)

__all__ = [
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
    "WaitTimeout",
    "__version__",
    "checksum",
    "checksum_tree",
    "read_manifest",
    "scan",
    "verified_copy",
    "verify",
    "verify_receipt",
    "write_manifest",
]
