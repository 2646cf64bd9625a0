"""Signing in with what a Key Vault holds: secrets and certificates, their rotation, and everything that goes wrong."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from entra_async import ClientSecret, Session
from entra_async.cli.stall import StallMeter
from entra_async.credentials.key_vault import KeyVault
from entra_async.errors import AuthenticationError, ConfigurationError, EntraError
from entra_async.telemetry.events import RequestFinished
from entra_async.testing import Emulator
from entra_async.testing.crypto.keys import make_key_pair
from entra_async.testing.entra.app_registrations import App

CANARY = "canary-5ecret-value"
IDS: dict[str, Any] = {
    "client_id": "11111111-1111-1111-1111-111111111111",
    "tenant_id": "contoso.com",
    "vault_name": "contoso",
    "secret_name": "app",
}


@pytest.fixture
def app(emulator: Emulator) -> App:
    """Return an app whose secret is in the vault as ``app``."""
    app = emulator.register_app(secret=CANARY)
    emulator.vault.set_secret("app", CANARY)
    return app


def provider(emulator: Emulator, app: App, **values: Any) -> KeyVault:
    given = {
        "client_id": app.client_id,
        "tenant_id": emulator.tenant_id,
        "vault_name": emulator.vault.name,
        "secret_name": "app",
        "credential": emulator.client_secret,
    }
    return KeyVault(**{**given, **values})


def asked(emulator: Emulator) -> list[str]:
    """Return the authorized requests to the vault, by the last part of each path."""
    answered = [request for request in emulator.requests if request.service == "key_vault" and request.status != 401]
    return ["/".join(request.path.split("/")[2:3] + request.path.split("/")[3:][:1]) for request in answered]


async def test_a_secret_of_the_vault_signs_in(emulator: Emulator, app: App) -> None:
    """The vault is challenged, read through the pool, and what it holds is the client secret."""
    async with emulator.session() as session:
        await session.connect(provider(emulator, app))
        user = await session.invoke("users/ada@contoso.com")

    assert user["givenName"] == "Ada"
    version = emulator.vault.versions("app")[0].version
    assert asked(emulator) == ["app/versions", f"app/{version}"]
    # One token for the vault, one for Graph.
    assert [request.form["scope"] for request in emulator.token_requests] == [
        "https://vault.azure.net/.default",
        "https://graph.microsoft.com/.default",
    ]


@pytest.mark.parametrize("content_type", ["application/x-pkcs12", "application/x-pem-file"])
@pytest.mark.parametrize("send_x5c", [False, True])
async def test_a_certificate_of_the_vault_signs_in(content_type: str, emulator: Emulator, *, send_x5c: bool) -> None:
    """A certificate of the vault, as PFX or PEM, signs in as a certificate."""
    pair = await anyio.to_thread.run_sync(make_key_pair, "vault")
    app = emulator.register_app(certificate_pem=pair.certificate.public_bytes(Encoding.PEM))
    emulator.vault.set_certificate("app", pair, content_type=content_type)
    async with emulator.session() as session:
        await session.connect(provider(emulator, app, send_x5c=send_x5c))

    assert "client_assertion" in emulator.token_requests[-1].form


@pytest.mark.parametrize("change", ["line breaks", "blanks", "CRLF", "text around", "PEM as PFX"])
async def test_a_certificate_that_was_pasted_into_the_vault(change: str, emulator: Emulator) -> None:
    """Base64 with line breaks or blanks, and PEM with other line ends or text around, are read as they were meant."""
    pair = await anyio.to_thread.run_sync(make_key_pair, "vault")
    app = emulator.register_app(certificate_pem=pair.certificate.public_bytes(Encoding.PEM))
    kind = "application/x-pkcs12" if change in {"line breaks", "blanks"} else "application/x-pem-file"
    value = emulator.vault.set_certificate("app", pair, content_type=kind).value
    value = {
        "line breaks": "\r\n".join(value[at : at + 64] for at in range(0, len(value), 64)) + "\r\n",
        "blanks": f" {value[:9]} {value[9:]} ",
        "CRLF": value.replace("\n", "\r\n"),
        "text around": f"Bag Attributes\n    friendlyName: app\n{value}\nsubject=CN = app\n",
        "PEM as PFX": value,
    }[change]
    kind = "application/x-pkcs12" if change == "PEM as PFX" else kind
    emulator.vault.set_secret("app", value, content_type=kind)
    async with emulator.session() as session:
        await session.connect(provider(emulator, app))

    assert "client_assertion" in emulator.token_requests[-1].form


@pytest.mark.parametrize("content_type", ["text/plain", "Application/Secret", ""])
async def test_any_other_content_type_is_a_secret(content_type: str, emulator: Emulator, app: App) -> None:
    """A description in the content type does not make a certificate of a secret."""
    emulator.vault.set_secret("app", CANARY, content_type=content_type)
    async with emulator.session() as session:
        await session.connect(provider(emulator, app))

    assert "client_secret" in emulator.token_requests[-1].form


async def test_a_rotated_secret_is_taken_up(emulator: Emulator, app: App) -> None:
    """Every renewal reads the vault again, so a new version needs no restart, and nothing of it is cached."""
    async with emulator.session() as session:
        connection = await session.connect(provider(emulator, app))
        app.secrets.clear()
        emulator.vault.set_secret("app", app.add_secret())
        await connection.get_token()
        assert len(asked(emulator)) == 2
        emulator.clock.move(29 * 3600)
        user = await session.invoke("users/ada@contoso.com")

    assert user["givenName"] == "Ada"
    assert len(asked(emulator)) == 4


async def test_the_newest_usable_version_is_read(emulator: Emulator, app: App) -> None:
    """Versions that are disabled, not yet valid or expired are passed over, on whatever page they are."""
    for number in range(30):
        emulator.vault.set_secret("app", f"old {number}")
    good = emulator.vault.set_secret("app", CANARY)
    now = emulator.clock.now()
    emulator.vault.set_secret("app", "staged", not_before=now + 600)
    emulator.vault.set_secret("app", "over", expires_on=now - 1)
    emulator.vault.set_secret("app", "disabled", enabled=False)
    async with emulator.session() as session:
        await session.connect(provider(emulator, app))

    assert asked(emulator) == ["app/versions", "app/versions", f"app/{good.version}"]


async def test_without_the_permission_to_list(emulator: Emulator, app: App) -> None:
    """A reader that may only get reads the newest version of all."""
    emulator.vault.allow(emulator.app.client_id, ["get"])
    async with emulator.session() as session:
        await session.connect(provider(emulator, app))

    assert asked(emulator) == ["app/versions", "app/"]


async def test_the_first_secret_that_signs_in_wins(emulator: Emulator, app: App) -> None:
    """A secret that Entra ID refuses is passed over; later names are not read once one signs in."""
    emulator.vault.set_secret("wrong", "wrong")
    emulator.vault.set_secret("never", CANARY)
    async with emulator.session() as session:
        await session.connect(provider(emulator, app, secret_name=["wrong", "app", "never"]))

    assert [path.partition("/")[0] for path in asked(emulator)] == ["wrong", "wrong", "app", "app"]


async def test_no_secret_signs_in(emulator: Emulator, app: App) -> None:
    """If all are refused, the error names them, with the code of the first refusal."""
    app.secrets.clear()
    app.add_secret("another")
    emulator.vault.set_secret("old", CANARY)
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match=r"None of old, app of the vault") as caught:
            await session.connect(provider(emulator, app, secret_name=("old", "app")))
        with pytest.raises(AuthenticationError, match=r"^AADSTS7000215"):
            await session.connect(provider(emulator, app))

    assert caught.value.code == "AADSTS7000215"


async def test_another_refusal_stops_the_search(emulator: Emulator, app: App) -> None:
    """What no other secret can mend, such as a disabled application, ends it: the next secret is not read."""
    app.disabled = True
    emulator.vault.set_secret("second", CANARY)
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.connect(provider(emulator, app, secret_name=("app", "second")))

    assert caught.value.code == "AADSTS7000112"
    assert len(asked(emulator)) == 2


async def test_the_sessions_connection_reads_the_vault(emulator: Emulator, app: App) -> None:
    """A connection to AzureKeyVault reads it, before any credential, with the token it holds already."""
    unused = ClientSecret(client_id=app.client_id, tenant_id=emulator.tenant_id, client_secret="wrong")
    async with emulator.session() as session:
        await session.connect(emulator.client_secret, service="AzureKeyVault")
        await session.connect(provider(emulator, app, credential=unused))
        await session.connect(provider(emulator, app, credential=None), name="another")

    assert [request.form["scope"] for request in emulator.token_requests].count("https://vault.azure.net/.default") == 1


async def test_the_azure_cli_reads_it_else(emulator: Emulator, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without connection and credential, whoever is signed in to the Azure CLI reads it."""
    async with emulator.developer_tools() as tools, emulator.session() as session:
        monkeypatch.setenv("PATH", str(tools.folder))
        await session.connect(provider(emulator, app, credential=None))

    assert len(asked(emulator)) == 2
    assert len(emulator.token_requests) == 1


