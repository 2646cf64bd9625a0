"""
The errors of OneDrive, whether Microsoft Graph or the file origin responds with them.

Source:
    https://learn.microsoft.com/en-us/onedrive/developer/rest-api/concepts/errors
"""

from __future__ import annotations

from entra_async.testing.wire.service_error import ServiceError

__all__ = ("DriveError", "invalid", "item_not_found")


class DriveError(ServiceError):
    """An error response of OneDrive."""


def invalid(message: str) -> DriveError:
    """Return the 400 for a request that makes no sense."""
    return DriveError(400, "invalidRequest", message)


def item_not_found() -> DriveError:
    """Return the 404 for an item, drive or upload session that does not exist."""
    return DriveError(404, "itemNotFound", "The resource could not be found.")
