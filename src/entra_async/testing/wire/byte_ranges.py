"""
The headers for a part of a file: ``Range`` and ``Content-Range``.

Source:
    RFC 9110, section 14: https://www.rfc-editor.org/rfc/rfc9110#section-14
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ("ContentRange", "UnsatisfiableRange", "parse_content_range", "parse_range")

_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_RANGE: Final = re.compile(r"bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


class UnsatisfiableRange(Exception):  # noqa: N818 -- a response of the service, not an error of this program
    """A ``Range`` that lies beyond the end: 416."""


@dataclass(frozen=True, slots=True)
class ContentRange:
    """
    Which part a body is.

    Attributes:
        start: Its first byte.
        end: Its last byte.
        total: The size of the whole, in bytes.
    """

    start: int
    end: int
    total: int

    def __len__(self) -> int:
        return self.end + 1 - self.start


def parse_content_range(text: str) -> ContentRange | None:
    """Return what a ``Content-Range`` says, ``None`` if it is malformed, contradicts itself or leaves the size open."""
    found = _CONTENT_RANGE.fullmatch(text)
    if found is None:
        return None
    start, end, total = map(int, found.groups())
    return ContentRange(start, end, total) if start <= end < total else None


def parse_range(text: str, size: int) -> ContentRange | None:
    """
    Return the part of *size* bytes that a ``Range`` requests.

    Several parts at once, another unit and whatever is malformed mean the whole, which is ``None``: a server may always
    ignore the header.

    Raises:
        UnsatisfiableRange: If there is no such part.
    """
    found = _RANGE.fullmatch(text)
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start > end:
        raise UnsatisfiableRange
    return ContentRange(start, end, size)
