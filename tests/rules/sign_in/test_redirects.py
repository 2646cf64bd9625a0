"""Where a browser comes back to: which redirect URIs can work, and what they mean for the listener."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.errors import ConfigurationError
from entra_async.rules.sign_in.redirects import check_redirect_uri, choose_port, redirect_to


@pytest.mark.parametrize(
    ("uri", "requested", "listened", "sent", "path"),
    [
        (None, 0, 5000, "http://localhost:5000", "/"),
        (None, 5000, 5000, "http://localhost:5000", "/"),
        ("http://localhost", 0, 5000, "http://localhost:5000", "/"),
        ("http://localhost/", 0, 5000, "http://localhost:5000/", "/"),
        ("http://localhost/a/b", 0, 5000, "http://localhost:5000/a/b", "/a/b"),
        ("http://localhost:8400", 5000, 5000, "http://localhost:8400", "/"),
        ("http://127.0.0.1:8400/a", 0, 8400, "http://127.0.0.1:8400/a", "/a"),
    ],
)
def test_what_is_sent_and_listened_to(uri: str | None, requested: int, listened: int, sent: str, path: str) -> None:
    """A port is filled in where there is none; a URI with one is sent byte for byte."""
    redirect = redirect_to(uri and check_redirect_uri(uri), port=choose_port(uri, port=requested) or listened)

    assert redirect.uri == sent
    assert redirect.path == path
    assert f"localhost:{listened}" in redirect.hosts
    assert urlsplit(sent).netloc in redirect.hosts
    assert "localhost" not in redirect.hosts


def test_the_usual_port_is_left_out_by_browsers() -> None:
    """On port 80 a browser names the host alone."""
    assert {"localhost", "localhost:80"} <= redirect_to("http://localhost:80", port=8080).hosts


@given(
    st.text(max_size=300) | st.from_regex(r"http://(localhost|127\.0\.0\.1)(:[0-9]{0,6})?[ -~]{0,20}", fullmatch=True)
)
def test_any_text(uri: str) -> None:
    """Whatever the text, it is refused with a ConfigurationError, or leads to this machine."""
    try:
        checked = check_redirect_uri(uri)
    except ConfigurationError:
        return
    redirect = redirect_to(checked, port=5000)
    parts = urlsplit(redirect.uri)
    assert parts.hostname in {"localhost", "127.0.0.1"}
    assert parts.port
    assert (parts.path or "/") == redirect.path
    assert not any((parts.query, parts.fragment, parts.username))
