"""
What ``az``, ``azd`` and ``pwsh`` do with their arguments, and what they print.

Sources:
    https://learn.microsoft.com/en-us/cli/azure/account#az-account-get-access-token
    https://learn.microsoft.com/en-us/azure/developer/azure-developer-cli/reference#azd-auth-token
    https://learn.microsoft.com/en-us/powershell/module/az.accounts/get-azaccesstoken
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from entra_async.testing.developer_tools.tools import DeveloperTools, ToolResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from entra_async.testing.entra.tokens.access_tokens import IssuedToken

__all__ = ("COMMANDS",)


class _ToolError(Exception):
    """An error of a tool, before it takes the format of that tool."""

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def _issue(tools: DeveloperTools, resource: str, tenant: str | None) -> IssuedToken:
    if tenant is not None and not tools.tokens.tenant.is_named(tenant):
        message = f"AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
        raise _ToolError(message)
    found = tools.tokens.tenant.find_resource(resource)
    if found is None:
        message = f"AADSTS500011: The resource principal named {resource} was not found in the tenant."
        raise _ToolError(message)
    return tools.tokens.issue_app_token(
        tools.app,
        client_authentication="1",
        audience=resource,
        roles=tools.app.roles & found.roles,
        requested_claims={},
    )


def _options(arguments: list[str], spellings: Mapping[str, str], flags: frozenset[str]) -> dict[str, str]:
    """Return the options by their long name; refuses what is not known, not complete, or given twice."""
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        name = rest.pop(0)
        if name in flags:
            given[name] = ""
            continue
        if name not in spellings:
            message = f"unrecognized arguments: {name}"
            raise _ToolError(message, code=2)
        if not rest or rest[0].startswith("-"):
            message = f"argument {name}: expected one argument"
            raise _ToolError(message, code=2)
        if spellings[name] in given:
            message = f"argument {name} was given twice"
            raise _ToolError(message, code=2)
        given[spellings[name]] = rest.pop(0)
    return given


_AZ: Final = {
    "--output": "output",
    "-o": "output",
    "--resource": "resource",
    "--scope": "scope",
    "--tenant": "tenant",
    "-t": "tenant",
    "--subscription": "subscription",
    "--name": "subscription",
    "-s": "subscription",
    "-n": "subscription",
}


def _az(tools: DeveloperTools, arguments: list[str]) -> ToolResult:
    try:
        return ToolResult(_az_account_get_access_token(tools, arguments))
    except _ToolError as failure:
        return ToolResult(stderr=f"ERROR: {failure.message}\n", exit_code=failure.code)


def _az_account_get_access_token(tools: DeveloperTools, arguments: list[str]) -> str:
    if arguments[:2] != ["account", "get-access-token"]:
        message = f"'{' '.join(arguments[:2])}' is misspelled or not recognized by the system."
        raise _ToolError(message, code=2)
    given = _options(arguments[2:], _AZ, frozenset())
    if given.get("output", "json") != "json":
        message = f"argument --output/-o: invalid choice: '{given['output']}'"
        raise _ToolError(message, code=2)
    if "tenant" in given and "subscription" in given:
        message = "Please specify only one of subscription and tenant, not both"
        raise _ToolError(message)
    if not tools.signed_in:
        message = "Please run 'az login' to setup account."
        raise _ToolError(message)
    if given.get("subscription") not in (None, tools.subscription, "Contoso"):
        message = f"Subscription '{given['subscription']}' not found. Check the spelling and casing and try again."
        raise _ToolError(message)
    resource = given.get("resource") or given.get("scope", "https://management.core.windows.net/").removesuffix(
        "/.default"
    )
    token = _issue(tools, resource, given.get("tenant"))
    local = datetime.fromtimestamp(token.expires_on).astimezone()
    output = {
        "accessToken": token.access_token,
        "expiresOn": f"{local:%Y-%m-%d %H:%M:%S.%f}",
        "expires_on": token.expires_on,
        "subscription": tools.subscription,
        "tenant": tools.tokens.tenant.id,
        "tokenType": "Bearer",
    }
    if tools.old:
        del output["expires_on"]
    return json.dumps(output, indent=2) + "\n"


_AZD: Final = {"--output": "output", "-o": "output", "--scope": "scope", "--tenant-id": "tenant", "--claims": "claims"}


def _azd(tools: DeveloperTools, arguments: list[str]) -> ToolResult:
    try:
        return ToolResult(_azd_auth_token(tools, arguments))
    except _ToolError as failure:
        now = datetime.fromtimestamp(tools.tokens.clock.now(), UTC).isoformat()
        message = {"type": "consoleMessage", "timestamp": now, "data": {"message": f"\nERROR: {failure.message}\n"}}
        return ToolResult(json.dumps(message) + "\n", exit_code=failure.code)


def _azd_auth_token(tools: DeveloperTools, arguments: list[str]) -> str:
    if arguments[:2] != ["auth", "token"]:
        message = f'unknown command "{" ".join(arguments[:2])}" for "azd"'
        raise _ToolError(message)
    if tools.old and "--claims" in arguments:
        message = "unknown flag: --claims"
        raise _ToolError(message)
    given = _options(arguments[2:], _AZD, frozenset({"--no-prompt"}))
    if given.get("output") != "json" or "--no-prompt" not in given:
        message = "a program asks with --output json and --no-prompt"
        raise _ToolError(message)
    if "claims" in given:
        try:
            json.loads(base64.b64decode(given["claims"], validate=True))
        except (binascii.Error, ValueError) as error:
            message = "claims are base64 of a JSON text"
            raise _ToolError(message) from error
    if not tools.signed_in:
        message = "not logged in, run `azd auth login` to login"
        raise _ToolError(message)
    token = _issue(tools, given.get("scope", "").removesuffix("/.default"), given.get("tenant"))
    expires_on = f"{datetime.fromtimestamp(token.expires_on, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return json.dumps({"token": token.access_token, "expiresOn": expires_on})


_RESOURCE: Final = re.compile(r"'ResourceUrl' = '([^']*)'")
_TENANT: Final = re.compile(r"\$tenantId = '([^']*)'")
_NO_MODULE: Final = re.compile(r"if \(! \$\w+\) \{\s+Write-Output '?([^'\n]+)'?\s+exit\s+\}")
_RESULT: Final = re.compile(
    r'Write-Output "`n(\S+)\$\(\$tokenValue\)%\$\(\$token\.ExpiresOn\.ToUnixTimeSeconds\(\)\)`n"'
)
_NEEDED: Final = ("Import-Module Az.Accounts -MinimumVersion", "Get-AzAccessToken @params", "SecureString")


def _pwsh(tools: DeveloperTools, arguments: list[str]) -> ToolResult:
    """Run a script that requests a token of Az.Accounts; it is recognized by what is in every such script."""
    if arguments[:3] != ["-NoProfile", "-NonInteractive", "-EncodedCommand"] or len(arguments) != 4:
        return ToolResult(stderr="The argument is not recognized as the name of a script file.\n", exit_code=64)
    script = base64.b64decode(arguments[3], validate=True).decode("utf-16-le")
    resource, tenant = _RESOURCE.search(script), _TENANT.search(script)
    no_module, result = _NO_MODULE.search(script), _RESULT.search(script)
    if not (resource and tenant and no_module and result) or any(part not in script for part in _NEEDED):
        return ToolResult(stderr="ParserError: this script does not ask for a token.\n", exit_code=1)
    if not tools.has_module:
        return ToolResult(f"{no_module[1]}\n")
    if not tools.signed_in:
        return ToolResult(stderr="Get-AzAccessToken: Run Connect-AzAccount to login.\n", exit_code=1)
    try:
        token = _issue(tools, resource[1], tenant[1] or None)
    except _ToolError as failure:
        return ToolResult(stderr=f"Get-AzAccessToken: {failure.message}\n", exit_code=1)
    return ToolResult(f"\n{result[1]}{token.access_token}%{token.expires_on}\n\n")


COMMANDS: Final[Mapping[str, Callable[[DeveloperTools, list[str]], ToolResult]]] = {
    "az": _az,
    "azd": _azd,
    "pwsh": _pwsh,
}
"""The tools."""
