"""Fixtures: a folder of frames, and a store with one user for each role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import databridge
from databridge import Bridge

ROLES = ("artist", "team_lead", "supervisor", "line_producer", "data_team", "it_team")


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    folder = tmp_path / "shot"
    (folder / "notes").mkdir(parents=True)
    for frame in range(1001, 1006):
        (folder / f"comp_v003.{frame}.exr").write_bytes(
            b"\x76\x2f\x31\x01" + bytes([frame % 251]) * 5000
        )
    (folder / "notes" / "readme.txt").write_text("for the supervisor\n")
    return folder


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    with databridge.Bridge(tmp_path / "data") as opened:
        for role in ROLES:
            opened.create_user(role, roles=[role])
        yield opened
