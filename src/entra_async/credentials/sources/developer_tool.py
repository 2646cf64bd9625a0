"""The token source of the developer tools, and the command of each."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.issued_tenant import check_issued_tenant
from entra_async.errors import AuthenticationError, CredentialUnavailableError, InteractionRequiredError
from entra_async.rules.sign_in.aadsts import error_for, parse_codes
from entra_async.rules.sign_in.identifiers import check_app_tenant_id
from entra_async.rules.sign_in.quoting import quote
from entra_async.rules.tokens.scopes import default_scope, resource_of
from entra_async.tokens.token import Token
from entra_async.transport.process import ProcessResult, run_program

__all__ = ("AZD", "AZURE_CLI", "AZURE_POWERSHELL", "ToolSource")

_NO_MODULE: Final = "entra_async: no Az.Accounts"
_MARK: Final = "entra_async%"
_NOT_A_COMMAND: Final = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """
    A developer tool.

    Attributes:
        title: Its product name.
        names: The program's names, best first.
        environment: Environment variables that keep its output plain.
        arguments: Returns the arguments for a resource, a tenant, a subscription and claims, each of which was checked.
        read: Returns token and expiry from its output; ``None`` if that is anything else.
        takes_claims: Whether it can meet a claims challenge.
        install: How to install it.
        sign_in: How to sign in to it.
        signed_out: Matches its error when nobody is signed in.
    """

    title: str
    names: tuple[str, ...]
    environment: Mapping[str, str]
    arguments: Callable[[str, str | None, str | None, str | None], list[str]]
    read: Callable[[str], tuple[str, int] | None]
    takes_claims: bool
    install: str
    sign_in: str
    signed_out: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class ToolSource:
    """
    Requests tokens from a developer tool, in a child process each time.

    Attributes:
        context: What the Session provides.
        tool: Which.
        tenant_id: Another tenant than the tool's own, or ``None``.
        timeout_s: Seconds the tool may take.
        subscription: Whose account to use, or ``None``.
    """

    context: SignInContext
    tool: Tool
    tenant_id: str | None
    timeout_s: float
    subscription: str | None = None

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Request a token of the signed-in account; see :class:`entra_async.tokens.source.TokenSource`."""
        del enable_cae  # the tool decides that
        tool = self.tool
        resource = resource_of(scopes)
        tenant = self.tenant_id if tenant_id is None else check_app_tenant_id(tenant_id)
        if claims is not None and not tool.takes_claims:
            message = f"A service demands more than {tool.title} was signed in with."
            raise InteractionRequiredError(message, claims=claims, hint=f"{tool.sign_in} Sign in again.")
        # A subscription names its tenant, and az refuses both: then the token is checked instead.
        named = None if self.subscription is not None else tenant
        encoded = None if claims is None else base64.b64encode(claims.encode()).decode()
        finished = await self._run(tool.arguments(resource, named, self.subscription, encoded))
        found = tool.read(finished.output) if finished.code == 0 else None
        if found is None:
            raise self._refusal(finished)
        value, expires_on = found
        if expires_on <= self.context.clock.now():
            message = f"{tool.title} returned a token that has expired."
            raise AuthenticationError(message, hint=f"Check the machine's clock. {tool.sign_in}")
        return check_issued_tenant(Token(value, expires_on), tenant, hint=tool.sign_in)

    async def aclose(self) -> None:
        """Do nothing: it holds no resources."""

    async def _run(self, arguments: list[str]) -> ProcessResult:
        tool = self.tool
        try:
            return await run_program(tool.names, arguments, environment=tool.environment, within_s=self.timeout_s)
        except FileNotFoundError as error:
            message = f"{tool.title} is not installed."
            raise CredentialUnavailableError(message, hint=tool.install) from error
        except TimeoutError as error:
            message = f"{tool.title} gave no answer within {self.timeout_s:g} s and was ended."
            hint = f"See what '{tool.names[0]}' waits for in a terminal, or give it more time with timeout_s."
            raise CredentialUnavailableError(message, hint=hint) from error
        except OSError as error:
            message = f"{tool.title} cannot be started: {error.strerror}."
            raise CredentialUnavailableError(message, hint=tool.install) from error

    def _refusal(self, finished: ProcessResult) -> AuthenticationError:
        tool = self.tool
        said = finished.error_output or ("" if finished.code == 0 else finished.output)
        if finished.code == _NOT_A_COMMAND or "is not recognized as" in said or _NO_MODULE in finished.output:
            return CredentialUnavailableError(f"{tool.title} is not installed, or not all of it.", hint=tool.install)
        if parse_codes(said, None):
            line = next(line for line in said.splitlines() if "AADSTS" in line)
            error = error_for(status=None, body={"error_description": line[line.index("AADSTS") :]})
            if isinstance(error, InteractionRequiredError):
                error.hint = tool.sign_in
            return error
        if tool.signed_out.search(said):
            return CredentialUnavailableError(f"Nobody is signed in to {tool.title}.", hint=tool.sign_in)
        if finished.code == 0:
            # Not repeated: whatever it is, there may be a token in it.
            message = f"{tool.title} printed something that is no token."
            return AuthenticationError(message, hint=f"{tool.install} It may be out of date.")
        lines = [line for line in said.splitlines() if line.strip()]
        shown = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "")
        message = f"{tool.title} failed with exit code {finished.code}."
        return AuthenticationError(f'{message} It said: "{quote(shown)}"' if shown else message, hint=tool.sign_in)


