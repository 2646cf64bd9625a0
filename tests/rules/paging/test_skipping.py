"""Paging by $skip: after a full page comes the next, after any other none."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.paging.skipping import next_page_url, skipped

SIZES = (8_000, 10_000)
ROOT = "https://api.security.microsoft.com/api/machines"


@pytest.mark.parametrize(
    ("query", "received", "expected"),
    [
        ("", 10_000, "$skip=10000"),
        ("", 8_000, "$skip=8000"),
        ("", 9_999, None),
        ("", 0, None),
        ("", 12_000, None),
        ("?$top=50", 50, "$top=50&$skip=50"),
        ("?$top=50", 49, None),
        ("?$top=50", 51, None),
        ("?$top=20000", 10_000, "$top=20000&$skip=10000"),
        ("?$top=50&$skip=100", 50, "$top=50&$skip=150"),
        ("?%24skip=7&%24top=5&$filter=a%20eq%20'b'", 5, "%24top=5&$filter=a%20eq%20'b'&$skip=12"),
        ("?$TOP=5&$Skip=5", 5, "$TOP=5&$skip=10"),
        ("?$top=five", 5, None),
        ("?$top=-5", 5, None),
        ("?$top=0", 0, None),
        ("?$top=\u0665", 5, None),
        ("?$top=" + "9" * 5_000, 5, None),
    ],
)
def test_next_page(query: str, received: int, expected: str | None) -> None:
    """A page of exactly $top, or of a size the service cuts at, is full; the rest of the query stays as written."""
    url = next_page_url(ROOT + query, received, page_sizes=SIZES)
    assert url == (None if expected is None else f"{ROOT}?{expected}")


@given(
    total=st.integers(0, 500), top=st.integers(1, 60), page=st.sampled_from([1, 7, 20, 60]), begin=st.integers(0, 30)
)
def test_walking_on_reads_everything_once(total: int, top: int, page: int, begin: int) -> None:
    """Whatever the sizes, following the links reads every item once and ends, at the cost of one page at most."""
    url: str | None = f"{ROOT}?$top={top}&$skip={begin}"
    read: list[int] = []
    requests = 0
    while url is not None:
        start = skipped(url)
        got = list(range(total))[start : start + min(top, page)]
        read += got
        requests += 1
        url = next_page_url(url, len(got), page_sizes=[page])
    assert read == list(range(begin, total))
    assert requests <= len(read) // min(top, page) + 1


@given(
    st.dictionaries(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), st.text("abc12")),
    st.integers(1, 10**6),
)
def test_nothing_else_changes(query: dict[str, str], size: int) -> None:
    """Other options keep their values and their order."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    url = next_page_url(f"{ROOT}?{text}", size, page_sizes=[size])
    assert url is not None
    assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == [*query.items(), ("$skip", str(size))]
