"""
Writing to Microsoft Graph: what the body of a new or changed user or group must look like.

Sources:
    https://learn.microsoft.com/en-us/graph/api/user-post-users
    https://learn.microsoft.com/en-us/graph/api/user-update
    https://learn.microsoft.com/en-us/graph/api/group-post-groups
    https://learn.microsoft.com/en-us/graph/api/group-update
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from entra_async.testing.graph.errors import GraphError, bad_request
from entra_async.testing.graph.schema import GROUP, USER, EntityType
from entra_async.testing.wire.json_object import decode_object

if TYPE_CHECKING:
    from entra_async.testing.directory.directory import Directory
    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("read_group_changes", "read_json", "read_new_group", "read_new_user", "read_user_changes")

_USER_NAME: Final = re.compile(r"[A-Za-z0-9'._!#^~-]{1,64}@([A-Za-z0-9.-]{1,48})")
_REQUIRED: Final = ("accountEnabled", "displayName", "mailNickname", "passwordProfile", "userPrincipalName")
_REQUIRED_OF_GROUP: Final = ("displayName", "mailEnabled", "mailNickname", "securityEnabled")
_READ_ONLY: Final = frozenset(
    {"id", "createdDateTime", "expirationDateTime", "renewedDateTime", "proxyAddresses"}
    | {"assignedLicenses", "deletedDateTime"}
)

Valid = Mapping[str, Callable[[object], bool]]


async def read_json(request: IncomingRequest) -> dict[str, Any]:
    """
    Return the JSON object a request carries.

    Raises:
        GraphError: 400 or 415 if it carries none.
    """
    body = await request.read()
    if not body:
        message = "Empty Payload. JSON content expected."
        raise bad_request(message, code="BadRequest")
    if "Content-Type" not in request.headers:
        message = (
            "A missing or empty content type header was found when trying to read a message. "
            "The content type header is required."
        )
        raise bad_request(message, code="BadRequest")
    if request.content_type != "application/json":
        message = (
            "A supported MIME type could not be found that matches the content type of the message. None of the "
            f"supported type(s) 'application/json' matches the content type '{request.content_type}'."
        )
        raise GraphError(415, "BadRequest", message)
    decoded = decode_object(body)
    if decoded is None:
        message = (
            "Unable to read JSON request payload. "
            "Please ensure Content-Type header is set and payload is of valid JSON format."
        )
        raise bad_request(message, code="BadRequest")
    return decoded


def read_new_user(body: Mapping[str, Any], directory: Directory) -> dict[str, Any]:
    """
    Return the properties to create a user with. The password is checked and forgotten.

    Args:
        body: The decoded request body.
        directory: Where the user shall be.

    Raises:
        GraphError: 400 if a required property is missing, a value is of the wrong type, or the name is taken.
    """
    _require(body, _REQUIRED, USER)
    profile = body["passwordProfile"]
    if not isinstance(profile, dict) or "password" not in profile:
        message = "A value is required for property 'password' of resource 'User'."
        raise bad_request(message)
    return {"assignedLicenses": [], "businessPhones": [], "userType": "Member"} | read_user_changes(
        body, directory, None
    )


def read_user_changes(body: Mapping[str, Any], directory: Directory, index: int | None) -> dict[str, Any]:
    """
    Return the properties to give a user.

    Args:
        body: The decoded request body.
        directory: Where the user is.
        index: The user's number; ``None`` for a new one.

    Raises:
        GraphError: 400 if a property does not exist, is read-only or of the wrong type, or the name is taken.
    """
    changes = _read(body, _USER_VALUES, USER)
    changes.pop("passwordProfile", None)
    if "userPrincipalName" in changes:
        _check_user_name(changes["userPrincipalName"], directory, index)
    return changes


def read_new_group(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the properties to create a group with.

    Args:
        body: The decoded request body.

    Raises:
        GraphError: 400 if a required property is missing, or a value is of the wrong type, or the kind of group cannot
            be created by request.
    """
    _require(body, _REQUIRED_OF_GROUP, GROUP)
    new: dict[str, Any] = {"groupTypes": [], "proxyAddresses": []} | _read(body, _GROUP_VALUES, GROUP)
    # Only Microsoft 365 groups (mail) and security groups (no mail) can be created by request.
    if new["mailEnabled"] != ("Unified" in new["groupTypes"]) or not (new["mailEnabled"] or new["securityEnabled"]):
        message = (
            "The service does not currently support writes of mail-enabled groups. Please ensure that the "
            "mail-enablement property is unset and the security-enablement property is set."
        )
        raise bad_request(message)
    return new


