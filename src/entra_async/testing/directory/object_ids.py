"""
Object ids that can be computed from an index and traced back to it, so that no table of ids is needed.

An id is the index put through a keyed permutation of all numbers of that width: it looks random, never collides, and
can be undone exactly.
"""

from __future__ import annotations

import re
from hashlib import sha512
from typing import Final

__all__ = ("GuidIds", "MachineIds")

_GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_MACHINE_ID: Final = re.compile(r"[0-9a-f]{40}")


class _Permutation:
    """
    A keyed permutation of the numbers of *bits* bits: an offset, then twice an odd factor and a fold of the upper half.

    Each step can be undone: an odd factor has an inverse modulo a power of two, and folding twice is folding never.
    It spreads, it does not hide: these ids are no secret.
    """

    def __init__(self, bits: int, key: str) -> None:
        digest = sha512(key.encode()).digest()
        self._half = bits // 2
        self._mask = (1 << bits) - 1
        self._offset, *factors = (int.from_bytes(digest[at : at + 20], "big") & self._mask for at in (0, 20, 40))
        self._factors = [factor | 1 for factor in factors]
        self._inverses = [pow(factor, -1, 1 << bits) for factor in self._factors]

    def forward(self, number: int) -> int:
        number ^= self._offset
        for factor in self._factors:
            number = number * factor & self._mask
            number ^= number >> self._half
        return number

    def backward(self, number: int) -> int:
        for inverse in reversed(self._inverses):
            number ^= number >> self._half
            number = number * inverse & self._mask
        return number ^ self._offset


class GuidIds:
    """
    Ids in the form of Entra ID's object ids: random-looking GUIDs of version 4.

    Args:
        kind: What the ids are of. The id of another kind is not found here.
        tenant_id: Other tenants have other ids.
    """

    def __init__(self, kind: str, tenant_id: str) -> None:
        # A version 4 GUID has 122 free bits: 48, then the version, 12, then the variant, 62.
        self._permutation = _Permutation(122, f"{tenant_id}/{kind}")

    def of(self, index: int) -> str:
        """Return the id of object number *index*."""
        bits = self._permutation.forward(index)
        number = bits >> 74 << 80 | 0x4000 << 64 | (bits >> 62 & 0xFFF) << 64 | 0b10 << 62 | bits & 0x3FFFFFFFFFFFFFFF
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def index(self, object_id: str) -> int | None:
        """Return the number of the object with this id, in any case of letters; huge (not served) if there is none."""
        lowered = object_id.lower()
        if _GUID.fullmatch(lowered) is None:
            return None
        number = int(lowered.replace("-", ""), 16)
        bits = number >> 80 << 74 | (number >> 64 & 0xFFF) << 62 | number & 0x3FFFFFFFFFFFFFFF
        return self._permutation.backward(bits)


class MachineIds:
    """
    Ids in the form Defender for Endpoint gives machines: 40 hexadecimal digits.

    Args:
        tenant_id: Other tenants have other ids.
    """

    def __init__(self, tenant_id: str) -> None:
        self._permutation = _Permutation(160, f"{tenant_id}/machine")

    def of(self, index: int) -> str:
        """Return the id of machine number *index*."""
        return f"{self._permutation.forward(index):040x}"

    def index(self, machine_id: str) -> int | None:
        """Return the number of the machine with this id; huge (not served) if there is none."""
        lowered = machine_id.lower()
        return self._permutation.backward(int(lowered, 16)) if _MACHINE_ID.fullmatch(lowered) else None
