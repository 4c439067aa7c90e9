"""Frame sequences: the rules, and Fileseq's word on all that is not ours on purpose."""

from __future__ import annotations

import os
import pickle
from decimal import Decimal
from pathlib import Path

import pytest
from fileseq.constants import PAD_STYLE_HASH1, PAD_STYLE_HASH4
from fileseq.filesequence import FileSequence
from fileseq.frameset import FrameSet
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

import databridge
from databridge import find_sequences

LONG = bool(os.environ.get("DATABRIDGE_TEST_LONG"))
# Nothing depends on how fast this machine is today.
CALM = settings(
    deadline=None,
    derandomize=not LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
)
STYLES = {"hash1": PAD_STYLE_HASH1, "hash4": PAD_STYLE_HASH4}

# A dash before digits is a sign only after a separator, so here a dash is always one.
bases = st.sampled_from(["comp.", "plate_", "shot_010.bty.", "shots/a.", "comp_v003.", "."])
extensions = st.sampled_from([".exr", ".bgeo.sc", ".tar.gz", ".mp4", ".0e"])


@st.composite
def frames(draw: st.DrawFn, decimals: int = 0) -> str:
    number = draw(st.one_of(st.integers(-12, 12), st.integers(990, 1010), st.integers(1, 12000)))
    width = draw(st.sampled_from([1, 2, 3, 4, 5]))
    text = str(number).zfill(width)
    if not decimals:
        return text
    part = draw(st.integers(0, 10**decimals - 1))
    return f"{text}.{str(part).zfill(decimals)}"


def is_padded(text: str) -> bool:
    digits = text.partition(".")[0].lstrip("-")
    return len(digits) > 1 and digits[0] == "0"


def is_settled(texts: set[str]) -> bool:
    """Fileseq takes names of one length as they come out of a set, which is another order
    each time; so `1 01 10` falls one way today and another tomorrow."""
    width = {text: len(text.partition(".")[0]) for text in texts}
    return not any(
        width[a] == width[b]
        and is_padded(a)
        and not is_padded(b)
        and min(width.values()) < width[a]
        for a in texts
        for b in texts
    )


def theirs(names: list[str], style: str, subframes: bool) -> set[tuple[object, ...]]:
    found = FileSequence.findSequencesInList(
        names, pad_style=STYLES[style], allow_subframes=subframes
    )
    return {
        (
            os.path.join(one.dirname(), one.basename()),  # noqa: PTH118
            one.padding(),
            one.extension(),
            frozenset(map(Decimal, map(str, one.frameSet() or ()))),
            frozenset(map(Decimal, map(str, FrameSet(one.invertedFrameRange() or "")))) or None
            # Fileseq has an assertion of its own that fails for some sub-frames.
            if one.frameSet() is not None and not subframes
            else None,
        )
        for one in found
    }


def ours(names: list[str], style: str, subframes: bool) -> set[tuple[object, ...]]:
    found = find_sequences(names, padding=style, subframes=subframes, singles=True, hidden=True)
    for one in found:
        # A range that Fileseq reads as what we mean.
        assert {Decimal(str(frame)) for frame in FrameSet(one.frame_range)} == set(one.frames)
        assert {os.fspath(path) for path in one.paths()} <= set(names)
    return {
        (
            os.path.join(one.directory, one.basename),  # noqa: PTH118
            one.padding,
            one.extension,
            frozenset(map(Decimal, one.frames)),
            frozenset(map(Decimal, one.missing)) or None,
        )
        for one in found
    }


@settings(CALM, max_examples=1500 if LONG else 150)
@given(
    st.lists(
        st.tuples(bases, extensions, st.sets(frames(), max_size=8)),
        max_size=4,
        unique_by=lambda x: x[:2],
    ),
    st.lists(st.sampled_from(["readme.txt", "a.1001", "take.mov", ".hidden", "tex.<UDIM>.exr"])),
    st.sampled_from(sorted(STYLES)),
)
def test_what_fileseq_finds(
    groups: list[tuple[str, str, set[str]]], others: list[str], style: str
) -> None:
    assume(all(is_settled(texts) for _, _, texts in groups))
    names = [base + text + end for base, end, texts in groups for text in texts] + others
    assert ours(names, style, False) == theirs(names, style, False)


