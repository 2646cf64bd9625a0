"""Managed identity: each kind of host gets one request in its own format, for the selected identity."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from entra_async.credentials.managed_identity import ManagedIdentity
from entra_async.errors import AuthenticationError, ConfigurationError
from entra_async.testing import Emulator
from entra_async.testing.managed_identity.host import AssignedIdentity, AzureHost, HostKind
from tests.credentials.managed_identity.conftest import HOSTS, ON

IMDS = "/metadata/identity/oauth2/token"
STRANGER = "22222222-2222-2222-2222-222222222222"


def own(host: AzureHost) -> AssignedIdentity:
    assert host.system_assigned is not None
    return host.system_assigned


@pytest.mark.parametrize("kind", HOSTS)
async def test_every_host_signs_in(kind: HostKind, emulator: Emulator, on: ON) -> None:
    """On each kind of host the host's own identity signs in, in one request (two at Arc), and calls Graph."""
    async with on(kind, user_assigned=["web"]) as host, emulator.session() as session:
        connection = await session.connect(ManagedIdentity())
        users = await connection.invoke("users", query={"$top": 1}, paging=False)
        token = await connection.get_token()

    assert token.client_id == own(host).client_id
    assert token.expires_on > emulator.clock.now()
    assert users
    assert emulator.requests.count(service=kind) == (2 if kind == "arc" else 1)
    assert not emulator.token_requests


CHOICES = [
    ("imds", "client_id", "client_id"),
    ("imds", "resource_id", "msi_res_id"),
    ("imds", "principal_id", "object_id"),
    ("arc", "client_id", "client_id"),
    ("arc", "resource_id", "msi_res_id"),
    ("arc", "principal_id", "object_id"),
    ("app_service", "client_id", "client_id"),
    ("app_service", "resource_id", "mi_res_id"),
    ("app_service", "principal_id", "principal_id"),
    ("container_apps", "ResourceID", "mi_res_id"),
    ("container_apps", "PrincipalID", "principal_id"),
    ("azure_ml", "ClientID", "clientid"),
]


@pytest.mark.parametrize(("kind", "identity_type", "parameter"), CHOICES)
async def test_an_identity_is_chosen_in_the_words_of_its_host(
    kind: HostKind, identity_type: str, parameter: str, emulator: Emulator, on: ON
) -> None:
    """Each way to name a user-assigned identity reaches each host under the name that this host knows."""
    async with on(kind, user_assigned=["web", "worker"]) as host, emulator.session() as session:
        worker = host.user_assigned[1]
        attribute = {"clientid": "client_id", "resourceid": "resource_id", "principalid": "principal_id"}.get(
            identity_type.lower(), identity_type
        )
        provider = ManagedIdentity(identity_id=getattr(worker, attribute), identity_type=identity_type)
        connection = await session.connect(provider)
        token = await connection.get_token()

    assert token.client_id == worker.client_id
    assert emulator.requests[0].query[parameter] == getattr(worker, attribute)


@pytest.mark.parametrize(
    ("kind", "identity_type", "field"),
    [
        ("azure_ml", "resource_id", "identity_type"),
        ("azure_ml", "principal_id", "identity_type"),
        ("cloud_shell", "client_id", "identity_id"),
        ("service_fabric", "client_id", "identity_id"),
        ("service_fabric", "resource_id", "identity_id"),
    ],
)
async def test_what_a_host_would_pass_over_is_refused(
    kind: HostKind, identity_type: str, field: str, emulator: Emulator, on: ON
) -> None:
    """A host that would return a token of another identity gets no request."""
    async with on(kind, user_assigned=["web"]) as host, emulator.session() as session:
        identity_id = getattr(host.user_assigned[0], identity_type)
        with pytest.raises(ConfigurationError) as caught:
            await session.connect(ManagedIdentity(identity_id=identity_id, identity_type=identity_type))

    assert caught.value.field == field
    assert caught.value.hint
    assert not emulator.requests


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"identity_id": "web"}, "identity_id"),
        ({"identity_id": ""}, "identity_id"),
        ({"identity_id": 7}, "identity_id"),
        ({"identity_id": "/subscriptions/1/x", "identity_type": "resource_id"}, "identity_id"),
        ({"identity_id": "11111111-1111-1111-1111-111111111111&x=1"}, "identity_id"),
        ({"identity_type": "object_id"}, "identity_type"),
        ({"identity_type": None}, "identity_type"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
    ],
    ids=str,
)
def test_malformed_values(values: dict[str, Any], field: str) -> None:
    """What cannot be an identity is refused when the provider is made."""
    with pytest.raises(ConfigurationError) as caught:
        ManagedIdentity(**values)

    assert caught.value.field == field
    assert caught.value.hint


def test_a_provider_is_a_value() -> None:
    """A provider can be compared, hashed and pickled, and the spellings of PowerShell make no difference."""
    one = ManagedIdentity(identity_id="11111111-1111-1111-1111-111111111111", identity_type="PrincipalID")
    other = ManagedIdentity(identity_id="11111111-1111-1111-1111-111111111111", identity_type="principal_id")

    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == one


async def test_the_only_user_assigned_identity_stands_in(emulator: Emulator, on: ON) -> None:
    """A virtual machine without an identity of its own uses the only one assigned to it."""
    async with on("imds", system_assigned=False, user_assigned=["web"]) as host, emulator.session() as session:
        connection = await session.connect(ManagedIdentity())
        token = await connection.get_token()

    assert token.client_id == host.user_assigned[0].client_id


async def test_a_long_lived_token_is_renewed_at_half_its_life(emulator: Emulator, on: ON) -> None:
    """A token for a day says when to request the next."""
    emulator.token_lifetimes.access_s = 86400
    async with on("imds"), emulator.session() as session:
        connection = await session.connect(ManagedIdentity())
        token = await connection.get_token()

    assert token.refresh_on is not None
    assert abs(token.expires_on - token.refresh_on - 43200) <= 2


async def test_a_proxy_is_passed_by(emulator: Emulator, on: ON) -> None:
    """No proxy sees the request, with its secret, for a token from next door."""
    async with on("app_service"), emulator.session(proxy="http://127.0.0.1:9") as session:
        await session.connect(ManagedIdentity())


async def test_many_callers_ask_once(emulator: Emulator, on: ON) -> None:
    """However many tasks want a token at once, the host gets one request."""
    async with on("imds"), emulator.session() as session:
        connection = await session.connect(ManagedIdentity())
        emulator.clock.move(7200)
        tokens = await asyncio.gather(*(connection.get_token() for _ in range(200)))

    assert len({token.token for token in tokens}) == 1
    assert emulator.requests.count(service="imds") == 2


async def test_a_tenant_it_is_not_in(emulator: Emulator, on: ON) -> None:
    """A token of another tenant cannot be requested from a managed identity, and the error says so."""
    async with on("imds"), emulator.session() as session:
        connection = await session.connect(ManagedIdentity())
        await connection.get_token(tenant_id=emulator.tenant_id)
        with pytest.raises(AuthenticationError, match="its own tenant only"):
            await connection.get_token(tenant_id=STRANGER)


async def test_it_never_probes_when_asked_for_by_name(emulator: Emulator, on: ON) -> None:
    """Each request by name is one for a token, with the header that IMDS wants."""
    async with on("imds"), emulator.session() as session:
        await session.connect(ManagedIdentity())

    assert [request.headers.get("metadata") for request in emulator.requests] == ["true"]
