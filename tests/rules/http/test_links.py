"""A link is followed on the host that sent it, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.errors import UnsafeLinkError
from entra_async.rules.http.links import check_https_link, check_link, check_redirect, join_root
from entra_async.rules.http.urls import origin_of

SOURCE = "https://graph.microsoft.com/v1.0/users?$top=1"


@pytest.mark.parametrize(
    "link",
    [
        "https://graph.microsoft.com/v1.0/users?$skiptoken=x",
        "https://GRAPH.microsoft.com/v1.0/users",
        "https://graph.microsoft.com:443/v1.0/users",
        "/v1.0/users?$skiptoken=x",
        "?$skiptoken=x",
    ],
)
def test_own_links_are_followed(link: str) -> None:
    """The service's own host is recognised in any spelling."""
    assert origin_of(check_link(link, source=SOURCE)) == origin_of(SOURCE)


def test_unescaped_links_are_escaped() -> None:
    """Blanks and letters beyond ASCII are escaped, and nothing that was escaped changes."""
    link = "https://graph.microsoft.com/v1.0/users?$filter=name eq 'é%20+'"

    assert check_link(link, source=SOURCE) == "https://graph.microsoft.com/v1.0/users?$filter=name%20eq%20'%C3%A9%20+'"


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/users",
        "http://graph.microsoft.com/v1.0/users",
        "https://graph.microsoft.com.evil.example/",
        "https://graph.microsoft.com@evil.example/",
        "https://evil.example@graph.microsoft.com/",
        "https://graph.microsoft.com:8443/v1.0/users",
        "//evil.example/v1.0",
        "https://evil.example\\@graph.microsoft.com/",
        "https://graph.microsoft.com\\.evil.example/",
        "https://graph.microsoft.com/\r\nx",
        "ftp://graph.microsoft.com/",
        "https://[::1",
        "https://graph.microsoft.com:x/",
        "",
        None,
        7,
        {"href": "https://graph.microsoft.com"},
        f"https://graph.microsoft.com/?$skiptoken={'x' * 65_536}",
    ],
)
def test_links_to_other_hosts_are_errors(link: Any) -> None:
    """Another host, port or scheme, and whatever parsers disagree about, is an error."""
    with pytest.raises(UnsafeLinkError, match="link"):
        check_link(link, source=SOURCE)


@pytest.mark.parametrize(
    ("link", "hint"),
    [
        ("https://reports.example/data/secret?sig=secret", "download()"),
        ("http://reports.example/data", "service_url="),
        ("https://secret@reports.example/", "service_url="),
        (None, None),
    ],
)
def test_a_redirect_to_another_host(link: Any, hint: str | None) -> None:
    """A pre-authenticated URL is named by its host alone, and the remedy is download()."""
    assert check_redirect("/v1.0/me", source=SOURCE) == "https://graph.microsoft.com/v1.0/me"
    with pytest.raises(UnsafeLinkError) as caught:
        check_redirect(link, source=SOURCE)
    assert hint is None or hint in str(caught.value)
    assert "sig" not in str(caught.value)
    assert "data" not in str(caught.value) or hint == "service_url="


@given(
    st.text()
    | st.text().map(lambda text: f"https://{text}")
    | st.text().map(lambda text: f"https://graph.microsoft.com{text}")
)
def test_any_link_stays_or_is_refused(link: str) -> None:
    """No text makes a link that leads elsewhere, and nothing but the one error escapes."""
    try:
        target = check_link(link, source=SOURCE)
    except UnsafeLinkError:
        return

    assert origin_of(target) == ("https", "graph.microsoft.com", 443)


@pytest.mark.parametrize(
    "link", ["http://a.example/", "ftp://a.example/", "https://x@a.example/", "https://a.example\\.b/", "https://:1/"]
)
def test_open_links_go_over_tls(link: str) -> None:
    """A link that needs no token may lead to any host, but over TLS, and its path is not shown."""
    assert check_https_link("https://up.example/secret?x=1", source=SOURCE) == "https://up.example/secret?x=1"
    with pytest.raises(UnsafeLinkError, match="no https URL") as caught:
        check_https_link(link, source="https://up.example/secret")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("/teams('1')/operations('2')", "https://graph.microsoft.com/v1.0/teams('1')/operations('2')"),
        ("/v1.0/teams/1", "/v1.0/teams/1"),
        ("/beta/teams/1", "/beta/teams/1"),
        ("//evil.example/x", "//evil.example/x"),
        ("https://graph.microsoft.com/x", "https://graph.microsoft.com/x"),
        ("?x=1", "?x=1"),
        (None, None),
    ],
)
def test_a_path_without_version_is_below_the_root(link: Any, target: Any) -> None:
    """Teams leaves the version out of its Location."""
    assert join_root(link, root="https://graph.microsoft.com/v1.0") == target


def test_a_root_of_ones_own_is_not_doubled() -> None:
    """A path that holds the root's path already stays as it is."""
    assert join_root("/api/v7/x", root="https://contoso.example/api/v7") == "/api/v7/x"
