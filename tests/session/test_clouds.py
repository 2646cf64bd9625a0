"""Where a Session signs in and calls: a cloud by name or from a file, and another sign-in service."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from hypothesis import given
from hypothesis import strategies as st

from entra_async import Cloud, Session
from entra_async.clouds import CLOUDS
from entra_async.errors import ConfigurationError
from entra_async.testing import Emulator


@pytest.mark.parametrize("name", CLOUDS)
def test_a_saved_cloud_is_loaded_as_it_was(name: str, tmp_path: Path) -> None:
    """Also what a cloud lacks."""
    CLOUDS[name].save(tmp_path / "cloud.json")

    assert Cloud.load(str(tmp_path / "cloud.json")) == CLOUDS[name]


def changed(**changes: Any) -> bytes:
    endpoint = {"url": "https://graph.example", "audience": "https://graph.example"}
    services = dict.fromkeys(("graph", "azure", "key_vault", "endpoint", "security"), endpoint)
    described = {"name": "own", "authority": "https://login.example", **services, **changes}
    return json.dumps({name: value for name, value in described.items() if value != "left out"}).encode()


def test_a_file_written_by_hand_is_loaded(tmp_path: Path) -> None:
    """Version and token_exchange_audience may be left out, and so may a service that a cloud need not have."""
    path = tmp_path / "cloud.json"
    path.write_bytes(b"\xef\xbb\xbf" + changed(endpoint=None, security="left out", authority="https://login.example/"))
    cloud = Cloud.load(path)

    assert cloud.authority == "https://login.example"
    assert cloud.security is cloud.endpoint is None
    assert cloud.token_exchange_audience == CLOUDS["global"].token_exchange_audience


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"", "it holds no JSON object"),
        (b"[]", "it holds no JSON object"),
        (b"[" * 100_000, "it holds no JSON object"),
        (b" " * (2 << 20), "it holds no JSON object"),
        (b"\xff\xfe\x00", "it holds no JSON object"),
        (changed(version=2), "its version is 2"),
        (changed(authorty="x"), "'authorty' means nothing"),
        (changed(authority="left out"), "'authority' is missing"),
        (changed(authority="http://login.example"), "'authority' is not an https URL"),
        (changed(authority="https://user:canary@login.example"), "'authority' is not an https URL"),
        (changed(authority="https://login.example/contoso"), "'authority' has a path"),
        (changed(graph="https://graph.example"), "'graph' is no object of 'url' and 'audience'"),
        (changed(graph=None), "'graph' is no object of 'url' and 'audience'"),
        (changed(graph={"url": 5, "audience": "x"}), r"'graph\.url' is missing, or no text"),
    ],
)
def test_a_malformed_file_says_what_is_wrong(content: bytes | None, said: str, tmp_path: Path) -> None:
    """It names the file, the place in it, and what would be right."""
    path = tmp_path / "cloud.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        Cloud.load(path)

    assert caught.value.field == "path"
    assert str(path) in str(caught.value)
    assert "canary" not in str(caught.value)
    assert "Cloud.save()" in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)
NAMES = st.sampled_from(("name", "version", "authority", "graph", "endpoint", "token_exchange_audience"))


@given(changes=st.dictionaries(NAMES, JSON))
def test_no_file_makes_another_error(changes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is in it, it is a cloud or a ConfigurationError."""
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(changed(**changes))
    with suppress(ConfigurationError):
        assert isinstance(Cloud.load(path), Cloud)


async def test_another_sign_in_service(emulator: Emulator, tmp_path: Path) -> None:
    """Session(authority=…) sends token requests there; what the cloud's services are does not change."""
    await to_thread.run_sync(emulator.cloud.save, tmp_path / "cloud.json")
    cloud = await to_thread.run_sync(Cloud.load, tmp_path / "cloud.json")
    async with Emulator() as other:
        pem = (emulator.ca_file.read_text, other.ca_file.read_text)
        both = tmp_path / "both.pem"
        await to_thread.run_sync(both.write_text, "".join([await to_thread.run_sync(read) for read in pem]))
        async with Session(cloud=cloud, authority=f"{other.authority}/", ssl=both) as session:
            await session.connect(other.client_secret)

    assert len(other.token_requests) == 1
    assert not emulator.requests


def test_an_authority_is_a_host() -> None:
    """Without scheme, or with a tenant, it is refused with what would be right."""
    for authority in ("login.example", "https://login.example/contoso", "http://login.example"):
        with pytest.raises(ConfigurationError, match="Give scheme and host only") as caught:
            Session(authority=authority)
        assert caught.value.field == "authority"
