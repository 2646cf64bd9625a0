"""Which bytes go next, and which have come: whatever a service says, nothing is lost and nothing loops."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.errors import ConfigurationError
from entra_async.rules.http.ranges import (
    ATTACHMENT_CHUNK,
    CHUNK,
    ContentRange,
    ExpectedRange,
    check_chunk_size,
    chunk_length,
    parse_content_range,
    read_expected_range,
)

UNIT = 327_680
sizes = st.integers(0, 10**12)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"nextExpectedRanges": ["0-"]}, ExpectedRange(0, None)),
        ({"nextExpectedRanges": ["12345-55232", "77829-99375"]}, ExpectedRange(12345, 55233)),
        ({"nextExpectedRanges": ["77829-99375", "12345-55232"]}, ExpectedRange(12345, 55233)),
        ({"NextExpectedRanges": ["2097152"]}, ExpectedRange(2097152, None)),
        ({"nextExpectedRanges": []}, None),
        ({"nextExpectedRanges": "0-"}, None),
        ({"nextExpectedRanges": ["x", None, "-5", "1e3-"]}, None),
        ({"id": "1"}, None),
        (None, None),
        ([], None),
    ],
)
def test_what_a_session_wants(body: Any, wanted: ExpectedRange | None) -> None:
    """The first missing range counts, in the words of drives and of Outlook."""
    assert read_expected_range(body) == wanted


@given(st.lists(st.text() | st.none() | st.integers(), max_size=4))
def test_any_ranges_are_read_or_passed_over(ranges: list[Any]) -> None:
    """No response of a service raises."""
    wanted = read_expected_range({"nextExpectedRanges": ranges})

    assert wanted is None or wanted.start >= 0


@given(sizes, sizes, st.none() | sizes, st.integers(1, 100))
def test_a_chunk_stays_within_all_bounds(total: int, start: int, end: int | None, units: int) -> None:
    """A chunk never reaches past the file, the wanted range or the chunk size, and is empty only if nothing is left."""
    length = chunk_length(ExpectedRange(start, end), total=total, chunk_size=units * UNIT)

    assert 0 <= length <= units * UNIT
    assert length == 0 or start + length <= min(total, total if end is None else end)
    assert (length == 0) == (start >= total or (end is not None and end <= start))


@given(st.integers(1, 2_000_000_000), st.integers(1, 191))
def test_chunks_cover_a_file_once(total: int, units: int) -> None:
    """Chunk after chunk, a file is sent once, in order; all but the last are multiples of 320 KiB."""
    size = units * UNIT
    total = min(total, size * 50)
    start, lengths = 0, []
    while start < total:
        lengths.append(chunk_length(ExpectedRange(start, None), total=total, chunk_size=size))
        start += lengths[-1]

    assert sum(lengths) == total
    assert all(length % UNIT == 0 for length in lengths[:-1])


@pytest.mark.parametrize("size", [0, -UNIT, UNIT + 1, 10_000_000, 192 * UNIT, "327680", True, 327680.0])
def test_chunk_sizes_no_service_takes(size: Any) -> None:
    """A chunk size that is no multiple of 320 KiB, or reaches 60 MiB, is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="327680") as caught:
        check_chunk_size(size, attachment=False)

    assert caught.value.field == "chunk_size"


def test_chunk_sizes_services_take() -> None:
    """Any smaller multiple is taken; an attachment's chunks stay below 4 MB."""
    assert check_chunk_size(None, attachment=False) == CHUNK == 10 * 1024 * 1024
    assert check_chunk_size(191 * UNIT, attachment=False) == 191 * UNIT
    assert check_chunk_size(None, attachment=True) == ATTACHMENT_CHUNK < 4_000_000
    with pytest.raises(ConfigurationError):
        check_chunk_size(CHUNK, attachment=True)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes 0-25/128", ContentRange(0, 26, 128)),
        ("Bytes 26-127/*", ContentRange(26, 128, None)),
        ("bytes 26-25/128", None),
        ("bytes 0-128/128", None),
        ("bytes */128", None),
        ("items 0-25/128", None),
        ("", None),
        (None, None),
    ],
)
def test_content_range(text: str | None, part: ContentRange | None) -> None:
    """What contradicts itself is no range (RFC 9110, section 14.4)."""
    assert parse_content_range(text) == part


@given(sizes, sizes, sizes)
def test_content_range_comes_back(start: int, length: int, after: int) -> None:
    """Every range that is written by the rules is read as it was."""
    end = start + length + 1

    assert parse_content_range(f"bytes {start}-{end - 1}/{end + after}") == ContentRange(start, end, end + after)