def _decode(output: str) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(output)
    except msgspec.DecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _check(token: object, expires_on: object) -> tuple[str, int] | None:
    if isinstance(token, str) and token and token.isascii() and token.isprintable() and " " not in token:
        return (token, expires_on) if type(expires_on) is int and expires_on > 0 else None
    return None


def _cli_arguments(resource: str, tenant: str | None, subscription: str | None, _: str | None) -> list[str]:
    chosen = ["--tenant", tenant] if tenant else ["--subscription", subscription] if subscription else []
    return ["account", "get-access-token", "--output", "json", "--resource", resource, *chosen]


def _read_cli(output: str) -> tuple[str, int] | None:
    decoded = _decode(output)
    expires_on = decoded.get("expires_on")
    if expires_on is None:  # before version 2.54, it was in local time only
        try:
            expires_on = int(datetime.fromisoformat(decoded["expiresOn"]).astimezone().timestamp())
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None
    return _check(decoded.get("accessToken"), expires_on)


AZURE_CLI: Final = Tool(
    title="The Azure CLI",
    names=("az",),
    environment={"AZURE_CORE_NO_COLOR": "true", "AZURE_CORE_ONLY_SHOW_ERRORS": "true"},
    arguments=_cli_arguments,
    read=_read_cli,
    takes_claims=False,
    install="See https://aka.ms/installazurecli; 'az' must be on PATH.",
    sign_in="Run 'az login'.",
    signed_out=re.compile(r"az login|az account set"),
)


def _azd_arguments(resource: str, tenant: str | None, _: str | None, claims: str | None) -> list[str]:
    arguments = ["auth", "token", "--output", "json", "--no-prompt", "--scope", default_scope(resource)]
    arguments += ["--tenant-id", tenant] if tenant else []
    return arguments + (["--claims", claims] if claims else [])


def _read_azd(output: str) -> tuple[str, int] | None:
    decoded = _decode(output)
    try:
        expires_on = datetime.strptime(decoded["expiresOn"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError):
        return None
    return _check(decoded.get("token"), int(expires_on.timestamp()))


AZD: Final = Tool(
    title="The Azure Developer CLI",
    names=("azd",),
    environment={"NO_COLOR": "true"},
    arguments=_azd_arguments,
    read=_read_azd,
    takes_claims=True,
    install="See https://aka.ms/azure-dev, version 1.18.1 or newer; 'azd' must be on PATH.",
    sign_in="Run 'azd auth login'.",
    signed_out=re.compile(r"not logged in|azd auth login"),
)

# The values put in are checked: letters, digits and . - _ : / only. A token may come as a SecureString, depending on
# the module's version; Windows PowerShell 5 cannot make a text of one by itself.
_SCRIPT: Final = """$ErrorActionPreference = 'Stop'
$module = Import-Module Az.Accounts -MinimumVersion '2.2.0' -PassThru -ErrorAction SilentlyContinue
if (! $module) {{
    Write-Output '{no_module}'
    exit
}}
$params = @{{ 'ResourceUrl' = '{resource}'; 'WarningAction' = 'Ignore' }}
$tenantId = '{tenant}'
if ($tenantId.Length -gt 0) {{ $params['TenantId'] = $tenantId }}
if ($module.Version -ge [version]'2.17.0' -and $module.Version -lt [version]'5.0.0') {{
    $params['AsSecureString'] = $true
}}
$token = Get-AzAccessToken @params
$tokenValue = $token.Token
if ($tokenValue -is [System.Security.SecureString]) {{
    $tokenValue = [System.Net.NetworkCredential]::new('', $tokenValue).Password
}}
Write-Output "`n{mark}$($tokenValue)%$($token.ExpiresOn.ToUnixTimeSeconds())`n"
"""


def _powershell_arguments(resource: str, tenant: str | None, _: str | None, __: str | None) -> list[str]:
    script = _SCRIPT.format(no_module=_NO_MODULE, resource=resource, tenant=tenant or "", mark=_MARK)
    return ["-NoProfile", "-NonInteractive", "-EncodedCommand", base64.b64encode(script.encode("utf-16-le")).decode()]


def _read_powershell(output: str) -> tuple[str, int] | None:
    for line in output.splitlines():
        if line.startswith(_MARK):
            token, _, expires_on = line.removeprefix(_MARK).strip().rpartition("%")
            return _check(token, int(expires_on)) if expires_on.isascii() and expires_on.isdigit() else None
    return None


AZURE_POWERSHELL: Final = Tool(
    title="Azure PowerShell",
    names=("pwsh", "powershell") if sys.platform == "win32" else ("pwsh",),
    environment={"NO_COLOR": "true"},
    arguments=_powershell_arguments,
    read=_read_powershell,
    takes_claims=False,
    install="Install PowerShell 7 ('pwsh' must be on PATH) and its module Az.Accounts 2.2.0 or newer.",
    sign_in="Run 'Connect-AzAccount'.",
    signed_out=re.compile(r"Connect-AzAccount"),
)
