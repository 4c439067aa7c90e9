#!/usr/bin/env python3
"""Scans side by side, in one run: `databridge scan` (SHA-256 included) against
`clamdscan --fdpass --multiscan` with the same clamd and against `clamscan`, over a
frame sequence and over small files; the rules engine against its own command line
(boreal) and YARA's with the same rules, and against SHA-256 alone. Prints Markdown and
puts it into docs/scanning.md; `--json FILE` keeps the figures.

    make bench-scan          or   benches/versus/scan.py --pairs 7 --json scan.json

Contestants take turns, so that what else the machine does meets all of them; the
ratios of medians count, not the seconds. clamd keeps no cache here: with one, every
run after the first would measure the cache.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLAMD = shutil.which("clamd") or "/usr/sbin/clamd"
BOREAL = ROOT / "target/bench-tools/bin/boreal"
# Where the table stands in a document.
BEGIN, END = "<!-- bench-scan -->\n", "<!-- /bench-scan -->"
# What we want to reach: times as long as ours, at least.
GOALS = {"clamdscan --multiscan": 1.0, "clamscan": 5.0}


def exr(size: int) -> bytes:
    """A scan-line OpenEXR 2.0 file about so large: one half channel, uncompressed."""
    width = 2048
    height = size // (2 * width + 16)
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value

    channels = b"Y\0" + struct.pack("<iB3xii", 1, 0, 1, 1) + b"\0"
    header = b"\x76\x2f\x31\x01" + struct.pack("<i", 2)
    header += attribute("channels", "chlist", channels)
    header += attribute("compression", "compression", b"\0")
    header += attribute("dataWindow", "box2i", window)
    header += attribute("displayWindow", "box2i", window)
    header += attribute("lineOrder", "lineOrder", b"\0")
    header += attribute("pixelAspectRatio", "float", struct.pack("<f", 1))
    header += attribute("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0))
    header += attribute("screenWindowWidth", "float", struct.pack("<f", 1)) + b"\0"
    line = 2 * width + 8
    first = len(header) + 8 * height
    offsets = struct.pack(f"<{height}Q", *(first + n * line for n in range(height)))
    noise = os.urandom(2 * width * height)
    lines = (
        struct.pack("<ii", n, 2 * width) + noise[2 * width * n : 2 * width * (n + 1)]
        for n in range(height)
    )
    return header + offsets + b"".join(lines)


def make_data(folder: pathlib.Path, frames: int, frame_bytes: int, small: int) -> None:
    """Noise, as compressed frames are; and text of 1 to 16 KiB."""
    dice = random.Random(4)
    (folder / "frames").mkdir()
    for n in range(frames):
        (folder / "frames" / f"plate.{1001 + n}.exr").write_bytes(exr(frame_bytes))
    (folder / "small").mkdir()
    for n in range(small):
        text = dice.randbytes(dice.randint(512, 8192)).hex()
        (folder / "small" / f"{n:05}.txt").write_text(text)


def signatures(folder: pathlib.Path, extra: int) -> None:
    """Ours, and as many digests of files beside them as everybody's database has."""
    folder.mkdir()
    for file in (ROOT / "testdata/clamd/db").iterdir():
        shutil.copy(file, folder)
    if not extra:
        return
    dice, batch = random.Random(5), 100_000
    with (folder / "bulk.hsb").open("w") as bulk:
        for first in range(0, extra, batch):
            count = min(batch, extra - first)
            digests = dice.randbytes(32 * count).hex()
            bulk.writelines(
                f"{digests[64 * n : 64 * n + 64]}:{dice.randrange(1, 1 << 22)}:Bulk-{first + n}\n"
                for n in range(count)
            )


