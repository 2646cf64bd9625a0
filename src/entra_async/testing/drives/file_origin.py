"""
Where the bytes of drives go and come from: upload and download URLs, and the monitors of copies.

It is another host than Graph's, as in OneDrive, and its URLs are pre-authenticated: an access token is rejected.

Sources:
    https://learn.microsoft.com/en-us/graph/api/driveitem-createuploadsession
    https://learn.microsoft.com/en-us/graph/api/driveitem-get-content (partial range downloads)
    https://learn.microsoft.com/en-us/graph/long-running-actions-overview
    RFC 9110, sections 13 and 14: https://www.rfc-editor.org/rfc/rfc9110#section-13
"""

from __future__ import annotations

import asyncio
import uuid
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web
from anyio import to_thread

from entra_async.testing.drives.errors import DriveError, invalid
from entra_async.testing.drives.file_content import FileContent
from entra_async.testing.drives.item_json import item_json, media_type
from entra_async.testing.drives.items import DriveItem
from entra_async.testing.wire.byte_ranges import ContentRange, UnsatisfiableRange, parse_content_range, parse_range
from entra_async.testing.wire.entity_tags import matches_entity_tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.drives.drives import Drives
    from entra_async.testing.drives.upload_sessions import UploadSession

__all__ = ("file_origin_application",)

_JSON_TYPE: Final = "application/json; charset=utf-8"


def file_origin_application(*, drives: Drives, clock: EmulatorClock) -> web.Application:
    """
    Return the origin as an aiohttp application.

    Args:
        drives: What is stored.
        clock: Dates the responses, and ends sessions and copies.
    """
    origin = _FileOrigin(drives, clock)
    application = web.Application(middlewares=[origin.judge])
    application.router.add_get("/download/{drive}/{item}", origin.download)
    application.router.add_get("/monitor/{copy}", origin.monitor)
    upload = application.router.add_resource("/upload/{session}")
    upload.add_route("PUT", origin.receive)
    upload.add_route("GET", origin.report)
    upload.add_route("POST", origin.complete)
    upload.add_route("DELETE", origin.cancel)
    return application


