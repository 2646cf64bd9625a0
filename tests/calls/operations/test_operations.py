"""Long-running operations, of Azure in every form and of Graph: followed to the end, here or elsewhere."""

from __future__ import annotations

import pickle
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from entra_async import Connection, Operation
from entra_async.errors import (
    ConfigurationError,
    ConflictError,
    DecodeError,
    NotFoundError,
    OperationFailedError,
    OperationTimeoutError,
    RequestTimeoutError,
    UnsafeLinkError,
)
from entra_async.testing import Emulator
from tests.support.moving_clock import MovingClock

STORAGE: dict[str, object] = {"api-version": "2023-01-01"}
ACCOUNT = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
COMPUTE: dict[str, object] = {"api-version": "2024-03-01"}
MACHINE = {"location": "eastus", "properties": {"hardwareProfile": {"vmSize": "Standard_B1s"}}}
FORMS = ["async", "location", "both", "provisioning_state"]


@asynccontextmanager
async def connected(emulator: Emulator, service: str, **options: Any) -> AsyncIterator[tuple[Connection, MovingClock]]:
    clock = MovingClock(emulator.clock)
    async with emulator.session(clock=clock, **options) as session:
        yield await session.connect(emulator.client_secret, service=service), clock


@pytest.fixture
async def azure(emulator: Emulator) -> AsyncIterator[tuple[Connection, MovingClock]]:
    """Yield a connection to Azure and its clock."""
    async with connected(emulator, "Azure") as found:
        yield found


def account(emulator: Emulator) -> str:
    group = f"subscriptions/{emulator.arm.subscription_id}/resourceGroups/rg-00000"
    return f"{group}/providers/Microsoft.Storage/storageAccounts/files"


async def create(emulator: Emulator, arm: Connection) -> Operation:
    return await arm.operation(account(emulator), method="PUT", query=STORAGE, body=ACCOUNT)


@pytest.mark.parametrize("form", FORMS)
async def test_a_creation_ends_with_the_resource(
    emulator: Emulator, azure: tuple[Connection, MovingClock], form: Any
) -> None:
    """Whatever a provider gives to follow it by, awaiting a PUT gives the resource, which has succeeded."""
    emulator.arm.operations(form=form, takes_s=25, retry_after_s=15)
    arm, clock = azure
    operation = await create(emulator, arm)
    assert not operation.done
    made = await operation

    assert made["properties"]["provisioningState"] == "Succeeded"
    assert made == await arm.invoke(account(emulator), query=STORAGE)
    assert (operation.done, operation.status) == (True, "Succeeded")
    if form != "provisioning_state":
        assert clock.sleeps == pytest.approx([15, 15], abs=0.5)
    assert await operation == made


@pytest.mark.parametrize("form", FORMS)
async def test_a_deletion_ends_with_nothing(
    emulator: Emulator, azure: tuple[Connection, MovingClock], form: Any
) -> None:
    """A DELETE is followed until the resource is gone."""
    arm, _ = azure
    emulator.arm.operations(form="immediate")
    await (await create(emulator, arm))
    emulator.arm.operations(form=form, takes_s=25, retry_after_s=None)
    operation = await arm.operation(account(emulator), method="DELETE", query=STORAGE)

    assert await operation is None
    with pytest.raises(NotFoundError):
        await arm.invoke(account(emulator), query=STORAGE)


@pytest.mark.parametrize("form", ["async", "location", "both"])
async def test_an_action_is_followed(emulator: Emulator, azure: tuple[Connection, MovingClock], form: Any) -> None:
    """A POST is followed to its end."""
    arm, clock = azure
    group = f"subscriptions/{emulator.arm.subscription_id}/resourceGroups/rg-00000"
    machine = f"{group}/providers/Microsoft.Compute/virtualMachines/one"
    emulator.arm.operations(form="immediate")
    await (await arm.operation(machine, method="PUT", query=COMPUTE, body=MACHINE))
    emulator.arm.operations(form=form, takes_s=25)
    operation = await arm.operation(f"{machine}/start", query=COMPUTE)
    await operation

    assert operation.status == "Succeeded"
    assert len(clock.sleeps) == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("outcome", ["Failed", "Canceled"])
