"""Who signs in has one name in every process, and no two of them share one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from entra_async import (
    AzureCli,
    Browser,
    Certificate,
    ClientSecret,
    CustomHeaders,
    DeviceCode,
    Federated,
    ManagedIdentity,
    OnBehalfOf,
    RefreshToken,
    StaticToken,
    UsernamePassword,
)
from entra_async.credentials.external import ExternalCredential
from entra_async.credentials.sources.store_name import stored_as

AUTHORITY = "https://login.microsoftonline.com"
CLIENT = "11111111-1111-1111-1111-111111111111"
GUIDS = st.uuids().map(str)
TEXTS = st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Zs"]), min_size=1, max_size=20)
NAMES = st.from_regex(r"[a-z]{1,5}@[a-z]{1,5}\.com", fullmatch=True)
PROVIDERS = st.one_of(
    st.builds(ClientSecret, client_id=GUIDS, tenant_id=GUIDS, client_secret=TEXTS),
    st.builds(UsernamePassword, client_id=GUIDS, tenant_id=GUIDS, username=NAMES, password=TEXTS),
    st.builds(RefreshToken, client_id=GUIDS, tenant_id=GUIDS, refresh_token=TEXTS),
    st.builds(OnBehalfOf, client_id=GUIDS, tenant_id=GUIDS, user_assertion=TEXTS, client_secret=TEXTS),
    st.builds(Browser, client_id=GUIDS, tenant_id=GUIDS, login_hint=st.none() | NAMES),
    st.builds(DeviceCode, client_id=GUIDS, tenant_id=GUIDS),
    st.builds(Certificate, client_id=GUIDS, tenant_id=GUIDS, path=TEXTS | TEXTS.map(Path)),
    st.builds(Certificate, client_id=GUIDS, tenant_id=GUIDS, data=st.binary(min_size=1)),
)


@given(PROVIDERS, PROVIDERS)
def test_two_who_differ_have_two_names(one: Any, other: Any) -> None:
    """Whatever stands in their fields, different providers are never taken for each other."""
    assert (stored_as(one, AUTHORITY) == stored_as(other, AUTHORITY)) is (one == other)
    assert stored_as(one, AUTHORITY) != stored_as(one, "https://login.microsoftonline.us")


@given(PROVIDERS, st.data())
def test_each_telling_field_tells(provider: Any, data: st.DataObject) -> None:
    """The same but for the tenant, or for the secret, is another one."""
    name = data.draw(st.sampled_from(["client_id", "tenant_id"]))
    changed = replace(provider, **{name: data.draw(GUIDS)})

    assert (stored_as(provider, AUTHORITY) == stored_as(changed, AUTHORITY)) is (provider == changed)


def test_how_a_user_is_prompted_makes_no_difference() -> None:
    """Ports, time-outs and prompts do not make another account."""
    plain = Browser(client_id=CLIENT, tenant_id="contoso.com")
    assert stored_as(plain, AUTHORITY) == stored_as(replace(plain, port=8400, timeout_s=5, opener=print), AUTHORITY)


def test_what_is_not_shared() -> None:
    """Others' caches, static tokens, code, and a user who is to be prompted."""
    client: dict[str, Any] = {"client_id": CLIENT, "tenant_id": "contoso.com"}
    for provider in (
        AzureCli(),
        StaticToken(token="eyJ", expires_on=4_000_000_000),
        CustomHeaders(headers=lambda: {"X-Key": "a"}),
        ExternalCredential(credential=lambda: "token"),
        Browser(**client, prompt="login"),
        ManagedIdentity(fall_back_to_azure_cli=True),
        object(),
    ):
        assert stored_as(provider, AUTHORITY) is None
    assert stored_as(Federated(**client), AUTHORITY) is not None
    assert stored_as(ManagedIdentity(), AUTHORITY) is not None


def test_no_secret_is_in_it_and_it_is_the_same_tomorrow() -> None:
    """The name is a digest that does not depend on the process."""
    provider = ClientSecret(client_id=CLIENT, tenant_id="contoso.com", client_secret="canary")
    name = stored_as(provider, AUTHORITY)
    program = (
        "from entra_async import ClientSecret; from entra_async.credentials.sources.store_name import stored_as; "
        f"print(stored_as(ClientSecret(client_id='{CLIENT}', tenant_id='contoso.com', client_secret='canary'), "
        f"'{AUTHORITY}'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=True)

    assert done.stdout.decode().strip() == name
    assert "canary" not in str(name)
