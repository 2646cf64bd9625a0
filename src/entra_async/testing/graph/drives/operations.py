"""
Drives in the emulated Microsoft Graph: items and their content, upload sessions, copies.

Sources:
    https://learn.microsoft.com/en-us/graph/api/driveitem-get
    https://learn.microsoft.com/en-us/graph/api/driveitem-get-content
    https://learn.microsoft.com/en-us/graph/api/driveitem-put-content
    https://learn.microsoft.com/en-us/graph/api/driveitem-createuploadsession
    https://learn.microsoft.com/en-us/graph/api/driveitem-copy
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web
from anyio import to_thread

from entra_async.testing.drives.errors import DriveError, invalid
from entra_async.testing.drives.file_content import FileContent
from entra_async.testing.drives.item_json import SELECTABLE, item_json
from entra_async.testing.drives.items import (
    ConflictBehavior,
    Drive,
    DriveItem,
    check_name,
    read_conflict_behavior,
)
from entra_async.testing.drives.upload_sessions import UploadSession
from entra_async.testing.graph.drives.call import DriveCall
from entra_async.testing.graph.errors import method_not_allowed, unknown_segment
from entra_async.testing.graph.permissions import READ_FILES, WRITE_FILES
from entra_async.testing.graph.responses import JSON_TYPE
from entra_async.testing.graph.writes import read_json
from entra_async.testing.odata.query import parse_select
from entra_async.testing.wire.entity_tags import matches_entity_tag

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.drives.drives import Drives
    from entra_async.testing.entra.tokens.access import Access
    from entra_async.testing.graph.drives.paths import DrivePath
    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("GraphDrives",)

Handler = Callable[[DriveCall], Awaitable[web.Response]]

_CONFLICT: Final = "@microsoft.graph.conflictBehavior"
_SESSION_MEMBERS: Final = frozenset({"item", "deferCommit"})
_UNSERVED_COPY_MEMBERS: Final = frozenset({"childrenOnly", "includeAllVersionHistory"})  # SDKs send them as null
_UPLOADABLE: Final = frozenset({_CONFLICT, "@odata.type", "name", "description", "fileSize", "fileSystemInfo"})


class GraphDrives:
    """
    Handles requests whose path leads to a drive.

    Args:
        drives: What is stored.
        clock: Dates what is stored.
    """

    def __init__(self, drives: Drives, clock: EmulatorClock) -> None:
        self._drives = drives
        self._clock = clock
        self._handlers: Mapping[str, Mapping[str, Handler]] = {
            "": {"GET": self._get, "DELETE": self._delete},
            "content": {"GET": self._download, "PUT": self._put_content},
            "createUploadSession": {"POST": self._create_upload_session},
            "copy": {"POST": self._copy},
        }

    async def handle(
        self, request: IncomingRequest, version: str, path: DrivePath, access: Access, own_id: Callable[[Access], str]
    ) -> web.Response:
        """
        Handle one request.

        Args:
            request: The request.
            version: ``v1.0`` or ``beta``.
            path: What its path means.
            access: Its verified token.
            own_id: Who ``/me`` is.

        Raises:
            DriveError: If the drive refuses it.
            GraphError: If Graph does: it knows no such path or method.
        """
        owner = own_id(access) if path.me else path.user
        reads = request.method in {"GET", "HEAD"}
        _require(access, READ_FILES if reads else WRITE_FILES)
        self._drives.complete_due()
        drive = self._drives.of_user(owner) if owner else self._drives.find(path.drive)
        if not access.app_only and drive is not self._drives.of_user(str(access.claims["oid"])):
            raise _denied()  # nothing is shared here
        call = DriveCall(request=request, version=version, access=access, drive=drive, path=path)
        handlers = self._handlers.get(path.action) if path.item else {"GET": self._get_drive}
        if handlers is None:
            raise unknown_segment(path.action)
        if request.method not in handlers:
            raise method_not_allowed(", ".join(handlers))
        return await handlers[request.method](call)

    async def _get_drive(self, call: DriveCall) -> web.Response:
        call.options()
        used = call.drive.root.size
        quota = {"total": self._drives.quota_bytes, "used": used, "remaining": self._drives.quota_bytes - used}
        body = {
            "@odata.context": f"{call.root}/$metadata#drives/$entity",
            "id": call.drive.id,
            "driveType": "business",
            "name": "OneDrive",
            "quota": {**quota, "deleted": 0, "state": "normal"},
        }
        return _json(body)

    async def _get(self, call: DriveCall) -> web.Response:
        selected = call.options("$select").get("$select")
        names = None if selected is None else parse_select(selected, SELECTABLE, "microsoft.graph.driveItem")
        item = call.item()
        if _is_known(call.request, item):
            return web.Response(status=304, headers={"ETag": item.etag})
        body = self._item(call, item)
        shown = body if names is None else {name: value for name, value in body.items() if name in names}
        context = f"{call.root}/$metadata#drives('{call.drive.id}')/items/$entity"
        return _json({"@odata.context": context, **shown})

    async def _delete(self, call: DriveCall) -> web.Response:
        call.options()
        call.drive.delete(call.item())
        return web.Response(status=204)

    async def _download(self, call: DriveCall) -> web.Response:
        call.options()
        item = call.item()
        if item.content is None:
            message = "You cannot get content for a folder."
            raise invalid(message)
        if _is_known(call.request, item):
            return web.Response(status=304, headers={"ETag": item.etag})
        return web.Response(status=302, headers={"Location": self._drives.download_url(call.drive, item)})

    async def _put_content(self, call: DriveCall) -> web.Response:
        conflict = read_conflict_behavior(call.options(_CONFLICT).get(_CONFLICT), "replace")
        target = call.target()
        if target is None and not call.path.names:
            message = "A folder has no content."
            raise invalid(message)
        data = await call.read_content()
        self._drives.check_space(call.drive, len(data))
        content = await to_thread.run_sync(FileContent, data)
        now = self._clock.now()
        if not call.path.names:
            assert target is not None  # found above
            target.set_content(content, now)
            return _json(self._item(call, target))
        *folders, name = call.path.names
        folder = call.drive.make_folders(call.drive.find(call.path.item), folders, now)
        item, created = call.drive.write(folder, check_name(name), content, conflict=conflict, now=now)
        return _json(self._item(call, item), status=201 if created else 200)

    async def _create_upload_session(self, call: DriveCall) -> web.Response:
        call.options()
        body = await read_json(call.request) if await call.request.read() else {}
        wanted = _read_session(body)
        target = call.target()
        if not call.path.names and target is None:
            message = "An upload session needs the name of the file: items/{parent}:/{name}:/createUploadSession."
            raise invalid(message)
        name = call.path.names[-1] if call.path.names else call.drive.find(call.path.item).name
        if wanted.get("name", name) != name:
            message = "The name in the body must be the one in the path."
            raise invalid(message)
        # An upload to an item that is addressed by its id replaces what is in it.
        conflict: ConflictBehavior = "fail" if call.path.names else "replace"
        conflict = read_conflict_behavior(wanted.get(_CONFLICT), conflict)
        if target is not None and conflict == "fail":
            raise DriveError(409, "nameAlreadyExists", "An item with the same name already exists.")
        self._drives.check_space(call.drive, wanted.get("fileSize") or 0)
        session = UploadSession(
            id=str(uuid.uuid4()),
            secret=secrets.token_urlsafe(48),
            drive=call.drive,
            start=call.drive.find(call.path.item),
            folders=call.path.names[:-1],
            name=check_name(name),
            target=None if call.path.names else target,
            conflict=conflict,
            size=wanted.get("fileSize"),
            description=wanted.get("description"),
            defer_commit=body.get("deferCommit", False),
            expires_at=self._clock.now() + self._drives.upload_lifetime_s,
        )
        created = {
            "@odata.context": f"{call.root}/$metadata#microsoft.graph.uploadSession",
            "uploadUrl": self._drives.open_upload(session),
            **session.json(closed=False),
        }
        return _json(created)

    async def _copy(self, call: DriveCall) -> web.Response:
        conflict = read_conflict_behavior(call.options(_CONFLICT).get(_CONFLICT), "fail")
        body = await read_json(call.request)
        if any(body.get(member) for member in _UNSERVED_COPY_MEMBERS):
            message = f"The emulator does not serve {' and '.join(sorted(_UNSERVED_COPY_MEMBERS))}."
            raise invalid(message)
        if unknown := body.keys() - _UNSERVED_COPY_MEMBERS - {"parentReference", "name", _CONFLICT}:
            message = f"Property '{min(unknown)}' does not exist on the action 'copy'."
            raise invalid(message)
        item = call.item()
        name = check_name(body.get("name") or item.name)
        drive, folder = call.drive, item.parent
        reference = body.get("parentReference")
        if reference is not None:
            drive, folder = self._folder(call, reference)
        if folder is None:
            message = "The root of a drive cannot be copied."
            raise invalid(message)
        if item.contains(folder):
            message = "A folder cannot be copied into itself."
            raise invalid(message)
        location = self._drives.start_copy(item, drive, folder, name, conflict, call.root)
        return web.Response(status=202, headers={"Location": location})

    def _folder(self, call: DriveCall, reference: object) -> tuple[Drive, DriveItem]:
        if not isinstance(reference, dict) or not isinstance(reference.get("id"), str):
            message = "parentReference should include the driveId and id of the target folder."
            raise invalid(message)
        drive_id = reference.get("driveId", call.drive.id)
        if not call.access.app_only and drive_id != call.drive.id:
            raise _denied()
        drive = self._drives.find(drive_id)
        folder = drive.find(reference["id"])
        if folder.content is not None:
            message = "The target of a copy must be a folder."
            raise invalid(message)
        return drive, folder

    def _item(self, call: DriveCall, item: DriveItem) -> dict[str, Any]:
        return item_json(call.drive, item, self._drives.download_url(call.drive, item))


def _read_session(body: dict[str, Any]) -> dict[str, Any]:
    """Return what the body says of the file."""
    item = body.get("item") or {}
    if not isinstance(item, dict) or not isinstance(body.get("deferCommit", False), bool):
        message = "'item' must be an object and 'deferCommit' a boolean."
        raise invalid(message)
    if unknown := (body.keys() - _SESSION_MEMBERS) | (item.keys() - _UPLOADABLE):
        message = f"Property '{min(unknown)}' does not exist on type 'microsoft.graph.driveItemUploadableProperties'."
        raise invalid(message)
    size = item.get("fileSize")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        message = "'fileSize' must be a number of bytes, at least 1."
        raise invalid(message)
    return item


def _is_known(request: IncomingRequest, item: DriveItem) -> bool:
    return matches_entity_tag(request.headers.get("If-None-Match", ""), item.etag, item.ctag)


def _require(access: Access, roles: Collection[str]) -> None:
    if access.roles.isdisjoint(roles):
        raise _denied()


def _denied() -> DriveError:
    return DriveError(403, "accessDenied", "The caller does not have permission to perform the action.")


def _json(body: Mapping[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), headers={"Content-Type": JSON_TYPE})
