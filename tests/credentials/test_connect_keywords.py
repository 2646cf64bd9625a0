"""The keywords of connect(): each parameter set of the PowerShell command, and the table that documents them."""

from __future__ import annotations

import gc
import pickle
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from entra_async import (
    AzureCli,
    AzureDeveloperCli,
    AzurePowerShell,
    Browser,
    Certificate,
    ClientSecret,
    CustomHeaders,
    DeviceCode,
    Federated,
    KeyVault,
    ManagedIdentity,
    OnBehalfOf,
    RefreshToken,
    StaticToken,
    UsernamePassword,
)
from entra_async.credentials.connect.parameter_sets import provider_from
from entra_async.errors import AuthenticationError, ConfigurationError, ConsentRequiredError
from entra_async.testing import Emulator

ROOT = Path(__file__).parents[2]
GUID = "11111111-1111-1111-1111-111111111111"
APP: dict[str, Any] = {"client_id": GUID, "tenant_id": "contoso.com"}


def make_headers() -> dict[str, str]:
    return {"X-Api-Key": "key"}


SETS: list[tuple[dict[str, Any], Any]] = [
    ({"client_id": GUID}, Browser(client_id=GUID)),
    (APP, Browser(**APP)),
    ({**APP, "browser": True, "scopes": ["User.Read"]}, Browser(**APP, scopes=("User.Read",))),
    ({**APP, "browser_mode": "PrintLink"}, Browser(**APP, mode="print_link")),
    ({**APP, "browser": True, "use_refresh_token": True}, Browser(**APP, use_refresh_token=True)),
    ({**APP, "device_code": True}, DeviceCode(**APP)),
    ({**APP, "device_code": True, "use_refresh_token": True}, DeviceCode(**APP, use_refresh_token=True)),
    ({**APP, "refresh_token": "r"}, RefreshToken(**APP, refresh_token="r")),
    (
        {**APP, "username": "ada@contoso.com", "password": "p"},
        UsernamePassword(**APP, username="ada@contoso.com", password="p"),
    ),
    ({**APP, "client_secret": "s"}, ClientSecret(**APP, client_secret="s")),
    ({**APP, "certificate_path": "a.pfx", "certificate_password": "p"}, Certificate(**APP, path="a.pfx", password="p")),
    ({**APP, "certificate_thumbprint": "A" * 40}, Certificate(**APP, thumbprint="A" * 40)),
    ({**APP, "certificate_name": "CN=app"}, Certificate(**APP, name="CN=app")),
    ({**APP, "certificate_folder": "certs"}, Certificate(**APP, folder="certs")),
    (
        {**APP, "vault_name": "contoso", "secret_name": "graph"},
        KeyVault(**APP, vault_name="contoso", secret_name="graph"),
    ),
    ({"identity": True}, ManagedIdentity()),
    ({"identity_id": GUID, "identity_type": "ClientID"}, ManagedIdentity(identity_id=GUID)),
    (
        {"identity": True, "identity_id": GUID, "identity_type": "PrincipalID"},
        ManagedIdentity(identity_id=GUID, identity_type="principal_id"),
    ),
    ({"identity": True, "fall_back_to_azure_cli": True}, ManagedIdentity(fall_back_to_azure_cli=True)),
    ({**APP, "federated": True}, Federated(**APP)),
    ({**APP, "assertion": "a.b.c"}, Federated(**APP, assertion="a.b.c")),
    ({**APP, "federation_provider": "github_actions"}, Federated(**APP, provider="github_actions")),
    (
        {**APP, "user_assertion": "a.b.c", "client_secret": "s"},
        OnBehalfOf(**APP, user_assertion="a.b.c", client_secret="s"),
    ),
    ({**APP, "prompt": "login", "port": 8400}, Browser(**APP, prompt="login", port=8400)),
    ({"azure_developer_cli": True}, AzureDeveloperCli()),
    ({"azure_powershell": True, "tenant_id": "contoso.com"}, AzurePowerShell(tenant_id="contoso.com")),
    ({"headers": make_headers}, CustomHeaders(headers=make_headers)),
    ({"az_account": True}, AzureCli()),
    ({"az_account": True, "tenant_id": "contoso.com"}, AzureCli(tenant_id="contoso.com")),
]


@pytest.mark.parametrize(
    ("keywords", "provider"), SETS, ids=lambda value: "+".join(value) if isinstance(value, dict) else ""
)
def test_every_set_makes_its_provider(keywords: dict[str, Any], provider: Any) -> None:
    """The keywords of a set make exactly the provider one would write; what is None or False is not there."""
    assert provider_from(keywords) == provider
    assert provider_from({**keywords, "signer": None, "send_x5c": None}) == provider


