"""Keys that never leave their device: a function signs a digest, the certificate is given with it."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from entra_async import Certificate
from entra_async.errors import AuthenticationError, ConfigurationError
from entra_async.testing import Emulator
from tests.support.certificate_pairs import DAY, NOW, app_of, make

CANARY = "canary-5ecret-value"
APP = make()


def sign(digest: bytes) -> bytes:
    """Sign as an HSM does."""
    assert len(digest) == 32
    return APP.key.sign(digest, PSS(MGF1(SHA256()), 32), Prehashed(SHA256()))


async def sign_later(digest: bytes) -> bytes:
    await anyio.lowlevel.checkpoint()
    return sign(digest)


class Device:
    """A client of a vault: its method is a coroutine function, and so is calling it."""

    async def __call__(self, digest: bytes) -> bytes:
        assert threading.current_thread() is threading.main_thread()
        return await sign_later(digest)


@pytest.mark.parametrize(
    "signer",
    [sign, sign_later, Device(), functools.partial(sign_later), lambda digest: sign_later(bytes(digest))],
    ids=["sync", "async", "object", "partial", "lambda"],
)
@pytest.mark.parametrize("form", [APP.certificate, APP.public, APP.public.decode()], ids=["object", "bytes", "text"])
async def test_a_function_signs(signer: Any, form: Any, emulator: Emulator) -> None:
    """A sync or async function signs in, with its certificate as an object or PEM; it is called for each token."""
    async with emulator.session() as session:
        connection = await session.connect(Certificate(**app_of(emulator, APP), certificate=form, signer=signer))
        emulator.clock.move(29 * 3600)
        await connection.get_token()

    assert len(emulator.token_requests) == 2


async def test_a_chain_is_sent_along(emulator: Emulator) -> None:
    """Further certificates of the PEM are sent with ``send_x5c``, and do no harm without."""
    pem = APP.public + make("CN=issuer", key=1).public
    async with emulator.session() as session:
        for send_x5c in (True, False):
            provider = Certificate(**app_of(emulator, APP), certificate=pem, signer=sign, send_x5c=send_x5c)
            await session.connect(provider)

    assert len(emulator.token_requests) == 2


async def test_a_sync_function_does_not_hold_up_the_loop(emulator: Emulator) -> None:
    """A function that is not async runs in a thread of its own."""
    threads = []

    def record(digest: bytes) -> bytes:
        threads.append(threading.current_thread())
        return sign(digest)

    async with emulator.session() as session:
        await session.connect(Certificate(**app_of(emulator, APP), certificate=APP.certificate, signer=record))

    assert threads
    assert threading.main_thread() not in threads


def raise_canary(_: bytes) -> bytes:
    raise ValueError(CANARY)


def stop(_: bytes) -> bytes:
    raise StopIteration(CANARY)


BAD: dict[str, tuple[Callable[[bytes], Any], type[Exception], str]] = {
    "raises": (raise_canary, AuthenticationError, "failed with ValueError"),
    "stops": (stop, AuthenticationError, "failed with RuntimeError"),
    "text": (lambda _: "base64", ConfigurationError, "returned a str instead of bytes"),
    "nonsense": (lambda _: b"\0" * 256, ConfigurationError, "no PS256 signature"),
    "PKCS#1": (
        lambda digest: APP.key.sign(digest, PKCS1v15(), Prehashed(SHA256())),
        ConfigurationError,
        "no PS256 signature",
    ),
    "hashed twice": (
        lambda digest: APP.key.sign(digest, PSS(MGF1(SHA256()), 32), SHA256()),
        ConfigurationError,
        "no PS256 signature",
    ),
    "another salt": (
        lambda digest: APP.key.sign(digest, PSS(MGF1(SHA256()), PSS.MAX_LENGTH), Prehashed(SHA256())),
        ConfigurationError,
        "no PS256 signature",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_signer_that_errs(case: str, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """What a signer raises or returns by mistake has an error of its own before anything is sent, without its text."""
    caplog.set_level(logging.DEBUG)
    signer, kind, text = BAD[case]
    async with emulator.session() as session:
        with pytest.raises(kind, match=text) as caught:
            await session.connect(Certificate(**app_of(emulator, APP), certificate=APP.certificate, signer=signer))

    assert not emulator.requests
    assert CANARY not in f"{caught.value}{caught.value!r}{vars(caught.value)}{caplog.text}"


async def test_a_certificate_that_cannot_be_used(emulator: Emulator) -> None:
    """An expired certificate, and what is none, are refused before the signer is called."""

    def never(_: bytes) -> Awaitable[bytes]:
        raise AssertionError

    key = APP.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    async with emulator.session() as session:
        for certificate in (make(end=NOW - DAY).certificate, b"none", key, 7):
            given: Any = certificate
            with pytest.raises(ConfigurationError) as caught:
                await session.connect(Certificate(**app_of(emulator, APP), certificate=given, signer=never))
            assert caught.value.field == "certificate"
            assert "PRIVATE" not in repr(caught.value.__cause__) + repr(caught.value.__context__) + str(caught.value)


async def test_a_signer_that_never_responds(emulator: Emulator) -> None:
    """A device that does not respond is abandoned at the limit, whether its function is async or not."""
    release = threading.Event()

    def hang(_: bytes) -> bytes:
        release.wait()
        return b""

    app = app_of(emulator, APP)
    async with emulator.session() as session:
        for signer in (hang, lambda _: anyio.sleep_forever()):
            started = time.monotonic()
            given: Any = {"certificate": APP.certificate, "signer": signer, "timeout_s": 0.2}
            with pytest.raises(AuthenticationError, match=r"did not sign within 0\.2 s"):
                await session.connect(Certificate(**app, **given))
            assert time.monotonic() - started < 5
    release.set()

    assert not emulator.requests


async def test_cancelling_reaches_the_signer(emulator: Emulator) -> None:
    """When the sign-in is cancelled, so is an async signer."""
    cancelled = anyio.Event()
    called = anyio.Event()

    async def wait(_: bytes) -> bytes:
        called.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()
        return b""

    provider = Certificate(**app_of(emulator, APP), certificate=APP.certificate, signer=wait)
    async with emulator.session() as session, anyio.create_task_group() as group:
        group.start_soon(session.connect, provider)
        await called.wait()
        group.cancel_scope.cancel()
    with anyio.fail_after(2):
        await cancelled.wait()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"signer": sign}, "path"),
        ({"path": "app.pfx", "signer": sign}, "signer"),
        ({"certificate": APP.public}, "private_key"),
        ({"certificate": APP.public, "private_key": APP.key, "signer": sign}, "signer"),
        ({"certificate": APP.public, "signer": b"signature"}, "signer"),
        ({"certificate": APP.public, "signer": sign, "password": CANARY}, "password"),
    ],
    ids=["alone", "with path", "without", "two ways", "no function", "password"],
)
def test_a_wrong_mix_is_refused_at_once(given: dict[str, Any], field: str) -> None:
    """A signer goes with a certificate, and with nothing else that signs."""
    with pytest.raises(ConfigurationError) as caught:
        Certificate(client_id="11111111-1111-1111-1111-111111111111", tenant_id="contoso.com", **given)

    assert caught.value.field == field
    assert CANARY not in str(caught.value)
