"""
Upload sessions: a file that comes in parts, in order, each part whole or not at all.

Source:
    https://learn.microsoft.com/en-us/graph/api/driveitem-createuploadsession
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from entra_async.testing.drives.errors import DriveError, invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entra_async.testing.drives.file_content import FileContent
    from entra_async.testing.drives.items import ConflictBehavior, Drive, DriveItem
    from entra_async.testing.wire.byte_ranges import ContentRange

__all__ = ("MAX_FRAGMENT_BYTES", "UploadSession", "moment")

MAX_FRAGMENT_BYTES: Final = 60 * 1024 * 1024
"""A part must be smaller than this."""

_UNIT_BYTES: Final = 320 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class UploadSession:
    """
    One session.

    Attributes:
        id: The path of its URL.
        secret: What whoever holds the URL proves it with.
        drive: Where the file will be.
        start: The folder its path begins at.
        folders: The names of the folders between, which are made when the file is.
        name: What it will be called.
        target: The file whose content it replaces, if it was opened for one.
        conflict: What becomes of it where one of that name is.
        size: Bytes of the whole: as the client announced, then as the first part said; ``None`` until one does.
        description: What the owner says of the file.
        defer_commit: Whether the file appears only when it is requested (``deferCommit``).
        expires_at: Epoch seconds.
        received: The bytes so far.
        committing: Whether the last part has arrived and is being looked at.
    """

    id: str
    secret: str = field(repr=False)
    drive: Drive
    start: DriveItem
    folders: Sequence[str]
    name: str
    target: DriveItem | None
    conflict: ConflictBehavior
    size: int | None
    description: str | None
    defer_commit: bool
    expires_at: float
    received: bytearray = field(default_factory=bytearray, repr=False)
    committing: bool = False

    @property
    def complete(self) -> bool:
        """Whether every byte is there."""
        return self.size is not None and len(self.received) == self.size

    def check_length(self, part: ContentRange) -> None:
        """
        Check the size of a part, before its body is read.

        The real service takes parts of any size and fails when it puts the file together, sometimes. Here it is sure.

        Raises:
            DriveError: 400 or 413.
        """
        if len(part) >= MAX_FRAGMENT_BYTES:
            raise DriveError(413, "invalidRequest", f"A fragment must be smaller than {MAX_FRAGMENT_BYTES} bytes.")
        if part.end + 1 < part.total and len(part) % _UNIT_BYTES:
            message = f"A fragment that is not the last must be a multiple of {_UNIT_BYTES} bytes, not {len(part)}."
            raise invalid(message)
        if self.size is not None and part.total != self.size:
            message = f"The total size must be the same for all fragments: {self.size} bytes, not {part.total}."
            raise invalid(message)

    def receive(self, part: ContentRange, data: bytes) -> None:
        """
        Take a part.

        Args:
            part: Which one it is.
            data: All of it.

        Raises:
            DriveError: 416 if those bytes are there already, or others are missing before them.
        """
        self.check_length(part)  # again: another part may have arrived while this one was read
        if part.start < len(self.received):
            raise DriveError(416, "invalidRange", "Uploaded fragment overlaps with existing data.")
        if part.start > len(self.received):
            raise DriveError(416, "invalidRange", "Uploaded fragment is out of order.")
        self.size = part.total
        self.received += data

    def commit(self, content: FileContent, now: float) -> tuple[DriveItem, bool]:
        """
        Make the file. Return it, and whether it is new.

        Args:
            content: What is in it.
            now: Epoch seconds.

        Raises:
            DriveError: 409 if its name has been taken since the session was opened, and must not be.
        """
        if self.target is not None:
            self.target.set_content(content, now)
            return self.target, False
        folder = self.drive.make_folders(self.start, self.folders, now)
        item, created = self.drive.write(folder, self.name, content, conflict=self.conflict, now=now)
        if self.description is not None:
            item.description = self.description
        return item, created

    def json(self, *, closed: bool) -> dict[str, Any]:
        """
        Return how far it is.

        Args:
            closed: Whether the range that is missing is written with its end: ``26-127``, not ``26-``. Both occur.
        """
        ranges = []
        if not self.complete:
            end = self.size - 1 if closed and self.size is not None else ""
            ranges = [f"{len(self.received)}-{end}"]
        return {"expirationDateTime": moment(self.expires_at), "nextExpectedRanges": ranges}


def moment(epoch_s: float) -> str:
    """Return a time as Graph writes it, with milliseconds."""
    text = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
