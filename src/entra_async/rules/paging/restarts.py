"""
Which refusals mean that a query has to be started over. Pure.

Sources:
    https://learn.microsoft.com/en-us/graph/delta-query-overview
    https://devblogs.microsoft.com/microsoft365dev/duration-of-change-tracking-tokens-for-identity-and-education-resources/
    https://learn.microsoft.com/en-us/graph/api/driveitem-delta
    https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/2254 (Directory_ExpiredPageToken)
"""

from __future__ import annotations

from typing import Final

__all__ = ("wants_restart", "wants_resync")

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


def wants_restart(status: int, code: str | None) -> bool:
    """
    Return whether the link to a page of a collection has expired, so that the query must be asked from its first page.

    Args:
        status: HTTP status of the answer to a link that the service made.
        code: The service's code.
    """
    return status == _GONE or (status in _CLIENT and (code or "").lower() == _EXPIRED_PAGE)


def wants_resync(status: int, code: str | None) -> bool:
    """
    Return whether a link of a delta query has expired, so that everything must be read again.

    Args:
        status: HTTP status of the answer to a link that the service made.
        code: The service's code.
    """
    return status == _GONE or (status in _CLIENT and (code or "").lower() in _RESYNC)
