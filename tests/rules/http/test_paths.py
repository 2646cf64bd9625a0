"""From a root, a path and a query to a URL: what people write arrives, and nothing leaves the service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from entra_async.errors import ConfigurationError
from entra_async.rules.http.paths import build_url
from entra_async.rules.http.urls import encode_query, origin_of

ROOT = "https://graph.microsoft.com/v1.0"
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(texts.filter(bool), texts, min_size=1), texts)
def test_query_survives_the_url_library(query: dict[str, str], path: str) -> None:
    """The URL that is sent is the URL that was built: the pool's URL type changes nothing."""
    try:
        url = build_url(ROOT, path, encode_query(query))
    except ConfigurationError:
        return

    assert str(URL(url, encoded=True)) == url
    assert url.isascii()


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/users",
        "//evil.example/users",
        "HTTPS://evil.example",
        "http://graph.microsoft.com/v1.0/users",
        "https://graph.microsoft.com.evil.example/v1.0/users",
        "https://graph.microsoft.com/beta/users",
        "\\\\evil.example\\users",
        "/\\evil.example",
        "../beta/users",
        "users/../../beta",
        "users/%2e%2e/secrets",
        "users/%2E%2E%2fsecrets",
        "users\\..\\x",
        "users/./x",
        "",
        "/",
        "users\r\nHost: evil.example",
        "users\x00",
        "users\n",
        "users?$filter=a\nb",
        "users/{id}/memberOf",
        "users?$filter=mail eq '{user-mail}'",
        "/beta/me",
        "v1.0",
        "/v1.0/../beta/me",
        [],
        ["users", ""],
        ["users", ".."],
        ["users", 7],
        ["users", "\ud800"],
        None,
        7,
    ],
)
def test_path_cannot_leave_the_service(path: Any) -> None:
    """A path with a host, a climb, or what splits a request is refused before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        build_url(ROOT, path, "")

    assert caught.value.field == "path"
    assert caught.value.hint


@given(st.text() | st.lists(st.text()))
def test_any_path_stays_on_the_service(path: Any) -> None:
    """Whatever the path, the URL keeps the root's origin and stays below its path, or the path is refused."""
    try:
        url = build_url(ROOT, path, "")
    except ConfigurationError:
        return

    assert url.startswith(f"{ROOT}/")
    assert origin_of(url) == ("https", "graph.microsoft.com", 443)
    assert ".." not in unquote(urlsplit(url).path).split("/")


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("users", f"{ROOT}/users"),
        ("/users/ada@contoso.com", f"{ROOT}/users/ada@contoso.com"),
        ("users('ada@contoso.com')", f"{ROOT}/users('ada@contoso.com')"),
        ("users/guest_contoso.com%23EXT%23@fabrikam.com", f"{ROOT}/users/guest_contoso.com%23EXT%23@fabrikam.com"),
        ("drive/root:/Résumé 100%.docx:/content", f"{ROOT}/drive/root:/R%C3%A9sum%C3%A9%20100%25.docx:/content"),
        ("users?$filter=userType eq 'guest'", f"{ROOT}/users?$filter=userType%20eq%20'guest'"),
        ('me/messages?$search="hello world"', f"{ROOT}/me/messages?$search=%22hello%20world%22"),
        ("users?$filter=city eq 'Zürich 🏔'", f"{ROOT}/users?$filter=city%20eq%20'Z%C3%BCrich%20%F0%9F%8F%94'"),
        ("users/ada_contoso.com#EXT#@fabrikam.com", f"{ROOT}/users/ada_contoso.com%23EXT%23@fabrikam.com"),
        ("users?$filter=mail eq 'a#b'", f"{ROOT}/users?$filter=mail%20eq%20'a%23b'"),
        ("users?$filter=note eq '100%'", f"{ROOT}/users?$filter=note%20eq%20'100%25'"),
        ("users/?$top=5", f"{ROOT}/users?$top=5"),
        ("users/", f"{ROOT}/users"),
        (" users ", f"{ROOT}/users"),
        ("/v1.0/me", f"{ROOT}/me"),
        ("v1.0/me", f"{ROOT}/me"),
        ("V1.0/me/", f"{ROOT}/me"),
        (f"{ROOT}/users?$filter=a eq 'b'", f"{ROOT}/users?$filter=a%20eq%20'b'"),
        (["users", "ada@contoso.com", "memberOf"], f"{ROOT}/users/ada@contoso.com/memberOf"),
        (("users", "a/b c'd%e#f?g..h\\", "photo"), f"{ROOT}/users/a%2Fb%20c%27d%25e%23f%3Fg..h%5C/photo"),
        (["groups", "{id}"], f"{ROOT}/groups/%7Bid%7D"),
        ("users?$top=5&$filter=a%20eq%20'b'", f"{ROOT}/users?$top=5&$filter=a%20eq%20'b'"),
        (f"{ROOT}/users?$skiptoken=a%2Bb+c", f"{ROOT}/users?$skiptoken=a%2Bb+c"),
    ],
)
def test_good_paths(path: Any, url: str) -> None:
    """Paths are escaped where they must be and left alone where they are escaped already."""
    assert build_url(ROOT, path, "") == url


