"""
The key file of Azure Arc: the client must be able to read a file that only its group can read.

Sources:
    https://learn.microsoft.com/en-us/azure/azure-arc/servers/managed-identity-authentication
"""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Final

import anyio
from aiohttp import web

if TYPE_CHECKING:
    from entra_async.testing.managed_identity.host import AzureHost

__all__ = ("challenge", "is_proven")

_TOO_LARGE: Final = 4097


async def challenge(host: AzureHost) -> web.Response:
    """
    Return the response to a request without proof: it names a file, whose content is good for one use.

    Args:
        host: The machine; its ``key_file`` says what is wrong with the file, if anything.
    """
    key = secrets.token_hex(32)
    name = f"{uuid.uuid4()}.key"
    folder = anyio.Path(host.key_folder)
    path = folder / name
    content = key
    match host.key_file:
        case "elsewhere":
            path = folder.parent / name
        case "other_suffix":
            path = path.with_suffix(".txt")
        case "too_large":
            content = key * (_TOO_LARGE // len(key) + 1)
    if host.key_file == "link":
        target = folder.parent / name
        await target.write_text(content)
        await path.symlink_to(target)
    elif host.key_file != "missing":
        await path.write_text(content)
    host.keys[key] = host.key_folder / name
    header = {"WWW-Authenticate": f"Basic realm={path}"}
    return web.json_response({"error": "unauthorized_client", "error_description": ""}, status=401, headers=header)


async def is_proven(host: AzureHost, authorization: str) -> bool:
    """
    Return whether *authorization* holds the content of a file that was named. It is good once.

    Args:
        host: The machine.
        authorization: The header.
    """
    scheme, _, key = authorization.partition(" ")
    path = host.keys.pop(key, None) if scheme == "Basic" else None
    if path is None:
        return False
    await anyio.Path(path).unlink(missing_ok=True)
    return True