async def test_a_failure_is_an_error_with_the_providers_code(
    emulator: Emulator, azure: tuple[Connection, MovingClock], form: Any, outcome: Any
) -> None:
    """What ends badly raises an error of its own, with the words of the provider, each time that it is awaited."""
    error = ("QuotaExceeded", "No cores left.")
    emulator.arm.operations(form=form, takes_s=25, outcome=outcome, error=error)
    operation = await create(emulator, azure[0])
    with pytest.raises(OperationFailedError):
        await operation
    with pytest.raises(OperationFailedError) as caught:
        await operation

    assert operation.done
    if form != "provisioning_state":
        assert caught.value.code == "QuotaExceeded"
        assert "No cores left." in str(caught.value)
    assert caught.value.status in {outcome, "Failed"}
    assert "api-version" not in str(caught.value)


async def test_a_final_first_response_has_ended_the_operation(
    emulator: Emulator, azure: tuple[Connection, MovingClock]
) -> None:
    """What is done at once is not asked after, and has no token."""
    emulator.arm.operations(form="immediate")
    arm, clock = azure
    operation = await create(emulator, arm)
    assert (operation.done, operation.token) == (True, None)
    requested = len(emulator.requests)
    assert await operation.poll()
    assert (await operation)["name"] == "files"

    assert len(emulator.requests) == requested
    assert clock.sleeps == []


async def test_polling_by_hand(emulator: Emulator, azure: tuple[Connection, MovingClock]) -> None:
    """poll() asks once, without a wait, and tells how far it is."""
    emulator.arm.operations(form="async", takes_s=100, running="Provisioning")
    operation = await create(emulator, azure[0])
    emulator.clock.move(50)
    assert not await operation.poll()
    assert operation.status == "Provisioning"
    assert operation.percent == pytest.approx(50, abs=2)
    emulator.clock.move(50)
    assert await operation.poll()
    assert emulator.requests.count(path=".*/operations/.*") == 2


@pytest.mark.parametrize("form", FORMS)
async def test_another_process_resumes(emulator: Emulator, form: Any) -> None:
    """The token, a plain text without any secret of ours, resumes the operation on another connection."""
    emulator.arm.operations(form=form, takes_s=25)
    async with connected(emulator, "Azure") as (arm, _):
        token = (await create(emulator, arm)).token
        access_token = arm.token
    assert token is not None
    assert re.fullmatch(r"[\w.-]+", token)
    assert access_token is not None
    assert access_token.token not in token
    async with connected(emulator, "Azure") as (arm, _):
        operation = await arm.operation(token=pickle.loads(pickle.dumps(token)))
        assert not operation.done
        assert (await operation)["properties"]["provisioningState"] == "Succeeded"


@pytest.mark.parametrize("token", ["", "op1.", "op1.e30", "op1.%%%", "op2.e30", 7, "eyJ", "op1.bm8"])
async def test_a_token_that_is_none(emulator: Emulator, azure: tuple[Connection, MovingClock], token: Any) -> None:
    """A text that is no token is refused before anything is sent."""
    before = len(emulator.requests)
    with pytest.raises(ConfigurationError) as caught:
        _ = await azure[0].operation(token=token)

    assert caught.value.field == "token"
    assert len(emulator.requests) == before


async def test_a_token_belongs_to_its_service(emulator: Emulator, azure: tuple[Connection, MovingClock]) -> None:
    """Graph does not go on with an operation of Azure: nothing is sent."""
    emulator.arm.operations(form="async", takes_s=25)
    token = (await create(emulator, azure[0])).token
    async with connected(emulator, "Graph") as (graph, _):
        before = len(emulator.requests)
        with pytest.raises(ConfigurationError, match="same service"):
            _ = await graph.operation(token=token)
        assert len(emulator.requests) == before


async def test_path_or_token(azure: tuple[Connection, MovingClock]) -> None:
    """An operation is begun or resumed, not both."""
    with pytest.raises(ConfigurationError, match="either a path or a token"):
        _ = await azure[0].operation("x", token="op1.x")
    with pytest.raises(ConfigurationError, match="either a path or a token"):
        _ = await azure[0].operation()


