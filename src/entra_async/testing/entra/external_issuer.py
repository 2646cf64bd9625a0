"""Another issuer of tokens, on an origin of its own: what GitHub or a Kubernetes cluster is to Entra ID."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.crypto.signing import SigningKey

__all__ = ("ExternalIssuer",)


class ExternalIssuer:
    """
    An OpenID Connect issuer that issues assertions for workloads.

    Args:
        key: What it signs with.
        clock: Dates its tokens.
        url: Gives its root, known once it listens.
    """

    def __init__(self, *, key: SigningKey, clock: EmulatorClock, url: Callable[[], str]) -> None:
        self._key = key
        self._clock = clock
        self._url = url

    @property
    def issuer(self) -> str:
        """The ``iss`` of its tokens; a federated credential must name exactly this."""
        return self._url()

    def mint(
        self, subject: str, *, audience: str = "api://AzureADTokenExchange", lifetime_s: float = 600.0, **claims: Any
    ) -> str:
        """
        Return a token.

        Args:
            subject: Its ``sub``, such as ``repo:contoso/app:ref:refs/heads/main``.
            audience: Its ``aud``.
            lifetime_s: Seconds it is valid.
            claims: More claims, or others in place of the usual ones.
        """
        now = int(self._clock.now())
        usual = {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + int(lifetime_s),
            "jti": str(uuid.uuid4()),
        }
        return self._key.sign({**usual, **claims})

    def application(self) -> web.Application:
        """Return the issuer as a web application: its configuration and keys."""

        async def configuration(_: web.Request) -> web.Response:
            document = {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
            }
            return web.json_response(document)

        async def keys(_: web.Request) -> web.Response:
            return web.json_response(self._key.jwks(self.issuer))

        application = web.Application()
        application.add_routes([web.get("/.well-known/openid-configuration", configuration), web.get("/keys", keys)])
        return application