def start_clamd(folder: pathlib.Path, threads: int) -> subprocess.Popen[bytes]:
    config = (ROOT / "testdata/clamd/clamd.conf").read_text()
    config = config.replace("@DIR@", str(folder))
    dropped = ("TCP", "MaxThreads", "LogVerbose")
    lines = [line for line in config.splitlines() if not line.startswith(dropped)]
    lines += [f"MaxThreads {threads}", "DisableCache yes"]
    (folder / "clamd.conf").write_text("\n".join(lines) + "\n")
    (folder / "tmp").mkdir()
    daemon = subprocess.Popen(
        [CLAMD, "-c", folder / "clamd.conf"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ping = ["clamdscan", "-c", str(folder / "clamd.conf"), "--ping", "120:1"]
    if subprocess.run(ping, capture_output=True, check=False).returncode != 0:
        daemon.kill()
        sys.exit("clamd did not come up")
    return daemon


def timed(command: list[Any], codes: tuple[int, ...]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.perf_counter() - start
    if done.returncode not in codes:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return took


def duel(name: str, contestants: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Everybody once a round, in an order that turns; those with a limit of their own
    sit out the rounds beyond it."""
    seconds: dict[str, list[float]] = {who: [] for who in contestants}
    for turn in range(rounds):
        order = list(contestants)
        order = order[turn % len(order) :] + order[: turn % len(order)]
        for who in order:
            command, codes, most = contestants[who]
            if len(seconds[who]) < (most or rounds):
                seconds[who].append(timed(command, codes))
                print(f"  {name}: {who} {seconds[who][-1]:.2f} s", file=sys.stderr)
    medians = {who: statistics.median(took) for who, took in seconds.items()}
    ours = medians["databridge"]
    ratios = {who: median / ours for who, median in medians.items() if who != "databridge"}
    return {"name": name, "seconds": seconds, "medians": medians, "times_as_long_as_ours": ratios}


def markdown(results: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    lines = [f"Measured with {', '.join(f'{k}: {v}' for k, v in facts.items())}.", ""]
    lines += [
        "| Data | Program | Median s | Times as long as ours | Goal | Runs |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        for who, median in result["medians"].items():
            ratio = result["times_as_long_as_ours"].get(who)
            shown = "" if ratio is None else f"{ratio:.2f}"
            runs = len(result["seconds"][who])
            goal = f"{GOALS[who]:g}" if who in GOALS else ""
            lines.append(f"| {result['name']} | {who} | {median:.2f} | {shown} | {goal} | {runs} |")
    return "\n".join(lines)


def put_into(document: pathlib.Path, table: str) -> None:
    """Replaces what stands between the marks."""
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{document} has no place for the table: {BEGIN.strip()} … {END}")
    document.write_text(f"{before}{BEGIN}{table}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--databridge", default=ROOT / "target/release/databridge")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--clamscan-runs", type=int, default=3)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--frame-bytes", type=int, default=12 << 20)
    parser.add_argument("--small", type=int, default=10_000)
    # About as many as ClamAV's main and daily databases have.
    parser.add_argument("--bulk-signatures", type=int, default=8_000_000)
    parser.add_argument("--clamd-threads", type=int, default=2 * (os.cpu_count() or 1))
    rules = sorted((ROOT / "databridge-core/src/media/scan/rules").glob("*.yar"))
    parser.add_argument("--rules", nargs="*", type=pathlib.Path, default=rules)
    parser.add_argument("--only", choices=["frames", "small files"])
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--into", type=pathlib.Path, default=ROOT / "docs/scanning.md")
    parser.add_argument("--print-only", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="databridge-bench-scan-") as name:
        folder = pathlib.Path(name)
        make_data(folder, given.frames, given.frame_bytes, given.small)
        signatures(folder / "signatures", given.bulk_signatures)
        daemon = start_clamd(folder, given.clamd_threads)
        try:
            results = measure(given, folder)
        finally:
            daemon.kill()
            daemon.wait()
    facts = {
        "cores": os.cpu_count(),
        "load before the end": f"{os.getloadavg()[0]:.1f}",
        "frames": f"{given.frames} x {given.frame_bytes >> 20} MiB",
        "small files": given.small,
        "signatures beyond ours": given.bulk_signatures,
        "clamd threads": given.clamd_threads,
    }
    table = markdown(results, facts)
    print(table)
    if not given.print_only:
        put_into(given.into, table)
    if given.json:
        given.json.write_text(json.dumps({"facts": facts, "results": results}, indent=2))


def measure(given: argparse.Namespace, folder: pathlib.Path) -> list[dict[str, Any]]:
    ours = [given.databridge, "scan", "--any-signature-age"]
    clamd = [*ours, "--engine", "clamd", "--clamd", folder / "clamd.sock"]
    clamdscan = [
        "clamdscan",
        "-c",
        folder / "clamd.conf",
        "--fdpass",
        "--multiscan",
        "--no-summary",
    ]
    clamscan = ["clamscan", f"--database={folder / 'signatures'}", "--no-summary", "--recursive"]
    clamscan += ["--max-filesize=2000M", "--max-scansize=2000M", "--infected"]
    results = []
    for what, data in (("frames", folder / "frames"), ("small files", folder / "small")):
        contestants = {
            "databridge": ([*clamd, data], (0,), None),
            "clamdscan --multiscan": ([*clamdscan, data], (0,), None),
            "clamscan": ([*clamscan, data], (0,), given.clamscan_runs),
        }
        if given.only not in (None, what):
            continue
        # The page cache is warm for everybody.
        for file in data.iterdir():
            file.read_bytes()
        results.append(duel(what, contestants, given.pairs))
        results.append(duel(f"{what}, rules only", in_process(given, ours, data), given.pairs))
    return results


def in_process(given: argparse.Namespace, ours: list[Any], data: pathlib.Path) -> dict[str, Any]:
    """Rules and content checks beside programs that match the same rules. Externals are
    one for all files there; here they are each file's own, and digests, content checks
    and archives come on top."""
    defined = ["extension=exr", "filename=a.exr", "media=true", "scene_scripts=false"]
    words = [word for one in defined for word in ("-d", one)]
    rest = [*words, f"--threads={os.cpu_count()}", *given.rules, data]
    contestants = {
        "databridge": ([*ours, "--engine", "rules", data], (0,), None),
        "databridge checksum (SHA-256 alone)": ([given.databridge, "checksum", data], (0,), None),
    }
    if BOREAL.exists():
        contestants["boreal yr"] = ([BOREAL, "yr", *rest], (0,), None)
    if shutil.which("yara"):
        contestants["yara"] = (["yara", *rest], (0,), None)
    return contestants


if __name__ == "__main__":
    main()
