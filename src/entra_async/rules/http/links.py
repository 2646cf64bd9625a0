"""
Check the links that a service sends, before they are followed. Pure.

A token is attached to every request, so a link to another host would leak it.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from entra_async.errors import UnsafeLinkError
from entra_async.rules.http.urls import origin_of, strip_path, strip_query

__all__ = ("check_https_link", "check_link", "check_redirect", "join_root")

# RFC 3986, section 2.2 and 2.3, and the percent sign of what is escaped already.
_URL_CHARACTERS: Final = ":/?#[]@!$&'()*+,;=-._~%"
_LONGEST: Final = 1 << 16  # skip tokens have a few KB
_VERSIONED: Final = re.compile(r"/(v\d[\w.]*|beta)/", re.IGNORECASE)
# URL parsers disagree about backslashes, and drop control characters.
_CONFUSING: Final = re.compile(r"[\x00-\x1f\x7f\\]")


def check_link(link: object, *, source: str) -> str:
    """
    Return the absolute URL of *link* if it stays on the host that sent it, over TLS.

    Args:
        link: ``nextLink``, ``Location`` and the like; absolute, or relative to *source*.
        source: The URL of the request.

    Raises:
        UnsafeLinkError: If the link leads to another scheme, host or port, holds a user name, is too long or no URL.
    """
    where = strip_query(source)
    target = _absolute(link, source, where)
    try:
        same = target is not None and origin_of(target) == origin_of(source)
    except ValueError:
        same = False
    if same and target is not None:
        return target
    shown = strip_query(link) if isinstance(link, str) else link
    message = f"{where} sent a link to {shown!r}, which is not the service's own host. Nothing was sent there."
    raise UnsafeLinkError(message, url=where, hint="If the host is right, connect to it with service_url=.")


def check_redirect(link: object, *, source: str) -> str:
    """
    Return the absolute URL of a ``Location`` that :func:`check_link` accepts.

    Args:
        link: The ``Location``.
        source: The URL of the request.

    Raises:
        UnsafeLinkError: If not. If it is a pre-authenticated URL, as of a report, the error says how it is followed.
    """
    try:
        return check_link(link, source=source)
    except UnsafeLinkError as error:
        try:
            target = check_https_link(link, source=source)
        except UnsafeLinkError:
            raise error from None
    where = strip_query(source)
    message = f"{where} redirects to another host, {strip_path(target)}. Nothing was sent there."
    raise UnsafeLinkError(message, url=where, hint="Get it with download(), which follows without the token.")


def check_https_link(link: object, *, source: str) -> str:
    """
    Return the absolute URL of *link* if it is https, whatever the host: for requests without a token.

    Args:
        link: A ``Location`` or an ``uploadUrl``: pre-authenticated URLs.
        source: The URL of the request. Errors show the host only of both.

    Raises:
        UnsafeLinkError: If the link is of another scheme, holds a user name, or is no URL.
    """
    where = strip_path(source)
    target = _absolute(link, source, where)
    if target is None:
        message = f"{where} sent a link that is no https URL. Nothing was sent there."
        raise UnsafeLinkError(message, url=where)
    return target


def _absolute(link: object, source: str, where: str) -> str | None:
    if not isinstance(link, str) or not link:
        message = f"{where} sent a link that is not a text."
        raise UnsafeLinkError(message, url=where)
    if len(link) > _LONGEST:
        message = f"{where} sent a link of {len(link):,} characters; {_LONGEST:,} are allowed. Nothing was sent there."
        raise UnsafeLinkError(message, url=where)
    try:
        # Some services leave blanks and letters beyond ASCII unescaped; everything else stays as it was written.
        target = quote(urljoin(source, link), safe=_URL_CHARACTERS)
        host = target.partition("://")[2].partition("/")[0].partition("?")[0]
        clean = target.startswith("https://") and not (_CONFUSING.search(link) or "@" in host)
        origin_of(target)
    except ValueError:
        return None
    return target if clean else None


def join_root(link: object, *, root: str) -> object:
    """
    Return *link* with the service's root before it, if it is a path that leaves the version out.

    Teams writes ``Location: /teams('…')/operations('…')``, which is meant below ``/v1.0``.

    Args:
        link: As the service wrote it.
        root: The service's root, such as ``https://graph.microsoft.com/v1.0``.

    Example:
        >>> join_root("/teams('1')/operations('2')", root="https://graph.microsoft.com/v1.0")
        "https://graph.microsoft.com/v1.0/teams('1')/operations('2')"

    Source:
        https://learn.microsoft.com/en-us/graph/api/team-post
    """
    if not isinstance(link, str) or not link.startswith("/") or link.startswith("//") or _VERSIONED.match(link):
        return link
    return link if link.startswith(f"{urlsplit(root).path}/") else root + link
