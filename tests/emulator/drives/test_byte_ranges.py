"""Parts of a file, as headers name them, by chance: what is understood is right, and what is not breaks nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.testing.wire.byte_ranges import UnsatisfiableRange, parse_content_range, parse_range

SIZES = st.integers(0, 200)


@given(size=SIZES, first=SIZES, last=SIZES)
def test_a_part_is_what_python_slices(size: int, first: int, last: int) -> None:
    """First and last byte, an open end, and so many from the end give the slice, or nothing where there is none."""
    data = bytes(range(size))
    suffix = data[size - last :] if last < size else data
    for text, expected in (
        (f"bytes={first}-{last}", data[first : last + 1] if first <= last else None),
        (f"bytes={first}-", data[first:]),
        (f"bytes=-{last}", suffix if last else b""),
    ):
        if expected == b"":
            with pytest.raises(UnsatisfiableRange):
                parse_range(text, size)
            continue
        part = parse_range(text, size)
        assert (part and data[part.start : part.end + 1]) == expected
        assert part is None or (len(part), part.total) == (len(expected or b""), size)


@given(text=st.text(alphabet="bytes=/-*0123 ", max_size=20), size=SIZES)
def test_whatever_a_header_says_is_no_crash(text: str, size: int) -> None:
    """Any text is a part within the file, no part, or one beyond the end."""
    try:
        part = parse_range(text, size)
    except UnsatisfiableRange:
        part = None
    assert part is None or 0 <= part.start <= part.end < size
    parsed = parse_content_range(text)
    assert parsed is None or parsed.start <= parsed.end < parsed.total


@given(start=SIZES, end=SIZES, total=SIZES)
def test_content_range_fits_or_is_none(start: int, end: int, total: int) -> None:
    """A Content-Range is understood exactly when its part lies in the whole."""
    part = parse_content_range(f"bytes {start}-{end}/{total}")
    assert (part is not None) == (start <= end < total)
    assert part is None or (part.start, part.end, part.total, len(part)) == (start, end, total, end - start + 1)
