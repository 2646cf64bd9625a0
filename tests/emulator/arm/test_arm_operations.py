"""Long-running operations of the emulated Azure: what its URLs answer, and azure-core's own poller following them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from azure.core import AsyncPipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy, RequestIdPolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.polling import AsyncLROPoller
from azure.core.polling.async_base_polling import AsyncLROBasePolling
from azure.core.polling.base_polling import LocationPolling, OperationResourcePolling, StatusCheckPolling
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.identity.aio import ClientSecretCredential

from entra_async.testing import Emulator
from entra_async.testing.clock import EmulatorClock
from tests.emulator.support.azure_client import ACCOUNT, COMPUTE, MACHINE, STORAGE, Azure, signed_in


@pytest.fixture
async def azure(emulator: Emulator, http: aiohttp.ClientSession) -> AsyncIterator[Azure]:
    """Yield a signed-in client."""
    async with signed_in(emulator, http) as client:
        yield client


class _Waits(AioHttpTransport):  # type: ignore[misc]  # azure-core imports it lazily, without a type
    """azure-core's transport, whose waits move the emulator's clock."""

    def __init__(self, clock: EmulatorClock, http: aiohttp.ClientSession) -> None:
        super().__init__(session=http, session_owner=False)
        self.clock = clock
        self.waits: list[float] = []

    async def sleep(self, duration: float) -> None:
        self.waits.append(duration)
        self.clock.move(duration)


class _Polling(AsyncLROBasePolling[Any, Any, Any]):
    """azure-core's poller, told that ARM's header is Azure-AsyncOperation, as azure-mgmt-core tells it."""

    def __init__(self) -> None:
        header = OperationResourcePolling[Any, Any](operation_location_header="azure-asyncoperation")
        super().__init__(
            timeout=7, lro_algorithms=[header, LocationPolling[Any, Any](), StatusCheckPolling[Any, Any]()]
        )


@asynccontextmanager
async def pipeline(azure: Azure) -> AsyncIterator[tuple[AsyncPipelineClient[Any, Any], _Waits]]:
    """Yield azure-core's client, signed in with azure-identity."""
    emulator = azure.emulator
    transport = _Waits(emulator.clock, azure.http)
    credential = ClientSecretCredential(
        emulator.tenant_id,
        emulator.app.client_id,
        emulator.app.secret,
        authority=emulator.authority,
        disable_instance_discovery=True,
        transport=AioHttpTransport(session=azure.http, session_owner=False),
    )
    policy = AsyncBearerTokenCredentialPolicy(credential, "https://management.azure.com/.default")
    async with credential, transport:
        client: AsyncPipelineClient[Any, Any] = AsyncPipelineClient(
            emulator.arm.url, policies=[RequestIdPolicy(), policy], transport=transport
        )
        yield client, transport


async def follow(azure: Azure, method: str, path: str, version: str, body: Any = None) -> tuple[Any, list[float]]:
    """Send a request with azure-core, follow the operation to its end, and return what it came to and the waits."""

    def read(pipeline_response: Any) -> Any:
        response: AsyncHttpResponse = pipeline_response.http_response
        return response.json()

    async with pipeline(azure) as (client, transport):
        request = HttpRequest(method, f"{azure.emulator.arm.url}{path}?api-version={version}", json=body)
        started = await client.send_request(request, _return_pipeline_response=True)
        started.http_response.raise_for_status()
        poller: AsyncLROPoller[Any] = AsyncLROPoller(client, started, read, _Polling())
        return await poller.result(), transport.waits


@pytest.mark.parametrize("form", ["async", "location", "both"])
async def test_azure_core_follows_a_creation(azure: Azure, form: Any) -> None:
    """azure-core waits as long as it is told, twice, and ends with the resource, which has succeeded."""
    azure.emulator.arm.operations(form=form, takes_s=25, retry_after_s=15)
    account, waits = await follow(azure, "PUT", azure.account, STORAGE, ACCOUNT)
    assert account["id"] == azure.account
    assert account["properties"]["provisioningState"] == "Succeeded"
    assert waits == [15, 15]
    assert (await azure.get(azure.account, STORAGE)).body == account


@pytest.mark.parametrize("form", ["async", "location", "both"])
async def test_azure_core_follows_a_deletion(azure: Azure, form: Any) -> None:
    """azure-core follows a deletion to its end, after which the resource is gone, and deleting it again is no error."""
    azure.emulator.arm.operations(form="immediate")
    assert (await azure.send("PUT", azure.account, STORAGE, json=ACCOUNT)).status == 201
    azure.emulator.arm.operations(form=form, takes_s=5, retry_after_s=None)
    _, waits = await follow(azure, "DELETE", azure.account, STORAGE)
    assert waits == [7]  # its own interval, as no header says another
    assert (await azure.get(azure.account, STORAGE)).status == 404
    assert (await azure.send("DELETE", azure.account, STORAGE)).status == 204


