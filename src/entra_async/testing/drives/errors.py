"""
How OneDrive refuses a request, whether Microsoft Graph or the origin of the files says so.

Source:
    https://learn.microsoft.com/en-us/onedrive/developer/rest-api/concepts/errors
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ("DriveError", "invalid", "item_not_found")


class DriveError(Exception):
    """
    A response other than success.

    Attributes:
        status: The HTTP status.
        code: What programs branch on.
        message: What people read.
        headers: Headers of the response besides the usual ones.
    """

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def invalid(message: str) -> DriveError:
    """Return the 400 for a request that makes no sense."""
    return DriveError(400, "invalidRequest", message)


def item_not_found() -> DriveError:
    """Return the 404 for an item, drive or upload session that does not exist."""
    return DriveError(404, "itemNotFound", "The resource could not be found.")
