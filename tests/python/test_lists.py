"""Lists of files in other people's formats, against other people's tools."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
from pathlib import Path

import pytest

import databridge

WITNESSES = Path(os.environ["WITNESSES"])


def witness(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [WITNESSES / program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def accepted(program: str, *arguments: str | Path) -> None:
    said = witness(program, *arguments)
    assert said.returncode == 0, said.stdout + said.stderr


def test_ascmhl_accepts_our_history(shot: Path) -> None:
    first = databridge.write_manifest(shot, format="ascmhl")
    assert len(first) == 6
    assert first.format == "ascmhl"
    assert set(first.entries[0].digests) == {"c4", "xxh128", "sha256"}
    accepted("ascmhl-debug", "verify", shot)
    (shot / "later & <odd> 'name'.txt").write_text("later")
    assert len(databridge.write_manifest(shot, format="ascmhl")) == 7
    accepted("ascmhl-debug", "verify", shot)
    assert databridge.verification(shot).verified
    (shot / "notes" / "readme.txt").write_text("damaged")
    assert witness("ascmhl-debug", "verify", shot).returncode != 0
    (found,) = databridge.verify(shot)
    assert (found.path, found.difference) == ("notes/readme.txt", "size")


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "xxh64", "xxh3", "xxh128", "c4"])
def test_a_history_of_ascmhl_is_read_and_gone_on_with(shot: Path, algorithm: str) -> None:
    accepted("ascmhl", "create", "-h", algorithm, shot)
    report = databridge.verification(shot)
    assert (report.verified, report.files, report.format) == (True, 6, "ascmhl")
    known = databridge.read_manifest(shot)
    assert all(list(one.digests) == [algorithm] for one in known.entries)
    databridge.write_manifest(shot, format="ascmhl")
    accepted("ascmhl-debug", "verify", shot)
    known = databridge.read_manifest(shot)
    assert {algorithm, "c4", "xxh128", "sha256"} == set(known.entries[0].digests)
    (shot / "new.txt").write_text("new")
    accepted("ascmhl", "create", "-h", algorithm, shot)
    assert databridge.verification(shot).verified


def test_histories_inside_a_history(shot: Path) -> None:
    accepted("ascmhl", "create", "-h", "xxh64", shot / "notes")
    accepted("ascmhl", "create", "-h", "xxh64", shot)
    report = databridge.verification(shot)
    assert report.verified, report
    assert report.files == 6
    (shot / "notes" / "readme.txt").write_text("for the supervisoR\n")
    (found,) = databridge.verify(shot)
    assert (found.path, found.difference) == ("notes/readme.txt", "digest")
    (chained,) = (shot / "notes" / "ascmhl").glob("0001*.mhl")
    chained.write_text(chained.read_text() + "<!-- -->")
    paths = [one.path for one in databridge.verify(shot)]
    assert f"notes/ascmhl/{chained.name}" in paths


def test_renames_are_followed(shot: Path) -> None:
    accepted("ascmhl", "create", "-h", "md5", shot)
    (shot / "notes" / "readme.txt").rename(shot / "notes" / "read me.txt")
    accepted("ascmhl", "create", "-h", "md5", "-dr", shot)
    assert databridge.verification(shot).verified


def test_bags_go_both_ways(shot: Path, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    databridge.verified_copy(shot, bag / "data")
    written = databridge.write_manifest(bag, format="bagit")
    assert written.format == "bagit"
    accepted("bagit.py", "--validate", bag)
    theirs = tmp_path / "theirs"
    databridge.verified_copy(shot, theirs)
    accepted("bagit.py", "--md5", "--sha512", theirs)
    assert databridge.verification(theirs).verified
    (theirs / "data" / "notes" / "readme.txt").unlink()
    assert [one.difference for one in databridge.verify(theirs)] == ["missing"]
    with pytest.raises(databridge.InvalidError):
        databridge.write_manifest(bag, tmp_path / "list", format="bagit")


def test_verification_goes_on_where_it_ended(shot: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.json"
    written = databridge.write_manifest(shot, listed, format="json")
    assert databridge.read_manifest(listed).entries == written.entries
    state = tmp_path / "state"
    ended = databridge.verification(shot, listed, state=state, for_seconds=0)
    assert not ended
    assert (ended.complete, ended.left_files) == (False, 6)
    for path in shot.rglob("*"):
        # Old enough to be remembered, as far as a test can make it so.
        os.utime(path, (1, 1))
    report = databridge.verification(shot, listed, state=state)
    assert report
    assert report.files + report.remembered_files == 6
    assert pickle.loads(pickle.dumps(report)) == report
    with pytest.raises(databridge.InvalidError):
        databridge.verification(shot, listed, state=listed)


def test_checksum_tree_is_what_hashlib_says(shot: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        found = databridge.checksum_tree(shot, ("md5",), cache=cache)
        for one in found:
            content = (shot / one.path).read_bytes()
            assert one.sha256 == hashlib.sha256(content).hexdigest()
            assert one.digests["md5"] == hashlib.md5(content).hexdigest()
            assert not one.cached  # too young
    assert pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(AttributeError):
        found[0].path = "x"  # type: ignore[misc]
