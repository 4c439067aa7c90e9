"""Checksums of a tree, with a line that says how far it is. Ctrl-C stops it.

python checksum_with_progress.py FOLDER
"""

from __future__ import annotations

import sys

import databridge


def checksums(folder: str) -> tuple[databridge.Checksum, ...]:
    handle = databridge.begin(databridge.checksum_tree, folder, ["sha256", "xxh128"])
    try:
        for now in handle.events():
            share = now.bytes / now.bytes_total if now.bytes_total else 0
            print(
                f"\r{now.files} of {now.files_total} files, {share:4.0%}", end="", file=sys.stderr
            )
    except KeyboardInterrupt:
        handle.cancel()
    sys.stderr.write("\n")
    return handle.wait()


if __name__ == "__main__":
    for found in checksums(sys.argv[1]):
        print(f"{found.sha256}  {found.path}")
