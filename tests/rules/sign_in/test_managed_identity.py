"""Responses of managed identity endpoints, whatever they hold."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.errors import AuthenticationError, ConfigurationError, CredentialUnavailableError
from entra_async.rules.sign_in.managed_identity import HostKind, IdentityHost, WorkloadIdentity, find_host
from entra_async.rules.sign_in.managed_identity_response import host_error_for, read_token, retry_wait_s
from entra_async.rules.sign_in.quoting import quote
from entra_async.rules.tokens.scopes import resource_of

VARIABLES = (
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TENANT_ID",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
)
URL = "http://localhost:1/token"
values = st.sampled_from(["", "x", URL, "https://localhost/token", "0" * 40]) | st.text(max_size=20)
hosts = st.sampled_from(HostKind).map(lambda kind: IdentityHost(kind, URL, {}))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
bodies = st.none() | st.dictionaries(
    st.sampled_from(["access_token", "expires_in", "expires_on", "refresh_in", "token_type", "error", "message"]),
    json_values | st.sampled_from(["3599", "1/16/2030 5:24:12 AM +00:00", "06/20/2030 02:57:58 +00:00"]),
)


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({}, HostKind.VIRTUAL_MACHINE),
        ({"IDENTITY_HEADER": "x"}, HostKind.VIRTUAL_MACHINE),
        ({"IDENTITY_ENDPOINT": URL, "IDENTITY_HEADER": "x"}, HostKind.APP_SERVICE),
        ({"IDENTITY_ENDPOINT": URL, "IDENTITY_HEADER": "x", "IMDS_ENDPOINT": URL}, HostKind.APP_SERVICE),
        ({"IDENTITY_ENDPOINT": URL, "IMDS_ENDPOINT": URL}, HostKind.ARC),
        ({"IDENTITY_ENDPOINT": URL, "IMDS_ENDPOINT": URL, "MSI_ENDPOINT": URL}, HostKind.ARC),
        (
            {
                "IDENTITY_ENDPOINT": "https://x/",
                "IDENTITY_HEADER": "x",
                "IDENTITY_SERVER_THUMBPRINT": "AB:" * 19 + "AB",
            },
            HostKind.SERVICE_FABRIC,
        ),
        ({"MSI_ENDPOINT": URL, "MSI_SECRET": "x"}, HostKind.AZURE_ML),
        ({"MSI_ENDPOINT": URL}, HostKind.CLOUD_SHELL),
        ({"MSI_ENDPOINT": URL, "AZURE_FEDERATED_TOKEN_FILE": "f", "AZURE_TENANT_ID": "t"}, HostKind.CLOUD_SHELL),
        ({"AZURE_FEDERATED_TOKEN_FILE": "f"}, HostKind.VIRTUAL_MACHINE),
        ({"AZURE_FEDERATED_TOKEN_FILE": "f", "AZURE_TENANT_ID": "t"}, None),
    ],
    ids=str,
)
def test_the_environment_tells_the_host(environment: dict[str, str], kind: HostKind | None) -> None:
    """The variables are read in the order in which Microsoft's libraries read them."""
    host = find_host(environment)

    assert (None if isinstance(host, WorkloadIdentity) else host.kind) is kind


@given(st.dictionaries(st.sampled_from(VARIABLES), values))
def test_any_environment_is_a_host_or_an_error_of_ours(environment: dict[str, str]) -> None:
    """Nothing but a host, or an error that says what is wrong, comes of an environment."""
    with contextlib.suppress(ConfigurationError, CredentialUnavailableError):
        assert isinstance(find_host(environment), IdentityHost | WorkloadIdentity)


@given(hosts, bodies, st.floats(0, 4e9))
def test_any_response_is_a_token_or_an_error_of_ours(host: IdentityHost, body: Any, requested_at: float) -> None:
    """A token that is returned lives on, and is renewed before its end; anything else is an AuthenticationError."""
    try:
        token = read_token(host, body, requested_at=requested_at)
    except AuthenticationError:
        return
    assert token.token
    assert token.expires_on > requested_at
    assert token.refresh_on is None or token.refresh_on >= int(requested_at)
    assert token.token not in repr(token) or len(token.token) < 20


MOMENT = 1625214034  # 2021-07-02 08:20:34 UTC
HOST = IdentityHost(HostKind.APP_SERVICE, URL, {})


