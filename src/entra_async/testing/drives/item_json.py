"""
How Microsoft Graph shows an item of a drive.

Source:
    https://learn.microsoft.com/en-us/graph/api/resources/driveitem
"""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Any, Final

from entra_async.testing.drives.upload_sessions import moment

if TYPE_CHECKING:
    from entra_async.testing.drives.items import Drive, DriveItem

__all__ = ("SELECTABLE", "item_json", "media_type")

SELECTABLE: Final = frozenset(
    {"id", "name", "size", "eTag", "cTag", "createdDateTime", "lastModifiedDateTime", "description", "parentReference"}
    | {"file", "folder", "root", "fileSystemInfo", "@microsoft.graph.downloadUrl"}
)
"""What ``$select`` may name."""

_TYPES: Final = mimetypes.MimeTypes()  # the built-in ones: what a machine has configured does not matter


def media_type(name: str) -> str:
    """Return the media type a file of that name has."""
    return _TYPES.guess_type(name)[0] or "application/octet-stream"


def item_json(drive: Drive, item: DriveItem, download_url: str) -> dict[str, Any]:
    """
    Return an item.

    Args:
        drive: The drive it is in.
        item: The item.
        download_url: Where its content can be read, if it is a file.
    """
    times = {"createdDateTime": moment(item.created_at), "lastModifiedDateTime": moment(item.modified_at)}
    body: dict[str, Any] = {"id": item.id, "name": item.name, "size": item.size, "eTag": item.etag, "cTag": item.ctag}
    body |= {**times, "fileSystemInfo": times}
    if item.description is not None:
        body["description"] = item.description
    if item.parent is None:
        body["parentReference"] = {"driveType": "business", "driveId": drive.id}
        body["root"] = {}
    else:
        path = f"/drives/{drive.id}/root:" + (f"/{item.parent.path}" if item.parent.path else "")
        reference = {"driveType": "business", "driveId": drive.id, "id": item.parent.id, "name": item.parent.name}
        body["parentReference"] = {**reference, "path": path}
    if item.content is None:
        return {**body, "folder": {"childCount": len(item.children)}}
    hashes = {"quickXorHash": item.content.quick_xor, "sha256Hash": item.content.sha256}
    file = {"mimeType": media_type(item.name), "hashes": hashes}
    return {"@microsoft.graph.downloadUrl": download_url, **body, "file": file}
