"""One call as a value: the options that verbs take, and what ``batch`` and ``invoke_many`` take many of."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypedDict

import msgspec

from entra_async.errors import ConfigurationError
from entra_async.rules.http.paths import Path, join_segments
from entra_async.rules.suggestions import did_you_mean

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    ResultT = TypeVar("ResultT", default=Any)
else:
    from typing import TypeVar

    ResultT = TypeVar("ResultT")

__all__ = (
    "CALL_OPTIONS",
    "COMMON_OPTIONS",
    "READ_OPTIONS",
    "SEND_OPTIONS",
    "CallOptions",
    "CommonOptions",
    "ReadOptions",
    "Request",
    "RequestLike",
    "SendOptions",
    "as_request",
    "make_request",
)


class CommonOptions(TypedDict, total=False):
    """What every verb takes; :class:`Request` says what each means."""

    headers: Mapping[str, str] | None
    parameters: Mapping[str, str] | None
    required_scopes: Iterable[str] | None
    timeout: float | None
    service: str | None


class ReadOptions(CommonOptions, total=False):
    """What every verb takes that reads."""

    query: Mapping[str, object] | None


class SendOptions(ReadOptions, total=False):
    """What every verb takes that may write."""

    method: str
    body: Any
    content_type: str | None
    idempotent: bool | None


class CallOptions(SendOptions, total=False):
    """What ``invoke`` takes beside the path, ``type`` and ``raw``."""

    paging: bool


COMMON_OPTIONS: Final = CommonOptions.__optional_keys__
READ_OPTIONS: Final = ReadOptions.__optional_keys__
SEND_OPTIONS: Final = SendOptions.__optional_keys__
CALL_OPTIONS: Final = CallOptions.__optional_keys__ | {"type", "raw"}


class _Path(msgspec.Struct, frozen=True):
    path: Path


class Request(_Path, Generic[ResultT], frozen=True, kw_only=True):
    """
    What :meth:`Connection.invoke` takes, as a value that can be kept, pickled and sent many at a time.

    Attributes:
        path: Below the service's root, such as ``"users/ada@contoso.com"`` or ``["users", upn]``.
        method: HTTP method.
        query: Name to value.
        body: Sent as JSON; ``str`` and ``bytes`` as they are.
        headers: Sent with every page.
        content_type: The type of the body.
        parameters: Values for the parameters of the service's URL.
        paging: ``False`` for the first page only.
        raw: ``True`` for the :class:`Response` instead of its value.
        required_scopes: Permissions the call needs.
        type: What the value is decoded into; ``list[…]`` for a collection.
        timeout: Seconds each request may take in all.
        idempotent: ``True`` if a POST or PATCH may be sent again although it may have acted.
        service: Which connection of a Session it is for; the default one if left out.
        id: Its name in a batch, for others to depend on; unique there, in any case.
        depends_on: Ids of the requests that must succeed before it is sent, in a batch.
    """

    method: str = "GET"
    query: Mapping[str, object] | None = None
    body: Any = None
    headers: Mapping[str, str] | None = None
    content_type: str | None = None
    parameters: Mapping[str, str] | None = None
    paging: bool = True
    raw: bool = False
    required_scopes: Iterable[str] | None = None
    type: builtins.type[ResultT] | None = None
    timeout: float | None = None
    idempotent: bool | None = None
    service: str | None = None
    id: str | None = None
    depends_on: tuple[str, ...] = ()

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in self.__struct_fields__ if name not in _HIDDEN)
        return f"Request({', '.join(f'{name}={value!r}' for name, value in shown)})"


RequestLike: TypeAlias = Request[Any] | str | list[str] | tuple[str, ...] | Mapping[str, Any]
"""A :class:`Request`, a path alone (a text, or its segments), or a mapping of the names a Request has."""

_HIDDEN: Final = frozenset({"query", "body", "headers"})
_NAMES: Final = frozenset(Request.__struct_fields__)


def make_request(
    path: Path, options: Mapping[str, Any], known: frozenset[str], *, own: tuple[str, ...] = (), method: str = "GET"
) -> Request[Any]:
    """
    Return a call with these options.

    Args:
        path: Below the service's root.
        options: By name.
        known: The names that the verb takes.
        own: What else it takes, by itself: for who misspells one of them.
        method: HTTP method, unless the options have one.

    Raises:
        ConfigurationError: If one of them is unknown.
    """
    if not options.keys() <= known:
        unknown = next(name for name in options if name not in known)
        message = f"There is no option {unknown!r}."
        names = known.union(own)
        hint = did_you_mean(unknown, names, otherwise=f"Use {', '.join(sorted(names))}.")
        raise ConfigurationError(message, field=unknown, hint=hint)
    if isinstance(path, list | tuple):
        path = join_segments(path)
    return Request(path, **({"method": method, **options} if method != "GET" else options))


def as_request(given: RequestLike) -> Request[Any]:
    """
    Return what was given as a :class:`Request`.

    Raises:
        ConfigurationError: If it is none, or holds names that a Request does not have.
    """
    if isinstance(given, Request):
        return given
    if isinstance(given, str | list | tuple):
        return Request(given)
    hint = "Give a Request, a path, or a dict with 'path' and what else invoke() takes."
    if not isinstance(given, Mapping) or "path" not in given:
        message = f"A request is a {type(given).__name__}{' without a path' if isinstance(given, Mapping) else ''}."
        raise ConfigurationError(message, field="requests", hint=hint)
    unknown = next((name for name in given if name not in _NAMES), None)
    if unknown is not None:
        message = f"A request has {unknown!r}, which means nothing."
        hint = did_you_mean(str(unknown), _NAMES, otherwise=f"Use {', '.join(sorted(_NAMES))}.")
        raise ConfigurationError(message, field="requests", hint=hint)
    return Request(**given)