@pytest.mark.parametrize("form", ["async", "location", "both"])
@pytest.mark.parametrize(("outcome", "code"), [("Failed", "QuotaExceeded"), ("Canceled", "OperationPreempted")])
async def test_azure_core_notices_a_failure(azure: Azure, form: Any, outcome: Any, code: str) -> None:
    """An operation that ends badly is an error with the provider's code, and the resource says so as well."""
    error = ("QuotaExceeded", "No cores left.") if outcome == "Failed" else None
    azure.emulator.arm.operations(form=form, takes_s=25, outcome=outcome, error=error)
    with pytest.raises(HttpResponseError, match=code):
        await follow(azure, "PUT", azure.account, STORAGE, ACCOUNT)
    assert (await azure.get(azure.account, STORAGE)).body["properties"]["provisioningState"] == outcome


async def test_azure_core_follows_an_action_and_a_group(azure: Azure) -> None:
    """Starting a machine, and deleting a group with all that is in it, are followed to their end."""
    machine = f"{azure.subscription}/resourceGroups/rg-00001/providers/Microsoft.Compute/virtualMachines/one"
    azure.emulator.arm.operations(form="immediate")
    assert (await azure.send("PUT", machine, COMPUTE, json=MACHINE)).status == 201
    azure.emulator.arm.operations(form="both", takes_s=25)
    await follow(azure, "POST", f"{machine}/start", COMPUTE)
    group = f"{azure.subscription}/resourcegroups/rg-00001"
    _, waits = await follow(azure, "DELETE", group, "2021-04-01")
    assert waits == [10, 10, 10]
    assert (await azure.get(group)).status == 404
    assert (await azure.get(machine, COMPUTE)).code == "ResourceGroupNotFound"


async def test_status_url_has_the_progress(azure: Azure) -> None:
    """Azure-AsyncOperation is always 200: the provider's own word and a share of the way, then the end and its time."""
    azure.emulator.arm.operations(form="async", takes_s=100, running="Provisioning", outcome="Failed")
    started = await azure.send("PUT", azure.account, STORAGE, json=ACCOUNT)
    assert started.status == 201
    assert started.body["properties"]["provisioningState"] == "Creating"
    assert started.headers["Retry-After"] == "10"
    assert "Location" not in started.headers
    url = started.headers["Azure-AsyncOperation"]
    assert 1000 < len(url) < 4096
    azure.emulator.clock.move(50)
    running = await azure.get(url)
    assert (running.status, running.body["status"], running.headers["Retry-After"]) == (200, "Provisioning", "10")
    assert 49 < running.body["percentComplete"] < 52
    assert "endTime" not in running.body
    azure.emulator.clock.move(50)
    over = await azure.get(url)
    assert (over.status, over.body["status"]) == (200, "Failed")
    assert over.body["error"]["code"] == "AllocationFailed"
    assert over.body["startTime"] < over.body["endTime"]
    assert "Retry-After" not in over.headers


async def test_location_url_responds_202_until_the_end(azure: Azure) -> None:
    """Location is 202 with itself and Retry-After, then the resource; a failure is an error of its own."""
    azure.emulator.arm.operations(form="location", takes_s=100, retry_after_s=17)
    started = await azure.send("PUT", azure.account, STORAGE, json=ACCOUNT)
    assert (started.status, started.body) == (202, "")
    assert "Azure-AsyncOperation" not in started.headers
    url = started.headers["Location"]
    running = await azure.get(url)
    assert (running.status, running.headers["Location"], running.headers["Retry-After"]) == (202, url, "17")
    assert (await azure.get(azure.account, STORAGE)).body["properties"]["provisioningState"] == "Creating"
    azure.emulator.clock.move(100)
    assert (await azure.get(url)).body["name"] == "files"
    azure.emulator.arm.operations(form="location", takes_s=0, outcome="Failed")
    failed = await azure.send("DELETE", azure.account, STORAGE)
    over = await azure.get(failed.headers["Location"])
    assert (over.status, over.code) == (409, "AllocationFailed")


async def test_only_the_resource_may_have_the_state(azure: Azure) -> None:
    """Without headers the body's provisioningState says that it goes on, and a GET that it is over."""
    azure.emulator.arm.operations(form="provisioning_state", takes_s=100)
    started = await azure.send("PUT", azure.account, STORAGE, json=ACCOUNT)
    assert started.status == 201
    assert started.headers.keys().isdisjoint({"Azure-AsyncOperation", "Location", "Retry-After"})
    assert started.body["properties"]["provisioningState"] == "Creating"
    azure.emulator.clock.move(100)
    assert (await azure.get(azure.account, STORAGE)).body["properties"]["provisioningState"] == "Succeeded"
    deleting = await azure.send("DELETE", azure.account, STORAGE)
    assert (deleting.status, deleting.body["properties"]["provisioningState"]) == (202, "Deleting")
    azure.emulator.clock.move(100)
    assert (await azure.get(azure.account, STORAGE)).status == 404


