"""What one interpreter does with an installed wheel: a little of everything, and how long
the import takes. Needs nothing but the package.

python smoke.py
"""

from __future__ import annotations

import multiprocessing
import pickle
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import databridge


def cost(code: str) -> float:
    """The processor time of an interpreter, in milliseconds: the best of some, since what
    else the machine does only ever adds."""
    best = float("inf")
    for _ in range(4):
        begin = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime)
    return 1000 * best


def work(folder: Path) -> None:
    shot = folder / "shot"
    shot.mkdir()
    for frame in (1001, 1002, 1004):
        (shot / f"comp_v003.{frame}.exr").write_bytes(b"x" * frame)
    for name in databridge.__all__:
        assert getattr(databridge, name) is not None
    assert set(databridge.__all__) <= set(dir(databridge))
    (sequence,) = databridge.find_sequences(shot)
    assert str(sequence.missing) == "1003"
    copied = databridge.begin(databridge.verified_copy, shot, folder / "copy").wait(60)
    found = databridge.checksum_tree(folder / "copy")
    assert [one.sha256 for one in copied.files] == [one.sha256 for one in found]
    for result in (sequence, copied, found):
        assert pickle.loads(pickle.dumps(result)) == result
        assert repr(result)
    databridge.write_manifest(shot, folder / "SHA256SUMS")
    assert databridge.verify(folder / "copy", folder / "SHA256SUMS") == ()
    # Rules alone never say clean.
    assert databridge.scan(shot)[0].verdict != "clean"
    with databridge.Bridge(folder / "data") as bridge:
        code = bridge.create("Comp", project="alpha", category="comp").code
        bridge.add(code, shot)
        bridge.submit(code)
        assert bridge.wait(code, timeout=60).state == "team_lead_review"
        assert [event.position for event in bridge.events()]
    code = ""
    try:
        databridge.Client("http://127.0.0.1:1", "token").login("http://127.0.0.1:1", "a", "b")
    except databridge.Unavailable as error:
        code = error.code
    assert code == "remote.unreachable"
    with multiprocessing.get_context("fork").Pool(1) as pool:
        path = str(shot / "comp_v003.1001.exr")
        assert pool.map(databridge.checksum, [path]) == [databridge.checksum(path)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        work(Path(folder))
    bare, ours = cost("pass"), cost("import databridge")
    used = cost("from databridge import Bridge, Client, begin, checksum, find_sequences")
    print(
        f"CPython {platform.python_version()}: import databridge {ours - bare:.1f} ms, "
        f"all of it {used - bare:.1f} ms (the interpreter itself {bare:.1f} ms)"
    )