@pytest.mark.parametrize(
    ("keywords", "field"),
    [
        ({"device_code": True, "client_id": GUID}, "tenant_id"),
        ({**APP, "device_code": True, "browser_mode": "Auto"}, "browser_mode"),
        ({**APP, "browser_mode": "Firefox"}, "browser_mode"),
        ({**APP, "username": "ada@contoso.com"}, "password"),
        ({**APP, "vault_name": "contoso"}, "secret_name"),
        ({"identity": True, "client_secret": "s"}, "identity"),
        ({"identity": "yes"}, "identity"),
        ({**APP, "client_secret": "s", "scopes": ["User.Read"]}, "scopes"),
        ({"identity_id": GUID, "identity_type": "Name"}, "identity_type"),
        ({"tenant_id": "contoso.com"}, "client_id"),
        ({"identity": False}, "provider"),
    ],
)
def test_a_wrong_mix_names_the_sets(keywords: dict[str, Any], field: str) -> None:
    """What is missing, or belongs to another set, is named together with the sets there are."""
    with pytest.raises(ConfigurationError) as caught:
        provider_from(keywords)

    assert caught.value.field == field
    assert caught.value.hint


async def test_labels_stand_for_microsofts_clients(emulator: Emulator) -> None:
    """Graph and Azure, in any case, are the well-known public clients."""
    assert Browser(client_id="graph").client_id == "14d82eec-204b-4c2f-b7e8-296a70dab67e"
    assert DeviceCode(client_id="Azure").client_id == "1950a258-227b-4e31-a9cf-717495945fc2"
    with pytest.raises(ConfigurationError):
        Browser(client_id="Exchange")
    assert not emulator.requests


async def test_scopes_are_asked_for(emulator: Emulator) -> None:
    """A user's scopes are requested with their resource in front; without any, what was granted."""
    app = emulator.public_app
    async with emulator.session() as session:
        graph = await session.connect(
            client_id=app.client_id,
            tenant_id=emulator.tenant_id,
            username=emulator.user.user_principal_name,
            password=emulator.user.password,
            scopes=["User.Read"],
        )
        me = await graph.invoke("me")

    assert graph.scopes == ("https://graph.microsoft.com/User.Read",)
    assert me["userPrincipalName"] == emulator.user.user_principal_name


async def test_whoami(emulator: Emulator) -> None:
    """whoami returns provider, tenant, application, permissions and expiry, and shows no token."""
    async with emulator.session() as session:
        connection = await session.connect(emulator.client_secret)
        identity = await session.whoami()
        token = await connection.get_token()

    assert identity.provider == "ClientSecret"
    assert identity.service == "Graph"
    assert identity.tenant_id == emulator.tenant_id
    assert identity.client_id == emulator.app.client_id
    assert identity.object_id
    assert identity.user_name is None
    assert "User.Read.All" in identity.scopes
    assert identity.expires_on > datetime.now(UTC)
    assert token.token not in repr(identity)


async def test_required_scopes(emulator: Emulator) -> None:
    """A call whose permission the token lacks is not sent, and the error names what is missing."""
    app = emulator.register_app(roles=["User.Read.All"])
    async with emulator.session() as session:
        await session.connect(client_id=app.client_id, tenant_id=emulator.tenant_id, client_secret=app.secret)
        await session.invoke("users", required_scopes=["user.read.all"], paging=False)
        emulator.requests.clear()
        with pytest.raises(ConsentRequiredError, match=r"Group\.Read\.All") as caught:
            await session.invoke("groups", required_scopes=["User.Read.All", "Group.Read.All"])
        with pytest.raises(ConfigurationError):
            await session.invoke("groups", required_scopes="Group.Read.All")

    assert "User.Read.All" not in str(caught.value)
    assert not emulator.requests


def test_every_provider_is_a_plain_value() -> None:
    """Providers compare, hash and pickle without live state, and no repr shows a secret."""
    providers = [
        *(provider for _, provider in SETS),
        OnBehalfOf(**APP, user_assertion="canary.canary.canary", client_secret="canary"),
        AzureDeveloperCli(),
        AzurePowerShell(),
        StaticToken(token="canary.canary.canary", expires_on=4_000_000_000),
        ClientSecret(**APP, client_secret="canary"),
        UsernamePassword(**APP, username="ada@contoso.com", password="canary"),
        RefreshToken(**APP, refresh_token="canary"),
    ]
    for provider in providers:
        assert pickle.loads(pickle.dumps(provider)) == provider
        assert hash(pickle.loads(pickle.dumps(provider))) == hash(provider)
        assert "canary" not in repr(provider)


