"""A strict local Microsoft Entra tenant to test against: real TLS, real signatures, real errors, no network."""

from __future__ import annotations

from entra_async.testing.emulator import Emulator

__all__ = ("Emulator",)
