"""The hunting language: what it finds, what it refuses, and that a long search lets others run."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.testing.directory.directory import Directory
from entra_async.testing.directory.security_records import SecurityRecords
from entra_async.testing.hunting.hunting import DEVICE_TABLES, Hunting
from entra_async.testing.hunting.query import HuntingError, parse_hunting_query
from tests.emulator.conftest import TENANT_ID


def make_hunting(users: int = 60) -> Hunting:
    """Return hunting over that many users and 40 machines."""
    directory = Directory(domain="contoso.com", tenant_id=TENANT_ID, users=users, groups=0, machines=40)
    return Hunting(directory, SecurityRecords(directory))


async def found(text: str) -> list[Any]:
    """Return the rows of the result."""
    return (await make_hunting().run(text, limit_s=1)).rows


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ('OSPlatform == "Ubuntu"', lambda row: row["OSPlatform"] == "Ubuntu"),
        ("OSPlatform != 'Ubuntu'", lambda row: row["OSPlatform"] != "Ubuntu"),
        ('OSPlatform =~ "UBUNTU"', lambda row: row["OSPlatform"] == "Ubuntu"),
        ('OSPlatform !~ "UBUNTU"', lambda row: row["OSPlatform"] != "Ubuntu"),
        ('DeviceName startswith "LAPTOP"', lambda row: row["DeviceName"].startswith("laptop")),
        ('DeviceName endswith "7.contoso.com"', lambda row: row["DeviceName"].endswith("7.contoso.com")),
        ('DeviceName contains "top-0000"', lambda row: "top-0000" in row["DeviceName"]),
        ('DeviceName has "laptop"', lambda row: row["DeviceName"].startswith("laptop-")),
        ('DeviceName has "lap"', lambda _: False),
        ("OSBuild >= 20000", lambda row: row["OSBuild"] is not None and row["OSBuild"] >= 20000),
        ("OSBuild < 20000 or OSBuild > 26000", lambda row: row["OSBuild"] in {19045, 26100}),
        ('Timestamp > "2016-06-01"', lambda row: row["Timestamp"] > "2016-06-01"),
        (
            "(OSPlatform == 'macOS' or OSPlatform == 'Ubuntu') and DeviceName startswith 'server'",
            lambda row: row["OSPlatform"] in {"macOS", "Ubuntu"} and row["DeviceName"].startswith("server"),
        ),
        (r"OSPlatform == 'it\'s'", lambda _: False),
    ],
)
async def test_where_finds_what_passes(condition: str, passes: Any) -> None:
    """A condition means what it means in Kusto: text without regard to case where the operator says so."""
    every = await found("DeviceInfo")
    assert await found(f"DeviceInfo | where {condition}") == [row for row in every if passes(row)]


async def test_operators_work_in_order() -> None:
    """Each operator works on what the one before it left."""
    every = await found("DeviceInfo")
    assert await found("DeviceInfo | count") == [{"Count": 40}]
    assert await found("DeviceInfo | take 7 | count") == [{"Count": 7}]
    assert await found("DeviceInfo | take 0") == []
    assert await found("DeviceInfo | limit 3 | project DeviceId") == [
        {"DeviceId": row["DeviceId"]} for row in every[:3]
    ]
    names = [row["DeviceName"] for row in every]
    ordered = await found("DeviceInfo | order by DeviceName asc | project DeviceName")
    assert [row["DeviceName"] for row in ordered] == sorted(names)
    ordered = await found("DeviceInfo | sort by DeviceName | take 2")
    assert [row["DeviceName"] for row in ordered] == sorted(names, reverse=True)[:2]
    builds = [row["OSBuild"] for row in await found("DeviceInfo | order by OSBuild desc")]
    assert builds == sorted((build for build in builds if build), reverse=True) + [None] * builds.count(None)
    assert len(await found("IdentityInfo | where Country == 'Germany'")) == 10
    assert len(await found("AlertInfo")) == 240


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unexpected the end"),
        ("DeviceEvents", "'DeviceEvents' could not be resolved to a table"),
        ("DeviceInfo where", "unexpected where"),
        ("DeviceInfo |", "unexpected the end"),
        ("DeviceInfo | summarize", "'summarize' is not among those"),
        ("DeviceInfo | where Nothing == 1", "column named 'Nothing'"),
        ("DeviceInfo | project DeviceId | where OSBuild > 1", "column named 'OSBuild'"),
        ("DeviceInfo | count | project DeviceId", "column named 'DeviceId'"),
        ("DeviceInfo | where OSBuild == 'x'", "unexpected 'x'"),
        ("DeviceInfo | where OSPlatform == 1", "unexpected 1"),
        ("DeviceInfo | where OSBuild contains 1", "unexpected contains"),
        ("DeviceInfo | where (OSBuild == 1", "unexpected the end"),
        ("DeviceInfo | take -1", "unexpected -1"),
        ("DeviceInfo | take 1.5", "unexpected 1.5"),
        ("DeviceInfo | order DeviceId", "unexpected DeviceId"),
        ("DeviceInfo | where DeviceId == 'open", "Syntax error at position"),
        ("DeviceInfo | where " + "(" * 60, "nested too deeply"),
    ],
)
async def test_what_is_no_query_is_refused(text: str, message: str) -> None:
    """A query that can't be understood, or uses more than the emulator does, says what is wrong."""
    with pytest.raises(HuntingError, match=message.replace("(", r"\(")):
        await found(text)


@given(st.text(alphabet="DeviceInfo |where=\"'()<>,take1 \\\n", max_size=60) | st.text(max_size=40))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    """No text breaks the parser."""
    with suppress(HuntingError):
        parse_hunting_query(text, {"DeviceInfo": {"DeviceId": "String"}})


async def test_a_service_has_its_own_tables_and_time() -> None:
    """Defender for Endpoint knows devices only, and a query that would run too long is ended."""
    hunting = make_hunting()
    with pytest.raises(HuntingError, match="'IdentityInfo' could not be resolved"):
        await hunting.run("IdentityInfo", limit_s=1, tables=DEVICE_TABLES)
    hunting.running_s = 2
    with pytest.raises(HuntingError, match="timed out after 1 seconds"):
        await hunting.run("DeviceInfo", limit_s=1)


async def test_long_search_can_be_cancelled_and_lets_others_run() -> None:
    """A search over a hundred thousand users is given up at once, and takes only what it needs when it needs little."""
    hunting = make_hunting(100_000)
    assert len((await hunting.run("IdentityInfo | take 3", limit_s=1)).rows) == 3
    with anyio.move_on_after(0.05) as scope:
        await hunting.run("IdentityInfo | where City == 'nowhere'", limit_s=1)
    assert scope.cancelled_caught
