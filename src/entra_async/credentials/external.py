"""Sign in with a credential of another library, or with any callable that returns tokens."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from anyio import CapacityLimiter

from entra_async.config import Clock
from entra_async.credentials.interactive.callback import call
from entra_async.credentials.provider import SignInContext
from entra_async.credentials.static_token import check_access_token, check_expires_on
from entra_async.errors import AuthenticationError, ConfigurationError, InteractionRequiredError
from entra_async.rules.sign_in.aadsts import error_for
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token
from entra_async.transport.per_loop import PerLoop

__all__ = ("ExternalCredential",)

# Token requests that run at the same time; more wait.
_THREADS: Final = 8
_HINT: Final = (
    "It may return an AccessToken of azure-core, a JWT as str, or a dict with 'access_token' and 'expires_in' "
    "or 'expires_on'."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExternalCredential:
    """
    A credential of another library, or a callable. It stays the caller's: a Session does not close it.

    Two of these are equal if they hold the same object.

    Attributes:
        credential: One of:

            - what azure-core calls ``AsyncTokenCredential`` or ``AsyncSupportsTokenInfo``, or the sync kind of either:
              ``get_token_info`` is used when present, else ``get_token``;
            - a callable without parameters, with one (the scope), or with ``*scopes``. It may also take the keywords
              ``claims``, ``tenant_id`` and ``enable_cae``.

            What is not async runs in a worker thread. Results: azure-core's ``AccessToken`` and ``AccessTokenInfo``,
            a JWT as ``str``, a :class:`Token`, or a token response as a dict, such as MSAL's.
        timeout_s: Seconds it may take. By default somewhat more than Azure's own credentials allow a user to sign in.

    Raises:
        ConfigurationError: If it is neither, or the callable has parameters of other kinds.

    Sources:
        ``azure.core.credentials`` and ``azure.core.credentials_async``
    """

    credential: Any = field(repr=False)
    timeout_s: float = 360.0

    def __post_init__(self) -> None:
        if isinstance(self.credential, type):
            message = f"connect() got the class {self.credential.__name__}, not an object of it."
            raise ConfigurationError(message, field="provider", hint=f"Give {self.credential.__name__}(…).")
        if not isinstance(self.timeout_s, int | float) or not self.timeout_s > 0:
            message = f"timeout_s is {self.timeout_s!r}."
            raise ConfigurationError(message, field="timeout_s", hint="Give a number greater than zero.")
        if _method(self.credential) is not None:
            return
        if not callable(self.credential):
            message = f"connect() cannot sign in with {type(self.credential).__name__}."
            hint = "Give a provider such as ClientSecret(…), a credential with get_token(), or a callable."
            raise ConfigurationError(message, field="provider", hint=hint)
        _Parameters.of(self.credential)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ExternalCredential)
            and self.credential is other.credential
            and self.timeout_s == other.timeout_s
        )

    def __hash__(self) -> int:
        return hash((id(self.credential), self.timeout_s))

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        return _ExternalSource(self.credential, self.timeout_s, context.clock)


def _method(credential: object) -> str | None:
    names = ("get_token_info", "get_token")
    return next((name for name in names if callable(getattr(credential, name, None))), None)


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What a callable takes: how many scopes (``None`` for any number), and which keywords."""

    scopes: int | None
    keywords: frozenset[str]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> _Parameters:
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # written in C, without a signature
            return cls(0, frozenset())
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        known = frozenset({"claims", "tenant_id", "enable_cae"})
        keywords = frozenset(each.name for each in parameters if each.name in known and each.kind is not positional[0])
        if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
            keywords = known
        required = [
            each
            for each in parameters
            if each.default is inspect.Parameter.empty
            and each.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            and each.name not in keywords
        ]
        if len(required) > 1 or any(each.kind not in positional for each in required):
            message = f"The callable needs {', '.join(each.name for each in required)}."
            hint = "Give one that takes nothing, the scope, or *scopes; functools.partial() fills in the rest."
            raise ConfigurationError(message, field="provider", hint=hint)
        if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
            return cls(None, keywords)
        return cls(len(required), keywords)


