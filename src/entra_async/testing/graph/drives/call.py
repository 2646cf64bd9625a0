"""One request to Microsoft Graph whose path leads to a drive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from entra_async.testing.drives.errors import DriveError
from entra_async.testing.odata.query import parse_query
from entra_async.testing.wire.entity_tags import matches_entity_tag

if TYPE_CHECKING:
    from entra_async.testing.drives.items import Drive, DriveItem
    from entra_async.testing.entra.tokens.access import Access
    from entra_async.testing.graph.drives.paths import DrivePath
    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("DriveCall",)

# https://learn.microsoft.com/en-us/graph/api/driveitem-put-content
_MAX_CONTENT_BYTES: Final = 250 * 1000 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveCall:
    """
    One authorized request.

    Attributes:
        request: As it arrived.
        version: ``v1.0`` or ``beta``.
        access: The verified token.
        drive: The drive its path names.
        path: The rest of its path.
    """

    request: IncomingRequest
    version: str
    access: Access
    drive: Drive
    path: DrivePath

    @property
    def root(self) -> str:
        """The URL links begin with."""
        return f"{self.request.scheme}://{self.request.host}/{self.version}"

    def item(self) -> DriveItem:
        """
        Return the item the path leads to.

        Raises:
            DriveError: 404 if there is none; 412 if ``If-Match`` names another state of it.
        """
        item = self.drive.resolve(self.drive.find(self.path.item), self.path.names)
        self.check_match(item)
        return item

    def check_match(self, item: DriveItem) -> None:
        """
        Check ``If-Match``.

        Raises:
            DriveError: 412 if it names another state of the item.
        """
        expected = self.request.headers.get("If-Match")
        if expected is not None and not matches_entity_tag(expected, item.etag, item.ctag):
            raise DriveError(412, "preconditionFailed", "ETag does not match current item's value.")

    def options(self, *known: str) -> dict[str, str]:
        """Return the query options; another one than those known is an error."""
        return parse_query(
            self.request.rel_url.raw_query_string, frozenset(known), prefix_optional=self.version == "beta"
        )

    def target(self) -> DriveItem | None:
        """
        Return the file a write goes to, ``None`` if it is to be made.

        Raises:
            DriveError: 404 for a parent that does not exist, 409 if a folder is in the way, 412 as for :meth:`item`.
        """
        start = self.drive.find(self.path.item)
        try:
            item = self.drive.resolve(start, self.path.names)
        except DriveError:
            if "If-Match" in self.request.headers:
                raise DriveError(412, "preconditionFailed", "There is no item to match.") from None
            return None
        self.check_match(item)
        if item.content is None:
            if self.path.names:
                raise DriveError(409, "nameAlreadyExists", "A folder with the same name already exists.")
            return None
        return item

    async def read_content(self) -> bytes:
        """
        Return the bytes of a small file.

        Raises:
            DriveError: 413 if they are too many.
        """
        if not isinstance(self.request, web.Request):
            return await self.request.read()  # an item of a batch, which is small
        size = self.request.content_length or 0
        data = bytearray()
        while size <= _MAX_CONTENT_BYTES and (piece := await self.request.content.readany()):
            data += piece
            size = max(size, len(data))
        if size > _MAX_CONTENT_BYTES:
            raise DriveError(413, "invalidRequest", "A file of more than 250 MB needs an upload session.")
        return bytes(data)
