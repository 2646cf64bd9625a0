"""
From a service's root, a path and a query to the URL that is sent. Pure.

A path comes from the docs, from Graph Explorer or from PowerShell, so it is taken as people write it: what is not
escaped yet is escaped, ``#`` included. Nothing here trusts it: it can neither name another host nor leave the root.

Source:
    RFC 3986, sections 2 and 3
    https://learn.microsoft.com/en-us/graph/use-the-api (the version is the first segment)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

from entra_async.errors import ConfigurationError
from entra_async.rules.http.urls import QUERY_SAFE, strip_query

__all__ = ("Path", "build_url", "join_segments")

Path: TypeAlias = str | list[str] | tuple[str, ...]
"""
A path below a service's root: a text that may hold a query, such as ``"users?$top=5"``, or its segments, such as
``["users", upn, "memberOf"]``, each of which is escaped as a whole.
"""

# What a path may hold bare, '%' included: an escape that the caller wrote stays as it is.
_PATH_SAFE: Final = "/$'(),:;@!*=&+-._~%"
# What a segment may hold bare: of the above neither what separates, nor what escapes, nor what ends an OData literal.
_SEGMENT_SAFE: Final = "$(),:;@!*=&+-._~"
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_PLACEHOLDER: Final = re.compile(r"\{[A-Za-z][^{}/?]*\}")
_VERSION: Final = re.compile(r"v\d+(\.\d+)?|beta", re.IGNORECASE)
# Letters, digits and what needs no second look: most paths are no more than that.
_PLAIN_PATH: Final = re.compile(
    r"(?![vV]\d|[bB][eE][tT][aA])"
    r"[A-Za-z0-9@_-][A-Za-z0-9@_-]*(\.[A-Za-z0-9@_-]+)*(/[A-Za-z0-9@_-]+(\.[A-Za-z0-9@_-]+)*)*"
)


def build_url(base: str, path: object, query: str) -> str:
    """
    Return the URL of *path* under *base*.

    Blanks around the path are dropped, and slashes at its ends; so is the version that *base* ends with. What a URL
    cannot hold is escaped, what is escaped already is not escaped again.

    Args:
        base: The service's root, without a trailing slash.
        path: Relative to the root; see :data:`Path`. Or an absolute URL below the same root, as the service's own links
            are.
        query: What :func:`~entra_async.rules.http.urls.encode_query` gives; may be empty.

    Raises:
        ConfigurationError: If the path is empty, names another host or version, climbs with ``..``, holds a control
            character, or a placeholder that was not filled in.
    """
    if isinstance(path, str) and _PLAIN_PATH.fullmatch(path):
        return f"{base}/{path}?{query}" if query else f"{base}/{path}"
    if isinstance(path, list | tuple):
        path = join_segments(path)
    if not isinstance(path, str):
        message = f"path is {path!r}, neither a text nor a list of texts."
        raise ConfigurationError(message, field="path", hint=_HINT)
    relative = _relative(base, path.strip(" "))
    bare, question, own_query = relative.partition("?")
    _check(path, bare, own_query)
    if not bare:
        message = f"path is {path!r}, which names nothing."
        raise ConfigurationError(message, field="path", hint=_HINT)
    escaped = quote(_STRAY_PERCENT.sub("%25", bare), safe=_PATH_SAFE)
    own = quote(_STRAY_PERCENT.sub("%25", own_query), safe=QUERY_SAFE + "%&=+")
    joined = "&".join(part for part in (own, query) if part)
    return f"{base}/{escaped}" + (f"?{joined}" if joined or question else "")


def join_segments(segments: Sequence[object]) -> str:
    """
    Return a path of these segments, each escaped as a whole: a key may hold ``/``, ``'``, ``%``, ``#`` and blanks.

    Raises:
        ConfigurationError: If one is no text, empty, or ``.`` or ``..``, which no URL can hold as a segment.

    Example:
        >>> join_segments(["users", "ada_contoso.com#EXT#@fabrikam.com", "memberOf"])
        'users/ada_contoso.com%23EXT%23@fabrikam.com/memberOf'
    """
    escaped = []
    for index, segment in enumerate(segments):
        if not isinstance(segment, str) or segment.strip(" ") in {"", ".", ".."}:
            message = f"path[{index}] is {segment!r}, which cannot be a segment of a path."
            raise ConfigurationError(message, field="path", hint="Give texts that are neither empty nor '.' nor '..'.")
        try:
            escaped.append(quote(segment, safe=_SEGMENT_SAFE))
        except UnicodeEncodeError:
            raise _refusal(ascii(segment), "holds half of a surrogate pair") from None
    if not escaped:
        message = "path is an empty list."
        raise ConfigurationError(message, field="path", hint=_HINT)
    return "/".join(escaped)


_HINT: Final = "Give a path relative to the service's root, such as 'users' or ['users', key, 'memberOf']."


def _relative(base: str, path: str) -> str:
    if path.startswith(("//", "\\", "/\\")):
        raise _refusal(path, "names a host")
    if "://" in path.partition("?")[0]:
        if path.lower().startswith(base.lower() + "/"):
            return path[len(base) + 1 :]
        root = base.rpartition("/")[0]
        if path.lower().startswith(root.lower() + "/"):
            _check_version(base, path, path[len(root) + 1 :])
        raise _refusal(path, "names a host that is not this service's")
    bare, question, query = path.partition("?")
    bare = bare.strip("/")
    _check_version(base, path, bare)
    version = base.rpartition("/")[2]
    if _VERSION.fullmatch(version) and bare.lower().startswith(version.lower() + "/"):
        bare = bare[len(version) :].strip("/")
    elif _VERSION.fullmatch(version) and bare.lower() == version.lower():
        bare = ""
    return f"{bare}{question}{query}"


def _check_version(base: str, path: str, relative: str) -> None:
    version, given = base.rpartition("/")[2].lower(), relative.partition("/")[0].partition("?")[0].lower()
    if given != version and _VERSION.fullmatch(version) and _VERSION.fullmatch(given):
        message = f"path is {strip_query(path)!r}, of the version {given!r}, but this service's is {version!r}."
        other = {"beta": "GraphBeta", "v1.0": "Graph"}.get(given)
        hint = f"Connect {other!r} and call that (service={other!r})" if other else "Connect a service of that version"
        raise ConfigurationError(message, field="path", hint=f"{hint}, or leave the version out.")


def _check(path: str, bare: str, query: str) -> None:
    if not path.isascii() and any("\ud800" <= character <= "\udfff" for character in path):
        raise _refusal(ascii(path), "holds half of a surrogate pair")
    if _CONTROL.search(path):
        raise _refusal(path, "holds a line break or another control character")
    segments = unquote(bare).replace("\\", "/").split("/")
    if ".." in segments or "." in segments:
        raise _refusal(path, "climbs with '.' or '..'")
    placeholder = _PLACEHOLDER.search(bare) or _PLACEHOLDER.search(query)
    if placeholder is not None:
        message = f"path is {strip_query(path)!r}, where {placeholder[0]} stands for something."
        hint = (
            f"Put the value in its place: f\"…\", or a list such as ['users', key]. A brace of a name is {quote('{')}."
        )
        raise ConfigurationError(message, field="path", hint=hint)


def _refusal(path: str, why: str) -> ConfigurationError:
    message = f"path is {strip_query(path)!r}, which {why}."
    hint = "Give a path below the service's root, such as 'users'; service= and service_url= choose the host."
    return ConfigurationError(message, field="path", hint=hint)
