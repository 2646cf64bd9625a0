"""Drives as a plain client sees them: nothing is followed by itself, and no token goes anywhere but to Graph."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from entra_async.testing import Emulator
from tests.emulator.support.azure_client import app_token

UNIT = 320 * 1024


@dataclass(frozen=True)
class ServiceResponse:
    """What came back: the body decoded if it is JSON, else as bytes."""

    status: int
    headers: CIMultiDictProxy[str]
    body: Any

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.body["error"]["code"])


@dataclass
class Files:
    """A client of Graph and of the origin where files come from."""

    emulator: Emulator
    http: aiohttp.ClientSession
    token: str

    @property
    def drive(self) -> str:
        """The path of the emulator's user's drive."""
        return f"/drives/{self.emulator.drives.drive_id()}"

    async def graph(self, method: str, path: str, **options: Any) -> ServiceResponse:
        """Send a request to Graph."""
        options["headers"] = {"Authorization": f"Bearer {self.token}", **options.get("headers", {})}
        return await self.plain(method, f"{self.emulator.graph_url}/v1.0{path}", **options)

    async def plain(self, method: str, url: str, **options: Any) -> ServiceResponse:
        """Send a request to a URL as it is, without a token."""
        target = URL(url, encoded="?" in url)
        async with self.http.request(method, target, allow_redirects=False, **options) as response:
            is_json = response.content_type == "application/json"
            body = await response.json(content_type=None) if is_json else await response.read()
            return ServiceResponse(response.status, response.headers, body)

    async def open_session(self, path: str, **body: Any) -> str:
        """Open an upload session for a path below the root, and return its URL."""
        response = await self.graph("POST", f"{self.drive}/root:/{path}:/createUploadSession", json=body)
        assert response.status == 200, response.body
        assert response.body["nextExpectedRanges"] == ["0-"]
        return str(response.body["uploadUrl"])

    async def part(self, url: str, data: bytes, start: int, end: int, **headers: str) -> ServiceResponse:
        """Upload ``data[start:end]``."""
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        return await self.plain("PUT", url, data=data[start:end], headers=headers)


@asynccontextmanager
async def signed_in(emulator: Emulator, http: aiohttp.ClientSession) -> AsyncIterator[Files]:
    """Yield a client with a token of the app."""
    yield Files(emulator, http, await app_token(emulator, http, "https://graph.microsoft.com"))
