"""
The permissions of Microsoft Graph: which of them each operation takes, and which there are.

Sources:
    https://learn.microsoft.com/en-us/graph/permissions-reference
"""

from __future__ import annotations

from typing import Final

from entra_async.testing.entra.resource_servers import ResourceServer

__all__ = (
    "DELETE_USERS",
    "HUNT",
    "MICROSOFT_GRAPH",
    "READ_FILES",
    "READ_GROUPS",
    "READ_ME",
    "READ_MEMBERS",
    "READ_POLICIES",
    "READ_RISKY_USERS",
    "READ_SIGN_INS",
    "READ_TASKS",
    "READ_USERS",
    "WRITE_FILES",
    "WRITE_GROUPS",
    "WRITE_TASKS",
    "WRITE_USERS",
)

READ_USERS: Final = frozenset({"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"})
WRITE_USERS: Final = frozenset({"User.ReadWrite.All", "Directory.ReadWrite.All"})
DELETE_USERS: Final = frozenset({"User.ReadWrite.All"})  # Directory.ReadWrite.All does not include deleting
READ_GROUPS: Final = frozenset(
    {"Group.Read.All", "Group.ReadWrite.All", "GroupMember.Read.All", "GroupMember.ReadWrite.All"}
    | {"Directory.Read.All", "Directory.ReadWrite.All"}
)
READ_MEMBERS: Final = READ_GROUPS
WRITE_GROUPS: Final = frozenset({"Group.ReadWrite.All", "Directory.ReadWrite.All"})
WRITE_TASKS: Final = frozenset({"Tasks.ReadWrite.All", "Tasks.ReadWrite"})
READ_TASKS: Final = WRITE_TASKS | {"Tasks.Read.All", "Tasks.Read"}
READ_ME: Final = READ_USERS | {"User.Read", "User.ReadWrite"}
# The sign-ins take one of each: https://learn.microsoft.com/en-us/graph/api/signin-list (permissions)
READ_SIGN_INS: Final = (frozenset({"AuditLog.Read.All"}), frozenset({"Directory.Read.All"}))
READ_RISKY_USERS: Final = frozenset({"IdentityRiskyUser.Read.All", "IdentityRiskyUser.ReadWrite.All"})
READ_POLICIES: Final = frozenset({"Policy.Read.All", "Policy.Read.ConditionalAccess"})
HUNT: Final = frozenset({"ThreatHunting.Read.All"})

_FILE_ROLES: Final = frozenset({"Files.Read.All", "Files.ReadWrite.All", "Sites.Read.All", "Sites.ReadWrite.All"})
READ_FILES: Final = _FILE_ROLES | {"Files.Read", "Files.ReadWrite"}
WRITE_FILES: Final = frozenset({"Files.ReadWrite", "Files.ReadWrite.All", "Sites.ReadWrite.All"})

_ROLES: Final = (
    READ_USERS
    | WRITE_USERS
    | READ_GROUPS
    | _FILE_ROLES
    | {"Tasks.Read.All", "Tasks.ReadWrite.All"}
    | {"AuditLog.Read.All"}
    | READ_RISKY_USERS
    | READ_POLICIES
    | HUNT
)

MICROSOFT_GRAPH: Final = ResourceServer(
    app_id="00000003-0000-0000-c000-000000000000",
    identifiers=frozenset({"https://graph.microsoft.com"}),
    roles=_ROLES,
    # https://learn.microsoft.com/en-us/graph/permissions-reference (admin consent required)
    scopes=frozenset({"User.Read", "User.ReadWrite", "User.ReadBasic.All", "Files.Read", "Files.ReadWrite"})
    | {"Mail.Read", "Mail.ReadWrite", "Mail.Send", "Calendars.Read", "Calendars.ReadWrite", "People.Read"}
    | {"Tasks.Read", "Tasks.ReadWrite"},
    admin_scopes=_ROLES,
)
"""Microsoft Graph as Entra ID knows it, with the app roles and delegated permissions that the emulator knows."""