class _FileOrigin:
    def __init__(self, drives: Drives, clock: EmulatorClock) -> None:
        self._drives = drives
        self._clock = clock

    @web.middleware
    async def judge(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse access tokens, and add the headers that every response has."""
        response: web.StreamResponse
        try:
            if "Authorization" in request.headers:
                message = "This URL is pre-authenticated: send no Authorization header."
                raise DriveError(401, "unauthenticated", message)
            response = await handler(request)
        except DriveError as error:
            body = {"error": {"code": error.code, "message": error.message}}
            response = _json(body, status=error.status, headers=error.headers)
        except web.HTTPException as error:
            response = _json({"error": {"code": "invalidRequest", "message": error.reason}}, status=error.status)
        response.headers.update({"Date": formatdate(self._clock.now(), usegmt=True), "request-id": str(uuid.uuid4())})
        return response

    async def receive(self, request: web.Request) -> web.Response:
        """Take one part of a file, and make the file of the last."""
        session = self._session(request)
        part = _read_part(request)
        session.check_length(part)
        try:
            data = await request.content.readexactly(len(part))
        except (ConnectionError, asyncio.IncompleteReadError):
            return web.Response(status=400)  # the client is gone, and what it sent is ignored
        self._session(request)  # it may have been cancelled in between
        if session.size is None:
            self._drives.check_space(session.drive, part.total)
        session.receive(part, data)
        session.expires_at = self._clock.now() + self._drives.upload_lifetime_s
        if session.complete and not session.defer_commit:
            return await self._commit(session)
        return _json(session.json(closed=self._drives.closed_ranges), status=202)

    async def report(self, request: web.Request) -> web.Response:
        """Report the missing ranges."""
        return _json(self._session(request).json(closed=self._drives.closed_ranges))

    async def complete(self, request: web.Request) -> web.Response:
        """Make the file now: what ``deferCommit`` has put off, or a conflict has prevented."""
        session = self._session(request)
        if request.content_length != 0:
            message = "A POST to an upload URL completes the file, and has an empty body."
            raise invalid(message)
        if not session.complete:
            message = "The file cannot be completed: not all of it has arrived."
            raise invalid(message)
        return await self._commit(session)

    async def cancel(self, request: web.Request) -> web.Response:
        """Throw away what has arrived."""
        self._drives.close_upload(self._session(request))
        return web.Response(status=204)

    async def download(self, request: web.Request) -> web.Response:
        """Return a file, or the requested part of it."""
        ticket = request.query.get("tempauth", "")
        item = self._drives.download(request.match_info["drive"], request.match_info["item"], ticket)
        if item.content is None:
            message = "A folder cannot be downloaded."
            raise invalid(message)
        data = item.content.data
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Type": media_type(item.name),
            "ETag": item.ctag,
            "Last-Modified": formatdate(item.modified_at, usegmt=True),
        }
        if matches_entity_tag(request.headers.get("If-None-Match", ""), item.ctag):
            return web.Response(status=304, headers=headers)
        if not matches_entity_tag(request.headers.get("If-Match", "*"), item.ctag):
            message = "The file has changed."
            raise DriveError(412, "preconditionFailed", message)
        part = _read_range(request, item, len(data))
        if part is None:
            return web.Response(body=data, headers=headers)
        headers["Content-Range"] = f"bytes {part.start}-{part.end}/{part.total}"
        return web.Response(status=206, body=data[part.start : part.end + 1], headers=headers)

    async def monitor(self, request: web.Request) -> web.Response:
        """Report the progress of a copy."""
        copy = self._drives.copy(request.match_info["copy"])
        if copy.made is None:
            done = (self._clock.now() - copy.started_at) / copy.plan.takes_s
            headers = {} if copy.plan.retry_after_s is None else {"Retry-After": str(copy.plan.retry_after_s)}
            running = {"status": "inProgress", "percentageComplete": round(100 * done, 1)}
            return _json({"operation": "ItemCopy", **running}, status=202, headers=headers)
        if isinstance(copy.made, DriveError):
            error = {"code": copy.made.code, "message": copy.made.message}
            return _json({"operation": "ItemCopy", "status": "failed", "percentageComplete": 0.0, "error": error})
        if copy.plan.redirects:
            location = f"{copy.root}/drives/{copy.drive.id}/items/{copy.made.id}"
            return web.Response(status=303, headers={"Location": location})
        completed = {"status": "completed", "percentageComplete": 100.0, "resourceId": copy.made.id}
        return _json({"operation": "ItemCopy", **completed})

    def _session(self, request: web.Request) -> UploadSession:
        return self._drives.upload(request.match_info["session"], request.query.get("tempauth", ""))

    async def _commit(self, session: UploadSession) -> web.Response:
        if session.committing:
            message = "The file is being completed."
            raise DriveError(409, "conflict", message)
        session.committing = True
        try:
            content = await to_thread.run_sync(FileContent, bytes(session.received))
        finally:
            session.committing = False
        # If the name is taken, the session stays, and can be completed once it is free.
        item, created = session.commit(content, self._clock.now())
        self._drives.close_upload(session)
        url = self._drives.download_url(session.drive, item)
        return _json(item_json(session.drive, item, url), status=201 if created else 200)


def _read_part(request: web.Request) -> ContentRange:
    if request.content_length is None:
        message = "The Content-Length header is required."
        raise DriveError(411, "lengthRequired", message)
    part = parse_content_range(request.headers.get("Content-Range", ""))
    if part is None or len(part) != request.content_length:
        message = "The Content-Range header must be 'bytes {first}-{last}/{total}', and fit the length of the body."
        raise invalid(message)
    return part


def _read_range(request: web.Request, item: DriveItem, size: int) -> ContentRange | None:
    # A weak comparison would not do: RFC 9110, section 13.1.5.
    condition = request.headers.get("If-Range")
    if request.method != "GET" or (condition is not None and condition.strip() != item.ctag):
        return None
    try:
        return parse_range(request.headers.get("Range", ""), size)
    except UnsatisfiableRange:
        headers = {"Content-Range": f"bytes */{size}"}
        message = "The range lies beyond the end of the file."
        raise DriveError(416, "invalidRange", message, headers=headers) from None


def _json(body: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(body), headers={"Content-Type": _JSON_TYPE, **(headers or {})}
    )
