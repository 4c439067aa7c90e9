#!/usr/bin/env python3
"""Scans side by side, in one run: `databridge scan` (SHA-256 included) against
`clamdscan --fdpass --multiscan` with the same clamd and against `clamscan`, over a
frame sequence and over small files; the rules engine against YARA's own program with
the same rules. Prints Markdown; `--json FILE` keeps the figures.

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
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLAMD = shutil.which("clamd") or "/usr/sbin/clamd"


def make_data(folder: pathlib.Path, frames: int, frame_bytes: int, small: int) -> None:
    """Noise, as compressed frames are; and text of 1 to 16 KiB."""
    dice = random.Random(4)
    (folder / "frames").mkdir()
    for n in range(frames):
        head = b"\x76\x2f\x31\x01"
        (folder / "frames" / f"plate.{1001 + n}.exr").write_bytes(
            head + os.urandom(frame_bytes - len(head))
        )
    (folder / "small").mkdir()
    for n in range(small):
        text = dice.randbytes(dice.randint(512, 8192)).hex()
        (folder / "small" / f"{n:05}.txt").write_text(text)


def signatures(folder: pathlib.Path, extra: int) -> None:
    """Ours, and as many more as make loading cost what it costs in production."""
    folder.mkdir()
    for file in (ROOT / "testdata/clamd/db").iterdir():
        shutil.copy(file, folder)
    dice = random.Random(5)
    with open(folder / "bulk.hsb", "w") as bulk:
        for n in range(extra):
            bulk.write(f"{dice.randbytes(32).hex()}:{dice.randint(1, 1 << 24)}:Bulk-{n}\n")


def start_clamd(folder: pathlib.Path, threads: int) -> subprocess.Popen:
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
    ping = ["clamdscan", "-c", folder / "clamd.conf", "--ping", "120:1"]
    subprocess.run(ping, check=True, stdout=subprocess.DEVNULL)
    return daemon


def timed(command: list, codes: tuple) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.perf_counter() - start
    if done.returncode not in codes:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return took


def duel(name: str, contestants: dict, rounds: int) -> dict:
    """Everybody once a round, in an order that turns; those with a limit of their own
    sit out the rounds beyond it."""
    seconds = {who: [] for who in contestants}
    for turn in range(rounds):
        order = list(contestants)
        order = order[turn % len(order):] + order[: turn % len(order)]
        for who in order:
            command, codes, most = contestants[who]
            if len(seconds[who]) < (most or rounds):
                seconds[who].append(timed(command, codes))
                print(f"  {name}: {who} {seconds[who][-1]:.2f} s", file=sys.stderr)
    medians = {who: statistics.median(took) for who, took in seconds.items()}
    ours = medians["databridge"]
    ratios = {who: median / ours for who, median in medians.items() if who != "databridge"}
    return {"name": name, "seconds": seconds, "medians": medians, "times_as_long_as_ours": ratios}


def markdown(results: list, facts: dict) -> str:
    lines = [f"Scans side by side ({', '.join(f'{k}: {v}' for k, v in facts.items())})", ""]
    lines += ["| Data | Program | Median s | Times as long as ours | Runs |", "|---|---|---|---|---|"]
    for result in results:
        for who, median in result["medians"].items():
            ratio = result["times_as_long_as_ours"].get(who)
            shown = "" if ratio is None else f"{ratio:.2f}"
            runs = len(result["seconds"][who])
            lines.append(f"| {result['name']} | {who} | {median:.2f} | {shown} | {runs} |")
    return "\n".join(lines)


def yara_rules() -> pathlib.Path:
    """The shipped rules, with their externals given as in a scan of frames."""
    return ROOT / "databridge-core/src/media/scan/rules/shipped.yar"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--databridge", default=ROOT / "target/release/databridge")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--clamscan-runs", type=int, default=3)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--frame-bytes", type=int, default=12 << 20)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--bulk-signatures", type=int, default=0)
    parser.add_argument("--clamd-threads", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--json", type=pathlib.Path)
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
    print(markdown(results, facts))
    if given.json:
        given.json.write_text(json.dumps({"facts": facts, "results": results}, indent=2))


def measure(given: argparse.Namespace, folder: pathlib.Path) -> list:
    ours = [given.databridge, "scan", "--any-signature-age"]
    clamd = [*ours, "--engine", "clamd", "--clamd", folder / "clamd.sock"]
    clamdscan = ["clamdscan", "-c", folder / "clamd.conf", "--fdpass", "--multiscan", "--no-summary"]
    clamscan = ["clamscan", f"--database={folder / 'signatures'}", "--no-summary", "--recursive"]
    clamscan += ["--max-filesize=2000M", "--max-scansize=2000M", "--infected"]
    results = []
    for what, data in (("frames", folder / "frames"), ("small files", folder / "small")):
        contestants = {
            "databridge": ([*clamd, data], (0,), None),
            "clamdscan --multiscan": ([*clamdscan, data], (0,), None),
            "clamscan": ([*clamscan, data], (0,), given.clamscan_runs),
        }
        # The page cache is warm for everybody.
        timed(["cat", *data.iterdir()] if what == "frames" else ["true"], (0,))
        results.append(duel(what, contestants, given.pairs))
        if shutil.which("yara"):
            defined = ["-d", "extension=exr", "-d", "filename=a.exr", "-d", "media=true"]
            contestants = {
                "databridge": ([*ours, "--engine", "rules", data], (0,), None),
                "yara": (["yara", *defined, yara_rules(), data], (0,), None),
            }
            results.append(duel(f"{what}, rules only", contestants, given.pairs))
    return results


if __name__ == "__main__":
    main()
