"""Lists of Defender that send no link are read to their end by $skip, each item once."""

from __future__ import annotations

from typing import Any

import pytest

from entra_async import Service, Session
from entra_async.errors import ConfigurationError, NotFoundError, PagingError
from entra_async.testing import Emulator


def plant(emulator: Emulator, path: str, *pages: list[Any], service: str = "endpoint", **marks: Any) -> None:
    """Let these pages be the responses to the next requests, without links."""
    for page in pages:
        emulator.faults.add(path, service=service, status=200, body={"value": page, **marks})


def machines(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": f"m{number}"} for number in numbers]


@pytest.mark.parametrize("verb", ["invoke", "stream"])
@pytest.mark.parametrize(("count", "requests"), [(0, 1), (3, 1), (4, 2), (7, 2), (8, 3)])
async def test_to_the_end(emulator: Emulator, verb: str, count: int, requests: int) -> None:
    """A full page is followed by the next one; a shorter or an empty one is the end."""
    everything = machines(*range(count))
    plant(emulator, "/api/machines", *(everything[start : start + 4] for start in range(0, count + 1, 4)))
    async with emulator.session() as session:
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        query = {"$top": 4, "$filter": "osPlatform eq 'Linux'"}
        if verb == "invoke":
            found = await endpoint.invoke("machines", query=query)
        else:
            found = [machine async for machine in endpoint.stream("machines", query=query)]

    assert found == everything
    queries = [request.query for request in emulator.requests.matching(path="/api/machines")]
    assert len(queries) == requests
    assert [query.get("$skip") for query in queries] == [None, "4", "8"][:requests]
    assert all(query["$filter"] == "osPlatform eq 'Linux'" for query in queries)


async def test_404_after_a_full_page_is_the_end(emulator: Emulator) -> None:
    """Defender answers 404 where there is nothing: after a full page that is the end, on the first an error."""
    async with emulator.session() as session:
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        plant(emulator, "/api/machines", machines(1, 2))
        emulator.faults.add("/api/machines", status=404)
        stream = endpoint.stream("machines", query={"$top": 2})
        assert [machine async for machine in stream] == machines(1, 2)
        assert [
            machine async for machine in endpoint.stream("machines", query={"$top": 2}, start=stream.position)
        ] == []
        emulator.faults.add("/api/machines", status=404)
        with pytest.raises(NotFoundError):
            await endpoint.invoke("machines", query={"$skip": 5})


async def test_404_elsewhere_is_an_error(emulator: Emulator) -> None:
    """A service that pages by links has no such end."""
    link = f"{emulator.graph_url}/v1.0/users?$skip=1"
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.faults.add("/v1.0/users", status=200, body={"value": [{"id": "1"}], "@odata.nextLink": link})
        emulator.faults.add("/v1.0/users", status=404)
        with pytest.raises(NotFoundError):
            await graph.invoke("users")


async def test_links_come_first(emulator: Emulator) -> None:
    """Where the service sends links, they are followed, and a last page that is full is the last."""
    async with Emulator(machines=50) as emulator, emulator.session() as session:
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        found = await endpoint.invoke("machines", query={"$top": 25})

    assert len({machine["id"] for machine in found}) == 50
    assert emulator.requests.count(path="/api/machines") == 2


async def test_what_moves_down_is_yielded_once(emulator: Emulator) -> None:
    """Something new at the top moves the rest down: what comes again on the next page is left out."""
    async with emulator.session() as session:
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        plant(emulator, "/api/machines", machines(9, 8, 7), machines(7, 6, 5), machines(4))
        found = await endpoint.invoke("machines", query={"$top": 3})

    assert found == machines(9, 8, 7, 6, 5, 4)


@pytest.mark.parametrize(("total", "top"), [(50, 7), (50, 10), (50, 50), (50, 60), (0, 5)])
@pytest.mark.parametrize("empty_is_404", [True, False])
async def test_a_service_without_links(total: int, top: int, empty_is_404: bool) -> None:
    """Defender for Endpoint as documented: no links, and a page size that may be smaller than $top."""
    async with Emulator(machines=total) as emulator, emulator.session() as session:
        emulator.defender.next_links = False
        emulator.defender.empty_is_404 = empty_is_404
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        if not total and empty_is_404:
            with pytest.raises(NotFoundError):
                await endpoint.invoke("machines")
            return
        found = await endpoint.invoke("machines", query={"$top": top})
        streamed = [machine async for machine in endpoint.stream("machines", query={"$top": top})]

    assert len({machine["id"] for machine in found}) == len(found) == total
    assert streamed == found
    assert emulator.requests.count(path="/api/machines") == 2 * (total // top + 1)


async def test_incidents(emulator: Emulator) -> None:
    """Defender XDR gives a hundred incidents a page; more come by $skip."""
    async with emulator.session() as session:
        security = await session.connect(emulator.client_secret, service="Security")
        incidents = await security.invoke("incidents")
        by_twenty = await security.invoke("incidents", query={"$top": 20})

    assert len({incident["incidentId"] for incident in incidents}) == len(incidents) > 100
    assert by_twenty == incidents


@pytest.mark.parametrize("page", [machines(1, 2), [{"name": "a"}, {"name": "b"}], ["a", "b"]])
async def test_a_service_that_ignores_skip(emulator: Emulator, page: list[Any]) -> None:
    """The same page again and again is an error, not a loop, also if its items have no id."""
    plant(emulator, "/api/software", page, page)
    async with emulator.session() as session:
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        with pytest.raises(PagingError, match=r"\$skip"):
            await endpoint.invoke("software", query={"$top": 2})


async def test_paging_false_is_one_page(emulator: Emulator) -> None:
    """paging=False gives the first page and asks no more."""
    async with emulator.session() as session:
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        plant(emulator, "/api/machines", machines(1, 2))
        assert await endpoint.invoke("machines", query={"$top": 2}, paging=False) == machines(1, 2)

    assert emulator.requests.count(path="/api/machines") == 1


async def test_a_list_in_the_response_to_a_post_is_whole(emulator: Emulator) -> None:
    """Only what was read with GET is read on."""
    async with emulator.session() as session:
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        plant(emulator, "/api/query", machines(*range(8_000)))
        assert len(await endpoint.invoke("query", method="POST", body={})) == 8_000


@pytest.mark.parametrize("stop", [1, 2, 3])
async def test_resumed_by_skip(emulator: Emulator, stop: int) -> None:
    """A position in such a list is gone on from like any other."""
    async with emulator.session() as session:
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        plant(emulator, "/api/machines", machines(1, 2), machines(3))
        stream = endpoint.stream("machines", query={"$top": 2})
        first = [await anext(stream) for _ in range(stop)]
        await emulator.requests.wait_for(2, path="/api/machines")
        await stream.aclose()
        emulator.faults.clear()
        plant(emulator, "/api/machines", *([machines(1, 2)] if stop == 1 else []), machines(3))
        rest = [each async for each in endpoint.stream("machines", query={"$top": 2}, start=stream.position)]

    assert [*first, *rest] == machines(1, 2, 3)


async def test_a_service_of_ones_own(emulator: Emulator) -> None:
    """page_sizes= tells of any service that it is cut at a size, item_key= what tells its items apart."""
    async with emulator.session() as session:
        url = session.services["Endpoint"].url
        orders = Service(name="Orders", url=url, audience="api://orders", page_sizes=(2,), item_key="number")
        session.services.register(orders)
        session.services.replace("Endpoint", page_sizes=(2,), item_key="number")
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        plant(emulator, "/api/orders", [{"number": 2}, {"number": 1}], [{"number": 1}, {"number": 0}], [])
        found = await endpoint.invoke("orders")

    assert [order["number"] for order in found] == [2, 1, 0]


@pytest.mark.parametrize("sizes", [[100], (0,), ("100",), 100, (True,)])
def test_sizes_that_cannot_be(sizes: Any) -> None:
    """A size that no page can have is refused."""
    with pytest.raises(ConfigurationError, match="page_sizes"):
        Service(name="Orders", url="https://orders.contoso.com", audience="api://orders", page_sizes=sizes)


def test_documented_sizes() -> None:
    """Defender for Endpoint cuts at 8,000 and 10,000, Defender XDR at 100; Graph, Azure and Key Vault send links."""
    services = Session().services
    sizes = {name: services[name].page_sizes for name in services if services[name].page_sizes}
    assert sizes == {"Endpoint": (8_000, 10_000), "Security": (100,)}
    assert services["Security"].item_key == "incidentId"
