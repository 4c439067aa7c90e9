"""What was measured, as JSON, as Markdown and as a picture."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data import CASES
from run import Run

# What one tree took: what, files, microseconds_a_file, peak_mib.
Growth = dict[str, Any]


@dataclass
class Pairs:
    """One peer beside DataBridge: runs in the order in which they alternated."""

    case: str
    what: str
    peer: str
    about: str
    goal: float | None
    ours: list[Run] = field(default_factory=list)
    theirs: list[Run] = field(default_factory=list)

    @classmethod
    def read(cls, document: dict[str, Any]) -> Pairs:
        """From [`document`](Pairs.document)."""
        names = ("case", "what", "peer", "about", "goal")
        runs = [[Run(**run) for run in document[whose]] for whose in ("databridge", "runs")]
        return cls(*(document[name] for name in names), *runs)

    def ratios(self) -> list[float]:
        """DataBridge's time over the peer's, pair by pair."""
        return [a.wall_seconds / b.wall_seconds for a, b in zip(self.ours, self.theirs)]

    def ratio(self) -> float:
        """The median of the pairs."""
        return statistics.median(self.ratios())

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "case": self.case,
            "what": self.what,
            "peer": self.peer,
            "about": self.about,
            "goal": self.goal,
            "median_ratio": round(self.ratio(), 3),
            "ratios": [round(ratio, 3) for ratio in self.ratios()],
            "databridge": [asdict(run) for run in self.ours],
            "runs": [asdict(run) for run in self.theirs],
        }


def machine(work: Path) -> dict[str, object]:
    """What it was measured on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    mount = subprocess.run(
        ["findmnt", "-no", "FSTYPE", "-T", work], capture_output=True, text=True, check=False
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "file_system": mount.stdout.strip() or "unknown",
        "cold_cache": os.geteuid() == 0,
    }


def _median(runs: list[Run], name: str) -> float:
    return statistics.median(float(getattr(run, name)) for run in runs)


def markdown(all_pairs: list[Pairs], facts: dict[str, object], grown: list[Growth]) -> str:
    """Ratios by case: below 1, DataBridge is faster. How it grows with the number of files."""
    cache = "cold cache before each run" if facts["cold_cache"] else "warm cache"
    if facts["warm"]:
        cache = "the source in the page cache, as after a scan or an upload"
    lines = [
        "Time of DataBridge over the time of what it is compared with, medians of"
        f" {max(len(p.ours) for p in all_pairs)} alternating pairs; below 1 DataBridge is faster."
        f" {facts['cores']} cores ({facts['processor']}), {facts['file_system']},"
        f" {cache}."
        + ("" if facts["scale"] == 1 else f" Data of {facts['scale']:g} times these sizes."),
    ]
    for what in dict.fromkeys(pairs.what for pairs in all_pairs):
        chosen = [pairs for pairs in all_pairs if pairs.what == what]
        cases = list(dict.fromkeys(pairs.case for pairs in chosen))
        lines += ["", f"### {what}", ""]
        lines += [f"- *{case}*: {CASES[case].about}" for case in cases if case in CASES]
        lines += ["", "| compared with | " + " | ".join(cases) + " | what it is worth |"]
        lines += ["|---|" + "---:|" * len(cases) + "---|"]
        for peer in dict.fromkeys(pairs.peer for pairs in chosen):
            row = {pairs.case: pairs for pairs in chosen if pairs.peer == peer}
            about = next(iter(row.values())).about
            cells = " | ".join(_cell(row.get(case)) for case in cases)
            lines.append(f"| {peer} | {cells} | {about} |")
        lines += ["", "| processor time and memory of DataBridge | " + " | ".join(cases) + " |"]
        lines += ["|---|" + "---:|" * len(cases)]
        runs = {case: [r for p in chosen if p.case == case for r in p.ours] for case in cases}
        for title, name, unit in (
            ("user over wall", "user_seconds", "wall_seconds"),
            ("system over wall", "system_seconds", "wall_seconds"),
        ):
            shares = [f"{_median(runs[c], name) / _median(runs[c], unit):.2f}" for c in cases]
            lines.append(f"| {title} | " + " | ".join(shares) + " |")
        peaks = [f"{_median(runs[c], 'peak_bytes') / (1 << 20):.0f} MiB" for c in cases]
        lines.append("| peak memory | " + " | ".join(peaks) + " |")
    return "\n".join(lines + _growth(grown)) + "\n"


def _growth(grown: list[Growth]) -> list[str]:
    """Time a file over that in the smallest tree, and memory."""
    if not grown:
        return []
    counts = list(dict.fromkeys(row["files"] for row in grown))
    lines = ["", "### very many files, of 64 bytes", ""]
    lines += ["| | " + " | ".join(f"{count:,}" for count in counts) + " |"]
    lines += ["|---|" + "---:|" * len(counts)]
    for what in dict.fromkeys(row["what"] for row in grown):
        rows = [row for row in grown if row["what"] == what]
        first = rows[0]["microseconds_a_file"]
        times = [f"{row['microseconds_a_file'] / first:.2f}" for row in rows]
        peaks = [f"{row['peak_mib']:.0f} MiB" for row in rows]
        for title, cells in (
            ("time a file, over that of the fewest", times),
            ("peak memory", peaks),
        ):
            lines.append(f"| {what}: {title} | " + " | ".join(cells) + " |")
    return lines


def _cell(pairs: Pairs | None) -> str:
    if pairs is None:
        return "-"
    if pairs.goal is None:
        return f"{pairs.ratio():.2f}"
    met = "" if pairs.ratio() <= pairs.goal else " ✗"
    return f"{pairs.ratio():.2f} (goal {pairs.goal:.2f}){met}"


def plot(all_pairs: list[Pairs], path: Path) -> bool:
    """Bars of the ratios of `copy`; `False` where matplotlib is not installed."""
    try:
        import matplotlib

        matplotlib.use("svg")
        from matplotlib import pyplot
    except ImportError:
        return False
    matplotlib.rcParams["svg.hashsalt"] = "databridge"
    chosen = [pairs for pairs in all_pairs if pairs.what == "copy"]
    cases = list(dict.fromkeys(pairs.case for pairs in chosen))
    peers = list(dict.fromkeys(pairs.peer for pairs in chosen))
    figure, axes = pyplot.subplots(figsize=(8, 0.55 * len(peers) + 1.6))
    height = 0.8 / max(len(cases), 1)
    for index, case in enumerate(cases):
        ratios = {pairs.peer: pairs.ratio() for pairs in chosen if pairs.case == case}
        at = [row + index * height for row, peer in enumerate(peers) if peer in ratios]
        axes.barh(at, [ratios[peer] for peer in peers if peer in ratios], height, label=case)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks([row + height * (len(cases) - 1) / 2 for row in range(len(peers))], peers)
    axes.invert_yaxis()
    axes.set_xlabel("time of databridge copy over the peer's (below 1: databridge is faster)")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    return True
