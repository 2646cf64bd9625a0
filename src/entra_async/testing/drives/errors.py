"""
How OneDrive refuses a request, whether Microsoft Graph or the origin of the files says so.

Source:
    https://learn.microsoft.com/en-us/onedrive/developer/rest-api/concepts/errors
"""

from __future__ import annotations

from entra_async.testing.wire.service_error import ServiceError

__all__ = ("DriveError", "invalid", "item_not_found")


class DriveError(ServiceError):
    """A request that OneDrive refuses."""


def invalid(message: str) -> DriveError:
    """Return the 400 for a request that makes no sense."""
    return DriveError(400, "invalidRequest", message)


def item_not_found() -> DriveError:
    """Return the 404 for an item, drive or upload session that does not exist."""
    return DriveError(404, "itemNotFound", "The resource could not be found.")