@settings(CALM, max_examples=1500 if LONG else 75)
@given(
    bases.filter(lambda base: "v003" not in base),
    st.sets(st.one_of(frames(1), frames(2), frames()), max_size=8),
    st.sampled_from(sorted(STYLES)),
)
def test_what_fileseq_finds_of_subframes(base: str, texts: set[str], style: str) -> None:
    assume(all(is_settled({t for t in texts if len(t.partition(".")[2]) == n}) for n in range(3)))
    # Minus nothing and a half: Fileseq counts the zero as padding.
    assume(not any(text.startswith("-0.") for text in texts))
    names = [f"{base}{text}.exr" for text in texts]
    # Of what is missing among whole frames the other test speaks.
    found = ours(names, style, True)
    try:
        expected = theirs(names, style, True)
    except AssertionError:
        reject()  # Fileseq's own, as for 0.0, 990.1 and 991.1
    assert {one[:-1] for one in found} == {one[:-1] for one in expected}


def test_where_we_differ_from_fileseq_on_purpose() -> None:
    def sequences(*names: str, **options: bool) -> list[str]:
        return [str(one) for one in find_sequences(names, **options)]  # type: ignore[arg-type]

    # Versions.
    assert sequences("shot_v002.ma", "shot_v003.ma", "v1.nk") == []
    assert sequences("comp_v003.1001.exr", subframes=True) == ["comp_v003.1001####.exr"]
    # 999 is no frame of ####; 10000 overflows it.
    assert sequences("a.0998.exr", "a.999.exr", "a.10000.exr") == [
        "a.999###.exr",
        "a.998,10000####.exr",
    ]
    # UDIM.
    (tiles,) = find_sequences(["tex.1001.exr", "tex.1012.exr", "tex.<UDIM>.exr"])
    assert (tiles.kind, str(tiles.missing)) == ("tiles", "")
    # A dash is a sign only after a separator; zero has none.
    assert sequences("a-0001.exr", "a-0002.exr") == ["a-1-2####.exr"]
    assert sequences("a.-000.exr") == ["a.-0###.exr"]
    # A checksum is no frame.
    assert sequences("a.1234567890123456.exr") == []


def test_results_are_small_frozen_and_picklable(tmp_path: Path) -> None:
    names: list[str | bytes | Path] = ["a.1.exr", "a.900000000000000.exr"]
    names += [b"\xff.0001.exr", tmp_path / "b.1.25.exr"]
    found = find_sequences(names, subframes=True)
    assert pickle.loads(pickle.dumps(found)) == found
    by_base = {one.basename: one for one in found}
    huge = by_base["a."]
    assert len(huge.missing) == 899_999_999_999_998
    assert 899_999_999_999_999 in huge.missing
    assert 1 not in huge.missing
    assert (huge.missing[0], huge.missing[-1]) == (2, 899_999_999_999_999)
    with pytest.raises(IndexError):
        huge.frames[2]
    assert os.fsencode(next(by_base["\udcff."].paths())) == b"\xff.0001.exr"
    fine = by_base["b."]
    assert list(fine.frames) == [Decimal("1.25")]
    assert Decimal("1.25") in fine.frames
    assert 1 not in fine.frames
    assert "1" not in fine.frames
    assert fine.path(Decimal("1.25")) == tmp_path / "b.1.25.exr"
    with pytest.raises(AttributeError):
        fine.kind = "tiles"  # type: ignore[misc]


def test_a_folder_tells_what_is_wrong(tmp_path: Path) -> None:
    for frame, size in {1: 50, 2: 50, 3: 0, 4: 50, 6: 50, 7: 50, 8: 49}.items():
        (tmp_path / f"a.{frame:04}.dpx").write_bytes(b"x" * size)
    (tmp_path / "a.4.dpx").write_bytes(b"x")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.0001.exr").write_bytes(b"x")
    one, two, below = find_sequences(tmp_path)
    assert (str(one), str(one.duplicates)) == (str(tmp_path / "a.4#.dpx"), "4")
    wrong = [two.missing, two.zero_byte, two.outliers, two.duplicates]
    assert [str(frames) for frames in wrong] == ["5", "3", "8", "4"]
    assert two.total_bytes == 299
    assert below.directory == str(tmp_path / "below")
    assert len(find_sequences(tmp_path, recursive=False)) == 2
    assert find_sequences(tmp_path, step=3, recursive=False)[1].missing.text == ""
    assert databridge.begin(find_sequences, tmp_path).wait() == (one, two, below)
