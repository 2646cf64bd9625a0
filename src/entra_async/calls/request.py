"""One call as a value: what ``batch`` and ``invoke_many`` take many of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeAlias

from entra_async.errors import ConfigurationError

__all__ = ("Request", "RequestLike", "as_request")


@dataclass(frozen=True, slots=True)
class Request:
    """
    What :meth:`Connection.invoke` takes, as a value that can be kept, pickled and sent many at a time.

    Attributes:
        path: Below the service's root, such as ``"users/ada@contoso.com"``.
        method: HTTP method.
        query: Name to value.
        body: Sent as JSON; ``str`` and ``bytes`` as they are.
        headers: Sent with every page.
        content_type: What the body is.
        parameters: Values for the parameters of the service's URL.
        paging: ``False`` for the first page only.
        raw: ``True`` for the :class:`Response` instead of its value.
        required_scopes: Permissions the call needs.
        type: What the value, or each item, is decoded into.
        timeout: Seconds each request may take in all.
        idempotent: ``True`` if a POST or PATCH may be sent again although it may have acted.
        service: Which connection of a Session it is for; the default one if left out.
        id: Its name in a batch, for others to depend on; unique there, in any case.
        depends_on: Ids of the requests that must succeed before it is sent, in a batch.
    """

    path: str
    method: str = field(default="GET", kw_only=True)
    query: Mapping[str, object] | None = field(default=None, kw_only=True, repr=False)
    body: Any = field(default=None, kw_only=True, repr=False)
    headers: Mapping[str, str] | None = field(default=None, kw_only=True, repr=False)
    content_type: str | None = field(default=None, kw_only=True)
    parameters: Mapping[str, str] | None = field(default=None, kw_only=True)
    paging: bool = field(default=True, kw_only=True)
    raw: bool = field(default=False, kw_only=True)
    required_scopes: Iterable[str] | None = field(default=None, kw_only=True)
    type: Any = field(default=None, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    idempotent: bool | None = field(default=None, kw_only=True)
    service: str | None = field(default=None, kw_only=True)
    id: str | None = field(default=None, kw_only=True)
    depends_on: tuple[str, ...] = field(default=(), kw_only=True)


RequestLike: TypeAlias = Request | str | Mapping[str, Any]
"""A :class:`Request`, a path alone, or a mapping of the names a Request has."""

_NAMES: Final = frozenset(each.name for each in fields(Request))


def as_request(given: RequestLike) -> Request:
    """
    Return what was given as a :class:`Request`.

    Raises:
        ConfigurationError: If it is none, or holds names that a Request does not have.
    """
    if isinstance(given, Request):
        return given
    if isinstance(given, str):
        return Request(given)
    hint = "Give a Request, a path, or a dict with 'path' and what else invoke() takes."
    if not isinstance(given, Mapping) or "path" not in given:
        message = f"A request is a {type(given).__name__}{' without a path' if isinstance(given, Mapping) else ''}."
        raise ConfigurationError(message, field="requests", hint=hint)
    unknown = next((name for name in given if name not in _NAMES), None)
    if unknown is not None:
        message = f"A request has {unknown!r}, which means nothing."
        raise ConfigurationError(message, field="requests", hint=f"Use {', '.join(sorted(_NAMES))}.")
    return Request(**given)
