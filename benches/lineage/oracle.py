"""Makes a genealogy, walks it with networkx, and holds the databases against that.

oracle.py make GRAPH.json LOTS
oracle.py compare GRAPH.json RESULT.json REPORT.json REPORT.md
"""

from __future__ import annotations

import hashlib
import json
import platform
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import networkx as nx

ROUNDS = 7
WALKS = {"ancestors": nx.ancestors, "descendants": nx.descendants}


def graph_of(parents: list[list[int]]) -> Any:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(parents)))
    graph.add_edges_from((p, child) for child, row in enumerate(parents) for p in row)
    return graph


def make(path: Path, lots: int) -> None:
    """Lots come from a few of the lots before them, most of them recent."""
    chance = random.Random(7)
    parents: list[list[int]] = []
    for child in range(lots):
        count = chance.choices([0, 1, 2, 3], [10, 60, 20, 10])[0]
        near = {child - 1 - int(chance.expovariate(1 / 2000)) for _ in range(count)}
        parents.append(sorted(p for p in near if p >= 0))
    graph = graph_of(parents)
    queries = []
    for direction, walk in WALKS.items():
        tried = sorted((len(walk(graph, n)), n) for n in chance.sample(range(lots), 400))
        for size, wanted in (("small", 10), ("middle", 500), ("large", lots)):
            _, lot = min(tried, key=lambda t: abs(t[0] - wanted))
            queries.append({"name": f"{direction}, {size}", "direction": direction, "lot": lot})
    path.write_text(json.dumps({"parents": parents, "queries": queries}))


def compare(graph_path: Path, result_path: Path, report: Path, page: Path) -> None:
    given = json.loads(graph_path.read_text())
    result = json.loads(result_path.read_text())
    began = time.perf_counter()
    graph = graph_of(given["parents"])
    load = time.perf_counter() - began
    walks = []
    for i, query in enumerate(given["queries"]):
        walk = WALKS[query["direction"]]
        times = []
        found: set[int] = set()
        for _ in range(ROUNDS):
            began = time.perf_counter()
            found = walk(graph, query["lot"])
            times.append(time.perf_counter() - began)
        names = "\n".join(sorted(f"N{n}" for n in found))
        digest = hashlib.sha256(names.encode()).hexdigest()
        row = {"name": query["name"], "lots": len(found), "networkx": statistics.median(times)}
        for database in ("sqlite", "postgres"):
            ours = result[database]["walks"][i]
            if ours["sha256"] != digest:
                sys.exit(f"{database} and networkx differ on {query}")
            row[database] = ours["median_seconds"]
            row[f"{database}_all_pages"] = ours["all_pages_seconds"]
        walks.append(row)
    edges = graph.number_of_edges()
    told = {
        "machine": platform.platform(),
        "python": platform.python_version(),
        "networkx": nx.__version__,
        "lots": graph.number_of_nodes(),
        "edges": edges,
        "networkx_load_seconds": load,
        "register": {name: result[name]["register"] for name in ("sqlite", "postgres")},
        "walks": walks,
    }
    report.write_text(json.dumps(told, indent=2) + "\n")
    page.write_text(shown(told))


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"


def shown(told: dict[str, Any]) -> str:
    lines = [
        f"{told['lots']:,} lots, {told['edges']:,} edges; every commit flushed to the device.",
        "",
        "| Lots registered a second | SQLite | PostgreSQL |",
        "|---|---:|---:|",
    ]
    names = {
        "one_by_one_per_second": "one by one",
        "eight_writers_per_second": "by eight writers at once",
        "batches_of_1000_per_second": "a thousand in a call",
        "sealed_later_per_second": "(sealed into the ledger afterwards)",
    }
    for key, name in names.items():
        cells = [told["register"][d][key] for d in ("sqlite", "postgres")]
        shown_cells = [f"{c:,.0f}" if c else "in the call" for c in cells]
        lines.append(f"| {name} | {shown_cells[0]} | {shown_cells[1]} |")
    lines += [
        "",
        "| First 1,000 and the count of all, ms (median of 7) | lots | networkx | SQLite "
        "| PostgreSQL | SQLite / networkx | PostgreSQL / networkx |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in told["walks"]:
        times = [row[k] for k in ("networkx", "sqlite", "postgres")]
        ratios = [t / times[0] for t in times[1:]]
        cells = [milliseconds(t) for t in times] + [f"{r:.1f}" for r in ratios]
        lines.append(f"| {row['name']} | {row['lots']:,} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"networkx {told['networkx']} holds the graph in memory, which it first reads in "
        f"{told['networkx_load_seconds'] * 1e3:.0f} ms from Python lists. All sets are equal, "
        "by the SHA-256 of their codes.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["make"] and len(words) == 3:
        make(Path(words[1]), int(words[2]))
    elif words[:1] == ["compare"] and len(words) == 5:
        compare(*(Path(one) for one in words[1:]))
    else:
        sys.exit(__doc__)
