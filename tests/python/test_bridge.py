"""The main job on an embedded store, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

import databridge
from databridge import Bridge


def reviewed(bridge: Bridge, shot: Path) -> str:
    artist = bridge.as_user("artist")
    code = artist.create("Comp v003", project="alpha", category="comp").code
    artist.add(code, shot)
    assert artist.submit(code).state == "submitting"
    assert bridge.wait(code).state == "team_lead_review"
    for role in ("team_lead", "supervisor", "line_producer"):
        reviewer = bridge.as_user(role)
        assert [one.code for one in reviewer.waiting()] == [code]
        reviewer.approve(code)
    assert bridge.wait(code, timeout=60).state == "approved"
    return code


def test_from_frames_to_a_verified_delivery(bridge: Bridge, shot: Path, tmp_path: Path) -> None:
    code = reviewed(bridge, shot)
    data_team = bridge.as_user("data_team")
    data_team.scan(code)
    undecided = bridge.wait(code)
    assert undecided.state == "undecided"
    explained = bridge.explain(code)
    assert (explained.state, explained.waits_for) == ("undecided", "person")
    assert explained.next[0]["command"] in explained.text
    assert undecided.scan is not None
    data_team.decide(code, "accept", "frames of our own farm")
    bridge.as_user("it_team").start(code)
    delivered = bridge.wait(code)
    assert delivered.state == "delivered"
    assert delivered.delivered_at is not None
    assert [one["stage_key"] for one in delivered.approvals] == [
        "team_lead",
        "supervisor",
        "line_producer",
    ]

    payload = tmp_path / "data" / "production" / "alpha" / "comp" / code
    proof = payload.with_name(f"{code}.proof")
    assert databridge.verify(payload) == ()
    subprocess.run(["sha256sum", "-c", "--quiet", proof / "SHA256SUMS"], cwd=payload, check=True)
    assert json.loads((proof / "receipt.json").read_text()) == bridge.receipt(code)

    key = tmp_path / "kept-elsewhere.pub"
    key.write_text(bridge.receipt_key())
    with pytest.raises(databridge.DatabridgeError) as refused:
        databridge.verify_receipt(proof / "receipt.json", key)
    assert refused.value.code == "receipt.embedded"
    receipt = databridge.verify_receipt(proof / "receipt.json", key, payload, allow_embedded=True)
    assert (receipt.code, receipt.authority) == (code, "embedded")
    assert receipt.manifest_digest == delivered.manifest_digest
    assert receipt.file_count == 6

    (payload / "notes" / "readme.txt").chmod(0o644)
    (payload / "notes" / "readme.txt").write_text("for the supervisoR\n")
    with pytest.raises(databridge.CheckFailed, match=r"notes/readme.txt"):
        databridge.verify_receipt(proof / "receipt.json", key, payload, allow_embedded=True)

    kinds = [event.kind for event in bridge.events() if event.subject["code"] == code]
    assert kinds[0].startswith("transfer.")
    positions = [event.position for event in bridge.events()]
    assert positions == sorted(positions)
    assert [event.position for event in bridge.events(after=positions[-2])] == positions[-1:]
    bridge.verify_ledger()


def test_a_wrong_delivery_is_taken_back(bridge: Bridge, shot: Path, tmp_path: Path) -> None:
    code = reviewed(bridge, shot)
    bridge.as_user("data_team").scan(code)
    if bridge.wait(code).state == "undecided":
        bridge.as_user("data_team").decide(code, "accept", "frames of our own farm")
    it_team = bridge.as_user("it_team")
    it_team.start(code)
    assert bridge.wait(code).state == "delivered"
    where = bridge.where(code, "linux")
    payload = Path(where.production)
    assert payload == tmp_path / "data" / "production" / "alpha" / "comp" / code
    assert (where.proof, where.recalled) == (f"{payload}.proof", None)
    with pytest.raises(databridge.InvalidError):
        it_team.recall(code, "")
    with pytest.raises(databridge.PermissionDenied):
        bridge.as_user("artist").recall(code, "no")
    it_team.recall(code, "the wrong plate")
    recalled = bridge.wait(code)
    assert recalled.state == "recalled"
    assert recalled.recall is not None
    assert recalled.recall["reason"] == "the wrong plate"
    kept = Path(recalled.recall["place"])
    assert not payload.exists()
    assert databridge.verify(kept / code) == ()
    assert json.loads((kept / f"{code}.recall.json").read_text()) == bridge.recall_receipt(code)
    assert bridge.where(code, "linux").recalled == str(kept)


def test_paths_and_what_other_systems_call_them(tmp_path: Path) -> None:
    production = tmp_path / "data" / "production"
    config = {
        "layout": {
            "template": "{project}/{shot}/v{version:03}",
            "fields": {"reel": "name"},
        },
        "mounts": [{"server": str(production), "windows": "P:\\", "macos": "/Volumes/prod"}],
    }
    with Bridge(tmp_path / "data", config=config) as bridge:
        bridge.create_user("artist", roles=["artist"])
        artist = bridge.as_user("artist")
        shot: dict[str, str | int] = {"shot": "sh010", "version": 3, "reel": "r1"}
        made = artist.create("Comp", "alpha", "comp", metadata=shot)
        assert (made.path, made.metadata) == ("alpha/sh010/v003", shot)
        assert made.destination == str(production / "alpha" / "sh010" / "v003")
        assert artist.where(made.code, "windows").production == "P:\\alpha\\sh010\\v003"
        there = artist.translate("p:/alpha/sh010", "windows", "macos")
        assert there == "/Volumes/prod/alpha/sh010"
        refusals: list[tuple[dict[str, str | int] | None, str]] = [
            (None, "transfer.missing_field"),
            ({"shop": "x"}, "transfer.unknown_field"),
            ({"shot": "..", "version": 1}, "transfer.bad_field"),
        ]
        for metadata, code in refusals:
            with pytest.raises(databridge.InvalidError) as refused:
                artist.create("Comp", "alpha", "comp", metadata=metadata)
            assert refused.value.code == code
        with pytest.raises(databridge.ConflictError) as taken:
            artist.create("Comp", "alpha", "comp", metadata=shot)
        assert taken.value.code == "transfer.path_taken"
        with pytest.raises(databridge.NotFound) as nowhere:
            artist.translate("/elsewhere", "macos", "windows")
        assert nowhere.value.code == "mounts.not_mounted"


def test_a_rejection_comes_back_and_goes_again(bridge: Bridge, shot: Path) -> None:
    artist, lead = bridge.as_user("artist"), bridge.as_user("team_lead")
    code = artist.create("Comp v001", "alpha", "comp").code
    artist.add(code, shot / "comp_v003.1001.exr")
    artist.submit(code)
    bridge.wait(code)
    with pytest.raises(databridge.InvalidError):
        lead.reject(code, "")
    assert lead.reject(code, "the matte is soft").state == "rejected"
    assert artist.show(code).reason == "the matte is soft"
    artist.add(code, shot / "comp_v003.1002.exr")
    artist.submit(code)
    again = bridge.wait(code)
    assert (again.state, again.revision, again.file_count) == ("team_lead_review", 2, 2)
    assert [one.path for one in artist.files(code)] == ["comp_v003.1001.exr", "comp_v003.1002.exr"]
    assert artist.cancel(code).state in {"cancelling", "cancelled"}
    assert bridge.wait(code).state == "cancelled"
    assert bridge.list(state="cancelled", project="alpha")[0].code == code


def test_refusals_carry_code_and_hint(bridge: Bridge, shot: Path) -> None:
    artist = bridge.as_user("artist")
    with pytest.raises(databridge.NotFound) as missing:
        artist.show("TRF-99999")
    assert missing.value.code == "transfer.not_found"
    assert missing.value.hint
    code = artist.create("Comp", "alpha", "comp").code
    with pytest.raises(databridge.IllegalState):
        bridge.as_user("it_team").start(code)
    with pytest.raises(databridge.PermissionDenied) as refused:
        bridge.as_user("team_lead").create("Comp", "alpha", "comp")
    assert "artist" in refused.value.required_roles
    with pytest.raises(databridge.InvalidError):
        artist.create("Comp", "../alpha", "comp")
    with pytest.raises(databridge.InvalidError) as unknown:
        bridge.call("transfer_show", code=code, oops=1)
    assert unknown.value.code == "python.call"
    with pytest.raises(databridge.InvalidError):
        bridge.call("no_such_call")
    with pytest.raises(databridge.DatabridgeError):
        bridge.as_user("nobody").me()
    (shot / "link").symlink_to("/etc/passwd")
    with pytest.raises(databridge.InvalidError, match="link"):
        artist.add(code, shot)
    with pytest.raises(TypeError, match="path: expected"):
        artist.add(code, None)  # type: ignore[arg-type]


def test_one_key_is_one_command(bridge: Bridge) -> None:
    fields = {"title": "Comp", "project": "alpha", "category": "comp"}
    first = bridge.call("transfer_create", idempotency_key="k", **fields)
    assert bridge.call("transfer_create", idempotency_key="k", **fields) == first
    assert len(bridge.list()) == 1


def test_waiting_has_an_end(bridge: Bridge, shot: Path) -> None:
    code = bridge.create("Comp", "alpha", "comp").code
    bridge.add(code, shot)
    bridge.submit(code)
    with pytest.raises(databridge.WaitTimeout):
        bridge.wait(code, timeout=0)
    assert isinstance(databridge.WaitTimeout("late"), TimeoutError)
    with pytest.raises(databridge.InvalidError):
        bridge.wait(code, timeout=-1)


def test_users(bridge: Bridge) -> None:
    made = bridge.create_user("compositor", roles=["artist"], display_name="A compositor")
    assert made.display_name == "A compositor"
    changed = bridge.set_role("compositor", "team_lead", project="alpha")
    assert {one["role"] for one in changed.grants} == {"artist", "team_lead"}
    assert not bridge.set_active("compositor", False).active
    assert "compositor" in {one.username for one in bridge.users()}
    with pytest.raises(databridge.ConflictError):
        bridge.create_user("compositor")
    with pytest.raises(databridge.PermissionDenied):
        bridge.as_user("artist").create_user("friend", roles=["admin"])


def test_a_role_for_a_time(bridge: Bridge) -> None:
    later = datetime(2099, 1, 1, tzinfo=timezone.utc)
    bridge.set_role("artist", "data_team", begin=later, project="alpha")
    assert "data_team" not in {one["role"] for one in bridge.as_user("artist").me()["grants"]}
    (term,) = [one for one in bridge.user("artist")["terms"] if one["role"] == "data_team"]
    assert (term["from"], term["in_force"]) == ("2099-01-01T00:00:00Z", False)
    with pytest.raises(databridge.InvalidError):
        bridge.set_role("artist", "data_team", begin=later, until=later)


def test_what_follows_a_delivery_and_what_is_removed_after_it(tmp_path: Path, shot: Path) -> None:
    told = tmp_path / "told.json"
    script = f'cat > "{told}"; exit 3'
    config = {
        "hooks": [{"name": "index", "command": ["/bin/sh", "-c", script], "attempts": 1}],
        "housekeeping": {"delivered_days": 0},
    }
    with Bridge(tmp_path / "data", config=config) as bridge:
        for role in ("artist", "team_lead", "supervisor", "line_producer", "data_team", "it_team"):
            bridge.create_user(role, roles=[role])
        code = reviewed(bridge, shot)
        bridge.as_user("data_team").scan(code)
        bridge.wait(code)
        bridge.as_user("data_team").decide(code, "accept", "frames of our own farm")
        bridge.as_user("it_team").start(code)
        delivered = bridge.wait(code)
        assert delivered.state == "delivered"
        (hook,) = delivered.hooks
        assert (hook["hook"], hook["state"]) == ("index", "dead")
        assert json.loads(told.read_text())["data"]["code"] == code
        assert "retry_hook" in {step["action"] for step in bridge.explain(code).next}
        (again,) = bridge.retry_hook(code, "index")
        assert again["state"] == "ready"
        bridge.wait(code)

        staged = tmp_path / "data" / "staging" / code
        plan = bridge.housekeeping(dry_run=True)
        assert [(one["what"], one["path"]) for one in plan["items"]] == [("delivered", code)]
        assert staged.exists()
        assert bridge.housekeeping()["state"] == "done"
        assert not staged.exists()
        assert bridge.housekeeping(dry_run=True)["items"] == []
        assert "transfer.staging_removed" in {one.kind for one in bridge.history(code)}


def test_a_closed_bridge_says_so_and_another_may_open(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path / "data")
    other = Bridge(tmp_path / "data")
    assert bridge.one_time_password
    assert other.one_time_password is None
    code = bridge.create("Comp", "alpha", "comp").code
    assert other.show(code).state == "draft"
    bridge.close()
    bridge.close()
    with pytest.raises(databridge.IllegalState) as closed:
        bridge.show(code)
    assert closed.value.code == "python.closed"
    assert other.show(code).code == code
    other.close()


def test_a_configuration_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(databridge.InvalidError):
        Bridge(tmp_path, config={"workers": "many"})
    with pytest.raises(databridge.InvalidError):
        Bridge(tmp_path, config={"lease_seconds": 0})
    with pytest.raises(databridge.IoError):
        Bridge("/proc/nowhere/data").me()
