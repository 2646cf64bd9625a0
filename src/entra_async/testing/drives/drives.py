"""The emulated drives as a test sees them: what is stored, and how transfers and copies go."""

from __future__ import annotations

import base64
import hmac
import math
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from entra_async.testing.drives.errors import DriveError, item_not_found
from entra_async.testing.drives.file_content import FileContent
from entra_async.testing.drives.items import ConflictBehavior, Drive, DriveItem
from entra_async.testing.drives.upload_sessions import UploadSession

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.directory.directory import Directory

__all__ = ("Copy", "CopyPlan", "Drives")

_TEBIBYTE: Final = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPlan:
    """How copies go; :meth:`Drives.copying` says what the fields mean."""

    takes_s: float = 5.0
    outcome: Literal["completed", "failed"] = "completed"
    retry_after_s: int | None = None
    redirects: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Copy:
    """
    One copy under way, or done.

    Attributes:
        id: Part of its monitor's URL.
        plan: How it goes.
        started_at: Epoch seconds.
        ends_at: Epoch seconds.
        source: What is copied.
        drive: Where to.
        folder: Into which folder.
        name: Under which name.
        conflict: What becomes of it where one of that name is.
        root: The URL of Graph, with the version, that items are below.
        made: What it came to: the copy, or why there is none; ``None`` while it runs.
    """

    id: str
    plan: CopyPlan
    started_at: float
    ends_at: float
    source: DriveItem
    drive: Drive
    folder: DriveItem
    name: str
    conflict: ConflictBehavior
    root: str
    made: DriveItem | DriveError | None = None


