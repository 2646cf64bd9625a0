"""Injected answers look like the service's own, and every response is dated by the emulator's clock."""

from __future__ import annotations

import math
import uuid
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import pytest

from entra_async.testing import Emulator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from multidict import CIMultiDictProxy

    Authorized = Callable[[str], Awaitable[dict[str, str]]]


@pytest.fixture
def authorized(emulator: Emulator, http: aiohttp.ClientSession) -> Authorized:
    """Return what makes the headers of a signed-in request, given the scope."""

    async def sign_in(scope: str) -> dict[str, str]:
        form = {
            "grant_type": "client_credentials",
            "client_id": emulator.app.client_id,
            "client_secret": emulator.app.secret,
            "scope": scope,
        }
        async with http.post(f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token", data=form) as response:
            return {"Authorization": f"Bearer {(await response.json())['access_token']}"}

    return sign_in


GRAPH = "https://graph.microsoft.com/.default"


@pytest.mark.parametrize(
    "effect", [{"status": 503}, {"status": 500}, {"status": 404}, {"status": 429}, {"throttle": 5}]
)
async def test_injected_graph_error_is_a_graph_error(
    emulator: Emulator, http: aiohttp.ClientSession, effect: dict[str, Any]
) -> None:
    """It carries all that Graph's own errors carry: the client's id back, the same headers, and a message."""
    sent_id = str(uuid.uuid4())
    url = f"{emulator.graph_url}/v2.0/none"
    async with http.get(url) as own:
        pass
    emulator.faults.add("/v2.0/*", service="graph", **effect)
    async with http.get(url, headers={"client-request-id": sent_id}) as injected:
        error = (await injected.json())["error"]
    assert own.headers.keys() <= injected.headers.keys()
    for name in ("Content-Type", "OData-Version", "x-ms-ags-diagnostic", "Cache-Control"):
        assert injected.headers[name] == own.headers[name]
    assert injected.headers["client-request-id"] == error["innerError"]["client-request-id"] == sent_id
    assert injected.headers["request-id"] == error["innerError"]["request-id"] != own.headers["request-id"]
    assert error["code"]
    assert error["message"]
    assert "" not in error["innerError"].values()


async def test_injected_graph_body_keeps_graphs_headers(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A body of one's own still comes with the headers of Graph; a header of one's own wins."""
    emulator.faults.add("*", status=503, body={"error": {"code": "x"}}, headers={"request-id": "mine"})
    async with http.get(f"{emulator.graph_url}/v1.0/users", headers={"client-request-id": "1"}) as response:
        assert await response.json() == {"error": {"code": "x"}}
    assert (response.headers["client-request-id"], response.headers["request-id"]) == ("1", "mine")
    assert response.headers["Content-Type"].startswith("application/json;odata.metadata=minimal;")
    assert response.headers["OData-Version"] == "4.0"


async def test_every_response_is_dated_by_the_clock(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Good answers, refusals, faults and halves of all services carry the emulator's time, not the real one."""
    emulator.clock.move(10 * 365 * 86400)
    configuration = f"{emulator.authority}/common/v2.0/.well-known/openid-configuration"

    async def dated(url: str, **options: Any) -> float:
        async with http.get(url, **options) as response:
            return parsedate_to_datetime(response.headers["Date"]).timestamp() - emulator.clock.now()

    roots = [emulator.authority, emulator.graph_url, emulator.endpoint_url]
    roots += [emulator.cloud.azure.url, emulator.cloud.key_vault.url]
    differences = [await dated(f"{root}/none") for root in roots]
    differences.append(await dated(configuration))
    differences.append(await dated(configuration, headers={"Host": "login.microsoftonline.com"}))
    effects: list[dict[str, Any]] = [{"status": 500}, {"throttle": 1}, {"html": True}, {"empty": True}]
    for effect in [*effects, {"half_body": True}, {"status": 503, "body": b"down"}, {"delay_s": 1e-9}]:
        emulator.faults.add("*", **effect)
        differences.append(await dated(configuration))
    assert max(map(abs, differences)) < 5


async def test_a_injected_date_is_sent_as_it_is(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A service whose clock is wrong can be played."""
    wrong = "Wed, 21 Oct 2015 07:28:00 GMT"
    emulator.faults.add("*", status=503, headers={"date": wrong})
    async with http.get(emulator.graph_url) as response:
        assert response.headers.getall("Date") == [wrong]


async def test_half_of_nothing(emulator: Emulator, http: aiohttp.ClientSession, authorized: Authorized) -> None:
    """A response without a body arrives whole, and then the connection ends."""
    headers = await authorized(GRAPH)
    path = "/v1.0/users/ada@contoso.com"
    emulator.faults.add(path, method="DELETE", half_body=True)
    host = emulator.graph_url.removeprefix("https://")
    port = int(host.partition(":")[2])
    async with await anyio.connect_tcp("localhost", port, ssl_context=emulator.ssl_context) as stream:
        lines = (f"DELETE {path} HTTP/1.1", f"Host: {host}", f"Authorization: {headers['Authorization']}", "", "")
        await stream.send("\r\n".join(lines).encode())
        received = b"".join([part async for part in stream])  # until the server closes
    assert received.startswith(b"HTTP/1.1 204 ")
    assert received.endswith(b"\r\n\r\n")
    assert emulator.requests[-1].status == 204
    async with http.get(f"{emulator.graph_url}{path}", headers=headers) as response:
        assert response.status == 404


async def test_large_response_can_be_cut(
    emulator: Emulator, http: aiohttp.ClientSession, authorized: Authorized
) -> None:
    """A response sent in many pieces is cut in the middle like a small one, and whole if nothing is injected."""

    async def receive(response: aiohttp.ClientResponse) -> bytes:
        arrived = b""
        try:
            async for chunk in response.content.iter_any():
                arrived += chunk
        except aiohttp.ClientPayloadError:
            return arrived + b"|cut"
        return arrived

    headers = await authorized(GRAPH)
    url = f"{emulator.graph_url}/v1.0/users?$top=200"
    sizes: list[CIMultiDictProxy[str]] = []
    bodies = []
    for injected in (False, True, False):
        if injected:
            emulator.faults.add("*", half_body=True)
        async with http.get(url, headers=headers) as response:
            sizes.append(response.headers)
            bodies.append(await receive(response))
    whole = bodies[0]
    assert len(whole) > 65_536
    assert bodies == [whole, whole[: len(whole) // 2] + b"|cut", whole]
    assert {int(size["Content-Length"]) for size in sizes} == {len(whole)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "v1.0/users", "status": 500}, "begins with '/'"),
        ({"path": "", "status": 500}, "begins with '/'"),
        ({"status": 500, "times": 0}, "times must be at least 1"),
        ({"status": 500, "after": -1}, "after and delay_s at least 0"),
        ({"delay_s": -1}, "after and delay_s at least 0"),
        ({"delay_s": math.nan}, "after and delay_s at least 0"),
        ({"status": 99}, "No response has the status 99"),
        ({"status": 600}, "No response has the status 600"),
        ({"throttle": -1}, "throttle must be a number of seconds"),
        ({"throttle": math.inf}, "throttle must be a number of seconds"),
        ({"reset": "now"}, "reset must be 'before' or 'after'"),
        ({"half_body": True, "headers": {"a": "b"}}, "Added headers need an injected response"),
        ({"delay_s": 1, "headers": {"a": "b"}}, "Added headers need an injected response"),
    ],
)
def test_fault_that_could_never_match(options: dict[str, Any], message: str) -> None:
    """A fault that would do nothing, or cannot be, is a mistake in the test and says so."""
    with pytest.raises(ValueError, match=message):
        Emulator().faults.add(**{"path": "*", **options})
