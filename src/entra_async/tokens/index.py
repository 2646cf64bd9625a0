"""Values by token key, with an index of the accounts."""

from __future__ import annotations

from typing import TypeVar

from entra_async.tokens.key import TokenKey

__all__ = ("Index",)

V = TypeVar("V")


class Index(dict[TokenKey, V]):
    """A dict, so that a lookup costs no more than that; it is changed by item only."""

    def __init__(self) -> None:
        super().__init__()
        self._of_account: dict[str, set[TokenKey]] = {}

    def __setitem__(self, key: TokenKey, value: V) -> None:
        super().__setitem__(key, value)
        self._of_account.setdefault(key.account, set()).add(key)

    def __delitem__(self, key: TokenKey) -> None:
        super().__delitem__(key)
        keys = self._of_account[key.account]
        keys.discard(key)
        if not keys:
            del self._of_account[key.account]

    def discard(self, key: TokenKey) -> None:
        """Delete a value, if there is one."""
        if key in self:
            del self[key]

    def clear(self) -> None:
        """Delete everything."""
        super().clear()
        self._of_account.clear()

    def of(self, account: str, scopes: tuple[str, ...] | None = None) -> list[TokenKey]:
        """Return the keys of an account, or of one resource of it."""
        return [key for key in self._of_account.get(account, ()) if scopes in (None, key.scopes)]

    def oldest(self) -> TokenKey:
        """Return the key that was inserted first."""
        return next(iter(self))
