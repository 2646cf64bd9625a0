"""The prepared request: checked by the verbs, sent by the pipeline."""

from __future__ import annotations

import msgspec
from multidict import CIMultiDict

from entra_async.rules.http.urls import strip_query

__all__ = ("PreparedRequest",)


class PreparedRequest(msgspec.Struct, frozen=True, gc=False):
    """
    A request that was checked and can be sent.

    Attributes:
        method: In upper case.
        url: Absolute and escaped.
        headers: Without a token; shared, so not to be changed.
        body: Bytes, or ``None``.
    """

    method: str
    url: str
    headers: CIMultiDict[str]
    body: bytes | None = None

    def __repr__(self) -> str:
        return f"<PreparedRequest {self.method} {self.where}>"

    @property
    def where(self) -> str:
        """What errors, events and logs may show of the URL."""
        return strip_query(self.url)

    def to(self, url: str) -> PreparedRequest:
        """Return the GET of a link that the response to this one held, with the same headers."""
        headers = self.headers
        if "Content-Type" in headers:
            headers = headers.copy()
            del headers["Content-Type"]
        return PreparedRequest("GET", url, headers)
