"""The functions over files, against other programs' word."""

from __future__ import annotations

import hashlib
import os
import pickle
import pwd
import subprocess
from pathlib import Path

import pytest

import databridge
from databridge import errors


def test_checksum_is_what_hashlib_says(shot: Path) -> None:
    path = shot / "comp_v003.1001.exr"
    found = databridge.checksum(path, ("md5", "sha512", "xxh128", "c4"))
    content = path.read_bytes()
    assert found.path == str(path)
    assert found.size_bytes == len(content)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.digests["md5"] == hashlib.md5(content).hexdigest()
    assert found.digests["sha512"] == hashlib.sha512(content).hexdigest()
    assert found.digests["c4"].startswith("c4")
    assert pickle.loads(pickle.dumps(found)) == found
    assert "Checksum(" in repr(found)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.dat"
    with open(name, "wb") as file:  # noqa: PTH123
        file.write(b"abc")
    assert databridge.checksum(name).sha256 == hashlib.sha256(b"abc").hexdigest()


def test_checksum_tree_is_sorted_and_tells_progress(shot: Path) -> None:
    seen: list[databridge.Progress] = []
    found = databridge.checksum_tree(shot, progress=seen.append)
    assert [one.path for one in found] == sorted(one.path for one in found)
    assert len(found) == 6
    assert seen[-1].files == seen[-1].files_total == 6
    assert seen[-1].bytes == seen[-1].bytes_total == sum(one.size_bytes for one in found)


def test_verified_copy_appears_whole(shot: Path, tmp_path: Path) -> None:
    report = databridge.verified_copy(shot, tmp_path / "there" / "shot")
    assert report.destination == tmp_path / "there" / "shot"
    assert report.shape == "tree"
    assert report.read_back in {"direct", "dropped", "server", "memory"}
    assert {one.path: one.sha256 for one in report.files} == {
        one.path: one.sha256 for one in databridge.checksum_tree(report.destination)
    }
    assert pickle.loads(pickle.dumps(report)) == report
    with pytest.raises(databridge.ConflictError) as refused:
        databridge.verified_copy(shot, tmp_path / "there" / "shot")
    assert refused.value.code == "copy.destination_exists"


def test_a_copy_is_given_what_was_chosen(tmp_path: Path) -> None:
    source = tmp_path / "shot"
    (source / "bin").mkdir(parents=True)
    tool = source / "bin" / "run.sh"
    tool.write_bytes(b"#!/bin/sh\n")
    tool.chmod(0o4755)
    os.utime(source / "bin", ns=(1_234_567_890_123_456_789,) * 2)
    # The folders that pytest makes are nobody else's.
    reader = f"user:{pwd.getpwuid(os.getuid()).pw_name}"
    report = databridge.verified_copy(
        source, tmp_path / "one", keep_mode=True, keep_dir_mtime=True, readable_by=reader
    )
    assert report.lost_attributes == ()
    assert (tmp_path / "one" / "bin" / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "one" / "bin").stat().st_mtime_ns == 1_234_567_890_123_456_789
    databridge.verified_copy(source, tmp_path / "two", file_mode=0o640, dir_mode=0o750)
    assert (tmp_path / "two" / "bin" / "run.sh").stat().st_mode & 0o7777 == 0o640
    with pytest.raises(databridge.DatabridgeError) as refused:
        databridge.verified_copy(source, tmp_path / "three", xattrs=["security"])
    assert refused.value.code == "copy.policy"
    with pytest.raises(databridge.DatabridgeError) as refused:
        databridge.verified_copy(source, tmp_path / "three", file_mode=0o600, readable_by="others")
    assert refused.value.code == "copy.unreadable"
    assert not (tmp_path / "three").exists()


def test_names_of_one_file_are_copied_kept_or_refused(tmp_path: Path) -> None:
    source = tmp_path / "shot"
    source.mkdir()
    (source / "a.exr").write_bytes(b"frame" * 1000)
    (source / "b.exr").hardlink_to(source / "a.exr")
    report = databridge.verified_copy(source, tmp_path / "copied")
    assert (report.shared_files, report.linked_files) == (1, 0)
    assert not (tmp_path / "copied" / "a.exr").samefile(tmp_path / "copied" / "b.exr")
    report = databridge.verified_copy(source, tmp_path / "kept", hard_links="keep")
    assert (report.shared_files, report.linked_files) == (1, 1)
    assert (tmp_path / "kept" / "a.exr").samefile(tmp_path / "kept" / "b.exr")
    assert sum(report.read_back_files.values()) == 2
    with pytest.raises(databridge.DatabridgeError) as refused:
        databridge.verified_copy(source, tmp_path / "refused", hard_links="refuse")
    assert refused.value.code == "copy.hard_linked"
    assert not (tmp_path / "refused").exists()


