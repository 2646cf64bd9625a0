"""Encryption of stored values, and keyed hashes of their names."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from entra_async.errors import ConfigurationError

__all__ = ("Seal", "key_from_environment", "key_from_keyring")

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12  # NIST SP 800-38D, section 8.2.1


@final
class Seal:
    """
    Encrypts values with AES-256-GCM and hashes names with HMAC-SHA-256.

    Args:
        key: 32 secret bytes; two keys are derived from them (HKDF, RFC 5869).

    Raises:
        ConfigurationError: If it is not 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
            what = f"{len(key)} bytes" if isinstance(key, bytes) else f"a {type(key).__name__}"
            message = f"The key of a token store is {_KEY_BYTES} bytes, not {what}."
            raise ConfigurationError(message, field="key", hint="Make one with os.urandom(32), and keep it secret.")
        self._cipher = AESGCM(_derive(key, b"entra_async values"))
        self._names = _derive(key, b"entra_async names")

    def __reduce__(self) -> NoReturn:
        message = "A seal is not pickled, since it holds a key."
        raise TypeError(message)

    def hide(self, name: str) -> bytes:
        """Return the keyed hash of *name*, 32 bytes: only a guess and the key reveal it."""
        return hmac.digest(self._names, name.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def close(self, value: bytes, *, label: bytes) -> bytes:
        """Return *value* encrypted, with *label* as associated data: values cannot change places."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, label)

    def open(self, sealed: bytes, *, label: bytes) -> bytes | None:
        """Return the decrypted value, or ``None`` if it was damaged, moved, or encrypted with another key."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], label)
        except (InvalidTag, ValueError):
            return None


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(key)


@dataclass(frozen=True, slots=True)
class _FromEnvironment:
    name: str

    def __call__(self) -> bytes:
        text = os.environ.get(self.name)
        if not text:
            message = f"The environment variable {self.name} with the key of the token store is not set."
            raise ConfigurationError(message, field="key", hint="Set it to the Base64 of 32 random bytes.")
        return _decode(text, f"The environment variable {self.name}")


@dataclass(frozen=True, slots=True)
class _FromKeyring:
    service: str
    user: str

    def __call__(self) -> bytes:
        try:
            import keyring
        except ImportError:
            message = "The key of the token store is in the system's keyring, which needs a package."
            raise ConfigurationError(message, field="key", hint="pip install 'entra-async[keyring]'") from None
        text = keyring.get_password(self.service, self.user)
        if text is None:
            keyring.set_password(self.service, self.user, base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())
            # Another process may have saved one at the same moment: what counts is what is there now.
            text = keyring.get_password(self.service, self.user) or ""
        return _decode(text, f"The keyring's entry {self.service!r}")


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        message = f"{where} is not the Base64 of {_KEY_BYTES} bytes."
        hint = 'Make one with: python -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())"'
        raise ConfigurationError(message, field="key", hint=hint)
    return key


def key_from_environment(name: str = "ENTRA_ASYNC_STORE_KEY") -> Callable[[], bytes]:
    """
    Return what reads a store's key from an environment variable: the Base64 of 32 random bytes.

    Args:
        name: The variable.
    """
    return _FromEnvironment(name)


def key_from_keyring(service: str = "entra_async", user: str = "token store") -> Callable[[], bytes]:
    """
    Return what reads a store's key from the system's keyring, and makes one there the first time.

    It needs the extra ``keyring``. Windows, macOS and Linux desktops have a keyring; most servers do not.

    Args:
        service: The entry's service name.
        user: The entry's user name.
    """
    return _FromKeyring(service, user)
