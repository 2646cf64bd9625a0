"""
Ranges of bytes: what an upload session still wants, what a part of a download is, how a file is cut. Pure.

Source:
    RFC 9110, section 14.4 (Content-Range)
    https://learn.microsoft.com/en-us/graph/api/driveitem-createuploadsession
    https://learn.microsoft.com/en-us/graph/outlook-large-attachments
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from entra_async.errors import ConfigurationError

__all__ = (
    "ATTACHMENT_CHUNK",
    "CHUNK",
    "RangePart",
    "RequestedRange",
    "check_chunk_size",
    "count_chunk",
    "parse_content_range",
    "read_wanted",
)

_UNIT: Final = 327_680  # bytes: every chunk but the last must be a multiple of 320 KiB
_LARGEST: Final = 60 * 1024 * 1024  # bytes: a chunk must be smaller
CHUNK: Final = 32 * _UNIT
"""Bytes sent at once, unless the caller says otherwise: 10 MiB, which Microsoft recommends on a good network."""
ATTACHMENT_CHUNK: Final = 12 * _UNIT
"""Bytes of an attachment sent at once: Outlook wants less than 4 MB."""
_LARGEST_OF_ATTACHMENT: Final = 4_000_000

# Drives say "start-end" or "start-", Outlook says "start".
_WANTED: Final = re.compile(r"\s*([0-9]{1,18})\s*(?:-\s*([0-9]{1,18})?)?\s*")
_CONTENT_RANGE: Final = re.compile(r"\s*bytes\s+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RequestedRange:
    """
    What an upload session wants next.

    Attributes:
        start: Offset of the first byte.
        end: Offset after the last one, or ``None`` for up to the end of the file.
    """

    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class RangePart:
    """
    What part of a whole an answer holds.

    Attributes:
        start: Offset of its first byte.
        end: Offset after its last one.
        total: Size of the whole in bytes, or ``None`` if the service does not know.
    """

    start: int
    end: int
    total: int | None


def check_chunk_size(size: object, *, attachment: bool) -> int:
    """
    Return *size* if chunks of so many bytes can be sent.

    Args:
        size: What the caller wants; ``None`` for the default.
        attachment: Whether Outlook's limit holds.

    Raises:
        ConfigurationError: If it is no multiple of 320 KiB, or too large.
    """
    if size is None:
        return ATTACHMENT_CHUNK if attachment else CHUNK
    largest = _LARGEST_OF_ATTACHMENT if attachment else _LARGEST
    if isinstance(size, int) and not isinstance(size, bool) and 0 < size < largest and size % _UNIT == 0:
        return size
    message = f"chunk_size is {size!r}."
    hint = f"Give a multiple of 327680 bytes (320 KiB) below {largest}, or leave it out."
    raise ConfigurationError(message, field="chunk_size", hint=hint)


def count_chunk(wanted: RequestedRange, *, total: int, chunk_size: int) -> int:
    """
    Return how many bytes to send from ``wanted.start`` on.

    Args:
        wanted: What the session wants; it says what is missing, not how much to send at once.
        total: Size of the file.
        chunk_size: The most to send at once.
    """
    return max(0, min(chunk_size, total - wanted.start, total if wanted.end is None else wanted.end - wanted.start))


def read_wanted(body: object) -> RequestedRange | None:
    """
    Return the first range that an upload session wants; ``None`` if the answer names none.

    Args:
        body: The decoded answer. Outlook writes its property with a capital letter.

    Example:
        >>> read_wanted({"nextExpectedRanges": ["26-51", "77-"]})
        Wanted(start=26, end=52)
    """
    if not isinstance(body, Mapping):
        return None
    ranges = next((value for name, value in body.items() if str(name).lower() == "nextexpectedranges"), None)
    if not isinstance(ranges, list):
        return None
    found = [
        RequestedRange(int(match[1]), int(match[2]) + 1 if match[2] else None)
        for match in (_WANTED.fullmatch(text) for text in ranges if isinstance(text, str))
        if match
    ]
    return min(found, key=lambda wanted: wanted.start, default=None)


def parse_content_range(value: str | None) -> RangePart | None:
    """
    Return what a ``Content-Range`` says; ``None`` if it is missing or makes no sense.

    Example:
        >>> parse_content_range("bytes 0-25/128")
        Part(start=0, end=26, total=128)
    """
    match = _CONTENT_RANGE.fullmatch(value or "")
    if match is None:
        return None
    start, end, total = int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])
    return RangePart(start, end, total) if start < end and (total is None or end <= total) else None
