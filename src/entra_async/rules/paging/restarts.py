"""
Which errors mean that a query has to be restarted. Pure.

Sources:
    https://learn.microsoft.com/en-us/graph/delta-query-overview
    https://devblogs.microsoft.com/microsoft365dev/duration-of-change-tracking-tokens-for-identity-and-education-resources/
    https://learn.microsoft.com/en-us/graph/api/driveitem-delta
    https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/2254 (Directory_ExpiredPageToken)
"""

from __future__ import annotations

from typing import Final

__all__ = ("needs_restart", "needs_resync")

_GONE: Final = 410
_CLIENT: Final = range(400, 500)
_EXPIRED_PAGE: Final = "directory_expiredpagetoken"
# Services write them in any case: Outlook "SyncStateNotFound", the directory "syncStateNotFound".
_RESYNC: Final = frozenset(
    {
        _EXPIRED_PAGE,
        "syncstatenotfound",
        "resyncrequired",
        "resyncchangesapplydifferences",
        "resyncchangesuploaddifferences",
    }
)


def needs_restart(status: int, code: str | None) -> bool:
    """
    Return whether the link to a page of a collection has expired, so that the query must restart at its first page.

    Args:
        status: HTTP status of the response to the link.
        code: The service's code.
    """
    return status == _GONE or (status in _CLIENT and (code or "").lower() == _EXPIRED_PAGE)


def needs_resync(status: int, code: str | None) -> bool:
    """
    Return whether a link of a delta query has expired, so that a full synchronization is needed.

    Args:
        status: HTTP status of the response to the link.
        code: The service's code.
    """
    return status == _GONE or (status in _CLIENT and (code or "").lower() in _RESYNC)
