"""The emulated Azure Resource Manager: versions, tokens, roles, pages, groups, and its own way of saying no."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from entra_async.testing import Emulator
from tests.emulator.support.azure_client import ACCOUNT, GROUPS, STORAGE, Azure, app_token, signed_in


@pytest.fixture
async def azure(emulator: Emulator, http: aiohttp.ClientSession) -> AsyncIterator[Azure]:
    """Yield a signed-in client."""
    async with signed_in(emulator, http) as client:
        yield client


async def test_subscriptions_and_groups_are_listed(azure: Azure) -> None:
    """Both lists hold what there is, and the older audience of ARM is as good as the newer one."""
    azure.token = await app_token(azure.emulator, azure.http, "https://management.core.windows.net/")
    subscriptions = await azure.get("/subscriptions", "2022-12-01")
    assert [each["subscriptionId"] for each in subscriptions.body["value"]] == [azure.emulator.arm.subscription_id]
    assert subscriptions.body["value"][0]["tenantId"] == azure.emulator.tenant_id
    one = await azure.get(azure.subscription, "2022-12-01")
    assert one.body == subscriptions.body["value"][0]
    groups = await azure.get(f"{azure.subscription}/resourcegroups")
    assert [group["name"] for group in groups.body["value"]] == ["rg-00000", "rg-00001", "rg-00002"]
    assert "nextLink" not in groups.body


@pytest.mark.parametrize(
    ("method", "path", "version", "status", "code"),
    [
        ("GET", "/subscriptions", None, 400, "MissingApiVersionParameter"),
        ("GET", "/subscriptions", "", 400, "MissingApiVersionParameter"),
        ("GET", "/subscriptions", "2021-04-01", 400, "InvalidApiVersionParameter"),
        ("GET", "{sub}/resourcegroups", "2000-01-01", 400, "InvalidApiVersionParameter"),
        ("GET", "{sub}/resourcegroups?$filter=x", GROUPS, 400, "InvalidQueryParameter"),
        ("GET", "{sub}/resourcegroups?$top=0", GROUPS, 400, "InvalidTopQueryParameter"),
        ("GET", "{sub}/resourcegroups?$top=x", GROUPS, 400, "InvalidQueryParameter"),
        ("GET", "{sub}/resourcegroups?$skiptoken=x", GROUPS, 400, "InvalidSkipToken"),
        ("GET", "{account}", "2000-01-01", 400, "NoRegisteredProviderFound"),
        ("GET", "{account}", STORAGE, 404, "ResourceNotFound"),
        ("GET", "{sub}/providers/Microsoft.Storage/queues", STORAGE, 404, "InvalidResourceType"),
        ("GET", "{sub}/providers/Microsoft.Nothing/queues", STORAGE, 404, "InvalidResourceNamespace"),
        ("GET", "{sub}/resourcegroups/nowhere", GROUPS, 404, "ResourceGroupNotFound"),
        ("GET", "/subscriptions/nothing", "2022-12-01", 400, "InvalidSubscriptionId"),
        ("GET", f"/subscriptions/{uuid.UUID(int=1)}/resourcegroups", GROUPS, 404, "SubscriptionNotFound"),
        ("GET", "/tenants", "2022-12-01", 404, "NotFound"),
        ("PATCH", "{sub}/resourcegroups/rg-00000", GROUPS, 405, "MethodNotAllowed"),
        ("POST", "{account}/start", STORAGE, 404, "InvalidResourceType"),
    ],
)
async def test_nonsense_is_an_error(
    azure: Azure, method: str, path: str, version: str | None, status: int, code: str
) -> None:
    """What ARM refuses is refused, with its status and code, in its shape."""
    response = await azure.send(method, path.format(sub=azure.subscription, account=azure.account), version)
    assert (response.status, response.code) == (status, code)
    assert response.body["error"].keys() == {"code", "message"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "LocationRequired"),
        ({"location": "atlantis"}, "LocationNotAvailableForResourceGroup"),
        ({"location": "westeurope", "tags": {"a": 1}}, "InvalidTags"),
        ({"location": "westeurope", "tag": {}}, "InvalidRequestContent"),
    ],
)
async def test_group_needs_a_right_body(azure: Azure, body: dict[str, Any], code: str) -> None:
    """A group needs a location there is, tags that are texts, and nothing unknown."""
    response = await azure.send("PUT", f"{azure.subscription}/resourcegroups/new", json=body)
    assert (response.status, response.code) == (400, code)


async def test_group_is_created_updated_and_found_in_any_case(azure: Azure) -> None:
    """PUT creates with 201 and updates with 200; a group keeps its location, and names ignore the case of letters."""
    path = f"{azure.subscription}/resourceGroups/New"
    body = {"location": "West Europe", "tags": {"team": "a"}}
    created = await azure.send("PUT", path, json=body)
    assert (created.status, created.body["location"]) == (201, "westeurope")
    assert created.body["id"] == path
    updated = await azure.send("PUT", path.lower(), json={"location": "westeurope"})
    assert updated.status == 200
    assert "tags" not in updated.body
    assert (await azure.get(path.lower())).body == updated.body
    moved = await azure.send("PUT", path, json={"location": "eastus"})
    assert (moved.status, moved.code) == (409, "InvalidResourceGroupLocation")
    assert (await azure.send("HEAD", path)).status == 204
    assert (await azure.send("HEAD", f"{path}er")).status == 404
    wrong = await azure.send("PUT", path, data=b"{}", headers={"Content-Type": "text/plain"})
    assert (wrong.status, wrong.code) == (415, "UnsupportedMediaType")


async def test_tokens_are_judged(azure: Azure) -> None:
    """No token, another service's and an expired one are answered 401 with ARM's codes and a challenge."""
    good = azure.token
    seen = []
    for token in ("", await app_token(azure.emulator, azure.http, "https://graph.microsoft.com"), good):
        if token == good:
            azure.emulator.clock.move(3600)
        azure.token = token
        response = await azure.get("/subscriptions", "2022-12-01")
        assert response.status == 401
        assert azure.emulator.tenant_id in response.headers["WWW-Authenticate"]
        seen.append(response.code)
    assert seen == ["AuthenticationFailed", "InvalidAuthenticationTokenAudience", "ExpiredAuthenticationToken"]


async def test_pages_follow_their_links(azure: Azure) -> None:
    """Every group comes once, over pages of the size set, some of them empty; a link holds for its own list only."""
    arm = azure.emulator.arm
    arm.add_resource_groups(20)
    arm.page_size, arm.empty_pages = 5, 3
    names: list[str] = []
    sizes = []
    link: str | None = f"{azure.subscription}/resourcegroups"
    while link is not None:
        page = await azure.get(link)
        assert page.status == 200
        sizes.append(len(page.body["value"]))
        names += [group["name"] for group in page.body["value"]]
        link = page.body.get("nextLink")
        assert link is None or link.startswith(f"{arm.url}{azure.subscription}/resourcegroups?")
    assert names == [f"rg-{number:05}" for number in range(23)]
    assert sizes == [5, 5, 0, 5, 5, 0, 3]
    link = (await azure.get(f"{azure.subscription}/resourcegroups")).body["nextLink"]
    assert (await azure.get(f"{link}&$top=2")).code == "InvalidSkipToken"
    assert (await azure.get(link.replace("2021-04-01", "2022-09-01"))).code == "InvalidSkipToken"
    azure.emulator.clock.move(3599.9)
    azure.token = await app_token(azure.emulator, azure.http, "https://management.azure.com")
    azure.emulator.clock.move(1)
    assert (await azure.get(link)).code == "InvalidSkipToken"


async def test_roles_decide(azure: Azure) -> None:
    """Without a role everything is 403 and no subscription is seen; a reader reads and does not write."""
    arm, me = azure.emulator.arm, azure.emulator.app.object_id
    other = arm.add_subscription("Other")
    groups = f"{azure.subscription}/resourcegroups"
    arm.assign(me, None, subscription_id=arm.subscription_id)
    refused = await azure.get(groups)
    assert (refused.status, refused.code) == (403, "AuthorizationFailed")
    assert me in refused.body["error"]["message"]
    assert "Microsoft.Resources/subscriptions/resourceGroups/read" in refused.body["error"]["message"]
    seen = await azure.get("/subscriptions", "2022-12-01")
    assert [each["subscriptionId"] for each in seen.body["value"]] == [other]
    arm.assign(me, "Reader", subscription_id=arm.subscription_id)
    assert (await azure.get(groups)).status == 200
    assert (await azure.send("PUT", f"{groups}/new", json={"location": "eastus"})).status == 403
    assert (await azure.send("PUT", azure.account, STORAGE, json=ACCOUNT)).status == 403
    arm.assign(me, "Owner", subscription_id=arm.subscription_id)
    assert (await azure.send("PUT", f"{groups}/new", json={"location": "eastus"})).status == 201
    with pytest.raises(ValueError, match="role must be one of"):
        arm.assign(me, "Guest")  # type: ignore[arg-type]


async def test_requests_can_be_traced(azure: Azure) -> None:
    """Every response has ids; those the client sent come back, errors included."""
    sent = {"x-ms-client-request-id": "mine", "x-ms-correlation-request-id": str(uuid.uuid4())}
    for version in ("2022-12-01", "2000-01-01"):
        response = await azure.get("/subscriptions", version, headers=sent)
        assert {name: response.headers[name] for name in sent} == sent
        assert response.headers["x-ms-routing-request-id"].endswith(response.headers["x-ms-request-id"])
    plain = await azure.get("/subscriptions", "2022-12-01")
    assert "x-ms-client-request-id" not in plain.headers
    assert plain.headers["x-ms-correlation-request-id"] == plain.headers["x-ms-request-id"]


async def test_rate_limit_is_a_token_bucket(azure: Azure) -> None:
    """The header counts down to a 429; waiting as told is enough, and other kinds and subscriptions don't mind."""
    arm = azure.emulator.arm
    arm.limits.set("reads", burst=3, per_s=0.01)
    groups = f"{azure.subscription}/resourcegroups"
    seen = [(await azure.get(groups)).headers["x-ms-ratelimit-remaining-subscription-reads"] for _ in range(3)]
    assert seen == ["2", "1", "0"]
    refused = await azure.get(groups)
    assert (refused.status, refused.code) == (429, "SubscriptionRequestsThrottled")
    assert 99 <= int(refused.headers["Retry-After"]) <= 100
    written = await azure.send("PUT", f"{groups}/new", json={"location": "eastus"})
    assert (written.status, written.headers["x-ms-ratelimit-remaining-subscription-writes"]) == (201, "199")
    elsewhere = await azure.get(f"/subscriptions/{arm.add_subscription('Other')}/resourcegroups")
    assert elsewhere.status == 200
    tenant = await azure.get("/subscriptions", "2022-12-01")
    assert tenant.headers["x-ms-ratelimit-remaining-tenant-reads"] == "2"
    azure.emulator.clock.move(int(refused.headers["Retry-After"]))
    assert (await azure.get(groups)).status == 200


