"""A real Chromium without a window, driven over its DevTools protocol: what a user's browser makes of our pages."""

from __future__ import annotations

import base64
import itertools
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel

FOUND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run Chromium with a profile of its own; give the address of its DevTools. Blocks: use it outside the loop."""
    assert FOUND is not None
    command = [
        FOUND,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--ignore-certificate-errors",
        "--window-size=900,760",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        file = folder / "DevToolsActivePort"
        while not file.exists() or not file.read_text().strip():
            assert time.monotonic() < deadline, "Chromium did not start"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{file.read_text().splitlines()[0]}"
    finally:
        process.terminate()
        process.wait(10)


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def _call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            response = await self._socket.receive_json(timeout=30)
            if response.get("id") == number:
                assert "error" not in response, response
                return response["result"]

    async def go(self, url: str) -> None:
        """Open a URL."""
        await self._call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        result = await self._call("Runtime.evaluate", expression=script, returnByValue=True)
        return result["result"].get("value")

    async def see(self, text: str) -> str:
        """Wait until the page shows *text*, and return all it shows."""
        shown = ""
        # A page that is still being loaded shows its text before its buttons work.
        script = "document.body && document.readyState === 'complete' ? document.body.innerText : ''"
        with anyio.move_on_after(30):
            while text.lower() not in shown.lower():
                shown = str(await self.run(script))
        assert text.lower() in shown.lower(), f"{text!r} is not on the page: {shown!r}"
        return shown

    async def type(self, name: str, value: str) -> None:
        """Type into the field of that name."""
        await self.run(f"document.querySelector('[name={name}]').value = {value!r}")

    async def press(self, text: str) -> None:
        """Press the button that says *text*."""
        find = f"[...document.querySelectorAll('button')].find(b => b.innerText.trim() === {text!r})"
        assert await self.run(f"!!{find}"), f"no button {text!r}: {await self.run('document.body.innerText')}"
        await self.run("window.pressed = true")
        await self.run(f"{find}.click()")
        # The next page is another window object; until then, the old one still shows its text.
        with anyio.move_on_after(30):
            while await self.run("window.pressed === true"):
                await anyio.lowlevel.checkpoint()

    async def picture(self, file: Path) -> None:
        """Save what the page looks like."""
        result = await self._call("Page.captureScreenshot", format="png")
        await anyio.Path(file).write_bytes(base64.b64decode(result["data"]))


@asynccontextmanager
async def tab(devtools: str) -> Any:
    """Open a tab for the block."""
    async with aiohttp.ClientSession() as http:
        async with http.put(f"{devtools}/json/new?about:blank") as response:
            target = await response.json()
        async with http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            yield Page(socket)
