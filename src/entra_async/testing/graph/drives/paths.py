"""
The paths of Microsoft Graph that lead to drives, their items and the operations on an item.

Source:
    https://learn.microsoft.com/en-us/graph/onedrive-addressing-driveitems
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("DrivePath", "read_drive_path")

_DRIVE: Final = re.compile(
    r"(?:(?P<me>me)/drive|users(?:/(?P<user>[^/]+)|\('(?P<quoted>(?:[^']|'')*)'\))/drive|drives/(?P<drive>[^/]+))"
    r"(?:/(?P<rest>.+))?"
)
# A path below an item stands between colons, the last of which can be left out where nothing follows.
_ITEM: Final = re.compile(
    r"(?:items/(?P<item>[^/:]+)|root)(?:/(?P<action>[^/:]+)|:/(?P<path>[^:]+?)/?(?::(?:/(?P<path_action>[^/:]+))?)?)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivePath:
    """
    One path.

    Attributes:
        me: Whether the drive is that of the caller.
        user: Whose drive it is otherwise: id or user principal name; empty where the drive is named itself.
        drive: Id of the drive, where it is named.
        item: Id of the item the path begins at; ``root`` is one, and empty means the drive itself.
        names: The way from there.
        action: What follows the item: ``content``, ``copy``, ``createUploadSession``; empty for the item itself.
    """

    me: bool
    user: str
    drive: str
    item: str
    names: tuple[str, ...]
    action: str


def read_drive_path(request: IncomingRequest) -> DrivePath | None:
    """
    Return what the path of a request means, ``None`` if it is none of drives'.

    It is decoded before it is read, as Graph does it: SDKs write the colons and slashes of a path percent-encoded.
    """
    _, _, path = request.rel_url.raw_path.removeprefix("/").partition("/")  # without the version
    drive = _DRIVE.fullmatch(unquote(path).removesuffix("/"))
    if drive is None:
        return None
    rest = drive["rest"]
    item = _ITEM.fullmatch(rest) if rest is not None else None
    if rest is not None and item is None:
        return None
    return DrivePath(
        me=drive["me"] is not None,
        user=drive["user"] or (drive["quoted"] or "").replace("''", "'"),
        drive=drive["drive"] or "",
        item="" if item is None else item["item"] or "root",
        names=tuple(item["path"].split("/")) if item is not None and item["path"] else (),
        action="" if item is None else item["action"] or item["path_action"] or "",
    )
