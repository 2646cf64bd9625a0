"""
Delta queries: the changes since last time, with a state that outlives the process.

The state is saved when the items of a page were used, never before: a process that is killed gives that page again, and
loses none. When the service's own state has expired, a full synchronization follows, once, and what is missing from it
was deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, Final, Literal, final

import msgspec
from msgspec.structs import replace

from entra_async.calls.background_tasks import cancel_all, finish
from entra_async.calls.context import CallContext
from entra_async.calls.delta.state import DeltaStore
from entra_async.calls.paging.rereading import read_page
from entra_async.calls.request import Request
from entra_async.errors import APIStatusError, ConfigurationError, PagingError, StoreError
from entra_async.pipeline.prepared import PreparedRequest
from entra_async.pipeline.response import Response
from entra_async.rules.http.decoding import Page
from entra_async.rules.http.links import check_link
from entra_async.rules.http.urls import strip_query
from entra_async.rules.paging.changes import Change, read_change
from entra_async.rules.paging.position import fingerprint
from entra_async.rules.paging.restarts import needs_resync
from entra_async.telemetry.events import ResyncStarted

__all__ = ("Delta",)

_VERSION: Final = 1
_DERIVED_AT_ONCE: Final = 1_000
_MINIMAL: Final = "return=minimal"


class DeltaCheckpoint(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """
    How far a delta query came.

    Attributes:
        query: Fingerprint of the first request's URL.
        url: That URL without its query, for people.
        tenant: The tenant of the objects; empty if the token does not say.
        user: Fingerprint of the user that ``me`` in the path is; empty for other paths.
        link: Where to go on; empty for the first request.
        stage: ``"all"`` during a full synchronization; ``"missing"`` while what it lacked is given; ``"changes"``.
        generation: The number of the full synchronization; the first is 1.
        page: Counts the pages, so that no two checkpoints are alike.
        version: Of this format.
    """

    query: str
    url: str
    tenant: str
    user: str
    link: str = ""
    stage: Literal["all", "missing", "changes"] = "all"
    generation: int = 1
    page: int = 0
    version: int = _VERSION


@final
class Delta:
    """
    One run of a delta query, from where the state is to now.

    Args:
        context: The connection.
        request: The first request.
        prepared: What it sends.
        state: Where the checkpoint is kept.
        minimal: Whether only changed properties are wanted.
        latest: Whether a new state begins now, without the objects that exist.
    """

    def __init__(
        self,
        context: CallContext,
        request: Request,
        prepared: PreparedRequest,
        state: DeltaStore,
        *,
        minimal: bool,
        latest: bool,
    ) -> None:
        self._context = context
        self._request = request
        self._prepared = prepared
        self._state = state
        self._minimal = minimal
        self._latest = latest
        self._key = context.service.item_key
        self._checkpoint = _begin(prepared)
        self._saved: bytes | None = None
        self._resynced = False
        self._links: set[int] = set()

    async def changes(self) -> AsyncGenerator[Change]:
        """Yield every change; see :meth:`entra_async.Connection.delta`."""
        await self._context.access.check(self._request.required_scopes)
        await self._load()
        if self._checkpoint.stage == "missing":  # an earlier run ended in the middle of that
            async for change in self._missing():
                yield change
        async with aclosing(self._pages()) as pages:
            async for changes in pages:
                for change in changes:
                    yield change
        if self._checkpoint.stage == "missing":
            async for change in self._missing():
                yield change

    async def _pages(self) -> AsyncGenerator[list[Change]]:
        ahead: asyncio.Task[Response] | None = None
        try:
            while True:
                try:
                    response = await (self._fetch(self._url()) if ahead is None else finish(ahead))
                except APIStatusError as error:
                    ahead = None
                    await self._resync(error)
                    continue
                ahead = None
                page = await self._read(response)
                changes = self._changes_of(page, response.url)
                link = self._next(page)
                if page.next_link is not None:
                    ahead = self._context.start(self._fetch(link), name="entra_async next page")
                    await asyncio.sleep(0)  # let it be sent before the page is used
                yield changes
                # Whoever asks for more has used these.
                presence = [(change.id, change.removed is None) for change in changes]
                stage = self._checkpoint.stage
                if ahead is None:
                    stage = "missing" if stage == "all" and self._checkpoint.generation > 1 else "changes"
                del response, page, changes
                await self._save(presence, link=link, stage=stage)
                if ahead is None:
                    return
        finally:
            if ahead is not None:
                await cancel_all([ahead])

    async def _missing(self) -> AsyncGenerator[Change]:
        """Yield the objects that an earlier generation had, and the full synchronization lacks."""
        while gone := await self._state.missing(before=self._checkpoint.generation, limit=_DERIVED_AT_ONCE):
            for name in gone:
                yield Change(name, {self._key: name}, removed="deleted", derived=True)
            await self._save([(name, False) for name in gone])
        await self._save([], stage="changes")

    async def _resync(self, error: APIStatusError) -> None:
        """Begin a full synchronization, if that is what the error demands; else raise it."""
        old = self._checkpoint.link
        if not old or not needs_resync(error.status, error.code):
            raise error
        if self._resynced:
            error.hint = (
                "That came during the full synchronization that it had demanded. Nothing is lost: try again later."
            )
            raise error
        location = error.headers.get("location")
        link = check_link(location, source=old) if location else ""
        self._resynced = True
        self._links.clear()
        await self._save([], link=link, stage="all", generation=self._checkpoint.generation + 1)
        self._context.emit(ResyncStarted(self._checkpoint.url, error.status, error.code, located=bool(link)))

    async def _load(self) -> None:
        begin = self._checkpoint
        tenant, user = await self._context.access.owner()
        for_me = "me" in begin.url.split("/")
        begin = replace(begin, tenant=tenant or "", user=fingerprint(user) if for_me and user else "")
        self._saved = await self._state.load()
        self._checkpoint = begin if self._saved is None else self._read_checkpoint(self._saved, begin)

    def _read_checkpoint(self, saved: bytes, begin: DeltaCheckpoint) -> DeltaCheckpoint:
        checkpoint: DeltaCheckpoint | None = None
        with suppress(ValueError):
            checkpoint = msgspec.json.decode(saved, type=DeltaCheckpoint)
        if checkpoint is None or checkpoint.version != _VERSION:
            message = f"{self._state!r} holds something that is not the state of a delta query."
            raise StoreError(message, hint="Delete it to start anew, or give another state.")
        other = None
        if checkpoint.query != begin.query:
            other = "another query" if checkpoint.url == begin.url else f"another path, {checkpoint.url}"
        elif checkpoint.tenant and begin.tenant and checkpoint.tenant != begin.tenant:
            other = f"another tenant, {checkpoint.tenant}"
        elif checkpoint.user and begin.user and checkpoint.user != begin.user:
            other = "another user"
        if other is not None:
            message = f"{self._state!r} is the state of {other}. It was not changed."
            hint = "Give each path and query a state of its own, and repeat the query as it was."
            raise ConfigurationError(message, field="state", hint=hint)
        return checkpoint

    async def _save(self, presence: list[tuple[str, bool]], **changes: Any) -> None:
        checkpoint = replace(self._checkpoint, page=self._checkpoint.page + 1, **changes)
        text = msgspec.json.encode(checkpoint)
        await self._state.save(text, replacing=self._saved, generation=checkpoint.generation, changes=presence)
        self._checkpoint, self._saved = checkpoint, text

    def _url(self) -> str:
        first, link = self._prepared.url, self._checkpoint.link
        if link:
            return check_link(link, source=first)  # it may come from a file
        if self._latest and self._checkpoint.generation == 1:
            return f"{first}{'&' if '?' in first else '?'}$deltatoken=latest"
        return first

    async def _fetch(self, url: str) -> Response:
        prepared = self._prepared.to(url)
        if self._minimal and self._checkpoint.stage == "changes":
            headers = prepared.headers.copy()
            headers["Prefer"] = ", ".join([*headers.getall("Prefer", []), _MINIMAL])
            prepared = PreparedRequest("GET", url, headers)
        return await self._context.pipeline.send(prepared, timeout_s=self._request.timeout)

    async def _read(self, response: Response) -> Page:
        page = await read_page(response, None, url=self._url(), fetch=self._fetch, sleep=self._context.clock.sleep)
        if isinstance(page, Page) and (page.next_link is not None or page.delta_link is not None):
            return page
        message = f"{response.url} answered with neither a next page nor a delta link."
        raise PagingError(message, url=response.url, hint="Give the path of a delta function, such as 'users/delta'.")

    def _changes_of(self, page: Page, url: str) -> list[Change]:
        changes = []
        for item in page.items:
            change = read_change(item, self._key)
            if change is None:
                message = f"{url} sent a change of an object without {self._key!r}."
                raise PagingError(message, url=url, hint=f"Add {self._key!r} to $select.")
            changes.append(change)
        return changes

    def _next(self, page: Page) -> str:
        link = check_link(page.next_link or page.delta_link, source=self._prepared.url)
        if page.next_link is not None:
            if hash(link) in self._links:
                message = (
                    f"{self._checkpoint.url} sent a link to a page that was read before: following it would never end."
                )
                raise PagingError(message, url=self._checkpoint.url, hint="This is a fault of the service; report it.")
            self._links.add(hash(link))
        return link


def _begin(prepared: PreparedRequest) -> DeltaCheckpoint:
    return DeltaCheckpoint(fingerprint(prepared.url), strip_query(prepared.url), tenant="", user="")
