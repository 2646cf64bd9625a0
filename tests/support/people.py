"""Who signs in: the emulator's scripted browser, or a test that plays the browser itself."""

from __future__ import annotations

import re
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import anyio

from entra_async import Connection, DeviceCode, MemoryStore, Session
from entra_async.credentials.browser import Browser
from entra_async.testing import Emulator


def browser(emulator: Emulator, **changes: Any) -> Browser:
    """Return a provider whose person is the emulator's scripted browser."""
    values: dict[str, Any] = {
        "client_id": emulator.public_app.client_id,
        "tenant_id": emulator.tenant_id,
        "opener": emulator.browser.sign_in,
    }
    return Browser(**{**values, **changes})


def read_link(link: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


def is_free(port: int) -> bool:
    """Return whether nobody listens on the port; bound as servers do, since old connections may linger."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def sign_ins(emulator: Emulator) -> int:
    """Return how many authorization codes were redeemed."""
    return sum("authorization_code" in str(request.form) for request in emulator.token_requests)


class Person:
    """An opener that keeps the link, for tests that play the browser themselves."""

    def __init__(self) -> None:
        self.link = ""
        self.came = anyio.Event()

    async def open(self, link: str) -> None:
        self.link = link
        self.came.set()

    async def visit(self, http: aiohttp.ClientSession, **fields: str) -> tuple[int, str]:
        """Come back with these fields, in the way that was requested."""
        asked = read_link(self.link)
        async with http.post(asked["redirect_uri"], data={"state": asked["state"], **fields}) as response:
            return response.status, await response.text()


class Machine:
    """A program that several users use, one after the other: whoever sits at it answers its sign-ins."""

    def __init__(self, emulator: Emulator, kind: str = "Browser") -> None:
        self.emulator = emulator
        self.store = MemoryStore(now=emulator.clock.now)
        self.ada = emulator.user
        self.grace = emulator.add_user("grace")
        self.user = self.ada
        self.asked = 0
        self.provider: Any = browser(emulator, opener=self._open)
        if kind == "DeviceCode":
            self.provider = DeviceCode(
                client_id=emulator.public_app.client_id, tenant_id=emulator.tenant_id, prompt=self._enter
            )

    async def _open(self, link: str) -> None:
        self.asked += 1
        self.emulator.browser.forget()
        # Who sees another name filled in chooses another account.
        await self.emulator.browser.sign_in(re.sub(r"&login_hint=[^&]*", "", link), self.user)

    async def _enter(self, prompt: Any) -> None:
        self.asked += 1
        self.emulator.browser.forget()
        await self.emulator.browser.enter_device_code(prompt.user_code, self.user)
        self.emulator.clock.move(5)  # to the next poll

    def start(self) -> Session:
        return self.emulator.session(store=self.store)


async def who(connection: Connection, *scopes: str) -> str:
    """Return whose token a connection gives."""
    name: str = (await connection.get_token(*scopes)).claims["upn"]
    return name.partition("@")[0]