async def test_a_busy_resource_is_a_conflict(azure: Azure) -> None:
    """While an operation goes on, another one on the same resource, or in a group that is deleted, is refused."""
    azure.emulator.arm.operations(takes_s=100)
    assert (await azure.send("PUT", azure.account, STORAGE, json=ACCOUNT)).status == 201
    for method in ("PUT", "DELETE"):
        refused = await azure.send(method, azure.account, STORAGE, json=ACCOUNT)
        assert (refused.status, refused.code) == (409, "AnotherOperationInProgress")
    group = azure.account.partition("/providers")[0]
    assert (await azure.send("DELETE", group)).status == 202
    refused = await azure.send("PUT", f"{azure.account}2", STORAGE, json=ACCOUNT)
    assert (refused.status, refused.code) == (409, "ResourceGroupBeingDeleted")
    assert (await azure.send("DELETE", group)).code == "ResourceGroupBeingDeleted"


async def test_operation_urls_are_used_as_they_are(azure: Azure) -> None:
    """A URL that was changed is refused, an unknown operation is 404, and so is one that ended more than a day ago."""
    azure.emulator.arm.operations(form="both", takes_s=10)
    started = await azure.send("PUT", azure.account, STORAGE, json=ACCOUNT)
    url = started.headers["Azure-AsyncOperation"]
    assert (await azure.get(url.partition("&t=")[0])).code == "InvalidOperationUrl"
    assert (await azure.get(url.replace(STORAGE, "2023-05-01"))).code == "InvalidOperationUrl"
    assert (await azure.get(started.headers["Location"].replace("&monitor=true", ""))).code == "InvalidOperationUrl"
    azure.token, token = "", azure.token
    assert (await azure.get(url)).status == 401
    azure.token = token
    elsewhere = url.replace(url.partition("/operations/")[2].partition("?")[0], "0" * 8)
    assert (await azure.get(elsewhere)).code == "OperationNotFound"
    azure.emulator.clock.move(10)
    assert (await azure.get(url)).body["status"] == "Succeeded"
    azure.emulator.clock.move(86_400)
    async with signed_in(azure.emulator, azure.http) as later:
        assert (await later.get(url)).code == "OperationNotFound"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**ACCOUNT, "location": ""}, "LocationRequired"),
        ({**ACCOUNT, "location": "atlantis"}, "LocationNotAvailableForResourceType"),
        ({"location": "westeurope", "kind": "StorageV2"}, "InvalidParameter"),
        ({**ACCOUNT, "properties": []}, None),
        ({**ACCOUNT, "properties": [1]}, "InvalidRequestContent"),
        ([], "InvalidRequestContent"),
    ],
)
async def test_resource_needs_a_right_body(azure: Azure, body: Any, code: str | None) -> None:
    """A resource needs a location there is, and the members its type demands."""
    response = await azure.send("PUT", azure.account, STORAGE, json=body)
    assert response.status == (201 if code is None else 400)
    assert code is None or response.code == code


async def test_resources_are_listed_and_stay_where_they_are(azure: Azure) -> None:
    """Resources are listed by group and by subscription, are named as their type allows, and don't move."""
    azure.emulator.arm.operations(form="immediate")
    group, _, name = azure.account.rpartition("/")
    assert (await azure.send("PUT", f"{group}/No-Capitals", STORAGE, json=ACCOUNT)).code == "InvalidResourceName"
    for each in ("one", "two", name):
        assert (await azure.send("PUT", f"{group}/{each}", STORAGE, json=ACCOUNT)).status == 201
    assert (await azure.send("PUT", azure.account, STORAGE, json=ACCOUNT)).status == 200
    moved = await azure.send("PUT", azure.account, STORAGE, json={**ACCOUNT, "location": "eastus"})
    assert (moved.status, moved.code) == (409, "InvalidResourceLocation")
    azure.emulator.arm.page_size = 2
    for path in (group, f"{azure.subscription}/providers/Microsoft.Storage/storageAccounts"):
        page = await azure.get(path, STORAGE)
        rest = await azure.get(page.body["nextLink"])
        assert [each["name"] for each in page.body["value"] + rest.body["value"]] == ["files", "one", "two"]
    azure.emulator.arm.operations(form="immediate", outcome="Failed")
    assert (await azure.send("DELETE", azure.account, STORAGE)).status == 409


@pytest.mark.parametrize(
    "plan",
    [{"form": "carrier pigeon"}, {"outcome": "Perhaps"}, {"takes_s": -1}, {"retry_after_s": -1}, {"running": "Failed"}],
)
def test_plans_make_sense(plan: dict[str, Any]) -> None:
    """A form, outcome, time or word there is not is a mistake in the test."""
    with pytest.raises(ValueError, match=r"There is no form|must"):
        Emulator().arm.operations(**plan)
