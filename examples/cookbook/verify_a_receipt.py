"""Is this delivery what was approved? Asks no network and no store: only the receipt, the
files, and the public key that the other studio gave you by another way.

python verify_a_receipt.py FOLDER PUBLIC_KEY
"""

from __future__ import annotations

import sys
from pathlib import Path

from databridge import CheckFailed, DatabridgeError, Receipt, verify_receipt


def verify(folder: Path, key: Path) -> Receipt:
    return verify_receipt(folder.with_name(f"{folder.name}.proof") / "receipt.json", key, folder)


if __name__ == "__main__":
    try:
        receipt = verify(Path(sys.argv[1]), Path(sys.argv[2]))
    except CheckFailed as error:
        sys.exit(f"do not use it: {error}")
    except DatabridgeError as error:
        sys.exit(f"cannot tell: {error} ({error.code})")
    print(
        f"{receipt.code}: {receipt.file_count} files, {receipt.total_bytes} bytes, all as approved"
    )
    print(f"scanned: {receipt.verdict}; manifest {receipt.manifest_digest}")
