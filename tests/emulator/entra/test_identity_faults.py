"""What a test can see and break in the emulator: the record, the faults, the clock, the verdict on tokens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest

if TYPE_CHECKING:
    from entra_async.testing import Emulator

GRAPH = "https://graph.microsoft.com/.default"


async def get_token(http: aiohttp.ClientSession, emulator: Emulator, scope: str = GRAPH) -> str:
    """Return a new access token."""
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "scope": scope,
    }
    async with http.post(f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token", data=form) as response:
        body: dict[str, Any] = await response.json()
        return str(body["access_token"])


def configuration(emulator: Emulator) -> str:
    """Return an address that is answered with JSON."""
    return f"{emulator.authority}/{emulator.tenant_id}/v2.0/.well-known/openid-configuration"


async def test_record_shows_requests_without_secrets(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Every request is recorded with what matters; no credential is, wherever it was sent."""
    canary = "canary-0123456789"
    names = ("client_secret", "client_assertion", "password", "code", "refresh_token", "assertion", "device_code")
    url = f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token"
    form = {"grant_type": "client_credentials", "client_id": "app"} | dict.fromkeys(names, canary)
    headers = {"Authorization": f"Bearer {canary}", "X-Sent": "yes"}
    async with http.post(url, params={"code": canary, "other": "1"}, data=form, headers=headers):
        pass

    assert canary not in repr(list(emulator.requests))
    (record,) = emulator.token_requests
    assert (record.service, record.method, record.status) == ("identity", "POST", 400)
    assert record.path == f"/{emulator.tenant_id}/oauth2/v2.0/token"
    assert record.query == {"code": "***", "other": "1"}
    assert (record.headers["authorization"], record.headers["x-sent"]) == ("***", "yes")
    assert record.form == {"grant_type": "client_credentials", "client_id": "app"} | dict.fromkeys(names, "***")
    assert abs(record.at - emulator.clock.now()) < 10


