"""Hands a folder of frames in and waits for its first reviewer.

python publish_a_shot.py FOLDER DATA
"""

import sys

from databridge import Bridge, DatabridgeError, Progress, TransferDetail


def show(progress: Progress) -> None:
    print(f"{progress.bytes} of {progress.bytes_total} bytes")


def publish(folder: str, data: str) -> TransferDetail:
    with Bridge(data) as bridge:
        code = bridge.create("Comp", project="alpha", category="comp").code
        bridge.add(code, folder, progress=show)
        bridge.submit(code)
        return bridge.wait(code, timeout=600)


if __name__ == "__main__":
    try:
        done = publish(sys.argv[1], sys.argv[2])
        print(done.code, done.state, done.manifest_digest)
    except DatabridgeError as error:
        sys.exit(f"{error} ({error.code}): {error.hint}")