async def test_a_wait_that_is_too_long_loses_nothing(emulator: Emulator, azure: tuple[Connection, MovingClock]) -> None:
    """The error carries the token, and comes at once if the service is not to be asked before the time is up."""
    emulator.arm.operations(form="async", takes_s=100, retry_after_s=30)
    arm, clock = azure
    operation = await create(emulator, arm)
    with pytest.raises(OperationTimeoutError) as caught:
        await operation.result(timeout=70)
    assert isinstance(caught.value, RequestTimeoutError)
    assert clock.sleeps == pytest.approx([30, 30], abs=0.5)
    with pytest.raises(OperationTimeoutError):
        await operation.result(timeout=5)
    assert len(clock.sleeps) == 2
    resumed = await arm.operation(token=pickle.loads(pickle.dumps(caught.value)).token)

    assert (await resumed)["properties"]["provisioningState"] == "Succeeded"


@pytest.mark.parametrize("limit", [0, -1, float("nan"), "1"])
async def test_a_wait_is_a_number_of_seconds(
    emulator: Emulator, azure: tuple[Connection, MovingClock], limit: Any
) -> None:
    """Nonsense is no time limit."""
    emulator.arm.operations(takes_s=100)
    operation = await create(emulator, azure[0])
    with pytest.raises(ConfigurationError):
        await operation.result(timeout=limit)


async def test_cancelling_a_wait_does_not_cancel_the_operation(emulator: Emulator) -> None:
    """A waiter that is cancelled leaves the operation running, and it can be awaited again."""
    emulator.arm.operations(form="async", takes_s=100)
    async with emulator.session() as session:  # by the emulator's own clock, which nobody moves
        arm = await session.connect(emulator.client_secret, service="Azure")
        operation = await create(emulator, arm)
        with anyio.move_on_after(0.05) as scope:
            await operation
        assert scope.cancelled_caught
        assert emulator.requests.count(method="DELETE") == 0
        emulator.clock.move(200)
        assert (await operation)["properties"]["provisioningState"] == "Succeeded"


async def test_of_several_waiters_one_polls(emulator: Emulator) -> None:
    """Many waiters cost no more questions than one."""
    emulator.arm.operations(form="async", takes_s=10, retry_after_s=10)
    results: list[Any] = []
    async with emulator.session() as session:
        arm = await session.connect(emulator.client_secret, service="Azure")
        operation = await create(emulator, arm)

        async def wait() -> None:
            results.append(await operation)

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            emulator.clock.move(11)

    assert len(results) == 20
    assert emulator.requests.count(path=".*/operations/.*") == 1


async def test_a_busy_service_is_polled_again(emulator: Emulator, azure: tuple[Connection, MovingClock]) -> None:
    """What goes wrong with a question is repeated like any GET; it is no failure of the operation."""
    emulator.arm.operations(form="async", takes_s=25)
    operation = await create(emulator, azure[0])
    emulator.faults.add("*/operations/*", times=1, reset="before")
    emulator.faults.add("*/operations/*", times=1, status=503)
    emulator.faults.add("*/operations/*", times=1, throttle=7)

    assert (await operation)["properties"]["provisioningState"] == "Succeeded"
    assert any(wait == pytest.approx(7, abs=0.5) for wait in azure[1].sleeps)


async def test_a_status_that_is_missing(emulator: Emulator, azure: tuple[Connection, MovingClock]) -> None:
    """A response that does not say how it stands is an error, and the operation can be asked after again."""
    emulator.arm.operations(form="async", takes_s=5)
    operation = await create(emulator, azure[0])
    emulator.faults.add("*/operations/*", status=200, body={"name": "x"})
    with pytest.raises(DecodeError, match="has no status"):
        await operation

    assert await operation is not None


async def test_an_error_is_what_invoke_raises(emulator: Emulator, azure: tuple[Connection, MovingClock]) -> None:
    """A request that the service refuses begins nothing."""
    emulator.arm.operations(takes_s=100)
    _ = await create(emulator, azure[0])
    with pytest.raises(ConflictError):
        _ = await create(emulator, azure[0])