def test_the_table_is_complete_and_true() -> None:
    """Each parameter of the command has a row, and each test that a row names exists."""
    table = (ROOT / "docs" / "connect.md").read_text(encoding="utf-8")
    command = (ROOT / "tests" / "connect_parameters.txt").read_text(encoding="utf-8")
    parameters = command.split()
    rows = re.findall(r"^\| `-(\w+)` \|", table, re.MULTILINE)
    named = re.findall(r"`([\w/]+/test_\w+\.py)::(test_\w+)`", table)

    assert sorted(rows) == sorted(parameters)
    assert len(named) == table.count("\n| ") - 2  # the two headings
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{test}"


async def test_one_users_sign_in_is_not_anothers(emulator: Emulator) -> None:
    """A refresh token is reused for its own user only, and for nobody after its connection is gone."""
    app, bob = emulator.public_app, emulator.add_user("bob")
    ids: dict[str, Any] = {"client_id": app.client_id, "tenant_id": emulator.tenant_id}
    async with emulator.session() as session:
        await session.connect(
            UsernamePassword(**ids, username=emulator.user.user_principal_name, password=emulator.user.password),
            name="ada",
        )

        async def as_bob(url: str) -> None:
            await emulator.browser.sign_in(url, bob)

        reuse: dict[str, Any] = {**ids, "use_refresh_token": True, "opener": as_bob}
        again = await session.connect(Browser(**reuse), name="again")
        other = await session.connect(Browser(**reuse, login_hint=bob.user_principal_name), name="bob")
        await session.disconnect("ada")
        await session.disconnect("again")
        await session.disconnect("bob")
        asked = await session.connect(Browser(**reuse, prompt="login"), name="asked")

        assert again.token is None
        assert other.token is None
        assert (await asked.whoami()).user_name == bob.user_principal_name
    tokens = [request.form.get("grant_type") for request in emulator.token_requests]

    assert tokens == ["password", "refresh_token", "authorization_code", "authorization_code"]


async def test_a_replaced_connection_goes_on_and_leaves_nothing(emulator: Emulator) -> None:
    """Callers of a backend that share a name keep their own connections; an unreferenced one is released."""
    async with emulator.session() as session:
        callers = [emulator.register_app() for _ in range(5)]
        held = [
            await session.connect(client_id=app.client_id, tenant_id=emulator.tenant_id, client_secret=app.secret)
            for app in callers
        ]
        identities = [(await connection.whoami()).client_id for connection in held]
        resource = await session.connect(emulator.client_secret, resource="https://vault.azure.net")
        kept = session._providers._accounts
        assert len(kept) == 6
        gc.disable()  # nothing is to wait for it
        del held, resource
        left = {account.name for account in session._providers._accounts.values()}
        gc.enable()

    assert identities == [app.client_id for app in callers]
    assert len(left) == 1


async def test_what_is_let_go_in_another_thread_is_given_up(emulator: Emulator) -> None:
    """The last reference may go wherever a collector runs, also while the token is renewed."""
    async with emulator.session() as session:
        held = [await session.connect(emulator.client_secret, resource="https://vault.azure.net")]
        token = held[0].token
        assert token is not None
        emulator.faults.add("/*/token", delay_s=3600)
        emulator.clock.move(0.85 * (token.expires_on - emulator.clock.now()))
        await held[0].get_token()
        await emulator.requests.wait_for(2, path=".*/token")
        await anyio.to_thread.run_sync(held.clear)
        await anyio.wait_all_tasks_blocked()

        assert not session._providers._accounts
        assert session.token_stats.cached == 0


async def test_no_flow_repeats_what_it_sent(emulator: Emulator) -> None:
    """A token service that repeats a password, refresh token or assertion does not get it into the error."""
    canary = "canary-5ecret.b.c"
    providers: list[Any] = [
        UsernamePassword(**APP, username="ada@contoso.com", password=canary),
        RefreshToken(**APP, refresh_token=canary),
        OnBehalfOf(**APP, user_assertion=canary, client_secret="secret-x"),
    ]
    said = {"error": "invalid_grant", "error_description": f"AADSTS50126: no {canary}"}
    emulator.faults.add("/*/oauth2/v2.0/token", times=None, status=400, body=said)
    async with emulator.session() as session:
        for provider in providers:
            with pytest.raises(AuthenticationError) as caught:
                await session.connect(provider)
            assert canary not in f"{caught.value}{caught.value!r}{vars(caught.value)}"