async def test_a_callable_reads_it(emulator: Emulator, app: App) -> None:
    """Any credential or callable reads the vault; it gets the vault's scope."""
    scopes = []

    async def reader(scope: str) -> Any:
        scopes.append(scope)
        async with emulator.session() as other:
            return await (await other.connect(emulator.client_secret, service="AzureKeyVault")).get_token()

    async with emulator.session() as session:
        await session.connect(provider(emulator, app, credential=reader))

    assert scopes == ["https://vault.azure.net/.default"]


async def test_a_connection_to_the_vault_from_the_vault(emulator: Emulator, app: App) -> None:
    """A connection to AzureKeyVault that is itself signed in from the vault renews, and does not wait for itself."""
    async with emulator.session() as session:
        connection = await session.connect(provider(emulator, app), service="AzureKeyVault")
        emulator.clock.move(29 * 3600)
        with anyio.fail_after(10):
            await connection.get_token()

    assert len(asked(emulator)) == 4


@pytest.mark.parametrize("deep", [1, 3])
async def test_a_vault_that_is_read_with_what_is_in_a_vault(emulator: Emulator, app: App, deep: int) -> None:
    """Nested, and connected to AzureKeyVault: it renews by its own credential, and does not wait for itself."""
    nested = provider(emulator, app)
    for _ in range(deep):
        nested = replace(provider(emulator, app), credential=nested)
    async with emulator.session() as session:
        connection = await session.connect(nested, service="AzureKeyVault")
        read = len(asked(emulator))
        emulator.clock.move(29 * 3600)
        with anyio.fail_after(10):
            await connection.get_token()
            token = await (await session.connect(provider(emulator, app, credential=None))).get_token()

    assert read == 2 * (deep + 1)
    assert len(asked(emulator)) == 2 * read + 2
    assert token.token