def test_query_joins_the_paths_own() -> None:
    """A query in the path and a query beside it arrive together."""
    assert build_url(ROOT, "users?$top=5", "$select=id") == f"{ROOT}/users?$top=5&$select=id"


def samples() -> list[str]:
    """Return the paths of Graph Explorer's samples (https://github.com/microsoftgraph/microsoft-graph-explorer-api)."""
    lines = Path(__file__).with_name("graph_sample_requests.tsv").read_text("utf-8").splitlines()[1:]
    return [line.split("\t")[1] for line in lines]


@pytest.mark.parametrize("path", samples())
def test_no_sample_is_refused(path: str) -> None:
    """Each request that Microsoft shows is taken as it is, once its placeholders are filled in."""
    version = path.split("/", 2)[1]
    filled = re.sub(r"\{[^{}]*\}", "1", path)
    url = build_url(f"https://graph.microsoft.com/{version}", filled, "")

    assert unquote(url) == f"https://graph.microsoft.com{unquote(filled).replace('/?', '?')}"
    assert str(URL(url, encoded=True)) == url
    if filled != path:
        with pytest.raises(ConfigurationError, match="stands for something"):
            build_url(f"https://graph.microsoft.com/{version}", path, "")


@pytest.mark.parametrize(
    ("root", "path", "remedy"),
    [
        (ROOT, "/beta/me", "service='GraphBeta'"),
        (ROOT, "https://graph.microsoft.com/beta/me", "service='GraphBeta'"),
        ("https://graph.microsoft.com/beta", "v1.0/me", "service='Graph'"),
        ("https://orders.contoso.com/v2", "/v3/orders", "of that version"),
        (ROOT, "users/{user-id}/presence", "['users', key]"),
    ],
)
def test_remedies(root: str, path: str, remedy: str) -> None:
    """Another version names the service that has it; a placeholder is named, with what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        build_url(root, path, "")

    assert remedy in str(caught.value)


def test_a_root_without_a_version_takes_any() -> None:
    """Only a root that ends with a version has an opinion about versions."""
    assert build_url("https://orders.contoso.com/api", "v1.0/orders", "").endswith("/api/v1.0/orders")


@given(st.lists(texts.filter(lambda text: text.strip(" ") not in {"", ".", ".."}), min_size=1))
def test_segments_arrive_as_they_were_given(segments: list[str]) -> None:
    """A server that splits the path and decodes each segment reads the same."""
    url = build_url("https://orders.contoso.com/api", segments, "")

    assert [unquote(segment) for segment in urlsplit(url).path.split("/")[2:]] == segments


@given(st.lists(texts.filter(lambda text: text.strip(" ") not in {"", ".", ".."}), min_size=1))
def test_an_escaped_path_is_not_escaped_again(segments: list[str]) -> None:
    """A path that was built once is the same when it is built from its own text."""
    root = "https://orders.contoso.com/api"
    url = build_url(root, segments, "")

    assert build_url(root, url.removeprefix(f"{root}/"), "") == url