def test_a_list_of_other_digests_says_what_the_source_is(shot: Path, tmp_path: Path) -> None:
    sums = tmp_path / "MD5SUMS"
    files = sorted(path for path in shot.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(shot)}\n"
        for path in files
    ]
    sums.write_text("".join(lines))
    report = databridge.verified_copy(
        shot, tmp_path / "right", manifest=sums, algorithms=["xxh128"]
    )
    for one in report.files:
        assert one.digests is not None
        content = (shot / one.path).read_bytes()
        assert one.digests["md5"] == hashlib.md5(content).hexdigest()
        assert set(one.digests) == {"sha256", "md5", "xxh128"}
    files[0].write_bytes(files[0].read_bytes()[::-1] + b"x")
    with pytest.raises(databridge.CheckFailed) as refused:
        databridge.verified_copy(shot, tmp_path / "wrong", manifest=sums)
    assert refused.value.code == "copy.source_differs"
    assert files[0].name in str(refused.value)
    assert not (tmp_path / "wrong").exists()


def test_a_progress_that_raises_stops_the_copy(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(_: databridge.Progress) -> None:
        raise Enough

    source = tmp_path / "plate.dpx"
    source.write_bytes(b"x" * 50_000_000)
    with pytest.raises(Enough):
        databridge.verified_copy(
            source,
            tmp_path / "copy.dpx",
            resume=False,
            limit_bytes_per_second=10_000_000,
            progress=stop,
        )
    assert not (tmp_path / "copy.dpx").exists()


def test_manifest_is_what_sha256sum_checks(shot: Path, tmp_path: Path) -> None:
    listed = tmp_path / "SHA256SUMS"
    written = databridge.write_manifest(shot, listed)
    assert databridge.read_manifest(listed) == written
    assert len(written) == 6
    subprocess.run(["sha256sum", "-c", "--quiet", listed], cwd=shot, check=True)
    with pytest.raises(databridge.ConflictError):
        databridge.write_manifest(shot, listed)


def test_verify_names_every_difference(shot: Path, tmp_path: Path) -> None:
    listed = tmp_path / "shot.proof" / "SHA256SUMS"
    listed.parent.mkdir()
    databridge.write_manifest(shot, listed)
    assert databridge.verify(shot) == ()
    (shot / "comp_v003.1002.exr").unlink()
    (shot / "new.txt").write_text("?")
    content = shot / "notes" / "readme.txt"
    content.write_text("for the supervisoR\n")
    found = databridge.verify(shot, listed)
    assert [(one.path, one.difference) for one in found] == [
        ("comp_v003.1002.exr", "missing"),
        ("new.txt", "extra"),
        ("notes/readme.txt", "content"),
    ]
    assert str(found[0]) == "comp_v003.1002.exr: missing"


def test_rules_alone_never_say_clean(shot: Path) -> None:
    (one, two) = databridge.scan([shot, shot / "notes" / "readme.txt"])
    assert (one.verdict, one.detail) == ("not_scanned", "no_antivirus")
    assert one.counts["not_scanned"] == 6
    assert two.path == shot / "notes" / "readme.txt"
    assert pickle.loads(pickle.dumps(one)) == one


def test_clamd_that_does_not_answer_is_no_scan(shot: Path, tmp_path: Path) -> None:
    with pytest.raises(databridge.DatabridgeError) as refused:
        databridge.scan(shot, "clamd", clamd=str(tmp_path / "no.ctl"))
    assert refused.value.code.startswith("scan.")


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(databridge.DatabridgeError) as missing:
        databridge.checksum(tmp_path / "missing.exr")
    assert "missing.exr" in str(missing.value)
    with pytest.raises(databridge.DatabridgeError) as folder:
        databridge.checksum(tmp_path)
    assert folder.value.code == "storage.not_a_file"
    with pytest.raises(TypeError, match=r"path: expected .*, not int"):
        databridge.checksum(7)  # type: ignore[arg-type]
    with pytest.raises((databridge.DatabridgeError, ValueError)):
        databridge.checksum("a\0b")
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(databridge.InvalidError, match="link"):
        databridge.checksum_tree(tmp_path)
    with pytest.raises(databridge.InvalidError, match="crc32"):
        databridge.checksum(__file__, ["crc32"])


def test_errors_survive_pickling_and_are_one_tree() -> None:
    error = errors.from_kind("forbidden", "identity.forbidden", "no", "ask", ["admin"])
    assert isinstance(error, databridge.PermissionDenied)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.code, copy.hint, copy.required_roles) == (
        "no",
        "identity.forbidden",
        "ask",
        ("admin",),
    )
    assert type(errors.from_kind("tomorrow", "x.y", "?", None, [])) is databridge.DatabridgeError
