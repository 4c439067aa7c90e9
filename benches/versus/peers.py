"""What a user would pick instead, each as the commands they would type."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

DEVICE = Path(__file__).with_name("device.py")
DROP = "sync && echo 1 > /proc/sys/vm/drop_caches"


@dataclass(frozen=True)
class Place:
    """Where one run works. `target` does not exist yet; `scratch` is an empty folder."""

    databridge: Path
    source: Path
    target: Path
    scratch: Path

    def words(self) -> dict[str, str]:
        """Each path, quoted for the shell."""
        return {
            "databridge": shlex.quote(str(self.databridge)),
            "s": shlex.quote(str(self.source)),
            "t": shlex.quote(str(self.target)),
            "x": shlex.quote(str(self.scratch)),
            "bin": shlex.quote(str(Path(sys.executable).parent)),
        }


@dataclass(frozen=True)
class Peer:
    """A way to the same end: its shell line, what it needs, and what it is worth."""

    name: str
    about: str
    line: str
    needs: tuple[str, ...] = ()
    # Whether the page cache must be dropped in the run, which only root can.
    drops: bool = False
    # Only where it means something; all cases where none is named.
    cases: tuple[str, ...] = ()

    def script(self, place: Place) -> str:
        """The line for one run, for `bash -euo pipefail -c`."""
        return self.line.format(**place.words())


def _hashes(tool: str) -> str:
    """Hashes the source into a list, copies, and checks the copy by the same tool."""
    each = "find . -type f -print0 | sort -z | xargs -0 -r " + tool
    return (
        f"(cd {{s}} && {each} > {{x}}/source); cp -a {{s}} {{t}}; %s"
        f"(cd {{t}} && {each} > {{x}}/target); cmp {{x}}/source {{x}}/target"
    )


DATABRIDGE = Peer(
    "databridge",
    "one read, durable, read back from the device",
    "{databridge} --json copy {s} {t} > {x}/report",
)

COPY: tuple[Peer, ...] = (
    Peer(
        "sha256sum, cp, sha256sum",
        "the page cache is verified; nothing is durable",
        _hashes("sha256sum") % "",
    ),
    Peer(
        "openssl, cp, openssl",
        "the page cache is verified; nothing is durable",
        _hashes("openssl dgst -sha256 -r") % "",
        ("openssl",),
    ),
    Peer(
        "openssl, cp, sync, drop, openssl",
        "durable, and read back from the device: the same worth as databridge",
        _hashes("openssl dgst -sha256 -r") % (DROP + "; "),
        ("openssl",),
        drops=True,
    ),
    Peer(
        "rsync -a, rsync -ac",
        "the page cache is verified; nothing is durable",
        "rsync -a {s}/ {t}/; rsync -ac --dry-run --itemize-changes {s}/ {t}/ > {x}/diff; "
        "test ! -s {x}/diff",
        ("rsync",),
    ),
    Peer(
        "rclone copy, check --download",
        "the page cache is verified; nothing is durable",
        "rclone -q copy {s} {t}; rclone -q check --download {s} {t}",
        ("rclone",),
    ),
    Peer(
        "ocopy",
        "the page cache is verified (XXH64), with a media hash list",
        "mkdir {t}; {bin}/ocopy {s} {t} > {x}/log 2>&1",
    ),
    Peer(
        "b3sum, cp, b3sum",
        "the page cache is verified by the fastest hash; nothing is durable",
        _hashes("b3sum") % "",
        ("b3sum",),
    ),
    Peer("cp -a, syncfs", "durable; nothing is verified", "cp -a {s} {t}; sync -f {t}"),
    Peer(
        "the device alone",
        "source read, copy written and read back past the page cache, all at once, no digests",
        "mkdir {t}; {bin}/python " + shlex.quote(str(DEVICE)) + " {s} {t}",
        # Of many small files it would measure their flushes, one by one.
        cases=("large", "frames"),
    ),
)

# The tree's digests alone; `xargs -P2` is what a script writes to use two cores.
_TWO = "cd {s} && find . -type f -print0 | sort -z | xargs -0 -r -P2 -n %d "

CHECKSUM = Peer("databridge checksum", "SHA-256", "{databridge} checksum {s} > {x}/list")


def checksum_peers(files: int) -> tuple[Peer, ...]:
    """The peers of `checksum`; a process gets so many files that both have work."""
    two = _TWO % max(1, min(64, files // 2))
    return (
        Peer(
            "openssl dgst, two processes",
            "SHA-256",
            two + "openssl dgst -sha256 -r > {x}/list",
            ("openssl",),
        ),
        Peer("sha256sum, two processes", "SHA-256", two + "sha256sum > {x}/list"),
        Peer(
            "b3sum",
            "BLAKE3, all cores",
            "cd {s} && find . -type f -print0 | xargs -0 -r b3sum > {x}/list",
            ("b3sum",),
        ),
    )