async def test_headers_can_lie(azure: Azure) -> None:
    """The header may claim thousands while requests are refused, as Azure's has been seen to."""
    limits = azure.emulator.arm.limits
    limits.set("reads", burst=1, per_s=1)
    limits.reported_remaining = 13_000
    groups = f"{azure.subscription}/resourcegroups"
    responses = [await azure.get(groups) for _ in range(2)]
    assert [response.status for response in responses] == [200, 429]
    assert {response.headers["x-ms-ratelimit-remaining-subscription-reads"] for response in responses} == {"13000"}


async def test_the_common_throttle_holds_here_too(azure: Azure) -> None:
    """The limit a test sets for every service is asked besides Azure's own."""
    azure.emulator.throttle.limit(1, 60, service="azure", retry_after_form="absent")
    responses = [await azure.get("/subscriptions", "2022-12-01") for _ in range(2)]
    assert [response.status for response in responses] == [200, 429]
    assert "Retry-After" not in responses[1].headers


@pytest.mark.parametrize("limit", [("posts", 1, 1.0), ("reads", 0, 1.0), ("reads", 1, 0.0)])
def test_limits_make_sense(limit: tuple[Any, int, float]) -> None:
    """An unknown kind, or a bucket that never lets anything through, is a mistake in the test."""
    kind, burst, per_s = limit
    with pytest.raises(ValueError, match="must be"):
        Emulator().arm.limits.set(kind, burst=burst, per_s=per_s)
