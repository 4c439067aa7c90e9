"""Publishes a folder of frames, unless some are missing, and waits for its first reviewer.

python publish_a_shot.py FOLDER DATA PROJECT
"""

from __future__ import annotations

import sys

from databridge import Bridge, DatabridgeError, Progress, TransferDetail, find_sequences


def show(progress: Progress) -> None:
    print(f"{progress.bytes} of {progress.bytes_total} bytes")


def publish(folder: str, data: str, project: str) -> TransferDetail:
    for sequence in find_sequences(folder):
        if sequence.missing or sequence.zero_byte:
            sys.exit(f"{sequence}: missing {sequence.missing}, empty {sequence.zero_byte}")
    with Bridge(data) as bridge:
        code = bridge.create("Comp", project=project, category="comp").code
        bridge.add(code, folder, progress=show)
        bridge.submit(code)
        return bridge.wait(code, timeout=600)


if __name__ == "__main__":
    try:
        done = publish(*sys.argv[1:])
    except DatabridgeError as error:
        sys.exit(f"{error} ({error.code}): {error.hint}")
    print(done.code, done.state, done.manifest_digest)
