"""
A drive: a tree of folders and files, kept in memory.

Sources:
    https://learn.microsoft.com/en-us/graph/api/resources/driveitem
    https://support.microsoft.com/en-us/office/restrictions-and-limitations-in-onedrive-and-sharepoint-64883a5d-228e-48f5-b3d2-eb39e07630fa
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from entra_async.testing.drives.errors import DriveError, invalid, item_not_found
from entra_async.testing.drives.file_content import FileContent

__all__ = (
    "ConflictBehavior",
    "Drive",
    "DriveItem",
    "check_name",
    "read_conflict_behavior",
)

ConflictBehavior = Literal["fail", "replace", "rename"]
"""What becomes of a new item where one of that name is."""

_INVALID_IN_NAMES: Final = re.compile(r'["*:<>?/\\|\x00-\x1f]')


def read_conflict_behavior(value: object, default: ConflictBehavior) -> ConflictBehavior:
    """
    Return what ``@microsoft.graph.conflictBehavior`` says.

    Raises:
        DriveError: 400 if it says nothing there is.
    """
    if value is None:
        return default
    for known in get_args(ConflictBehavior):
        if value == known:
            behavior: ConflictBehavior = known
            return behavior
    message = f"Invalid value for @microsoft.graph.conflictBehavior: {value!r}. It is fail, replace or rename."
    raise invalid(message)


def check_name(name: object) -> str:
    """
    Return the name of an item.

    Raises:
        DriveError: 400 if no item may be called that.
    """
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= 255
        or _INVALID_IN_NAMES.search(name) is not None
        or name != name.strip(" ")
        or name.endswith(".")
    ):
        message = 'The provided name cannot contain any of the following characters: " * : < > ? / \\ |'
        raise invalid(message)
    return name


@dataclass(slots=True, kw_only=True, eq=False)
class DriveItem:
    """
    A file or a folder.

    Attributes:
        id: Its id.
        name: Its name.
        parent: The folder it is in; ``None`` for the root.
        content: What is in the file; ``None`` for a folder.
        children: What is in the folder, by name in lower case.
        created_at: Epoch seconds.
        modified_at: Epoch seconds.
        description: What its owner says of it.
        version: Counts changes of any kind.
        content_version: Counts changes of the content.
    """

    id: str
    name: str
    parent: DriveItem | None
    content: FileContent | None = None
    children: dict[str, DriveItem] = field(default_factory=dict, repr=False)
    created_at: float
    modified_at: float
    description: str | None = None
    version: int = 1
    content_version: int = 1
    _tag: uuid.UUID = field(default_factory=uuid.uuid4, init=False, repr=False)

    @property
    def etag(self) -> str:
        """Changes whenever the item does."""
        return f'"{{{str(self._tag).upper()}}},{self.version}"'

    @property
    def ctag(self) -> str:
        """Changes whenever the content does."""
        return f'"c:{{{str(self._tag).upper()}}},{self.content_version}"'

    @property
    def size(self) -> int:
        """Bytes, of a folder those of all that is in it."""
        if self.content is not None:
            return len(self.content.data)
        return sum(child.size for child in self.children.values())

    @property
    def path(self) -> str:
        """The names from below the root down to it, joined by ``/``; empty for the root."""
        names = [item.name for item in self._up()]
        return "/".join(reversed(names))

    def set_content(self, content: FileContent, now: float) -> None:
        """Put another content in place of the file's."""
        self.content, self.modified_at = content, now
        self.version += 1
        self.content_version += 1

    def contains(self, other: DriveItem) -> bool:
        """Return whether *other* is this item or somewhere in it."""
        return other is self or any(item.parent is self for item in other._up())

    def _up(self) -> Iterator[DriveItem]:
        item = self
        while item.parent is not None:
            yield item
            item = item.parent


