"""The requests of an upload, prepared from a call: everything that can be wrong is found here."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from msgspec.structs import replace

from entra_async.calls.request import Request
from entra_async.errors import ConfigurationError
from entra_async.pipeline.prepared import PreparedRequest
from entra_async.rules.http.ranges import check_chunk_size

__all__ = ("ConflictBehavior", "Progress", "UploadPlan", "plan_upload")

ConflictBehavior: TypeAlias = Literal["fail", "replace", "rename"]
"""What becomes of the file if there is one of that name already."""

Progress: TypeAlias = Callable[[int, int], object]
"""Called with the bytes that have arrived and the bytes in all. It must return at once."""

# Outlook makes a session from 3 MB on, and takes what is smaller in one request.
_SMALLEST_ATTACHMENT: Final = 3_000_000
_BEHAVIOR: Final = "@microsoft.graph.conflictBehavior"
_STREAM: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPlan:
    """
    The requests of an upload.

    Attributes:
        create: Makes a session.
        whole: Sends everything at once, where a session cannot.
        smallest: Bytes a session needs at least.
        chunk_size: Bytes sent at once.
        replaces: Whether uploading twice has the same effect as uploading once.
        item: Finds the file afterwards, if there was none of that name before; else ``None``.
    """

    create: PreparedRequest
    whole: Callable[[bytes], PreparedRequest]
    smallest: int
    chunk_size: int
    replaces: bool
    item: PreparedRequest | None


def plan_upload(
    prepare: Callable[[Request], PreparedRequest],
    call: Request,
    *,
    size: int,
    name: str | None,
    conflict_behavior: ConflictBehavior | None,
    chunk_size: int | None,
) -> UploadPlan:
    """
    Return the requests of an upload.

    Args:
        prepare: Prepares a call.
        call: The path of the file in a drive, by its name or id, or the ``attachments`` of a message or an event; its
            headers are sent with the request that makes the session.
        size: Bytes of the content.
        name: What an attachment is called.
        conflict_behavior: See :data:`ConflictBehavior`; ``None`` leaves it to the service.
        chunk_size: Bytes sent at once; ``None`` for the default.

    Raises:
        ConfigurationError: If one of them cannot be used.
    """
    path = call.path
    if not isinstance(path, str) or "?" in path or path.rstrip("/").endswith(("/content", "/createUploadSession")):
        message = f"path is {path!r}."
        hint = "Give the path of the file itself, such as 'users/{id}/drive/root:/reports/2026.xlsx'."
        raise ConfigurationError(message, field="path", hint=hint)
    if conflict_behavior not in {None, *get_args(ConflictBehavior)}:
        message = f"conflict_behavior is {conflict_behavior!r}."
        raise ConfigurationError(message, field="conflict_behavior", hint="Give 'fail', 'replace' or 'rename'.")

    def request(path: str, method: str, **more: Any) -> PreparedRequest:
        return prepare(replace(call, path=path, method=method, **more))

    path = path.rstrip("/")
    if path.rpartition("/")[2].lower() == "attachments":
        return _plan_attachment(request, path, size=size, name=name, behavior=conflict_behavior, chunk_size=chunk_size)
    if name is not None:
        message = f"name is {name!r}, but in a drive the path holds the name."
        raise ConfigurationError(message, field="name", hint="Leave it out; it is for attachments.")
    by_name = ":/" in path
    item_path = path.removesuffix(":")
    path = f"{item_path}:" if by_name else item_path
    behavior = {} if conflict_behavior is None else {_BEHAVIOR: conflict_behavior}

    def whole(content: bytes) -> PreparedRequest:
        return request(f"{path}/content", "PUT", query=behavior, body=content, content_type=_STREAM)

    is_new = by_name and conflict_behavior in {None, "fail"}
    return UploadPlan(
        create=request(f"{path}/createUploadSession", "POST", body={"item": behavior} if behavior else {}),
        whole=whole,
        smallest=1,
        chunk_size=check_chunk_size(chunk_size, attachment=False),
        replaces=conflict_behavior == "replace" or (conflict_behavior is None and not by_name),
        item=prepare(replace(call, path=item_path, headers=None)) if is_new else None,
    )


def _plan_attachment(
    request: Callable[..., PreparedRequest],
    path: str,
    *,
    size: int,
    name: str | None,
    behavior: ConflictBehavior | None,
    chunk_size: int | None,
) -> UploadPlan:
    if behavior is not None:
        message = "Attachments of one name do not conflict."
        raise ConfigurationError(message, field="conflict_behavior", hint="Leave it out; it is for files in a drive.")
    if not isinstance(name, str) or not name:
        message = "An attachment needs a name."
        raise ConfigurationError(message, field="name", hint="Give name=, such as 'report.pdf'.")

    def whole(content: bytes) -> PreparedRequest:
        kind = "#microsoft.graph.fileAttachment"
        body = {"@odata.type": kind, "name": name, "contentBytes": b64encode(content).decode()}
        return request(path, "POST", body=body)

    return UploadPlan(
        create=request(
            f"{path}/createUploadSession",
            "POST",
            body={"AttachmentItem": {"attachmentType": "file", "name": name, "size": size}},
        ),
        whole=whole,
        smallest=_SMALLEST_ATTACHMENT,
        chunk_size=check_chunk_size(chunk_size, attachment=True),
        replaces=False,
        item=None,
    )
