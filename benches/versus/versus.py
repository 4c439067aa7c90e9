"""DataBridge beside what a user would pick instead, in one run.

    make bench                      all of it, several gigabytes, about an hour
    make bench ARGS="--cases small --pairs 5"
    make bench ARGS="--scale 0.05 --pairs 1"     a trial of the bench itself
    make bench ARGS=--write                      into docs/performance.md, too

Writes versus.json, versus.md and versus.svg into --out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import data
import report
import run
from peers import CHECKSUM, COPY, DATABRIDGE, Peer, checksum_peers

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- bench -->\n", "<!-- /bench -->"
WARM = "<!-- bench, the source in memory -->\n"

# What we want to reach: time of DataBridge over the peer's.
GOALS = {
    "sha256sum, cp, sha256sum": {"large": 0.20, "frames": 0.18, "small": 0.70},
    "openssl, cp, sync, drop, openssl": {"large": 0.40, "frames": 0.35, "small": 0.35},
    "rsync -a, rsync -ac": {"large": 0.50, "frames": 0.60, "small": 0.90},
    "rclone copy, check --download": {"large": 0.30, "frames": 0.35, "small": 0.35},
    "ocopy": {"large": 0.80, "frames": 0.80, "small": 0.50},
    "cp -a, syncfs": {"large": 1.0, "frames": 1.0, "small": 1.8},
    "openssl dgst, two processes": {"large": 1.0, "frames": 1.0, "small": 0.5},
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--databridge", type=Path, required=True, help="the program, built for release"
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="a folder on the disk to be measured"
    )
    parser.add_argument("--out", type=Path, required=True, help="where the results go")
    parser.add_argument(
        "--cases", default=",".join(data.CASES), help="of: " + ", ".join(data.CASES)
    )
    parser.add_argument("--what", default="copy,checksum", help="copy, checksum, many")
    parser.add_argument("--peers", default="", help="only those whose name contains one of these")
    parser.add_argument("--pairs", type=int, default=5, help="alternating pairs of runs")
    parser.add_argument("--scale", type=float, default=1.0, help="shrinks the data, for a trial")
    parser.add_argument("--warm", action="store_true", help="the source in memory before a run")
    parser.add_argument(
        "--add", action="store_true", help="these cases to those of the last run, and not alone"
    )
    parser.add_argument("--write", action="store_true", help="the tables into docs/performance.md")
    parser.add_argument("--many", type=int, default=1_000_000, help="files of `many`")
    given = parser.parse_args()
    if given.add and given.peers:
        parser.error("--add replaces whole cases: it takes all peers")
    return given


def usable(peers: tuple[Peer, ...], case: str, chosen: str) -> list[Peer]:
    """Those of `peers` that are asked for, fit the case, and that this machine can run."""
    wanted = [word for word in chosen.split(",") if word]
    able = []
    for peer in peers:
        if wanted and not any(word in peer.name for word in wanted):
            continue
        if peer.cases and case not in peer.cases:
            continue
        if lacks := run.missing(peer):
            print(f"left out: {peer.name}: no {', '.join(lacks)}", file=sys.stderr)
        elif peer.drops and not run.is_root():
            print(f"left out: {peer.name}: only root drops the page cache", file=sys.stderr)
        else:
            able.append(peer)
    return able


def compare(
    what: str, case: str, ours: Peer, peers: list[Peer], source: Path, args: argparse.Namespace
) -> list[report.Pairs]:
    """Alternates ours, a peer, a peer, ours, … so that each peer stands beside a run of ours."""
    pairs = [
        report.Pairs(case, what, p.name, p.about, GOALS.get(p.name, {}).get(case)) for p in peers
    ]

    def go(peer: Peer) -> run.Run:
        many = data.CASES[case].many
        done = run.once(peer, args.databridge, source, args.work, many, args.warm)
        print(f"{what} {case}: {peer.name}: {done.wall_seconds:.2f} s", file=sys.stderr)
        return done

    for _ in range(args.pairs):
        mine = go(ours)
        for index, (peer, pair) in enumerate(zip(peers, pairs)):
            theirs = go(peer)
            if index % 2 == 1:
                mine = go(ours)
            pair.ours.append(mine)
            pair.theirs.append(theirs)
        run.clear(args.work, 61 if data.CASES[case].many and what == "copy" else 0)
    return pairs


def growth(args: argparse.Namespace) -> list[report.Growth]:
    """Time and memory of very many files, at a tenth, a third and all of them."""
    grown: list[report.Growth] = []
    for count in (args.many // 10, args.many // 3, args.many):
        source = data.many(args.work, count)
        for what, ours in (("checksum", CHECKSUM), ("copy", DATABRIDGE)):
            done = run.once(ours, args.databridge, source, args.work)
            grown.append(
                {
                    "what": what,
                    "files": count,
                    "microseconds_a_file": round(done.wall_seconds * 1e6 / count, 1),
                    "peak_mib": round(done.peak_bytes / (1 << 20), 1),
                }
            )
            print(grown[-1], file=sys.stderr)
    return grown


def save(
    path: Path,
    facts: dict[str, object],
    pairs: list[report.Pairs],
    grown: list[report.Growth],
) -> None:
    """All that was measured, run by run."""
    document = {"machine": facts, "pairs": [p.document() for p in pairs], "many": grown}
    path.write_text(json.dumps(document, indent=1) + "\n")


def earlier(
    path: Path, facts: dict[str, object], cases: list[str], whats: list[str]
) -> tuple[list[report.Pairs], list[report.Growth]]:
    """What was measured before and is not again, on the same machine in the same way."""
    if not path.exists():
        return [], []
    document = json.loads(path.read_text())
    if document["machine"] != facts:
        sys.exit(f"{path} is of another machine or another way to measure: move it away")
    pairs = [report.Pairs.read(pair) for pair in document["pairs"]]
    kept = [pair for pair in pairs if pair.case not in cases or pair.what not in whats]
    return kept, document["many"]


def main() -> int:
    args = arguments()
    args.databridge = args.databridge.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    args.work = args.work.resolve()
    whats = args.what.split(",")
    facts = report.machine(args.work) | {"scale": args.scale, "warm": args.warm}
    name = "versus-warm" if args.warm else "versus"
    cases = [case for case in args.cases.split(",") if case]
    pairs: list[report.Pairs] = []
    grown: list[report.Growth] = []
    if args.add:
        pairs, grown = earlier(args.out / f"{name}.json", facts, cases, whats)
    for case in cases:
        source = data.make(case, args.work, args.scale)
        if "copy" in whats:
            run.same(args.databridge, source, args.work)
            pairs += compare("copy", case, DATABRIDGE, usable(COPY, case, args.peers), source, args)
        if "checksum" in whats:
            files = sum(len(names) for _, _, names in os.walk(source))
            peers = usable(checksum_peers(files), case, args.peers)
            pairs += compare("checksum", case, CHECKSUM, peers, source, args)
        # A long run that ends early has its cases all the same.
        save(args.out / f"{name}.json", facts, pairs, grown)
    if "many" in whats:
        grown = growth(args)
    save(args.out / f"{name}.json", facts, pairs, grown)
    if pairs:
        text = report.markdown(pairs, facts, grown)
        (args.out / f"{name}.md").write_text(text)
        print(text)
        picture = args.out / f"{name}.svg"
        if not report.plot(pairs, picture):
            print("no picture: matplotlib is not installed", file=sys.stderr)
        elif args.write and not args.warm:
            shutil.copyfile(picture, PAGE.with_suffix(".svg"))
        if args.write:
            begin = WARM if args.warm else BEGIN
            head, found, rest = PAGE.read_text().partition(begin)
            if not found:
                sys.exit(f"{PAGE} has no place for the table: {begin.strip()}")
            PAGE.write_text(head + begin + text + END + rest.partition(END)[2])
    for row in grown:
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
