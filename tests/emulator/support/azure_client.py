"""Azure Resource Manager as a plain client sees it: signed in with one token, nothing followed by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from entra_async.testing import Emulator

GROUPS = "2021-04-01"
STORAGE = "2023-01-01"
COMPUTE = "2024-03-01"
ACCOUNT = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
MACHINE = {"location": "eastus", "properties": {"hardwareProfile": {"vmSize": "Standard_B1s"}}}


@dataclass(frozen=True)
class ServiceResponse:
    """What came back."""

    status: int
    headers: CIMultiDictProxy[str]
    body: Any

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.body["error"]["code"])


async def app_token(emulator: Emulator, http: aiohttp.ClientSession, resource: str) -> str:
    """Return an access token of the emulator's app."""
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "scope": f"{resource}/.default",
    }
    async with http.post(f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token", data=form) as response:
        body = await response.json()
        assert response.status == 200, body
        return str(body["access_token"])


@dataclass
class Azure:
    """A client of the first subscription."""

    emulator: Emulator
    http: aiohttp.ClientSession
    token: str

    @property
    def subscription(self) -> str:
        """The path of the first subscription."""
        return f"/subscriptions/{self.emulator.arm.subscription_id}"

    @property
    def account(self) -> str:
        """The path of a storage account in the first group."""
        return f"{self.subscription}/resourceGroups/rg-00000/providers/Microsoft.Storage/storageAccounts/files"

    async def send(self, method: str, path: str, version: str | None = GROUPS, **options: Any) -> ServiceResponse:
        """Send a request; a path that is a link goes out as it is."""
        options["headers"] = {"Authorization": f"Bearer {self.token}", **options.get("headers", {})}
        url = URL(path, encoded=True) if path.startswith("http") else URL(self.emulator.arm.url + path)
        if version is not None and not path.startswith("http"):
            url = url.update_query({"api-version": version})
        async with self.http.request(method, url, **options) as response:
            body = await response.json() if response.content_type == "application/json" else await response.text()
            return ServiceResponse(response.status, response.headers, body)

    async def get(self, path: str, version: str | None = GROUPS, **options: Any) -> ServiceResponse:
        """Send a GET."""
        return await self.send("GET", path, version, **options)


@asynccontextmanager
async def signed_in(emulator: Emulator, http: aiohttp.ClientSession) -> AsyncIterator[Azure]:
    """Yield a client with a token of the app."""
    yield Azure(emulator, http, await app_token(emulator, http, "https://management.azure.com"))