def read_group_changes(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the properties to give a group.

    Args:
        body: The decoded request body.

    Raises:
        GraphError: 400 if a property does not exist, is read-only or of the wrong type.
    """
    return _read(body, _GROUP_VALUES, GROUP)


def _require(body: Mapping[str, Any], names: Sequence[str], entity: EntityType) -> None:
    for name in names:
        if body.get(name) in (None, ""):
            message = f"A value is required for property '{name}' of resource '{entity.resource}'."
            raise bad_request(message)


def _read(body: Mapping[str, Any], valid: Valid, entity: EntityType) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, value in body.items():
        if name.startswith("@"):
            continue  # annotations such as @odata.type say nothing about the object
        if name in _READ_ONLY:
            message = f"Property '{name}' is read-only and cannot be set."
            raise bad_request(message)
        if name not in valid:
            message = (
                f"The property '{name}' does not exist on type '{entity.name}'. "
                "Make sure to only use property names that are defined by the type."
            )
            raise bad_request(message)
        if not valid[name](value):
            message = f"Invalid value specified for property '{name}' of resource '{entity.resource}'."
            raise bad_request(message, target=name)
        changes[name] = value
    return changes


def _check_user_name(name: str, directory: Directory, index: int | None) -> None:
    if name.rpartition("@")[2].lower() != directory.domain.lower():
        message = (
            "The domain portion of the userPrincipalName property is invalid. "
            "You must use one of the verified domain names in your organization."
        )
        raise bad_request(message)
    if directory.users.find(name) not in (None, index):
        message = "Another object with the same value for property userPrincipalName already exists."
        raise bad_request(message, target="userPrincipalName")


def _is_text(value: object) -> bool:
    return value is None or (isinstance(value, str) and 0 < len(value) <= 256)


def _is_required_text(value: object) -> bool:
    return value is not None and _is_text(value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_user_name(value: object) -> bool:
    return isinstance(value, str) and _USER_NAME.fullmatch(value) is not None


def _is_mail_nickname(value: object) -> bool:
    # The characters Microsoft lists as not allowed: https://learn.microsoft.com/en-us/graph/api/resources/user
    return isinstance(value, str) and re.fullmatch(r"""[^\s@()\\\[\]";:<>,]{1,64}""", value) is not None


def _is_phone_list(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 1 and all(isinstance(item, str) for item in value)


def _is_password_profile(value: object) -> bool:
    known = {"password", "forceChangePasswordNextSignIn", "forceChangePasswordNextSignInWithMfa"}
    if not isinstance(value, dict) or not value.keys() <= known:
        return False
    password = value.get("password", "long enough")
    return isinstance(password, str) and 8 <= len(password) <= 256


_USER_VALUES: Final[Valid] = {
    "accountEnabled": _is_flag,
    "businessPhones": _is_phone_list,
    "city": _is_text,
    "companyName": _is_text,
    "country": _is_text,
    "department": _is_text,
    "displayName": _is_required_text,
    "employeeId": _is_text,
    "givenName": _is_text,
    "jobTitle": _is_text,
    "mail": _is_text,
    "mailNickname": _is_mail_nickname,
    "mobilePhone": _is_text,
    "officeLocation": _is_text,
    "passwordProfile": _is_password_profile,
    "preferredLanguage": _is_text,
    "surname": _is_text,
    "userPrincipalName": _is_user_name,
    "userType": lambda value: value in ("Member", "Guest"),
}
_GROUP_VALUES: Final[Valid] = {
    "classification": _is_text,
    "description": lambda value: value is None or (isinstance(value, str) and 0 < len(value) <= 1024),
    "displayName": _is_required_text,
    "groupTypes": lambda value: value in ([], ["Unified"]),  # rules of dynamic groups are not evaluated here
    "isAssignableToRole": _is_flag,
    "mailEnabled": _is_flag,
    "mailNickname": _is_mail_nickname,
    "securityEnabled": _is_flag,
    "visibility": lambda value: value in ("Public", "Private", "HiddenMembership"),
}
