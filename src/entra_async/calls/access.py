"""The tokens that the requests of a connection carry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from entra_async.credentials.registry import OpenProvider
from entra_async.errors import ClosedError
from entra_async.pipeline.authorization import Authorization
from entra_async.rules.tokens.permissions import check_permissions
from entra_async.secrecy import wipe_locals
from entra_async.tokens.broker import Broker
from entra_async.tokens.key import TokenKey
from entra_async.tokens.token import Token

__all__ = ("Access",)


@final
class Access:
    """
    The tokens of a connection.

    It is apart from the connection, so that whatever is under way keeps the provider open, and nothing keeps a
    connection that nobody uses any more.

    Attributes:
        is_closed: Whether the connection was closed: no call begins any more, while those under way go on.

    Args:
        name: The connection's.
        key: Of its tokens.
        account: The provider they are requested from.
        broker: Caches them.
    """

    def __init__(self, *, name: str, key: TokenKey, account: OpenProvider, broker: Broker) -> None:
        self.is_closed = False
        self._name = name
        self._key = key
        self._account = account
        self._broker = broker

    async def get_token(self, key: TokenKey) -> Token:
        """
        Return the token of a key.

        Raises:
            AuthenticationError: If none can be acquired.
            ClosedError: If the connection is disconnected, or the Session closed.
        """
        if self.is_closed:
            message = f"{self._name!r} is disconnected."
            raise ClosedError(message, hint="Connect again, and use the new connection.")
        try:
            return await self._broker.get(key, self._account.source, self._account.policy)
        except BaseException as error:
            wipe_locals(error)
            raise

    def app(self) -> str:
        """Return the application and tenant that a service counts requests for."""
        token = self._broker.peek(self._key)
        if token is None or token.client_id is None:
            return self._account.name
        return f"{token.client_id} in {token.tenant_id}"

    async def check(self, required: Iterable[str] | None) -> None:
        """
        Check that calls may be made.

        Args:
            required: Permissions that the token must have; ``None`` for whatever it has.

        Raises:
            ConsentRequiredError: If it lacks one.
            ClosedError: If the connection is disconnected.
        """
        if self.is_closed or required is not None:
            token = await self.get_token(self._key)
            check_permissions(required, token.scopes, readable=bool(token.claims), service=self._name)

    async def owner(self) -> tuple[str | None, str | None]:
        """Return the tenant and the object id of the token's owner; ``None`` where the token does not say."""
        if isinstance(self._account.source, Authorization):
            return None, None
        claims = (await self.get_token(self._key)).claims
        return claims.get("tid"), claims.get("oid")
