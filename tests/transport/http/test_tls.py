"""Which authorities a pool trusts."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from anyio import to_thread

from entra_async.transport.http.tls import build_context


async def test_the_machines_own_authorities_are_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Session for each request, as beginners write it, does not read hundreds of certificates each time."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    first = await to_thread.run_sync(build_context, None)

    assert await to_thread.run_sync(build_context, None) is first

    other = tmp_path / "ca.pem"
    await to_thread.run_sync(trustme.CA().cert_pem.write_to_path, str(other))
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    second = await to_thread.run_sync(build_context, None)

    assert second is not first
    assert len(second.get_ca_certs()) == 1