class _ExternalSource:
    """The token source of an external credential."""

    def __init__(self, credential: Any, timeout_s: float, clock: Clock) -> None:
        self._credential = credential
        self._timeout_s = timeout_s
        self._clock = clock
        self._what = getattr(credential, "__qualname__", type(credential).__qualname__)
        self._threads = PerLoop(lambda: CapacityLimiter(_THREADS))

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Request a token; see :class:`entra_async.tokens.source.TokenSource`."""
        keywords: dict[str, Any] = {"claims": claims, "tenant_id": tenant_id, "enable_cae": enable_cae}
        options = {name: value for name, value in keywords.items() if value}
        result = await self._request(scopes, options)
        token = self._read(result)
        if token.expires_on <= self._clock.now():
            message = f"{self._what} returned a token that has expired."
            raise AuthenticationError(message, hint="It must return a new one each time it is called.")
        own = token.tenant_id
        # A token names its tenant by GUID, so a domain cannot be compared with it.
        if tenant_id is not None and own is not None and "." not in tenant_id and own.lower() != tenant_id.lower():
            message = f"{self._what} returned a token of the tenant {own}, not of {tenant_id}."
            raise AuthenticationError(message, hint="Allow it to sign in to that tenant, or leave tenant_id out.")
        return token

    async def _request(self, scopes: tuple[str, ...], options: dict[str, Any]) -> object:
        method = _method(self._credential)
        if method == "get_token_info":
            return await self._call(self._credential.get_token_info, *scopes, options=options)
        if method == "get_token":
            return await self._call(self._credential.get_token, *scopes, **options)
        parameters = _Parameters.of(self._credential)
        if "claims" in options and "claims" not in parameters.keywords:
            message = f"The service demands a token with further claims, which {self._what} cannot request."
            hint = "Give the callable a keyword parameter claims, or use a credential."
            raise InteractionRequiredError(message, claims=options["claims"], hint=hint)
        taken = {name: value for name, value in options.items() if name in parameters.keywords}
        if parameters.scopes is None:
            return await self._call(self._credential, *scopes, **taken)
        # Several scopes in one text are separated by blanks: RFC 6749, section 3.3.
        return await self._call(self._credential, *([" ".join(scopes)] * parameters.scopes), **taken)

    async def _call(self, function: Callable[..., Any], *arguments: str, **keywords: Any) -> object:
        return await call(
            function, *arguments, what=self._what, within_s=self._timeout_s, threads=self._threads.get(), **keywords
        )

    def _read(self, result: object) -> Token:
        if isinstance(result, Token):
            return result
        if isinstance(result, Mapping) and "error" in result:
            raise error_for(status=None, body=result)
        try:
            return _token_of(result, now=self._clock.now())
        except ConfigurationError as error:
            message = f"{self._what} returned no usable token. {error.args[0]}"
            raise AuthenticationError(message, hint=_HINT) from None

    async def aclose(self) -> None:
        """Do nothing: the credential is the caller's."""


def _token_of(result: object, *, now: float) -> Token:
    if isinstance(result, str):
        token = check_access_token(result, field="The text")
        return Token(token, check_expires_on(Token(token, 0).claims.get("exp"), field="Its expiry (exp)"))
    if isinstance(result, Mapping):
        token = check_access_token(_first(result, "access_token", "accessToken", "token"), field="access_token")
        expires_on, refresh_on = _time(result, "expires_on", "expires_in", now), _first(result, "refresh_on")
        kind = _first(result, "token_type", "tokenType")
    else:
        token = check_access_token(getattr(result, "token", None), field=f"The token of {type(result).__name__}")
        expires_on, refresh_on = getattr(result, "expires_on", None), getattr(result, "refresh_on", None)
        kind = getattr(result, "token_type", None)
    return Token(
        token=token,
        expires_on=check_expires_on(expires_on, field="expires_on"),
        refresh_on=None if refresh_on is None else check_expires_on(refresh_on, field="refresh_on"),
        token_type=kind if isinstance(kind, str) and kind.isalpha() else "Bearer",
    )


def _first(result: Mapping[str, Any], *names: str) -> Any:
    return next((result[name] for name in names if result.get(name) is not None), None)


def _time(result: Mapping[str, Any], moment: str, lifetime: str, now: float) -> Any:
    value = _number(_first(result, moment))
    if value is not None:
        return value
    lifetime_s = _number(_first(result, lifetime))
    return now + lifetime_s if isinstance(lifetime_s, int | float) else None


def _number(value: Any) -> Any:
    # Managed identity and the older endpoint of Entra ID write numbers as texts.
    return int(value) if isinstance(value, str) and value.isdecimal() else value