class Drives:
    """
    Every user's drive. Uploads, downloads and the progress of copies have an origin of their own, as in OneDrive.

    Attributes:
        url: Root of that origin: another host than Graph's. An access token sent there is rejected.
        quota_bytes: What a drive holds.
        upload_lifetime_s: How long an upload session lives after the last part that arrived.
        download_lifetime_s: How long a download URL can be used.
        closed_ranges: Whether the range an upload session still expects is written with its end.

    Args:
        clock: The emulator's time.
        directory: Whose users have drives.
    """

    def __init__(self, clock: EmulatorClock, directory: Directory) -> None:
        self.url = ""
        self.quota_bytes = _TEBIBYTE
        self.upload_lifetime_s = 900.0
        self.download_lifetime_s = 300.0
        self.closed_ranges = False
        self._clock = clock
        self._directory = directory
        self._drives: dict[str, Drive] = {}
        self._plan = CopyPlan()
        self._copies: dict[str, Copy] = {}
        self._uploads: dict[str, UploadSession] = {}
        self._key = secrets.token_bytes(32)

    def put(self, path: str, content: bytes, *, user_id: str | None = None) -> str:
        """
        Store a file, or other content in one that exists, and return its id. Folders are made as needed.

        Args:
            path: Below the root: ``"reports/2026.pdf"``.
            content: The bytes.
            user_id: Whose drive, by object id or user principal name; that of the emulator's user unless given.
        """
        drive, now = self.of_user(user_id), self._clock.now()
        *folders, name = path.split("/")
        folder = drive.make_folders(drive.root, folders, now)
        return drive.write(folder, name, FileContent(content), conflict="replace", now=now)[0].id

    def content(self, path: str, *, user_id: str | None = None) -> bytes:
        """
        Return the bytes of a file.

        Args:
            path: Below the root.
            user_id: Whose drive; that of the emulator's user unless given.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        self.complete_due()
        drive = self.of_user(user_id)
        try:
            item = drive.resolve(drive.root, path.split("/"))
        except DriveError:
            item = drive.root
        if item.content is None:
            message = f"There is no file {path!r} in the drive."
            raise FileNotFoundError(message)
        return item.content.data

    def drive_id(self, user_id: str | None = None) -> str:
        """Return the id of a user's drive; of the emulator's user unless given."""
        return self.of_user(user_id).id

    def copying(
        self,
        *,
        takes_s: float = 5.0,
        outcome: Literal["completed", "failed"] = "completed",
        retry_after_s: int | None = None,
        redirects: bool = False,
    ) -> None:
        """
        Say how copies go that are started from now on.

        Args:
            takes_s: Seconds on the emulator's clock until they end.
            outcome: How they end.
            retry_after_s: The ``Retry-After`` of the monitor while they run, or ``None`` for no such header.
            redirects: Whether the monitor of one that is completed redirects to the copy (303), as it may.

        Raises:
            ValueError: If one makes no sense.
        """
        if outcome not in {"completed", "failed"} or not 0 <= takes_s < math.inf or (retry_after_s or 0) < 0:
            message = "outcome must be 'completed' or 'failed', takes_s and retry_after_s at least 0."
            raise ValueError(message)
        self._plan = CopyPlan(takes_s=takes_s, outcome=outcome, retry_after_s=retry_after_s, redirects=redirects)

    def of_user(self, user_id: str | None = None) -> Drive:
        """
        Return a user's drive.

        Raises:
            DriveError: 404 if there is no such user.
        """
        users = self._directory.users
        index = 0 if user_id is None else users.find(user_id)
        if index is None or index not in users:
            raise DriveError(404, "ResourceNotFound", "User not found")
        object_id = self._directory.user_id(index)
        drive_id = "b!" + base64.urlsafe_b64encode(uuid.UUID(object_id).bytes).decode().rstrip("=")
        return self._drives.setdefault(drive_id, Drive(drive_id, now=self._clock.now()))

    def find(self, drive_id: str) -> Drive:
        """
        Return the drive of that id.

        Raises:
            DriveError: 404 if nobody has it.
        """
        if drive_id not in self._drives:
            try:
                owner = str(uuid.UUID(bytes=base64.urlsafe_b64decode(drive_id.removeprefix("b!") + "==")))
            except ValueError:
                raise item_not_found() from None
            if self._directory.users.find(owner) is None or self.of_user(owner).id != drive_id:
                raise item_not_found()
        return self._drives[drive_id]

    def check_space(self, drive: Drive, size: int) -> None:
        """
        Check that there is room for that many bytes more.

        Raises:
            DriveError: 507 if there is not.
        """
        if size > self.quota_bytes - drive.root.size:
            raise DriveError(507, "quotaLimitReached", "The user has reached their quota limit.")

    def open_upload(self, session: UploadSession) -> str:
        """Keep a new upload session, and return its URL."""
        self._uploads[session.id] = session
        return f"{self.url}/upload/{session.id}?tempauth={session.secret}"

    def upload(self, session_id: str, secret: str) -> UploadSession:
        """
        Return the upload session of that URL.

        Raises:
            DriveError: 404 if it was completed, cancelled or has expired.
        """
        session = self._uploads.get(session_id)
        if session is None or not hmac.compare_digest(session.secret.encode(), secret.encode()):
            raise item_not_found()
        if self._clock.now() >= session.expires_at:
            self.close_upload(session)
            raise item_not_found()
        return session

    def close_upload(self, session: UploadSession) -> None:
        """Forget an upload session."""
        self._uploads.pop(session.id, None)

    def download_url(self, drive: Drive, item: DriveItem) -> str:
        """Return a URL anybody may read the file with, for a while."""
        path = f"download/{drive.id}/{item.id}"
        expires = int(self._clock.now() + self.download_lifetime_s)
        return f"{self.url}/{path}?tempauth={expires}.{self._sign(f'{path}?{expires}')}"

    def download(self, drive_id: str, item_id: str, ticket: str) -> DriveItem:
        """
        Return the file of that URL.

        Raises:
            DriveError: 401 for a URL that was not given out or is too old, 404 for a file that is gone.
        """
        expires, _, signature = ticket.partition(".")
        if not (
            hmac.compare_digest(self._sign(f"download/{drive_id}/{item_id}?{expires}").encode(), signature.encode())
            and self._clock.now() < int(expires)
        ):
            raise DriveError(401, "unauthenticated", "The download URL has expired or is not valid.")
        return self.find(drive_id).find(item_id)

    def start_copy(
        self, source: DriveItem, drive: Drive, folder: DriveItem, name: str, conflict: ConflictBehavior, root: str
    ) -> str:
        """Start a copy, and return its monitor's URL. The arguments are those of :class:`Copy`."""
        now = self._clock.now()
        copy = Copy(
            id=str(uuid.uuid4()),
            plan=self._plan,
            started_at=now,
            ends_at=now + self._plan.takes_s,
            source=source,
            drive=drive,
            folder=folder,
            name=name,
            conflict=conflict,
            root=root,
        )
        self._copies[copy.id] = copy
        return f"{self.url}/monitor/{copy.id}"

    def copy(self, copy_id: str) -> Copy:
        """
        Return the copy of that id.

        Raises:
            DriveError: 404 if there is none.
        """
        self.complete_due()
        copy = self._copies.get(copy_id)
        if copy is None:
            raise DriveError(404, "operationNotFound", "The operation does not exist.")
        return copy

    def complete_due(self) -> None:
        """Apply the result of the copies that have ended by now."""
        now = self._clock.now()
        for copy in self._copies.values():
            if copy.made is not None or now < copy.ends_at:
                continue
            if copy.plan.outcome == "failed":
                copy.made = DriveError(500, "generalException", "The copy failed on purpose.")
                continue
            try:
                copy.made = copy.drive.copy(copy.source, copy.folder, copy.name, copy.conflict, now)
            except DriveError as error:
                copy.made = error

    def _sign(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()
