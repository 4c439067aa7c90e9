"""Scans as the program and the daemon make them: the same verdicts, the same policy."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import databridge

from clamav import EICAR, clamd


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    with clamd() as socket:
        yield socket


@pytest.fixture
def policy(socket: str, tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(
        f"""
[scan]
engine = "clamd"
clamd = {{ address = "{socket}" }}
[scan.policy]
signature_max_age_seconds = "any"
[scan.content]
allow = ["archive"]
[[scan.content.rule]]
project = "film"
category = "plates"
allow = ["text", "archive"]
"""
    )
    return path


def test_the_verdicts_of_a_real_clamd(socket: str, policy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "delivery"
    folder.mkdir()
    (folder / "note.txt").write_text("note\n")

    def verdict() -> tuple[str, str | None]:
        (one,) = databridge.scan(folder, policy=policy, project="film", category="plates")
        return one.verdict, one.detail

    assert verdict() == ("clean", None)
    with zipfile.ZipFile(folder / "packed.zip", "w") as archive:
        archive.writestr("note.txt", "note\n")
    content = bytearray((folder / "packed.zip").read_bytes())
    for at in (6, content.index(b"PK\1\2") + 8):
        content[at] |= 1
    (folder / "packed.zip").write_bytes(content)
    assert verdict() == ("not_scanned", "encrypted")
    (folder / "bad.com").write_text(EICAR)
    assert verdict()[0] == "infected"
    # Signatures of our own bear no date: without a policy they are taken for old.
    (folder / "bad.com").unlink()
    (folder / "packed.zip").unlink()
    (one,) = databridge.scan(folder, "clamd", clamd=socket)
    assert (one.verdict, one.detail) == ("not_scanned", "stale_signatures")


def test_a_policy_by_project_and_category(policy: Path, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("note\n")
    (one,) = databridge.scan(note, policy=policy)
    assert (one.verdict, one.detail) == ("suspicious", "content.not_allowed")
    (one,) = databridge.scan(note, "rules", policy=policy, project="film", category="plates")
    assert (one.verdict, one.detail) == ("not_scanned", "no_antivirus")
    policy.write_text("[scan.content]\nalow = []\n")
    with pytest.raises(databridge.DatabridgeError, match="line 2") as refused:
        databridge.scan(note, policy=policy)
    assert refused.value.code == "scan.policy"
