"""From a call to the request that is sent: everything that can be wrong is found here, before any network call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from multidict import CIMultiDict

from entra_async.calls.request import Request
from entra_async.errors import ConfigurationError
from entra_async.pipeline.prepared import PreparedRequest
from entra_async.rules.http.decoding import decoder_of
from entra_async.rules.http.paths import Path, build_url
from entra_async.rules.http.urls import encode_query, expand
from entra_async.services import Service

__all__ = ("BaseURL", "check_call", "prepare", "prepare_path")

# RFC 9110, sections 5.6.2 (token) and 5.5 (field values)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS: Final = frozenset({"authorization", "client-request-id", "content-length", "host", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class BaseURL:
    """
    Where the requests of a connection go.

    Attributes:
        service: The service.
        parameters: Values for the parameters of its URL, unless a request has its own.
        headers: What every request sends.
        plain: The root, where nothing has to be filled in; else ``None``.
    """

    service: Service
    parameters: Mapping[str, str]
    headers: CIMultiDict[str] = field(init=False)
    plain: str | None = field(init=False)

    def __post_init__(self) -> None:
        for name, value in self.service.headers.items():
            _check_value(_check_name(name), value)
        bodiless = {name: value for name, value in self.service.headers.items() if name.lower() != "content-type"}
        object.__setattr__(self, "headers", CIMultiDict({"Accept": "application/json", **bodiless}))
        plain = self.service.url and "%" not in self.service.url and not self.parameters
        object.__setattr__(self, "plain", self.service.url if plain else None)

    def base(self, parameters: Mapping[str, str] | None) -> str:
        """
        Return the service's root, its parameters filled in.

        Raises:
            ConfigurationError: If there is no URL, or a parameter is missing, unknown or unfit.
        """
        if not self.service.url:
            message = f"There is no URL to call {self.service.name!r} with."
            raise ConfigurationError(message, field="service_url", hint="Give service_url= to connect().")
        return expand(self.service.url, {**self.parameters, **(parameters or {})})


def check_call(kind: object, timeout_s: object) -> None:
    """
    Check what a call takes beside what it sends.

    Args:
        kind: What the response is decoded into; ``None`` for dicts and lists.
        timeout_s: Seconds it may take; ``None`` for the default.

    Raises:
        ConfigurationError: If nothing can be decoded into *kind*, or the time is not greater than zero.
    """
    if timeout_s is not None and (not isinstance(timeout_s, int | float) or not timeout_s > 0):
        message = f"timeout is {timeout_s!r}."
        raise ConfigurationError(message, field="timeout", hint="Give a number of seconds greater than zero.")
    if kind is not None:
        try:
            decoder_of(kind)
        except (TypeError, ValueError, NameError) as error:
            message = f"type is {kind!r}, which JSON cannot be decoded into."
            hint = "Give a msgspec Struct, a dataclass, a TypedDict, or a plain type; list[…] of it for a collection."
            raise ConfigurationError(message, field="type", hint=hint) from error


def prepare(base: BaseURL, request: Request) -> PreparedRequest:
    """
    Return what a call sends.

    Raises:
        ConfigurationError: If something of it cannot be sent; it names the argument and what to do.
    """
    if request.timeout is not None or request.type is not None:
        check_call(request.type, request.timeout)
    query, headers, parameters = request.query, request.headers, request.parameters
    if query is not None or headers is not None or parameters is not None:
        for name, value in (("query", query), ("headers", headers), ("parameters", parameters)):
            if value is not None and not isinstance(value, Mapping):
                message = f"{name} is a {type(value).__name__}, not a mapping."
                raise ConfigurationError(message, field=name, hint="Give a dict of names and values.")
    method = request.method
    if method != "GET":
        if not isinstance(method, str) or method.upper() not in _METHODS:
            message = f"method is {method!r}, which no service has."
            raise ConfigurationError(message, field="method", hint="Use GET, POST, PATCH, PUT or DELETE.")
        method = method.upper()
    service, body = base.service, request.body
    joined = _join_query(service, request.path, query) if query or service.query else ""
    root = base.plain if base.plain is not None and parameters is None else base.base(parameters)
    url = build_url(root, request.path, joined)
    if body is None and not headers and request.content_type is None:
        return PreparedRequest(method, url, base.headers)
    sent = base.headers.copy()
    if body is not None:
        sent.update({name: value for name, value in service.headers.items() if name.lower() == "content-type"})
    for header, text in (headers or {}).items():
        sent[_check_name(header)] = _check_value(header, text)
    content = _encode(body, sent, request.content_type)
    return PreparedRequest(method, url, sent, content)


def prepare_path(base: BaseURL, path: Path) -> PreparedRequest:
    """Return what a call sends that has a path and no more: what :func:`prepare` returns for ``Request(path)``."""
    if base.plain is None or base.service.query:
        return prepare(base, Request(path))
    return PreparedRequest("GET", build_url(base.plain, path, ""), base.headers)


def _join_query(service: Service, path: object, query: Mapping[str, object] | None) -> str:
    if not service.query:
        return encode_query(query) if query else ""
    # What the caller writes wins over the service's own: here, or in the path, as in a link the service made.
    written = path.partition("?")[2] if isinstance(path, str) else ""
    own = {part.partition("=")[0].lower() for part in written.split("&")} | {name.lower() for name in query or ()}
    return encode_query(
        {**{name: service.query[name] for name in service.query if name.lower() not in own}, **(query or {})}
    )


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        message = f"A header is named {name!r}, which is no header name."
        raise ConfigurationError(message, field="headers", hint="Use letters, digits and hyphens.")
    if name.lower() in _OURS:
        message = f"The header {name!r} is set by the connection."
        raise ConfigurationError(message, field="headers", hint="Leave it out.")
    return name


def _check_value(name: str, value: object) -> str:
    if not isinstance(value, str) or not _FIELD_VALUE.fullmatch(value):
        message = f"The value of the header {name!r} cannot be sent."
        raise ConfigurationError(message, field="headers", hint="Use a text of one line, in Latin-1.")
    return value


def _encode(body: Any, headers: CIMultiDict[str], content_type: str | None) -> bytes | None:
    if content_type is not None:
        headers["Content-Type"] = _check_value("Content-Type", content_type)
    if body is None:
        return None
    if isinstance(body, str | bytes | bytearray | memoryview):
        if "Content-Type" not in headers:
            message = f"body is {type(body).__name__}, sent as it is, but nothing says what it holds."
            hint = "Give content_type=, or a dict or list to send JSON."
            raise ConfigurationError(message, field="content_type", hint=hint)
        try:
            return body.encode() if isinstance(body, str) else bytes(body)
        except UnicodeEncodeError:
            message = "body holds half of a surrogate pair, which has no UTF-8 form."
            raise ConfigurationError(message, field="body", hint="Pass well-formed Unicode, or bytes.") from None
    try:
        content = msgspec.json.encode(body)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"body cannot be written as JSON: {error}"
        hint = "Use dicts, lists, texts, numbers, booleans, None, dates, or msgspec Structs."
        raise ConfigurationError(message, field="body", hint=hint) from None
    headers.setdefault("Content-Type", "application/json")
    return content
