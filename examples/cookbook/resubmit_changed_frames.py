"""Sends only what changed since the last revision of a rejected transfer.

python resubmit_changed_frames.py CODE FOLDER DATA USER
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from databridge import Bridge, checksum_tree


def resubmit(code: str, folder: str, data: str, user: str) -> list[str]:
    with Bridge(data) as bridge:
        artist = bridge.as_user(user)
        sent = {file.path: file.sha256 for file in artist.files(code) if file.kind == "file"}
        here = {file.path: file.sha256 for file in checksum_tree(folder)}
        changed = [path for path in here if sent.get(path) != here[path]]
        for path in sent.keys() - here.keys():
            artist.remove(code, path)
        # Links cost no space, and keep the paths that the files have in the transfer.
        with tempfile.TemporaryDirectory(dir=Path(folder).parent) as staged:
            for path in changed:
                Path(staged, path).parent.mkdir(parents=True, exist_ok=True)
                os.link(Path(folder, path), Path(staged, path))
            artist.add(code, staged)
        artist.submit(code)
        bridge.wait(code)
    return changed


if __name__ == "__main__":
    print(*resubmit(*sys.argv[1:]), sep="\n")
