"""Lots, genealogy, runs and gates from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import databridge
from databridge import Bridge, Client

from daemon import serve


def tried(manager: databridge.Lineage, second: databridge.Lineage) -> None:
    """A small line: a flow, a run, three lots, a decision, and where they came from."""
    draft = manager.install("food")
    manager.move_flow("food", draft.version_num, "request review")
    with pytest.raises(databridge.PermissionDenied):
        manager.move_flow("food", draft.version_num, "publish")
    published = second.move_flow("food", draft.version_num, "publish", notes="fine")
    assert published.status == "PUBLISHED"
    run = manager.create_run("food", run_key="shift 1")
    assert manager.create_run("food", run_key="shift 1").run_code == run.run_code
    assert manager.advance(run.run_code, 0).status == "RUNNING"
    with pytest.raises(databridge.ConflictError):
        manager.advance(run.run_code, 0)
    manager.register("RAW", lot_code="R", weight_kg=10.0, run=run.run_code)
    with pytest.raises(databridge.IllegalState):
        manager.advance(run.run_code, 1)
    manager.move("R", "QUARANTINE")
    answers = {"temperature": 2.5, "documents": True}
    decision = manager.decide("R", "receiving", "PASS", answers=answers)
    assert (decision.gate, decision.answers) == ("food@1:receiving", answers)
    assert manager.lot("R").status == "RELEASED"
    manager.advance(run.run_code, 1)
    manager.register("DEB", lot_code="D", weight_kg=4.0, run=run.run_code, parents=[("R", 5.0)])
    with pytest.raises(databridge.InvalidError):
        manager.register("DEB", lot_code="E", weight_kg=6.0, run=run.run_code, parents=["R"])
    manager.register_all([{"lot_code": "P", "lot_type": "PAL", "parents": ["D"]}])
    up = manager.ancestors("P", max_depth=5)
    assert {lot.lot_code: lot.depth for lot in up.lots} == {"R": 2, "D": 1}
    assert (up.total, up.cut, up.next) == (2, False, None)
    assert [lot.lot_code for lot in manager.descendants("R").lots] == ["D", "P"]
    assert manager.path("P", "R") == ("R", "D", "P")
    assert manager.blast_radius("R").walk.total == 2
    assert [lot.lot_code for lot in manager.common_ancestors("D", "P")] == ["R", "D"]
    assert manager.graph("D")["text"].startswith("flowchart TD")
    assert [lot.lot_code for lot in manager.lots()] == ["P", "D", "R"]
    with pytest.raises(databridge.InvalidError):
        manager.link("R", "P")
    ended = manager.end(run.run_code)
    assert ended.summary is not None
    assert ended.summary["steps_completed"] == 1
    assert ended.steps is not None
    assert len(ended.steps) == 11


def test_on_a_store_of_ones_own(bridge: Bridge) -> None:
    for name in ("manager", "second"):
        bridge.create_user(name, roles=["manager"])
    tried(bridge.as_user("manager").lineage, bridge.as_user("second").lineage)
    kinds = [event.kind for event in bridge.lineage.history("R")]
    assert kinds == ["lot.registered", "lot.moved", "qc.decided", "lot.moved"]


def test_on_a_daemon(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as daemon:
        password = "a new password for admin"
        admin = Client.login(daemon.url, "admin", daemon.one_time_password, password)
        people = {}
        for name in ("manager", "second", "viewer"):
            role = "viewer" if name == "viewer" else "manager"
            admin.create_user(name, roles=[role], password=f"a password for {name}")
            people[name] = Client.login(daemon.url, name, f"a password for {name}")
        tried(people["manager"].lineage, people["second"].lineage)
        with pytest.raises(databridge.PermissionDenied) as refused:
            people["viewer"].lineage.register("RAW")
        assert "operator" in refused.value.required_roles
