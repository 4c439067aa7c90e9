"""Fixtures: a folder of frames, and a store with one user for each role."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import databridge
from databridge import Bridge

ROLES = ("artist", "team_lead", "supervisor", "line_producer", "data_team", "it_team")


def picture(line: bytes) -> bytes:
    """An OpenEXR picture of one line."""
    head = b"\x76\x2f\x31\x01\x02\0\0\0"
    head += b"dataWindow\0box2i\0" + struct.pack("<i4i", 16, 0, 0, 9, 0)
    head += b"compression\0compression\0\x01\0\0\0\0\0"
    return head + struct.pack("<Qii", len(head) + 8, 0, len(line)) + line


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    folder = tmp_path / "shot"
    (folder / "notes").mkdir(parents=True)
    for frame in range(1001, 1006):
        (folder / f"comp_v003.{frame}.exr").write_bytes(picture(bytes([frame % 251]) * 5000))
    (folder / "notes" / "readme.txt").write_text("for the supervisor\n")
    return folder


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    with databridge.Bridge(tmp_path / "data") as opened:
        for role in ROLES:
            opened.create_user(role, roles=[role])
        yield opened
