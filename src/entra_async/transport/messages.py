"""A request and its answer, as the pool carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ("Answer", "Direct", "Request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """
    How to reach a host that is next door: past every proxy, since no proxy may see or could reach it.

    Attributes:
        connect_s: Seconds to connect in, if less than the pool allows.
        certificate_sha256: The only certificate to trust, by its SHA-256 digest; ``None`` for whom the pool trusts.
    """

    connect_s: float | None = None
    certificate_sha256: bytes | None = None


@dataclass(slots=True)
class Request:
    """
    One HTTP request, ready to be sent.

    Attributes:
        method: In upper case.
        url: Absolute and already escaped; sent as it is.
        headers: Name to value.
        body: Bytes, or ``None``.
        direct: How to reach it past the proxy, or ``None`` for the usual way.
    """

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    direct: Direct | None = None


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
