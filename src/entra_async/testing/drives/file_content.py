"""
The bytes of a file and the hashes OneDrive reports of them.

Sources:
    https://learn.microsoft.com/en-us/graph/api/resources/hashes
    https://learn.microsoft.com/en-us/onedrive/developer/code-snippets/quickxorhash
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

__all__ = ("FileContent", "quick_xor_hash")

_BITS: Final = 160
_SHIFT: Final = 11


@dataclass(frozen=True, slots=True)
class FileContent:
    """
    What is in a file. Making one of megabytes takes time: do it in a worker thread.

    Attributes:
        data: The bytes.
        sha256: Their hash, as upper-case hexadecimal digits.
        quick_xor: OneDrive's own hash of them, in base64.
    """

    data: bytes = field(repr=False)
    sha256: str = field(init=False)
    quick_xor: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the hashes."""
        object.__setattr__(self, "sha256", sha256(self.data).hexdigest().upper())
        object.__setattr__(self, "quick_xor", quick_xor_hash(self.data))


def quick_xor_hash(data: bytes) -> str:
    """
    Return OneDrive's quickXorHash in base64.

    Each byte is XORed into 160 bits, 11 bits further than the one before, around the end; then the length is XORed into
    the last 64 bits. As 160 shifts of 11 lead back to the start, bytes that are 160 apart meet in the same place and
    can be folded first.
    """
    folded = _folded(data)
    number = 0
    for at, byte in enumerate(folded):
        place = at * _SHIFT % _BITS
        shifted = byte << place
        number ^= shifted & (1 << _BITS) - 1 | shifted >> _BITS
    number ^= len(data) << _BITS - 64
    return base64.b64encode(number.to_bytes(_BITS // 8, "little")).decode()


def _folded(data: bytes) -> bytes:
    """Return the XOR of all blocks of 160 bytes, by halves, so that Python does not look at each byte."""
    blocks = max(1, -(-len(data) // _BITS))
    size = 1 << (blocks - 1).bit_length()  # a power of two
    number = int.from_bytes(data, "little")
    while size > 1:
        size //= 2
        bits = size * _BITS * 8
        number = number & (1 << bits) - 1 ^ number >> bits
    return number.to_bytes(_BITS, "little")
