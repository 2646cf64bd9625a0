"""Faults by chance, mixtures of them, spoiled and slow answers, and a record that doesn't grow."""

from __future__ import annotations

import math
from collections import Counter
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import anyio
import msgspec
import pytest

from entra_async.testing import Emulator

KINDS = ["throttle", "500", "502", "503", "504", "reset_before", "reset_after", "half_body", "html", "wrong_json"]


@pytest.fixture
def config_url(emulator: Emulator) -> str:
    """Return a URL that anybody may read, and whose response is JSON."""
    return f"{emulator.authority}/{emulator.tenant_id}/v2.0/.well-known/openid-configuration"


async def statuses(http: aiohttp.ClientSession, url: str, count: int) -> list[int]:
    """Return what that many requests, one after the other, are answered."""
    responses = []
    for _ in range(count):
        async with http.get(url) as response:
            responses.append(response.status)
    return responses


async def graph_headers(emulator: Emulator, http: aiohttp.ClientSession) -> dict[str, str]:
    """Sign in, and return the headers of a request to Graph."""
    app = emulator.app
    form = {"grant_type": "client_credentials", "client_id": app.client_id, "client_secret": app.secret}
    form["scope"] = "https://graph.microsoft.com/.default"
    async with http.post(f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token", data=form) as response:
        return {"Authorization": f"Bearer {(await response.json())['access_token']}"}


async def outcome(http: aiohttp.ClientSession, url: str) -> str:
    """Return what became of a request, named as the kinds of a mixture are."""
    try:
        async with http.get(url) as response:
            body = await response.read()
    except aiohttp.ClientPayloadError:
        return "half_body"
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        return "reset"
    if response.status != 200:
        return str(response.status)
    if response.content_type == "text/html":
        return "html"
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "wrong_json"
    return "good"


async def test_share_is_chosen_by_a_seed(emulator: Emulator, http: aiohttp.ClientSession, config_url: str) -> None:
    """About the share is affected; the same seed affects the same requests, another seed others."""

    async def struck(seed: int) -> list[int]:
        emulator.faults.clear()
        fault = emulator.faults.add("*", status=503, times=None, share=0.3, seed=seed)
        responses = await statuses(http, config_url, 100)
        assert fault.hits == responses.count(503)
        return responses

    first = await struck(1)
    assert 15 <= first.count(503) <= 45
    assert await struck(1) == first
    assert await struck(2) != first


async def test_share_with_times_and_after(emulator: Emulator, http: aiohttp.ClientSession, config_url: str) -> None:
    """Chance begins after the requests that are let through, and ends with the hits there may be."""
    emulator.faults.add("*", status=503, times=3, after=20, share=0.5)
    responses = await statuses(http, config_url, 60)
    assert responses[:20] == [200] * 20
    assert responses.count(503) == 3


async def test_mixture_affects_with_every_kind(
    emulator: Emulator, http: aiohttp.ClientSession, config_url: str
) -> None:
    """All kinds come up about equally often, each looks as it should, and the rest of the responses is good."""
    mix = emulator.faults.mix("*", share=0.5, seed=7, service="identity", retry_after_s=3)
    outcomes = Counter([await outcome(http, config_url) for _ in range(300)])
    assert list(mix.faults) == KINDS
    assert 110 <= mix.hits <= 190
    hits = {kind: fault.hits for kind, fault in mix.faults.items()}
    assert min(hits.values()) >= 3
    throttled, resets = hits.pop("throttle"), hits.pop("reset_before") + hits.pop("reset_after")
    # After a reset, aiohttp sends a GET once more by itself and says nothing.
    sent_again = len(emulator.requests) - 300
    good = len(emulator.requests) - mix.hits
    assert outcomes == Counter({**hits, "429": throttled, "reset": resets - sent_again, "good": good})


async def test_mixture_affects_items_of_a_batch(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """An item is affected by those of the mixture that leave the connection alone."""
    emulator.faults.mix(
        "/v1.0/users/*", share=1, kinds=["503", "reset_before", "wrong_json", "throttle"], retry_after_s=4
    )
    items = [{"id": str(number), "method": "GET", "url": "/users/ada@contoso.com"} for number in range(20)]
    async with http.post(
        f"{emulator.graph_url}/v1.0/$batch", json={"requests": items}, headers=await graph_headers(emulator, http)
    ) as response:
        items = (await response.json())["responses"]
    assert {item["status"] for item in items} == {429, 503}
    assert {item["headers"].get("Retry-After") for item in items if item["status"] == 429} == {"4"}


async def test_mixture_of_chosen_kinds_on_chosen_paths(
    emulator: Emulator, http: aiohttp.ClientSession, config_url: str
) -> None:
    """Only the kinds requested affect, only where they are asked to, and what else happens doesn't change chance."""
    mixes = []
    for disturbed in (False, True):
        emulator.faults.clear()
        mixes.append(emulator.faults.mix("*/openid-configuration", share=0.5, seed=3, kinds=["503", "throttle"]))
        for _ in range(20):
            if disturbed:
                assert await statuses(http, f"{emulator.graph_url}/none", 1) == [400]
            assert set(await statuses(http, config_url, 1)) <= {200, 429, 503}
    assert mixes[0].hits > 0
    hits = [{kind: fault.hits for kind, fault in mix.faults.items()} for mix in mixes]
    assert hits[0] == hits[1]


@pytest.mark.parametrize("how", ["truncated", "type", "nan"])
async def test_wrong_json_looks_whole(
    emulator: Emulator, http: aiohttp.ClientSession, config_url: str, how: Any
) -> None:
    """Status, type and length are those of a good answer, only the text is no good, and the service has acted."""
    async with http.get(config_url) as response:
        whole = await response.read()
    emulator.faults.add("*", wrong_json=how)
    async with http.get(config_url) as response:
        body = await response.read()
        assert (response.status, response.content_type) == (200, "application/json")
        assert int(response.headers["Content-Length"]) == len(body)
    if how == "type":
        assert msgspec.json.decode(body) == [msgspec.json.decode(whole)]
    else:
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(body)
        assert body == whole[: len(whole) // 2] if how == "truncated" else b"NaN" in body
    async with http.get(config_url) as response:
        assert await response.read() == whole


async def test_what_is_no_json_is_not_spoiled(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A response without JSON passes as it is."""
    url = f"{emulator.authority}/{emulator.tenant_id}/nothing"
    async with http.get(url) as response:
        before = await response.read()
    emulator.faults.add("*", wrong_json="truncated")
    async with http.get(url) as response:
        assert (response.status, await response.read()) == (404, before)


async def test_slow_body_takes_the_clocks_time(
    emulator: Emulator, http: aiohttp.ClientSession, config_url: str
) -> None:
    """The headers come at once, the body piece by piece as the clock moves, and whole in the end."""
    async with http.get(config_url) as response:
        whole = await response.read()
    emulator.faults.add("*", slow_body_s=1000)
    arrived = bytearray()
    with anyio.fail_after(10):
        async with http.get(config_url) as response:
            assert response.status == 200
            for moved in range(1, 11):
                assert len(arrived) < len(whole)
                emulator.clock.move(100)
                while len(arrived) < min(len(whole), moved * -(-len(whole) // 10)):
                    arrived += await response.content.readany()
    assert arrived == whole


async def test_slow_body_ends_with_the_client_and_the_emulator(config_url: str, emulator: Emulator) -> None:
    """A client that gives up leaves nothing behind that keeps the emulator from ending."""
    emulator.faults.add("*", times=None, slow_body_s=1e6)
    timeout = aiohttp.ClientTimeout(total=0.2)
    connector = aiohttp.TCPConnector(ssl=emulator.ssl_context)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        with pytest.raises(TimeoutError):
            async with http.get(config_url) as response:
                await response.read()


@pytest.mark.parametrize("seconds", [900, -900])
async def test_skewed_clock_of_one_route(
    emulator: Emulator, http: aiohttp.ClientSession, config_url: str, seconds: float
) -> None:
    """The response is the real one, dated wrong, large or small; the next one is dated right."""

    async def ahead(url: str) -> float:
        async with http.get(url) as response:
            assert response.status in {200, 401}
            return parsedate_to_datetime(response.headers["Date"]).timestamp() - emulator.clock.now()

    for url in (config_url, f"{emulator.graph_url}/v1.0/users"):
        emulator.faults.add("*", skew_s=seconds)
        assert abs(await ahead(url) - seconds) < 5
        assert abs(await ahead(url)) < 5


async def test_large_response_is_skewed_too(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A response that goes out in pieces keeps the wrong date."""
    headers = await graph_headers(emulator, http)
    emulator.faults.add("/v1.0/*", skew_s=1e6)
    async with http.get(f"{emulator.graph_url}/v1.0/users?$top=200", headers=headers) as response:
        assert len(await response.read()) > 65_536
        assert parsedate_to_datetime(response.headers["Date"]).timestamp() - emulator.clock.now() > 9e5


async def test_record_keeps_only_the_latest(emulator: Emulator, http: aiohttp.ClientSession, config_url: str) -> None:
    """With a limit, the record holds that many of the latest requests, or none, and waiting still works."""
    emulator.requests.keep = 3
    for number in range(5):
        await statuses(http, f"{config_url}?n={number}", 1)
    assert [record.query["n"] for record in emulator.requests] == ["2", "3", "4"]
    assert len(await emulator.requests.wait_for(3, service="identity")) == 3
    emulator.requests.keep = 0
    await statuses(http, config_url, 1)
    assert len(emulator.requests) == 0
    emulator.requests.keep = None
    await statuses(http, config_url, 4)
    assert len(emulator.requests) == 4


async def test_crawl_through_a_mixture_loses_nothing() -> None:
    """A plain client that asks again after whatever went wrong gets every user exactly once."""

    async def read(http: aiohttp.ClientSession, url: str) -> dict[str, Any] | None:
        try:
            async with http.get(url) as response:
                return msgspec.json.decode(await response.read(), type=dict) if response.status == 200 else None
        except (aiohttp.ClientError, msgspec.DecodeError):
            return None

    async with Emulator(users=20_000) as emulator:
        connector = aiohttp.TCPConnector(ssl=emulator.ssl_context)
        async with aiohttp.ClientSession(connector=connector) as http:
            http.headers.update(await graph_headers(emulator, http))
            mix = emulator.faults.mix("/v1.0/users", share=0.1, seed=5, service="graph")
            seen: list[str] = []
            url: str | None = f"{emulator.graph_url}/v1.0/users?$select=id&$top=99"
            while url is not None:
                page = await read(http, url)
                if page is not None:
                    seen += [user["id"] for user in page["value"]]
                    url = page.get("@odata.nextLink")
    assert len(set(seen)) == len(seen) == 20_000
    assert mix.hits > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"status": 500, "share": 0}, "share must be more than 0"),
        ({"status": 500, "share": 1.1}, "share must be more than 0"),
        ({"status": 500, "share": math.nan}, "share must be more than 0"),
        ({"wrong_json": "yaml"}, "wrong_json must be one of truncated, type, nan"),
        ({"slow_body_s": -1}, "slow_body_s and skew_s must be numbers"),
        ({"slow_body_s": math.inf}, "slow_body_s and skew_s must be numbers"),
        ({"skew_s": math.nan}, "slow_body_s and skew_s must be numbers"),
        ({"skew_s": 1, "status": 500}, "A fault needs one effect"),
        ({"skew_s": 1, "headers": {"a": "b"}}, "Added headers need an injected response"),
    ],
)
def test_fault_that_makes_no_sense(options: dict[str, Any], message: str) -> None:
    """A fault that would do nothing, or cannot be, is a mistake in the test and says so."""
    with pytest.raises(ValueError, match=message):
        Emulator().faults.add("*", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.1, "kinds": []}, "kinds must be some of throttle, 500"),
        ({"share": 0.1, "kinds": ["500", "418"]}, "not 418"),
        ({"share": 0}, "share must be more than 0"),
        ({"share": 2}, "share must be more than 0"),
        ({"share": 0.1, "path": "v1.0"}, "begins with '/'"),
        ({"share": 0.1, "retry_after_s": -1}, "throttle must be a number of seconds"),
    ],
)
def test_mixture_that_makes_no_sense(options: dict[str, Any], message: str) -> None:
    """A mixture of nothing, or of what there is not, is a mistake and says so, and plants nothing."""
    faults = Emulator().faults
    with pytest.raises(ValueError, match=message):
        faults.mix(**{"path": "*", **options})
    assert faults._injected == []
