"""
Where a link that a service sent may lead. Pure.

A token is attached to every request, so a link to another host would give it away.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urljoin

from entra_async.errors import UnsafeLinkError
from entra_async.rules.urls import origin_of, strip_query

__all__ = ("check_link",)

# RFC 3986, section 2.2 and 2.3, and the percent sign of what is escaped already.
_URL_CHARACTERS: Final = ":/?#[]@!$&'()*+,;=-._~%"
# URL parsers disagree about backslashes, and drop control characters.
_CONFUSING: Final = re.compile(r"[\x00-\x1f\x7f\\]")


def check_link(link: object, *, source: str) -> str:
    """
    Return the absolute URL of *link* if it stays on the host that sent it, over TLS.

    Args:
        link: ``nextLink``, ``Location`` and the like; absolute, or relative to *source*.
        source: The URL that was asked.

    Raises:
        UnsafeLinkError: If the link leads to another scheme, host or port, holds a user name, or is no URL.
    """
    where = strip_query(source)
    if not isinstance(link, str) or not link:
        message = f"{where} sent a link that is not a text."
        raise UnsafeLinkError(message, url=where)
    try:
        # Some services leave blanks and letters beyond ASCII unescaped; everything else stays as it was written.
        target = quote(urljoin(source, link), safe=_URL_CHARACTERS)
        same = origin_of(target) == origin_of(source)
        host = target.partition("://")[2].partition("/")[0].partition("?")[0]
        clean = target.startswith("https://") and not (_CONFUSING.search(link) or "@" in host)
    except ValueError:
        same = clean = False
        target = link
    if same and clean:
        return target
    message = (
        f"{where} sent a link to {strip_query(target)!r}, which is not the service's own host. Nothing was sent there."
    )
    raise UnsafeLinkError(message, url=where, hint="If the host is right, connect to it with service_url=.")
