"""Which errors mean that a query is restarted."""

from __future__ import annotations

import pytest

from entra_async.rules.paging.restarts import needs_restart, needs_resync


@pytest.mark.parametrize(
    ("status", "code", "restart", "resync"),
    [
        (400, "Directory_ExpiredPageToken", True, True),
        (410, None, True, True),
        (410, "resyncRequired", True, True),
        (410, "SyncStateNotFound", True, True),
        (400, "syncStateNotFound", False, True),
        (404, "syncStateNotFound", False, True),
        (400, "resyncRequired", False, True),
        (410, "resyncChangesApplyDifferences", True, True),
        (409, "ResyncChangesUploadDifferences", False, True),
        (400, None, False, False),
        (400, "Request_BadRequest", False, False),
        (401, "InvalidAuthenticationToken", False, False),
        (403, "Authorization_RequestDenied", False, False),
        (404, "ResourceNotFound", False, False),
        (429, "TooManyRequests", False, False),
        (500, "syncStateNotFound", False, False),
        (503, "Directory_ExpiredPageToken", False, False),
    ],
)
def test_table(status: int, code: str | None, restart: bool, resync: bool) -> None:
    """Only what says that a link has expired; a service that fails has not said that."""
    assert (needs_restart(status, code), needs_resync(status, code)) == (restart, resync)
