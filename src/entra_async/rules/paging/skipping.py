"""
Paging without links: which ``$skip`` leads to the next page. Pure.

Some lists of Microsoft Defender are cut at a page's size and send no ``@odata.nextLink``. After a page that is full the
next one is requested; any other size is the end.

Source:
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-machines
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-all-vulnerabilities
    https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote

__all__ = ("next_page_url", "skipped")

_DIGITS: Final = re.compile(r"[0-9]{1,18}")


def skipped(url: str) -> int:
    """Return how many items *url* skips: its ``$skip``, or 0."""
    return _number(url, "$skip") or 0


def next_page_url(url: str, received: int, *, page_sizes: Collection[int]) -> str | None:
    """
    Return the URL of the page after one without a link, or ``None`` if it was the last.

    Args:
        url: The page's URL. Its ``$top`` is the size of a page; everything but ``$skip`` stays as it is.
        received: How many items the page has.
        page_sizes: How many items the service puts on a full page; it may cut at one of them whatever ``$top`` says.
    """
    if not received or received not in {_number(url, "$top"), *page_sizes}:
        return None
    bare, _, query = url.partition("?")
    kept = [part for part in query.split("&") if part and _name(part) != "$skip"]
    return f"{bare}?{'&'.join([*kept, f'$skip={skipped(url) + received}'])}"


def _number(url: str, name: str) -> int | None:
    for part in url.partition("?")[2].split("&"):
        value = unquote(part.partition("=")[2])
        if _name(part) == name and _DIGITS.fullmatch(value):
            return int(value)
    return None


def _name(part: str) -> str:
    return unquote(part.partition("=")[0]).lower()