async def test_record_is_counted_and_cleared(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Requests are counted by method, path (itself or a pattern) and service, in order of arrival."""
    await get_token(http, emulator)
    async with http.get(f"{emulator.graph_url}/v1.0/users"):
        pass
    requests = emulator.requests
    assert len(requests) == requests.count() == 2
    assert [record.service for record in requests] == ["identity", "graph"]
    assert requests.count(method="post") == requests.count(service="identity") == len(emulator.token_requests) == 1
    assert requests.count(path="/v1.0/users") == requests.count(path=r"/v1\.0/.*") == 1
    assert requests[-1].status == 401
    requests.clear()
    assert not requests


async def test_services_judge_tokens(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """No token, another service's, a changed one, and, once the clock moved, an expired one are answered 401."""
    token = await get_token(http, emulator)
    vault = await get_token(http, emulator, "https://vault.azure.net/.default")
    head, claims, signature = token.split(".")

    async def status_with(authorization: str | None) -> int:
        headers = {"Authorization": authorization} if authorization else {}
        async with http.get(f"{emulator.graph_url}/v1.0/users", headers=headers) as response:
            return response.status

    assert await status_with(f"Bearer {token}") == 200
    forged = f"{head}.{claims}.{signature[:-8]}AAAAAAAA"
    for authorization in (None, "Bearer ", f"Basic {token}", "Bearer x", f"Bearer {vault}", f"Bearer {forged}"):
        assert await status_with(authorization) == 401
    emulator.clock.move(3600)
    assert await status_with(f"Bearer {token}") == 401


async def test_fault_replaces_the_response_of_the_service(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A status with a body of one's own, with added headers, struck after the first request and only twice."""
    fault = emulator.faults.add(
        "/*/openid-configuration",
        service="identity",
        after=1,
        times=2,
        status=503,
        body="<html>down</html>",
        headers={"Content-Type": "text/html", "Retry-After": "7"},
    )
    statuses = []
    for _ in range(4):
        async with http.get(configuration(emulator)) as response:
            statuses.append(response.status)
            if response.status == 503:
                assert (response.headers["Retry-After"], response.content_type) == ("7", "text/html")
                assert await response.text() == "<html>down</html>"
    assert statuses == [200, 503, 503, 200] == [record.status for record in emulator.requests]
    assert fault.hits == 2


async def test_fault_without_body_has_the_services_format(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A status or a throttle alone is answered in the shape of the service: Entra ID's, or an error object."""
    emulator.faults.add("*", service="identity", throttle=30)
    emulator.faults.add("*", service="identity", status=500)
    emulator.faults.add("*", service="graph", throttle=2.128)
    emulator.faults.add("*", service="endpoint", throttle="Wed, 21 Oct 2065 07:28:00 GMT")
    emulator.faults.add("*", service="graph", status=503, body={"error": {"code": "x"}})
    seen = []
    for url in (
        configuration(emulator),
        configuration(emulator),
        emulator.graph_url,
        emulator.endpoint_url,
        emulator.graph_url,
    ):
        async with http.get(url) as response:
            error = (await response.json())["error"]
            code = error if isinstance(error, str) else error["code"]
            seen.append((response.status, response.headers.get("Retry-After"), code))
    assert seen == [
        (429, "30", "temporarily_unavailable"),
        (500, None, "temporarily_unavailable"),
        (429, "2.128", "TooManyRequests"),
        (429, "Wed, 21 Oct 2065 07:28:00 GMT", "TooManyRequests"),
        (503, None, "x"),
    ]


async def test_fault_html_and_empty(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A web page, and JSON without a byte, both come with status 200."""
    emulator.faults.add("*", html=True)
    emulator.faults.add("*", empty=True)
    async with http.get(configuration(emulator)) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "<html>" in await response.text()
    async with http.get(configuration(emulator)) as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.read() == b""


async def test_fault_half_body(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The headers promise the whole body, half of it arrives, and the connection ends."""
    async with http.get(configuration(emulator)) as response:
        whole = await response.read()
    emulator.faults.add("*", half_body=True)
    async with http.get(configuration(emulator)) as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) == len(whole)
        arrived = b""

        async def read_all() -> None:
            nonlocal arrived
            async for chunk in response.content.iter_any():
                arrived += chunk

        with pytest.raises(aiohttp.ClientPayloadError):
            await read_all()
        assert arrived == whole[: len(whole) // 2]
    assert [record.status for record in emulator.requests] == [200, 200]
    async with http.get(configuration(emulator)) as response:
        assert await response.read() == whole


@pytest.mark.parametrize("when", ["before", "after"])
async def test_fault_reset(emulator: Emulator, http: aiohttp.ClientSession, when: Any) -> None:
    """The connection is reset without a response; the record shows the request, and no status."""
    emulator.faults.add("*", reset=when)
    # A POST, because aiohttp repeats an idempotent request by itself.
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await http.post(f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token", data={"grant_type": "x"})
    assert [record.status for record in emulator.requests] == [None]
    async with http.get(configuration(emulator)) as response:
        assert response.status == 200


async def test_reset_before_hides_the_request_from_the_service(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """ "before" means the service never acted; "after" means it has."""
    token = await get_token(http, emulator)
    headers = {"Authorization": f"Bearer {token}"}
    user = {
        "accountEnabled": True,
        "displayName": "Grace Hopper",
        "mailNickname": "grace",
        "userPrincipalName": "grace@contoso.com",
        "passwordProfile": {"password": "Correct-horse-1"},
    }
    users = f"{emulator.graph_url}/v1.0/users"
    emulator.faults.add("/v1.0/users", method="POST", reset="before")
    emulator.faults.add("/v1.0/users", method="POST", reset="after")
    for expected in (404, 200):
        with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
            await http.post(users, json=user, headers=headers)
        async with http.get(f"{users}/grace@contoso.com", headers=headers) as response:
            assert response.status == expected


async def test_fault_delay_follows_the_clock(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A delayed answer arrives when the emulator's clock has passed the delay: at once, if it is moved."""
    emulator.faults.add("*", delay_s=3600, status=503)
    started = time.monotonic()

    async def move_when_it_waits() -> None:
        await emulator.requests.wait_for()
        emulator.clock.move(3600)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(move_when_it_waits)
        async with http.get(configuration(emulator)) as response:
            assert response.status == 503
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "effects",
    [{}, {"status": 500, "html": True}, {"body": "x"}, {"throttle": 1, "reset": "before"}],
)
def test_fault_needs_one_effect(effects: dict[str, Any]) -> None:
    """No effect, two effects, or a body without a status is a mistake in the test and says so."""
    from entra_async.testing import Emulator

    with pytest.raises(ValueError, match="needs"):
        Emulator().faults.add("*", **effects)


async def test_faults_can_be_cleared(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Clearing removes faults that would affect for ever."""
    fault = emulator.faults.add("*", status=500, times=None)
    for _ in range(3):
        async with http.get(configuration(emulator)) as response:
            assert response.status == 500
    emulator.faults.clear()
    async with http.get(configuration(emulator)) as response:
        assert response.status == 200
    assert fault.hits == 3


async def test_clock_wakes_every_sleep_it_passed(emulator: Emulator) -> None:
    """Moving the clock ends the sleeps whose time has come and no other; both of its times move alike."""
    clock = emulator.clock
    awake = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        awake.append(seconds)

    now, monotonic = clock.now(), clock.monotonic()
    async with anyio.create_task_group() as tasks:
        for seconds in (100, 10, 1000):
            tasks.start_soon(sleep, seconds)
        await anyio.wait_all_tasks_blocked()
        clock.move(99)
        await anyio.wait_all_tasks_blocked()
        assert awake == [10]
        clock.move(901)
    assert sorted(awake) == [10, 100, 1000]
    assert 1000 <= clock.now() - now < 1005
    assert 1000 <= clock.monotonic() - monotonic < 1005
    with pytest.raises(ValueError, match="forward"):
        clock.move(-1)
