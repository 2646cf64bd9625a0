"""What a service responds instead of success, whichever way it then writes it."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ("ServiceError",)


class ServiceError(Exception):
    """
    A response other than success.

    Attributes:
        status: The HTTP status.
        code: What programs branch on.
        message: The message.
        headers: Headers of the response besides the usual ones.
    """

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
