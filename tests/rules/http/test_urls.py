"""From a root, a path and a query to a URL: nothing leaves the service, nothing is lost on the way."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.errors import ConfigurationError
from entra_async.rules.http.urls import check_service_url, encode_query, expand, strip_query

ROOT = "https://graph.microsoft.com/v1.0"
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = texts | st.integers() | st.booleans() | st.uuids() | st.dates()


class Level(StrEnum):
    HIGH = "high"


@given(st.dictionaries(texts.filter(bool), values))
def test_query_arrives_as_it_was_given(query: dict[str, Any]) -> None:
    """Whatever a name or value holds, a server that decodes the query reads the same."""
    read = dict(parse_qsl(encode_query(query), keep_blank_values=True, strict_parsing=bool(query)))

    assert read.keys() == query.keys()
    for name, value in query.items():
        assert read[name] == (str(value).lower() if isinstance(value, bool) else str(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("displayName eq 'O''Neill & Co #1 + 2'", "displayName%20eq%20'O''Neill%20%26%20Co%20%231%20%2B%202'"),
        ("startswith(userPrincipalName,'a%b')", "startswith(userPrincipalName,'a%25b')"),
        ("mail eq 'müller@contoso.com'", "mail%20eq%20'm%C3%BCller@contoso.com'"),
        (["id", "displayName"], "id,displayName"),
        (True, "true"),
        (999, "999"),
        (Level.HIGH, "high"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00Z"),
        (datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), "2026-01-31T10:00:00Z"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_query_values(value: Any, text: str) -> None:
    """Each kind of value has its form, and OData literals stay right."""
    assert encode_query({"$filter": value}) == f"$filter={text}"


@pytest.mark.parametrize("value", [None, object(), {"a": 1}, b"x", datetime(2026, 1, 1), "\ud800"])  # noqa: DTZ001
def test_query_refuses_what_has_no_form(value: Any) -> None:
    """A value that cannot be sent is refused by name."""
    with pytest.raises(ConfigurationError) as caught:
        encode_query({"$filter": value})

    assert caught.value.field == "query"


@pytest.mark.parametrize(
    "url",
    [
        "http://graph.microsoft.com",
        "graph.microsoft.com",
        "https://",
        "https://user:secret@graph.microsoft.com",
        "https://graph.microsoft.com?x=1",
        "https://graph.microsoft.com/a b",
        "https://graph.microsoft.com:0",
        "https://graph.microsoft.com:port",
        None,
    ],
)
def test_service_url_must_be_tls(url: Any) -> None:
    """Tokens go over TLS to a plain host, or nowhere."""
    with pytest.raises(ConfigurationError) as caught:
        check_service_url(url, field="service_url")

    assert caught.value.field == "service_url"


@pytest.mark.parametrize("value", ["evil.example/", "a.b", "", "a b", "-a", "x" * 200, None, "a/../b", "a@b", "a:1"])
def test_parameter_cannot_change_the_host(value: Any) -> None:
    """A vault's name is one host label, nothing that moves the token elsewhere."""
    with pytest.raises(ConfigurationError) as caught:
        expand("https://%VAULTNAME%.vault.azure.net", {"VaultName": value})

    assert caught.value.field == "parameters"


def test_parameters_are_found_in_any_case() -> None:
    """A parameter is taken whatever its case; one too many or too few is refused."""
    assert expand("https://%VAULTNAME%.vault.azure.net", {"vaultname": "contoso"}) == "https://contoso.vault.azure.net"
    assert expand("https://x.example/%Part%", {"part": "a/b"}) == "https://x.example/a%2Fb"
    for parameters in ({}, {"VaultName": "contoso", "Other": "x"}):
        with pytest.raises(ConfigurationError):
            expand("https://%VAULTNAME%.vault.azure.net", parameters)


@given(st.text())
def test_strip_query_never_fails(url: str) -> None:
    """What goes into messages holds no query, fragment or user name, whatever it is made of."""
    stripped = strip_query(url)

    assert "?" not in stripped
    assert "#" not in stripped


def test_strip_query_hides_what_is_secret() -> None:
    """User names and signatures are left out."""
    assert strip_query("https://u:p@host.example/a?sig=secret#x") == "https://host.example/a"
