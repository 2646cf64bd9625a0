"""Sign in as a user, in a browser on any device: the program shows a code to be entered there."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from entra_async.credentials.interactive.background_tasks import run_with_background
from entra_async.credentials.interactive.callback import call
from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.store_name import stored_as
from entra_async.credentials.sources.user import Grant, UserTokenRequest, UserTokenSource
from entra_async.errors import AuthenticationError, InteractionRequiredError, TransportError
from entra_async.rules.sign_in.identifiers import check_client_id, check_tenant_id
from entra_async.rules.sign_in.user import check_callable, check_scopes, check_timeout_s
from entra_async.tokens.source import TokenSource

__all__ = ("DeviceCode", "DeviceCodePrompt")

# RFC 8628: without an interval it is 5 seconds (section 3.2), and slow_down adds 5 (section 3.5).
_INTERVAL_S: Final = 5
_SLOWER_S: Final = 5
_LIFETIME_S: Final = 900
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class DeviceCodePrompt:
    """
    What the prompt shows to the user.

    Attributes:
        user_code: What to enter.
        verification_uri: Where to enter it.
        expires_on: Until when, in seconds since the epoch.
        message: All of that as a sentence, in Microsoft's words.
    """

    user_code: str
    verification_uri: str
    expires_on: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """
    A user who signs in on a device of their choice: for programs without a browser, such as one on a server.

    One sign-in serves every service that is connected with it, and it is repeated only when Entra ID requires
    interaction again. The app registration has to allow public client flows. Many tenants block this flow by policy,
    since a code can be passed on by a stranger; use :class:`Browser` where there is one.

    Attributes:
        client_id: GUID of the application.
        tenant_id: GUID of the tenant, one of its domains, or ``organizations``, ``common`` or ``consumers``.
        scopes: Delegated permissions to request; everything granted if empty.
        prompt: Shows the user a :class:`DeviceCodePrompt`: a coroutine function or a plain one, which runs in a
            worker thread. By default its message goes to stderr.
        timeout_s: Seconds the user has; by default as long as the code lives, usually 15 minutes.
        use_refresh_token: Take the refresh token that another connection of the Session has for the same client and
            tenant, and show a code only if there is none or it is refused.

    Raises:
        ConfigurationError: If a value is missing or malformed. Nothing is sent.

    Sources:
        https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-device-code
        RFC 8628
    """

    client_id: str
    tenant_id: str = "organizations"
    scopes: tuple[str, ...] = ()
    prompt: Callable[[DeviceCodePrompt], object] | None = field(default=None, repr=False)
    timeout_s: float | None = None
    use_refresh_token: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_id", check_client_id(self.client_id))
        check_tenant_id(self.tenant_id)
        object.__setattr__(self, "scopes", check_scopes(self.scopes))
        check_callable(self.prompt, field="prompt")
        if self.timeout_s is not None:
            check_timeout_s(self.timeout_s)

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""

        async def sign_in(request: UserTokenRequest) -> Grant:
            return await _sign_in(self, context, request)

        return UserTokenSource(
            context,
            client_id=self.client_id,
            tenant_id=self.tenant_id,
            sign_in=sign_in,
            reuse=self.use_refresh_token,
            stored_as=stored_as(self, context.authority),
        )


async def _sign_in(provider: DeviceCode, context: SignInContext, request: UserTokenRequest) -> Grant:
    requested_at = context.clock.now()
    # Not every MSAL that will do knows claims_challenge here, so it is named only when there is one.
    claims = {"claims_challenge": request.claims} if request.claims is not None else {}
    flow = await context.msal.run(
        request.application, lambda app: app.initiate_device_flow(list(request.scopes), **claims)
    )
    lifetime_s = _read_seconds(flow, "expires_in", default=_LIFETIME_S)
    left_s = lifetime_s if provider.timeout_s is None else min(provider.timeout_s, lifetime_s)
    prompt = _read_prompt(flow, expires_on=int(requested_at + lifetime_s))

    async def time_out() -> None:
        await context.clock.sleep(left_s)
        message = f"Nobody entered the code within {left_s:g} s."
        raise InteractionRequiredError(message, hint="Sign in again and enter the new code in time.")

    return await run_with_background(
        lambda: _poll(context, request, flow),
        lambda: call(provider.prompt or _print, prompt, what="The prompt of the device code", within_s=math.inf),
        time_out,
    )


async def _poll(context: SignInContext, request: UserTokenRequest, flow: dict[str, Any]) -> Grant:
    interval_s = _read_seconds(flow, "interval", default=_INTERVAL_S)

    def poll(app: Any) -> Any:
        # MSAL keeps its own time in the flow, and would loop without end over an interval of 0: a copy for each poll.
        copy = {**flow, "interval": _INTERVAL_S}
        return app.acquire_token_by_device_flow(copy, claims_challenge=request.claims, exit_condition=lambda _: True)

    while True:
        await context.clock.sleep(interval_s)
        requested_at = context.clock.now()
        try:
            # Sending again is what this loop does, at its own interval.
            result = await context.msal.run(request.application, poll, once=True)
        except AuthenticationError as error:
            if error.error == "slow_down":
                interval_s += _SLOWER_S
            elif error.error != "authorization_pending" and not _may_pass(error):
                raise
        else:
            return Grant(result, requested_at)


def _may_pass(error: AuthenticationError) -> bool:
    """Return whether the poll was lost on its way or Entra ID failed: the user may finish all the same."""
    return isinstance(error.__cause__, TransportError) or (error.status or 0) >= _SERVER_ERROR


def _read_prompt(flow: Mapping[str, Any], *, expires_on: int) -> DeviceCodePrompt:
    code, where, message = flow.get("user_code"), flow.get("verification_uri"), flow.get("message")
    if not isinstance(code, str) or not isinstance(where, str) or not isinstance(flow.get("device_code"), str):
        problem = "The token service's response has no device code."
        raise AuthenticationError(problem, hint="Check authority=: this may not be a token service of Entra ID.")
    text = message if isinstance(message, str) else f"To sign in, open {where} and enter the code {code}."
    return DeviceCodePrompt(code, where, expires_on, text)


def _read_seconds(flow: Mapping[str, Any], name: str, *, default: int) -> int:
    value = flow.get(name)
    return value if type(value) is int and value > 0 else default


def _print(prompt: DeviceCodePrompt) -> None:
    # What a service says must not move a terminal's cursor.
    message = "".join(letter if letter.isprintable() else " " for letter in prompt.message)
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