# Graph


async def copy_of(emulator: Emulator, graph: Connection, name: str = "copy.txt") -> Operation:
    item = emulator.drives.put("a.txt", b"content")
    return await graph.operation(f"drives/{emulator.drives.drive_id()}/items/{item}/copy", body={"name": name})


async def test_a_monitor_elsewhere_gets_no_token(emulator: Emulator) -> None:
    """A copy is followed on another host without the token, and nothing but the host of its monitor is shown."""
    emulator.drives.copying(takes_s=25, retry_after_s=10)
    async with connected(emulator, "Graph") as (graph, clock):
        operation = await copy_of(emulator, graph)
        report = await operation
        copy = await graph.invoke(f"drives/{emulator.drives.drive_id()}/items/{report['resourceId']}")

    assert copy["name"] == "copy.txt"
    assert clock.sleeps == pytest.approx([1, 10, 10, 10], abs=0.5)
    requested = emulator.requests.matching(path="/monitor/.*")
    assert len(requested) == 4
    assert all("authorization" not in request.headers for request in requested)


async def test_a_monitor_that_redirects_leads_to_the_copy(emulator: Emulator) -> None:
    """A redirect from another host back to Graph is followed with the token, and gives the item itself."""
    emulator.drives.copying(takes_s=2, redirects=True)
    async with connected(emulator, "Graph") as (graph, _):
        item = await (await copy_of(emulator, graph))

    assert item["name"] == "copy.txt"
    assert item["size"] == 7


async def test_a_copy_that_fails(emulator: Emulator) -> None:
    """A report that says 'failed' is an error with the code it tells."""
    emulator.drives.copying(takes_s=2)
    async with connected(emulator, "Graph") as (graph, _):
        operation = await copy_of(emulator, graph, name="a.txt")
        with pytest.raises(OperationFailedError, match="nameAlreadyExists") as caught:
            await operation

    assert (caught.value.code, caught.value.status) == ("nameAlreadyExists", "failed")
    assert "/monitor/" not in str(caught.value)


async def test_a_lost_monitor_shows_its_host_only(emulator: Emulator) -> None:
    """An error of a monitor on another host does not repeat its URL, which is as good as a permission."""
    emulator.drives.copying(takes_s=2)
    async with connected(emulator, "Graph") as (graph, _):
        operation = await copy_of(emulator, graph)
        emulator.faults.add("/monitor/*", status=404)
        with pytest.raises(NotFoundError) as caught:
            await operation

    assert "/monitor/" not in f"{caught.value} {caught.value.url} {operation!r}"


async def test_a_location_without_version(emulator: Emulator) -> None:
    """Teams' Location leaves the version out, and its report answers 200 while it goes on."""
    running = {"status": "inProgress", "operationType": "createTeam", "attemptsCount": 1}
    over = {**running, "status": "succeeded", "targetResourceLocation": "/users('ada@contoso.com')"}
    emulator.faults.add("/v1.0/teams", status=202, headers={"Location": "/teams('1')/operations('2')"}, body="")
    emulator.faults.add("/v1.0/teams('1')/operations('2')", status=200, body=running)
    emulator.faults.add("/v1.0/teams('1')/operations('2')", status=200, body=over)
    async with connected(emulator, "Graph") as (graph, _):
        operation = await graph.operation("teams", body={"displayName": "x"})
        result = await operation

    assert result["givenName"] == "Ada"
    requested = emulator.requests.matching(path=r"/v1.0/teams\('1'\).*")
    assert all(request.headers.get("authorization") for request in requested)


@pytest.mark.parametrize("link", ["http://evil.example/x", "ftp://evil.example/", "https://x@evil.example/"])
async def test_a_monitor_that_is_no_https_url(emulator: Emulator, link: str) -> None:
    """A monitor is asked over TLS or not at all."""
    emulator.faults.add("/v1.0/teams", status=202, headers={"Location": link}, body="")
    async with connected(emulator, "Graph") as (graph, _):
        with pytest.raises(UnsafeLinkError):
            _ = await graph.operation("teams", body={})