async def test_many_callers_read_it_once(emulator: Emulator, app: App) -> None:
    """Any number of concurrent calls cost one reading per service, and the loop goes on meanwhile."""
    meter = StallMeter()
    async with emulator.session() as session:
        await session.connect(provider(emulator, app), service=["Graph", "Endpoint"])
        emulator.clock.move(29 * 3600)
        emulator.requests.clear()
        async with anyio.create_task_group() as watch:
            watch.start_soon(meter.run)
            async with anyio.create_task_group() as group:
                for connection in session.connections.values():
                    for _ in range(30):
                        group.start_soon(connection.get_token)
            watch.cancel_scope.cancel()

    assert len(asked(emulator)) == 4
    assert meter.longest_s < 0.25  # far above what is meant, far below a blocked loop: the machine may be busy


async def test_every_request_goes_through_the_pool(
    emulator: Emulator, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault's client opens no connection of its own, and a provider that is only made sends nothing."""
    from azure.core.pipeline.transport import AioHttpTransport, RequestsTransport

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(AioHttpTransport, "open", forbidden)
    monkeypatch.setattr(RequestsTransport, "open", forbidden)
    seen: list[Any] = []
    async with emulator.session(listener=seen.append) as session:
        await session.connect(provider(emulator, app))

    assert sum(event.url.startswith(emulator.vault.url) for event in seen if isinstance(event, RequestFinished)) >= 3


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"client_id": "x"}, "client_id"),
        ({"tenant_id": "common"}, "tenant_id"),
        ({"vault_name": "https://contoso.vault.azure.net"}, "vault_name"),
        ({"vault_name": "ab"}, "vault_name"),
        ({"vault_name": "1abc"}, "vault_name"),
        ({"vault_name": "a--b"}, "vault_name"),
        ({"vault_name": "abc-"}, "vault_name"),
        ({"vault_name": "a" * 25}, "vault_name"),
        ({"vault_name": "evil.example/abc"}, "vault_name"),
        ({"vault_name": None}, "vault_name"),
        ({"secret_name": ""}, "secret_name"),
        ({"secret_name": "a/b"}, "secret_name"),
        ({"secret_name": "a_b"}, "secret_name"),
        ({"secret_name": []}, "secret_name"),
        ({"secret_name": ["a", 1]}, "secret_name"),
        ({"credential": "token"}, "credential"),
        ({"credential": ClientSecret}, "credential"),
        ({"timeout_s": 0}, "timeout_s"),
    ],
    ids=str,
)
async def test_bad_values_are_refused(values: dict[str, Any], field: str) -> None:
    """Each bad value is told by its field, when the provider is made."""
    with pytest.raises(ConfigurationError) as caught:
        KeyVault(**{**IDS, **values})

    assert caught.value.field == field
    assert caught.value.hint


def test_a_key_vault_provider_is_a_plain_value() -> None:
    """It compares, hashes and pickles, a list of names is as good as a tuple, and no secret is in its repr."""
    reader = ClientSecret(client_id=IDS["client_id"], tenant_id="contoso.com", client_secret=CANARY)
    made = KeyVault(**{**IDS, "secret_name": ["a", "b"]}, credential=reader)

    assert made == KeyVault(**{**IDS, "secret_name": ("a", "b")}, credential=reader)
    assert pickle.loads(pickle.dumps(made)) == made
    assert hash(made) == hash(pickle.loads(pickle.dumps(made)))
    assert CANARY not in repr(made)


async def test_a_closed_session_reads_nothing(emulator: Emulator, app: App) -> None:
    """After the Session was closed, its provider can be used in another one."""
    value = provider(emulator, app)
    async with emulator.session() as first:
        await first.connect(value)
    async with Session(cloud=emulator.cloud, ssl=emulator.ca_file) as second:
        await second.connect(value)
    with pytest.raises(EntraError):
        await first.connect(value)

    assert len(asked(emulator)) == 4