@pytest.mark.parametrize(
    "expires_on",
    [
        MOMENT,
        str(MOMENT),
        float(MOMENT),
        f"{MOMENT}.0",
        f" {MOMENT}.75 ",
        MOMENT * 1000,
        f"{MOMENT}000",
        f"{MOMENT}123.5",
        "2021-07-02 08:20:34Z",
        "2021-07-02T08:20:34Z",
        "2021-07-02T08:20:34.1234567Z",
        "2021-07-02T10:20:34+02:00",
        "2021-07-02 08:20:34",
        "07/02/2021 08:20:34 +00:00",
        "7/2/2021 8:20:34 AM +00:00",
    ],
)
def test_when_a_token_expires(expires_on: Any) -> None:
    """The moment is read however a host writes it: seconds, milliseconds, numbers or texts, and dates."""
    token = read_token(HOST, {"access_token": "x", "expires_on": expires_on}, requested_at=MOMENT - 3600)
    assert token.expires_on == MOMENT


@pytest.mark.parametrize("expires_in", [3600, "3600", "3600.0", 3600.0])
def test_how_long_a_token_lives(expires_in: Any) -> None:
    """A lifetime alone is enough."""
    token = read_token(HOST, {"access_token": "x", "expires_in": expires_in}, requested_at=MOMENT - 3600)
    assert token.expires_on == MOMENT


@given(st.integers(10**9, 4 * 10**9), st.sampled_from(["T", " "]), st.sampled_from(["Z", "+00:00", ""]))
def test_every_date_is_read(moment: int, between: str, zone: str) -> None:
    """A date is the moment it names, with a T or a blank, with a zone or in UTC."""
    text = datetime.fromtimestamp(moment, UTC).strftime(f"%Y-%m-%d{between}%H:%M:%S{zone}")
    assert read_token(HOST, {"access_token": "x", "expires_on": text}, requested_at=0).expires_on == moment


@pytest.mark.parametrize("nonsense", ["soon", "", None, [1], "-5", "1e9", "2021-13-45", "٣", 10**30, "9" * 25, True])
def test_an_expiry_that_is_none_is_named(nonsense: Any) -> None:
    """What cannot be a time is shown in the error."""
    with pytest.raises(AuthenticationError, match="expires_on=") as caught:
        read_token(HOST, {"access_token": "canary", "expires_on": nonsense}, requested_at=0)
    assert "canary" not in str(caught.value)


@given(hosts, st.integers(100, 599), bodies, st.text(max_size=50), st.integers(1, 9))
def test_any_error_is_explained(host: IdentityHost, status: int, body: Any, text: str, attempts: int) -> None:
    """Whatever a host says, the error has a hint, the status and the number of attempts."""
    error = host_error_for(host, status=status, body=body, text=text, attempts=attempts)

    assert error.hint
    assert (error.status, error.attempts) == (status, attempts)


@given(hosts, st.integers(100, 599), st.integers(1, 99))
def test_patience_is_never_negative(host: IdentityHost, status: int, attempt: int) -> None:
    """Only a virtual machine has waits of its own, and none is longer than 40 seconds."""
    wait_s = retry_wait_s(host, status, attempt=attempt)

    assert wait_s is None or (host.kind is HostKind.VIRTUAL_MACHINE and 0 <= wait_s <= 40)


@given(st.lists(st.text(max_size=30) | st.just("https://x/.default"), max_size=3))
def test_a_resource_holds_nothing_that_a_shell_reads(scopes: list[str]) -> None:
    """What comes out is letters, digits and . - _ : / only, and no option."""
    try:
        resource = resource_of(scopes)
    except ConfigurationError:
        return
    assert resource.isascii()
    assert not resource.startswith("-")
    assert all(letter.isalnum() or letter in ".-_:/" for letter in resource)


@pytest.mark.parametrize(
    "said",
    [
        '"accessToken": "abc"',
        "client_secret=abc",
        "Password: 'abc'",
        '{"token":"abc',
        f"Bearer {'abc' * 40}",
        "refresh_token = abc def",
    ],
)
def test_no_secret_is_quoted(said: str) -> None:
    """What is named a secret, or is as long as one, is left out."""
    assert "abc" not in quote(said)


@given(st.text())
def test_what_is_quoted_is_one_short_line(said: str) -> None:
    """No control character and no length gets into a message."""
    quoted = quote(said)

    assert quoted.isprintable()
    assert len(quoted) <= 301
