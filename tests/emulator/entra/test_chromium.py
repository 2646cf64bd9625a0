"""
A real browser and our pages: sign in, decline, enter a device code.

Run it by hand when a page changes, and look at the pictures:
``PICTURES=folder pytest tests/emulator/entra/test_chromium.py``.
A browser on a busy machine is too slow to be part of every run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from entra_async import Browser, DeviceCode, DeviceCodePrompt
from entra_async.errors import AuthenticationError
from entra_async.testing import Emulator
from tests.support import chromium

pytestmark = [
    pytest.mark.skipif(
        chromium.FOUND is None or "PICTURES" not in os.environ,
        reason="run by hand: set PICTURES to a folder for the pictures, on a machine with Chromium",
    ),
    pytest.mark.timeout(90),  # a browser on a busy machine takes its time
]


@pytest.fixture(scope="module")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium.running(tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
def pictures() -> Path:
    """Give the folder for pictures."""
    return Path(os.environ["PICTURES"])


async def test_a_person_signs_in(emulator: Emulator, devtools: str, pictures: Path) -> None:
    """User name, password, consent, and the page at the end; the Session is signed in."""
    app = emulator.register_app(public_client=True, redirect_uris=["http://localhost"], delegated=["User.Read"])
    async with chromium.tab(devtools) as page, emulator.session() as session:

        async def drive_browser(url: str) -> None:
            await page.go(url)
            await page.see("Sign in")
            await page.picture(pictures / "1-user-name.png")
            await page.type("login", emulator.user.user_principal_name)
            await page.press("Next")
            await page.see("Enter password")
            await page.type("password", "wrong")
            await page.press("Sign in")
            await page.see("incorrect")
            await page.picture(pictures / "2-password.png")
            await page.type("password", emulator.user.password)
            await page.press("Sign in")
            await page.see("Permissions requested")
            await page.picture(pictures / "3-consent.png")
            await page.press("Accept")

        provider = Browser(
            client_id=app.client_id, tenant_id=emulator.tenant_id, scopes=("User.Read",), opener=drive_browser
        )
        await session.connect(provider)
        shown = await page.see("signed in")
        await page.picture(pictures / "4-signed-in.png")
        me = await session.invoke("me")

    assert "code" not in shown.lower()
    assert me["displayName"] == "Ada Lovelace"


async def test_a_person_declines(emulator: Emulator, devtools: str, pictures: Path) -> None:
    """Declining ends the sign-in at once, and the page says what happened and what to do."""
    app = emulator.register_app(public_client=True, redirect_uris=["http://localhost"], delegated=["User.Read"])
    user = emulator.add_user("grace")
    async with chromium.tab(devtools) as page, emulator.session() as session:

        async def drive_browser(url: str) -> None:
            await page.go(url)
            await page.see("Sign in")
            await page.type("login", user.user_principal_name)
            await page.press("Next")
            await page.see("Enter password")
            await page.type("password", user.password)
            await page.press("Sign in")
            await page.see("Permissions requested")
            await page.press("Cancel")

        provider = Browser(
            client_id=app.client_id, tenant_id=emulator.tenant_id, scopes=("User.Read",), opener=drive_browser
        )
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(provider)
        await page.see("What to do")
        await page.picture(pictures / "5-declined.png")

    assert caught.value.hint


async def test_a_person_enters_a_device_code(emulator: Emulator, devtools: str, pictures: Path) -> None:
    """The code from the terminal, typed into the page, signs the Session in."""
    app = emulator.public_app
    async with chromium.tab(devtools) as page, emulator.session() as session, anyio.create_task_group() as group:

        async def drive_browser(prompt: DeviceCodePrompt) -> None:
            await page.go(prompt.verification_uri)
            await page.see("code")
            await page.picture(pictures / "6-device-code.png")
            await page.run(f"document.querySelector('input:not([type=hidden])').value = {prompt.user_code!r}")
            await page.press("Next")
            await page.see("Sign in")
            await page.type("login", emulator.user.user_principal_name)
            await page.press("Next")
            await page.see("Enter password")
            await page.type("password", emulator.user.password)
            await page.press("Sign in")
            await page.see("Are you trying to sign in")
            await page.picture(pictures / "7-device-confirm.png")
            await page.press("Continue")
            await page.see("close this window")
            await page.picture(pictures / "8-device-done.png")
            emulator.clock.move(10)

        async def show(prompt: DeviceCodePrompt) -> None:
            group.start_soon(drive_browser, prompt)

        await session.connect(DeviceCode(client_id=app.client_id, tenant_id=emulator.tenant_id, prompt=show))
        me = await session.invoke("me")

    assert me["displayName"] == "Ada Lovelace"
