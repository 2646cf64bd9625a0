"""Copies in the emulated drives: the long-running operation of Graph, whose monitor lives on another host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from entra_async.testing import Emulator
from tests.emulator.support.drive_client import Files, signed_in


@pytest.fixture
async def files(emulator: Emulator, http: aiohttp.ClientSession) -> AsyncIterator[Files]:
    """Yield a signed-in client."""
    async with signed_in(emulator, http) as client:
        yield client


async def start(files: Files, source: str, **body: Any) -> str:
    """Start a copy, and return its monitor's URL."""
    response = await files.graph("POST", f"{files.drive}/root:/{source}:/copy", json=body)
    assert (response.status, response.body) == (202, b"")
    return response.headers["Location"]


async def test_a_copy_takes_its_time(files: Files) -> None:
    """The monitor answers 202 and how far it is, then 200 and the id of the copy, which is not there before."""
    files.emulator.drives.put("a.txt", b"data")
    files.emulator.drives.copying(takes_s=100, retry_after_s=7)
    monitor = await start(files, "a.txt", name="b.txt")
    assert monitor.startswith("https://127.0.0.1:")
    files.emulator.clock.move(50)
    running = await files.plain("GET", monitor)
    assert (running.status, running.headers["Retry-After"]) == (202, "7")
    assert running.body["status"] == "inProgress"
    assert 49 < running.body["percentageComplete"] < 52
    assert (await files.graph("GET", f"{files.drive}/root:/b.txt")).status == 404
    files.emulator.clock.move(50)
    over = await files.plain("GET", monitor)
    assert (over.status, over.body["status"], over.body["percentageComplete"]) == (200, "completed", 100.0)
    made = await files.graph("GET", f"{files.drive}/items/{over.body['resourceId']}")
    assert (made.body["name"], made.body["size"]) == ("b.txt", 4)
    assert files.emulator.drives.content("b.txt") == b"data"


async def test_the_monitor_rejects_tokens(files: Files) -> None:
    """The monitor's URL is pre-authenticated: an access token gives 401, an unknown one 404."""
    files.emulator.drives.put("a.txt", b"data")
    monitor = await start(files, "a.txt", name="b.txt")
    refused = await files.plain("GET", monitor, headers={"Authorization": f"Bearer {files.token}"})
    assert (refused.status, refused.code) == (401, "unauthenticated")
    unknown = await files.plain("GET", f"{monitor}0")
    assert (unknown.status, unknown.code) == (404, "operationNotFound")


async def test_the_monitor_may_redirect(files: Files) -> None:
    """A monitor can end with 303 to the copy in Graph, where the token is needed again."""
    files.emulator.drives.put("a.txt", b"data")
    files.emulator.drives.copying(takes_s=0, redirects=True)
    redirect = await files.plain("GET", await start(files, "a.txt", name="b.txt"))
    assert redirect.status == 303
    location = redirect.headers["Location"]
    assert (await files.plain("GET", location)).status == 401
    made = await files.plain("GET", location, headers={"Authorization": f"Bearer {files.token}"})
    assert made.body["name"] == "b.txt"


async def test_a_copy_can_fail(files: Files) -> None:
    """A failure, injected or by a name that is taken, is told by the monitor with status failed and an error."""
    files.emulator.drives.put("a.txt", b"data")
    files.emulator.drives.copying(takes_s=0, outcome="failed")
    failed = await files.plain("GET", await start(files, "a.txt", name="b.txt"))
    assert (failed.status, failed.body["status"], failed.body["error"]["code"]) == (200, "failed", "generalException")
    files.emulator.drives.copying(takes_s=0)
    taken = await files.plain("GET", await start(files, "a.txt"))
    assert (taken.body["status"], taken.body["error"]["code"]) == ("failed", "nameAlreadyExists")


async def test_a_folder_is_copied_with_all_in_it(files: Files) -> None:
    """A folder comes with its files into the folder named by id, in another drive too, but not into itself."""
    drives = files.emulator.drives
    drives.put("a/b/c.txt", b"c")
    drives.put("a/d.txt", b"d")
    drives.put("target/x.txt", b"x", user_id=files.emulator.add_user("grace").id)
    drives.copying(takes_s=0)
    other = drives.drive_id("grace@contoso.com")
    folder = (await files.graph("GET", f"/drives/{other}/root:/target")).body["id"]
    over = await files.plain("GET", await start(files, "a", parentReference={"driveId": other, "id": folder}))
    assert over.body["status"] == "completed"
    assert drives.content("target/a/b/c.txt", user_id="grace@contoso.com") == b"c"
    assert drives.content("a/b/c.txt") == b"c"
    inside = (await files.graph("GET", f"{files.drive}/root:/a/b")).body["id"]
    looped = await files.graph("POST", f"{files.drive}/root:/a:/copy", json={"parentReference": {"id": inside}})
    assert (looped.status, looped.code) == (400, "invalidRequest")


@pytest.mark.parametrize(("behavior", "name"), [("replace", "b.txt"), ("rename", "b 1.txt")])
async def test_a_taken_name_is_handled_as_requested(files: Files, behavior: str, name: str) -> None:
    """The query's conflictBehavior replaces what is there, or gives the copy another name."""
    files.emulator.drives.put("a.txt", b"new")
    files.emulator.drives.put("b.txt", b"old")
    files.emulator.drives.copying(takes_s=0)
    path = f"{files.drive}/root:/a.txt:/copy?@microsoft.graph.conflictBehavior={behavior}"
    started = await files.graph("POST", path, json={"name": "b.txt"})
    assert (await files.plain("GET", started.headers["Location"])).body["status"] == "completed"
    assert files.emulator.drives.content(name) == b"new"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a*b"},
        {"parentReference": {}},
        {"parentReference": "x"},
        {"to": "b"},
        {"name": 5},
        {"childrenOnly": True},
    ],
)
async def test_nonsense_is_refused_at_once(files: Files, body: dict[str, Any]) -> None:
    """A name that may not be, no target, or a property there is not: 400, and no copy is started."""
    files.emulator.drives.put("a.txt", b"data")
    response = await files.graph("POST", f"{files.drive}/root:/a.txt:/copy", json=body)
    assert (response.status, response.code) == (400, "invalidRequest")


@pytest.mark.parametrize("plan", [{"takes_s": -1}, {"outcome": "perhaps"}, {"retry_after_s": -1}])
def test_plans_make_sense(plan: dict[str, Any]) -> None:
    """An outcome there is not, or a time before now, is a mistake in the test."""
    with pytest.raises(ValueError, match="at least 0"):
        Emulator().drives.copying(**plan)
