"""
Build the URL of a request from a service's root, a path and a query. Pure.

Nothing here trusts a path: it can neither name another host nor climb out of the service's root.

Source:
    RFC 3986, sections 2 and 3
    https://learn.microsoft.com/en-us/graph/query-parameters#encoding-query-parameters
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import Enum
from typing import Final
from urllib.parse import quote, urlsplit
from uuid import UUID

from entra_async.errors import ConfigurationError
from entra_async.rules.filters import Filter

__all__ = ("QUERY_SAFE", "check_service_url", "encode_query", "expand", "origin_of", "strip_path", "strip_query")

# What RFC 3986 allows bare in a query, less what separates (& =), means a blank (+) or ends it (#).
QUERY_SAFE: Final = "$'(),/:;@!*?-._~"
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f\\]")
_PARAMETER: Final = re.compile(r"%([A-Za-z][A-Za-z0-9_]*)%")
_HOST_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,125}[A-Za-z0-9])?")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def origin_of(url: str) -> tuple[str, str, int | None]:
    """
    Return scheme, host and port of *url*, in lower case, a default port filled in: what decides who gets a token.

    Raises:
        ValueError: If the URL has no valid host or port.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        message = "no host"
        raise ValueError(message)
    return parts.scheme.lower(), parts.hostname.lower().rstrip("."), parts.port or _DEFAULT_PORTS.get(parts.scheme)


def strip_query(url: str) -> str:
    """Return *url* without user name, query and fragment: fit for messages and logs."""
    bare = url.partition("#")[0].partition("?")[0]
    scheme, separator, rest = bare.partition("://")
    if not separator:
        return bare
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def strip_path(url: str) -> str:
    """Return scheme and host of *url* and no more: what may be shown of one whose path is a secret."""
    scheme, separator, rest = strip_query(url).partition("://")
    return f"{scheme}{separator}{rest.partition('/')[0]}/…" if separator else "…"


def check_service_url(url: object, *, field: str) -> str:
    """
    Return *url*, without a trailing slash, if tokens may be sent there: https, a host, no query.

    Raises:
        ConfigurationError: If it is anything else.
    """
    usable = False
    if isinstance(url, str) and not _CONTROL.search(url):
        try:
            parts = urlsplit(_PARAMETER.sub("x", url))
            usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
            usable = usable and not (parts.query or parts.fragment or parts.username or parts.password)
        except ValueError:
            usable = False
    if not usable or not isinstance(url, str):
        shown = strip_query(url) if isinstance(url, str) else url
        message = f"{field} is {shown!r}, which is not the https URL of a service."
        hint = (
            "Give scheme, host and path only, such as 'https://graph.microsoft.com/v1.0'. Tokens travel over TLS only."
        )
        raise ConfigurationError(message, field=field, hint=hint)
    return url.rstrip("/")


def expand(url: str, parameters: Mapping[str, str]) -> str:
    """
    Return *url* with each ``%NAME%`` replaced by the parameter of that name, in any case.

    Args:
        url: A service's root, such as ``https://%VAULTNAME%.vault.azure.net``.
        parameters: Name to value. In the host a value must be one host label.

    Raises:
        ConfigurationError: If a parameter is missing, unknown, or does not fit its place.
    """
    given = {name.lower(): (name, value) for name, value in parameters.items()}
    used: set[str] = set()
    host_end = url.find("/", url.find("://") + 3)

    def replace(match: re.Match[str]) -> str:
        key = match[1].lower()
        if key not in given:
            message = f"The service's URL needs the parameter {match[1]!r}."
            raise ConfigurationError(message, field="parameters", hint=f"Give parameters={{{match[1]!r}: …}}.")
        used.add(key)
        name, value = given[key]
        in_host = host_end < 0 or match.start() < host_end
        if not isinstance(value, str) or not value or (in_host and not _HOST_LABEL.fullmatch(value)):
            message = f"The parameter {name!r} is {value!r}, which does not fit into the service's URL."
            hint = "In a host name, use letters, digits and hyphens only." if in_host else "Give a text."
            raise ConfigurationError(message, field="parameters", hint=hint)
        return value if in_host else quote(value, safe="")

    expanded = _PARAMETER.sub(replace, url)
    unknown = [name for key, (name, _) in given.items() if key not in used]
    if unknown:
        message = f"The service's URL has no parameter {unknown[0]!r}."
        raise ConfigurationError(message, field="parameters", hint="Remove it, or check its spelling.")
    return expanded


def encode_query(query: Mapping[str, object]) -> str:
    """
    Return *query* as the part of a URL after the ``?``.

    Literals of ``$filter`` arrive as written: quotes, commas, parentheses and ``$`` stay readable; blanks,
    ``+``, ``#``, ``&`` and everything else are escaped. Booleans become ``true`` and ``false``, lists are
    joined with commas, dates and times become ISO 8601.

    Args:
        query: Name to text, number, boolean, date, datetime with a time zone, UUID, enum member, or a list of these;
            or to a filter.

    Raises:
        ConfigurationError: If a value is of another type (``None`` too: leave the name out instead).

    Example:
        >>> encode_query({"$filter": "displayName eq 'O''Neill & Co'", "$top": 5, "$count": True})
        "$filter=displayName%20eq%20'O''Neill%20%26%20Co'&$top=5&$count=true"
    """
    pairs = []
    for name, value in query.items():
        if not isinstance(name, str) or not name:
            message = f"A name in query is {name!r}."
            raise ConfigurationError(message, field="query", hint="Names are texts that are not empty.")
        match value:
            case list() | tuple():
                text = ",".join(_text(name, item) for item in value)
            case Filter():  # not in a list: there is no meaning in two with a comma between them
                text = value.text
            case _:
                text = _text(name, value)
        pairs.append(f"{_quote(name)}={_quote(text)}")
    return "&".join(pairs)


def _quote(text: str) -> str:
    try:
        return quote(text, safe=QUERY_SAFE)
    except UnicodeEncodeError as error:
        message = "query holds half of a surrogate pair, which has no UTF-8 form."
        raise ConfigurationError(message, field="query", hint="Pass well-formed Unicode.") from error


def _text(name: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return _text(name, value.value)
        case str():
            return value
        case int() | float() | UUID():
            return str(value)
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date() if not isinstance(value, datetime):
            return value.isoformat()
    message = f"query[{name!r}] is a {type(value).__name__}, which has no form in a URL."
    hint = (
        "Use a text, number, boolean, date, datetime with a time zone, UUID, or a list of these; or one filter. "
        "Leave out None."
    )
    raise ConfigurationError(message, field="query", hint=hint)
