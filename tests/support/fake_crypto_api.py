"""
Windows' crypt32, ncrypt and advapi32 as real C functions, so that calls cross a real C boundary.

The prototypes are written down here a second time, from Microsoft's headers: a wrong width, order or constant of the
caller shows. Handles do not fit into 32 bits. Each handle is counted: none may be used after it was freed, or freed
twice, and what Windows frees itself the caller may not.

Source:
    wincrypt.h, ncrypt.h and bcrypt.h of the Windows SDK
"""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_int32, c_size_t, c_uint8, c_uint32, c_void_p, c_wchar_p
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

BOOL, DWORD, ULONG_PTR, POINTER = c_int32, c_uint32, c_size_t, c_void_p
PROTOTYPES: dict[str, dict[str, Any]] = {
    "crypt32.dll": {
        "CertOpenStore": CFUNCTYPE(POINTER, POINTER, DWORD, ULONG_PTR, DWORD, c_wchar_p),
        "CertCloseStore": CFUNCTYPE(BOOL, POINTER, DWORD),
        "CertEnumCertificatesInStore": CFUNCTYPE(POINTER, POINTER, POINTER),
        "CertFindCertificateInStore": CFUNCTYPE(POINTER, POINTER, DWORD, DWORD, DWORD, POINTER, POINTER),
        "CertGetCertificateContextProperty": CFUNCTYPE(BOOL, POINTER, DWORD, POINTER, POINTER),
        "CertFreeCertificateContext": CFUNCTYPE(BOOL, POINTER),
        "CryptAcquireCertificatePrivateKey": CFUNCTYPE(BOOL, POINTER, DWORD, POINTER, POINTER, POINTER, POINTER),
    },
    "ncrypt.dll": {
        "NCryptSignHash": CFUNCTYPE(c_int32, ULONG_PTR, POINTER, POINTER, DWORD, POINTER, DWORD, POINTER, DWORD),
        "NCryptFreeObject": CFUNCTYPE(c_int32, ULONG_PTR),
    },
    "advapi32.dll": {"CryptReleaseContext": CFUNCTYPE(BOOL, ULONG_PTR, DWORD)},
}
CRYPT_E_NOT_FOUND, NTE_INVALID_HANDLE = 0x80092004, 0x80090026


class CERT_CONTEXT(ctypes.Structure):  # noqa: N801 -- the header's name
    _fields_ = (
        ("dwCertEncodingType", DWORD),
        ("pbCertEncoded", POINTER),
        ("cbCertEncoded", DWORD),
        ("pCertInfo", POINTER),
        ("hCertStore", POINTER),
    )


class CRYPT_HASH_BLOB(ctypes.Structure):  # noqa: N801 -- the header's name
    _fields_ = (("cbData", DWORD), ("pbData", POINTER))


class BCRYPT_PSS_PADDING_INFO(ctypes.Structure):  # noqa: N801 -- the header's name
    _fields_ = (("pszAlgId", c_wchar_p), ("cbSalt", DWORD))


@dataclass
class Entry:
    """
    A certificate in a store.

    Attributes:
        encoded: DER.
        key: What signs for it; ``None`` without a private key.
        acquire_error: What acquiring the key fails with.
        sign_error: What signing fails with.
        cached: Whether the key handle stays Windows' own.
        legacy: Hand out a handle of the older CryptoAPI.
        hold: Signing waits for this.
    """

    encoded: bytes
    key: RSAPrivateKey | None = None
    acquire_error: int = 0
    sign_error: int = 0
    cached: bool = False
    legacy: bool = False
    hold: threading.Event | None = None


