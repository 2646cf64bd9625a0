"""Filters on their way: what Field builds finds the same objects at the service, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from entra_async import Connection, Field, Filter
from entra_async.errors import BadRequestError, ConfigurationError
from entra_async.testing import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

E5 = UUID("06ebc4ee-1bb5-47dd-8120-11324bc54e06")
PROPERTIES = ("id", "accountEnabled", "assignedLicenses", "businessPhones", "department", "mail", "surname")
EVENTUAL = {"ConsistencyLevel": "eventual"}
User = dict[str, Any]


@pytest.fixture
async def graph(emulator: Emulator) -> AsyncIterator[Connection]:
    async with emulator.session() as session:
        yield await session.connect(emulator.client_secret)


def filter_query(condition: Filter, **more: object) -> dict[str, object]:
    """Return the query for the users that pass."""
    return {"$filter": condition, "$select": list(PROPERTIES), "$top": 5, **more}


def has_e5(user: User) -> bool:
    return any(license_["skuId"] == str(E5) for license_ in user["assignedLicenses"])


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        (Field("surname") == "O'Neill", lambda user: user["surname"] == "O'Neill"),
        (Field("department").in_("R&D", "Sales"), lambda user: user["department"] in ("R&D", "Sales")),
        (Field("assignedLicenses").any(lambda license_: license_ / "skuId" == E5), has_e5),
        (
            Field("accountEnabled").is_(False)
            | Field("businessPhones").any(lambda phone: phone.startswith("+44 20 7000000")),
            lambda user: (
                not user["accountEnabled"] or any(p.startswith("+44 20 7000000") for p in user["businessPhones"])
            ),
        ),
    ],
)
async def test_filter_finds_those_that_pass(
    graph: Connection, emulator: Emulator, condition: Filter, passes: Callable[[User], bool]
) -> None:
    """A filter in the query is all it takes; every page is requested with it."""
    everyone = await graph.invoke("users", query={"$select": list(PROPERTIES)})
    expected = [user for user in everyone if passes(user)]
    emulator.requests.clear()

    found = [user async for user in graph.stream("users", query=filter_query(condition))]

    assert 0 < len(expected) < len(everyone)
    assert found == expected
    assert emulator.requests.count(service="graph") >= len(expected) / 5


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        (
            Field("mail").endswith("@contoso.com") & ~Field("surname").startswith("O'"),
            lambda user: (user["mail"] or "").endswith("@contoso.com") and not user["surname"].startswith("O'"),
        ),
        (Field("assignedLicenses/$count") == 0, lambda user: not user["assignedLicenses"]),
        (~Field("assignedLicenses").any(lambda item: item / "skuId" == E5), lambda user: not has_e5(user)),
        (Field("accountEnabled").is_not(True), lambda user: not user["accountEnabled"]),
    ],
)
async def test_filter_knows_when_it_needs_an_advanced_query(
    graph: Connection, condition: Filter, passes: Callable[[User], bool]
) -> None:
    """What says it is advanced is refused without the header and $count, and found with them."""
    everyone = await graph.invoke("users", query={"$select": list(PROPERTIES)})

    assert condition.advanced
    with pytest.raises(BadRequestError, match="ConsistencyLevel"):
        await graph.invoke("users", query=filter_query(condition))
    found = await graph.invoke("users", query=filter_query(condition, **{"$count": True}), headers=EVENTUAL)
    assert found == [user for user in everyone if passes(user)]


@pytest.mark.parametrize(
    "name",
    [
        "x' or accountEnabled eq true or surname eq 'x",
        "x')&$top=1#",
        "'",
        "''",
        "a\r\nHost: evil.example",
        "東京 + %27",
    ],
)
async def test_literals_cannot_be_escaped_from(graph: Connection, name: str) -> None:
    """A name from outside, whatever it holds, is looked for and found nowhere: it changes nothing of the filter."""
    assert await graph.invoke("users", query=filter_query(Field("surname") == name)) == []


async def test_two_filters_at_once_are_an_error(graph: Connection, emulator: Emulator) -> None:
    """A list of filters is an error before anything is sent."""
    emulator.requests.clear()

    with pytest.raises(ConfigurationError, match="Filter"):
        await graph.invoke("users", query={"$filter": [Field("surname") == "a", Field("surname") == "b"]})

    assert emulator.requests.count() == 0
