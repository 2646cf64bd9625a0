"""A request and its answer, as the pool carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ("Answer", "Request")


@dataclass(slots=True)
class Request:
    """
    One HTTP request, ready to be sent.

    Attributes:
        method: In upper case.
        url: Absolute and already escaped; sent as it is.
        headers: Name to value.
        body: Bytes, or ``None``.
    """

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class Answer:
    """
    One complete HTTP answer.

    Attributes:
        status: HTTP status.
        headers: Name to value; lookups ignore case.
        body: All of it, decompressed.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