class Drive:
    """
    One drive.

    Args:
        id: Its id.
        now: Epoch seconds.
    """

    def __init__(self, id: str, *, now: float) -> None:  # noqa: A002 -- what it is called everywhere
        self.id = id
        self._items: dict[str, DriveItem] = {}
        self.root = self._new("root", None, now=now)

    def find(self, item_id: str) -> DriveItem:
        """
        Return the item of that id; ``root`` is one.

        Raises:
            DriveError: 404 if there is none.
        """
        item = self.root if item_id == "root" else self._items.get(item_id.upper())
        if item is None:
            raise item_not_found()
        return item

    def resolve(self, start: DriveItem, names: Sequence[str]) -> DriveItem:
        """
        Return the item these names lead to.

        Raises:
            DriveError: 404 if there is no such item.
        """
        item = start
        for name in names:
            child = item.children.get(name.lower())
            if child is None:
                raise item_not_found()
            item = child
        return item

    def make_folders(self, start: DriveItem, names: Sequence[str], now: float) -> DriveItem:
        """
        Return the folder these names lead to, and create what is missing of it, as OneDrive does for a new file.

        Raises:
            DriveError: 400 for a name that may not be, 409 if a file is in the way.
        """
        folder = start
        for name in names:
            child = folder.children.get(check_name(name).lower())
            folder = self._new(name, folder, now=now) if child is None else child
            if folder.content is not None:
                raise DriveError(409, "invalidRequest", f"'{folder.name}' is a file, not a folder.")
        return folder

    def free_name(self, folder: DriveItem, name: str, conflict: ConflictBehavior) -> tuple[str, DriveItem | None]:
        """
        Return the name a new item gets, and the item it takes the place of, if it does.

        Raises:
            DriveError: 409 if the name is taken and must not be.
        """
        present = folder.children.get(name.lower())
        if present is None:
            return name, None
        if conflict == "fail":
            raise DriveError(409, "nameAlreadyExists", "An item with the same name already exists.")
        if conflict == "replace":
            return present.name, present
        stem, dot, suffix = name.rpartition(".")
        stem, suffix = (stem, f".{suffix}") if dot and stem else (name, "")
        number = 1
        while f"{stem} {number}{suffix}".lower() in folder.children:
            number += 1
        return f"{stem} {number}{suffix}", None

    def write(
        self, folder: DriveItem, name: str, content: FileContent, *, conflict: ConflictBehavior, now: float
    ) -> tuple[DriveItem, bool]:
        """
        Put a file into a folder. Return it, and whether it is new.

        Raises:
            DriveError: 409 if the name is taken and must not be, or is a folder's.
        """
        name, present = self.free_name(folder, name, conflict)
        if present is None:
            return self._new(name, folder, now=now, content=content), True
        if present.content is None:
            raise DriveError(409, "nameAlreadyExists", "A folder with the same name already exists.")
        present.set_content(content, now)
        return present, False

    def copy(self, item: DriveItem, folder: DriveItem, name: str, conflict: ConflictBehavior, now: float) -> DriveItem:
        """
        Copy an item, with all that is in it, into a folder.

        Raises:
            DriveError: 409 if the name is taken and must not be.
        """
        name, present = self.free_name(folder, name, conflict)
        if present is item:
            raise DriveError(409, "nameAlreadyExists", "An item cannot be replaced by its own copy.")
        if present is not None:
            self.delete(present)
        inside = list(item.children.values())  # before the copy is one of them
        made = self._new(name, folder, now=now, content=item.content)
        for child in inside:
            self.copy(child, made, child.name, "fail", now)
        return made

    def delete(self, item: DriveItem) -> None:
        """
        Remove an item with all that is in it.

        Raises:
            DriveError: 403 for the root.
        """
        if item.parent is None:
            raise DriveError(403, "accessDenied", "The root of a drive cannot be deleted.")
        for child in list(item.children.values()):
            self.delete(child)
        del item.parent.children[item.name.lower()]
        del self._items[item.id]

    def _new(self, name: str, parent: DriveItem | None, *, now: float, content: FileContent | None = None) -> DriveItem:
        # As OneDrive for work and school writes them: 34 capital letters and digits.
        item_id = "01EMUL8R" + base64.b32encode(uuid.uuid4().bytes).decode().rstrip("=")
        item = DriveItem(id=item_id, name=name, parent=parent, content=content, created_at=now, modified_at=now)
        self._items[item.id] = item
        if parent is not None:
            parent.children[name.lower()] = item
        return item