@dataclass
class FakeWindows:
    """
    The two stores, and what became of the handles.

    Attributes:
        current_user: What ``CurrentUser\\My`` holds.
        local_machine: What ``LocalMachine\\My`` holds.
        open_errors: What opening a store fails with, by its flag.
        calls: The functions that were called.
        complaints: What Windows would have crashed at, or done something else.
    """

    current_user: list[Entry] = field(default_factory=list)
    local_machine: list[Entry] = field(default_factory=list)
    open_errors: dict[int, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = count(0x7FF0_0000_0010, 0x10)
        self._stores: dict[int, list[Entry]] = {}
        self._contexts: dict[int, tuple[int, Entry, Any]] = {}
        self._keys: dict[int, Entry] = {}
        self._providers: dict[int, Entry] = {}
        self._cached: dict[int, Entry] = {}
        self._freed: list[Any] = []  # kept, so that no address comes back
        self._callbacks: list[Any] = []
        self._error = threading.local()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this machine a Windows, as far as ``platform`` and ``ctypes`` tell."""
        monkeypatch.setattr(platform, "system", lambda: "Windows")
        monkeypatch.setattr(ctypes, "WinDLL", self._load, raising=False)
        monkeypatch.setattr(ctypes, "get_last_error", lambda: c_int32(self._error.code).value, raising=False)

    def check_clean(self) -> None:
        """Assert that every handle was freed exactly once, and nothing was called in a wrong way."""
        assert not self.complaints
        assert not {**self._stores, **self._contexts, **self._keys, **self._providers}

    def _load(self, name: str, *, use_last_error: bool, winmode: int) -> SimpleNamespace:
        assert use_last_error
        assert winmode == 0x800  # LOAD_LIBRARY_SEARCH_SYSTEM32
        return SimpleNamespace(**{each: self._export(each, kind) for each, kind in PROTOTYPES[name].items()})

    def _export(self, name: str, prototype: Any) -> Any:
        work: Callable[..., int | None] = getattr(self, f"_{name}")

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            try:
                return work(*arguments) or 0
            except AssertionError as error:
                self.complaints.append(f"{name}{arguments}: {error}")
                return self._fail(NTE_INVALID_HANDLE)

        callback = prototype(call)
        self._callbacks.append(callback)
        # The bare address: what it takes and returns is for the caller to declare.
        return ctypes.CDLL(None)._FuncPtr(ctypes.cast(callback, c_void_p).value or 0)

    def _fail(self, code: int) -> int:
        self._error.code = code
        return 0

    def _CertOpenStore(self, provider: int, encoding: int, legacy: int | None, flags: int, name: str) -> int:  # noqa: N802
        assert (provider, encoding, legacy or 0, name) == (10, 0, 0, "MY")
        location = flags & 0x00FF0000
        assert flags & ~location == 0x8000 | 0x4000  # read only, existing
        stores = {0x00010000: self.current_user, 0x00020000: self.local_machine}
        if location in self.open_errors:
            return self._fail(self.open_errors[location])
        handle = next(self._numbers)
        self._stores[handle] = stores[location]
        return handle

    def _CertCloseStore(self, store: int, flags: int) -> int:  # noqa: N802
        assert store in self._stores, "no open store"
        assert flags == 0
        assert not [1 for owner, _, _ in self._contexts.values() if owner == store], "contexts are still in use"
        del self._stores[store]
        return 1

    def _hand_out(self, store: int, entry: Entry) -> int:
        data = (c_uint8 * len(entry.encoded)).from_buffer_copy(entry.encoded)
        context = CERT_CONTEXT(1, ctypes.addressof(data), len(entry.encoded), None, store)
        address = ctypes.addressof(context)
        self._contexts[address] = store, entry, (context, data)
        return address

    def _CertFreeCertificateContext(self, context: int) -> int:  # noqa: N802
        assert context in self._contexts, "no context in use"
        _, _, memory = self._contexts.pop(context)
        memory[0].cbCertEncoded = 0
        self._freed.append(memory)
        return 1

    def _CertEnumCertificatesInStore(self, store: int, previous: int | None) -> int:  # noqa: N802
        assert store in self._stores, "no open store"
        entries, place = self._stores[store], 0
        if previous:
            assert previous in self._contexts, "no context in use"
            place = [entry is self._contexts[previous][1] for entry in entries].index(True) + 1
            self._CertFreeCertificateContext(previous)
        return self._hand_out(store, entries[place]) if place < len(entries) else self._fail(CRYPT_E_NOT_FOUND)

    def _CertFindCertificateInStore(  # noqa: N802
        self, store: int, encoding: int, flags: int, kind: int, sought: int, previous: int | None
    ) -> int:
        assert store in self._stores, "no open store"
        assert (encoding, flags, kind, previous) == (0x00010001, 0, 1 << 16, None)
        blob = CRYPT_HASH_BLOB.from_address(sought)
        assert blob.cbData == 20
        digest = ctypes.string_at(blob.pbData, 20)
        for entry in self._stores[store]:
            if x509.load_der_x509_certificate(entry.encoded).fingerprint(SHA1()) == digest:
                return self._hand_out(store, entry)
        return self._fail(CRYPT_E_NOT_FOUND)

    def _CertGetCertificateContextProperty(self, context: int, what: int, data: int | None, size: int) -> int:  # noqa: N802
        assert context in self._contexts, "no context in use"
        assert (what, data) == (2, None)  # CERT_KEY_PROV_INFO_PROP_ID, only its size
        DWORD.from_address(size).value = 200
        return 1 if self._contexts[context][1].key is not None else self._fail(CRYPT_E_NOT_FOUND)

    def _CryptAcquireCertificatePrivateKey(  # noqa: N802
        self, context: int, flags: int, parameters: int | None, handle: int, spec: int, must_free: int
    ) -> int:
        assert context in self._contexts, "no context in use"
        assert (flags, parameters) == (0x00040000 | 0x00000040, None)  # only NCrypt, silent
        entry = self._contexts[context][1]
        if entry.acquire_error:
            return self._fail(entry.acquire_error)
        number = next(self._numbers)
        (self._cached if entry.cached else self._providers if entry.legacy else self._keys)[number] = entry
        ULONG_PTR.from_address(handle).value = number
        DWORD.from_address(spec).value = 1 if entry.legacy else 0xFFFFFFFF
        BOOL.from_address(must_free).value = not entry.cached
        return 1

    def _NCryptSignHash(  # noqa: N802
        self, key: int, padding: int, digest: int, length: int, buffer: int | None, space: int, size: int, flags: int
    ) -> int:
        entry = self._keys.get(key) or self._cached.get(key)
        assert entry is not None, "no key in use"
        assert flags == 0x8 | 0x40  # BCRYPT_PAD_PSS, NCRYPT_SILENT_FLAG
        info = BCRYPT_PSS_PADDING_INFO.from_address(padding)
        assert (info.pszAlgId, info.cbSalt, length) == ("SHA256", 32, 32)
        assert entry.key is not None
        DWORD.from_address(size).value = entry.key.key_size // 8
        if buffer is None:
            return 0
        assert space >= entry.key.key_size // 8
        if entry.hold is not None:
            entry.hold.wait()
        if entry.sign_error:
            return c_int32(entry.sign_error).value
        pss = PSS(MGF1(SHA256()), info.cbSalt)
        signature = entry.key.sign(ctypes.string_at(digest, length), pss, Prehashed(SHA256()))
        ctypes.memmove(buffer, signature, len(signature))
        return 0

    def _NCryptFreeObject(self, key: int) -> int:  # noqa: N802
        assert key in self._keys, "no key of the caller's in use"
        del self._keys[key]
        return 0

    def _CryptReleaseContext(self, handle: int, flags: int) -> int:  # noqa: N802
        assert handle in self._providers, "no provider in use"
        assert flags == 0
        del self._providers[handle]
        return 1


def entry(pair: Any, **options: Any) -> Entry:
    """Return a store's entry for a pair of key and certificate."""
    return Entry(pair.certificate.public_bytes(Encoding.DER), **{"key": pair.key, **options})
