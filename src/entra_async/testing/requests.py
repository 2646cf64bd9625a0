"""The record of what arrived at the emulator, with every secret masked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, overload

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ("RecordedRequest", "RequestLog")

_MASK: Final = "***"
_SECRET_FIELDS: Final = frozenset(
    {
        "assertion",
        "client_assertion",
        "client_secret",
        "code",
        "code_verifier",
        "device_code",
        "password",
        "refresh_token",
    }
)
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


@dataclass(slots=True, kw_only=True)
class RecordedRequest:
    """
    One request that arrived.

    Attributes:
        service: Which service it reached: ``"identity"``, ``"graph"``, ``"endpoint"``, …
        method: HTTP method.
        path: Path, percent-decoded, without the query.
        query: Query parameters; of a repeated one, the last value.
        headers: Headers, names in lower case.
        at: When it arrived, epoch seconds on the emulator's clock.
        form: Fields of a form posted to Entra ID; empty for everything else.
        status: Status of the answer; ``None`` while there is none, and for good when the connection was cut.
    """

    service: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    at: float
    form: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None


class RequestLog:
    """Every request since the emulator started, or since :meth:`clear`, in order of arrival."""

    def __init__(self) -> None:
        self._records: list[RecordedRequest] = []
        self._arrival: anyio.Event | None = None  # there while somebody waits

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RecordedRequest]:
        return iter(self._records)

    @overload
    def __getitem__(self, index: int) -> RecordedRequest: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordedRequest]: ...
    def __getitem__(self, index: int | slice) -> RecordedRequest | list[RecordedRequest]:
        return self._records[index]

    def __repr__(self) -> str:
        lines = [f"  {record.service}: {record.method} {record.path} {record.status}" for record in self._records]
        return "\n".join([f"<RequestLog of {len(self)}", *lines]) + ">"

    def append(self, record: RecordedRequest) -> None:
        """Add what has just arrived."""
        self._records.append(record)
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    def clear(self) -> None:
        """Forget everything recorded so far."""
        self._records.clear()

    def matching(
        self, *, method: str | None = None, path: str | None = None, service: str | None = None
    ) -> list[RecordedRequest]:
        """
        Return the requests that fit all conditions given.

        Args:
            method: HTTP method.
            path: The path itself, or a regular expression for the whole of it.
            service: Name of the service.
        """
        return [
            record
            for record in self._records
            if (method is None or record.method == method.upper())
            and (service is None or record.service == service)
            and (path is None or record.path == path or re.fullmatch(path, record.path) is not None)
        ]

    def count(self, *, method: str | None = None, path: str | None = None, service: str | None = None) -> int:
        """Return how many requests fit; the conditions are those of :meth:`matching`."""
        return len(self.matching(method=method, path=path, service=service))

    async def wait_for(
        self, count: int = 1, *, method: str | None = None, path: str | None = None, service: str | None = None
    ) -> list[RecordedRequest]:
        """
        Wait until that many requests that fit have arrived, answered or not, and return them.

        Args:
            count: How many.
            method: As :meth:`matching` takes it.
            path: As :meth:`matching` takes it.
            service: As :meth:`matching` takes it.
        """
        while len(found := self.matching(method=method, path=path, service=service)) < count:
            self._arrival = self._arrival or anyio.Event()
            await self._arrival.wait()
        return found


def mask_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return *headers* with lower-case names and without credentials."""
    return {
        name: _MASK if name in _SECRET_HEADERS else value for name, value in ((key.lower(), v) for key, v in headers)
    }


def mask_fields(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return form fields or query parameters without credentials."""
    return {name: _MASK if name.lower() in _SECRET_FIELDS else value for name, value in fields}
