"""
Byte ranges: those an upload session expects, that of a partial download, and the size of chunks. Pure.

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
    "ContentRange",
    "ExpectedRange",
    "check_chunk_size",
    "chunk_length",
    "parse_content_range",
    "read_expected_range",
)

_UNIT: Final = 327_680  # bytes: every chunk but the last must be a multiple of 320 KiB
_LARGEST: Final = 60 * 1024 * 1024  # bytes: a chunk must be smaller
CHUNK: Final = 32 * _UNIT
"""Bytes sent at once, unless the caller says otherwise: 10 MiB, which Microsoft recommends on a good network."""
ATTACHMENT_CHUNK: Final = 12 * _UNIT
"""Bytes of an attachment sent at once: Outlook wants less than 4 MB."""
_LARGEST_OF_ATTACHMENT: Final = 4_000_000

# Drives say "start-end" or "start-", Outlook says "start".
_EXPECTED: Final = re.compile(r"\s*([0-9]{1,18})\s*(?:-\s*([0-9]{1,18})?)?\s*")
_CONTENT_RANGE: Final = re.compile(r"\s*bytes\s+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ExpectedRange:
    """
    The range that an upload session expects next.

    Attributes:
        start: Offset of the first byte.
        end: Offset after the last one, or ``None`` for up to the end of the file.
    """

    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class ContentRange:
    """
    The range of a partial response (RFC 9110, section 14.4).

    Attributes:
        start: Offset of its first byte.
        end: Offset after its last one.
        total: Size of the whole in bytes, or ``None`` if it is unknown.
    """

    start: int
    end: int
    total: int | None


def check_chunk_size(size: object, *, attachment: bool) -> int:
    """
    Return *size* if it is a valid chunk size.

    Args:
        size: In bytes; ``None`` for the default.
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


def chunk_length(expected: ExpectedRange, *, total: int, chunk_size: int) -> int:
    """
    Return how many bytes to send from ``expected.start`` on.

    Args:
        expected: What the session expects: what is missing, not how much to send at once.
        total: Size of the file.
        chunk_size: The most to send at once.
    """
    end = total if expected.end is None else min(total, expected.end)
    return max(0, min(chunk_size, end - expected.start))


def read_expected_range(body: object) -> ExpectedRange | None:
    """
    Return the first range that an upload session expects; ``None`` if the response names none.

    Args:
        body: The decoded response. Outlook writes its property with a capital letter.

    Example:
        >>> read_expected_range({"nextExpectedRanges": ["26-51", "77-"]})
        ExpectedRange(start=26, end=52)
    """
    if not isinstance(body, Mapping):
        return None
    ranges = next((value for name, value in body.items() if str(name).lower() == "nextexpectedranges"), None)
    if not isinstance(ranges, list):
        return None
    found = [
        ExpectedRange(int(match[1]), int(match[2]) + 1 if match[2] else None)
        for match in (_EXPECTED.fullmatch(text) for text in ranges if isinstance(text, str))
        if match
    ]
    return min(found, key=lambda expected: expected.start, default=None)


def parse_content_range(value: str | None) -> ContentRange | None:
    """
    Return the range of a ``Content-Range``; ``None`` if it is missing or invalid.

    Example:
        >>> parse_content_range("bytes 0-25/128")
        ContentRange(start=0, end=26, total=128)
    """
    match = _CONTENT_RANGE.fullmatch(value or "")
    if match is None:
        return None
    start, end, total = int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])
    return ContentRange(start, end, total) if start < end and (total is None or end <= total) else None
