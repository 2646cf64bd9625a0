"""
The entity types of Microsoft Graph that the emulator serves: their properties, and what they filter by.

Sources:
    https://learn.microsoft.com/en-us/graph/api/resources/user
    https://learn.microsoft.com/en-us/graph/api/resources/group
    https://learn.microsoft.com/en-us/graph/aad-advanced-queries (support for $filter by properties)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from entra_async.testing.odata.filter import EdmType, Property

__all__ = ("GROUP", "USER", "EntityType")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityType:
    """
    One entity type.

    Attributes:
        name: As in ``@odata.type``, without ``#``.
        resource: As in error messages of the directory.
        entity_set: The collection at the root.
        default: What a response holds without ``$select``.
        properties: Every property, and how it can be filtered.
        single_only: Properties the collection refuses with 501: another service holds them, object by object.
    """

    name: str
    resource: str
    entity_set: str
    default: tuple[str, ...]
    properties: Mapping[str, Property]
    single_only: frozenset[str] = frozenset()


def _property(operators: str = "", advanced: str = "", type_: EdmType = "String", **members: Property) -> Property:
    # Whatever can be compared with eq can also be negated, in an advanced query only.
    negations = " ne not" if "eq" in f"{operators} {advanced}".split() else ""
    return Property(type_, frozenset(operators.split()), frozenset(f"{advanced}{negations}".split()), members)


_ADVANCED_TEXT: Final = _property("", "eq in ge le startsWith null")
_TEXT: Final = _property("eq in ge le startsWith", "null")
_NAME: Final = _property("eq in startsWith", "null")
_MAIL: Final = _property("eq in ge le startsWith", "endsWith")
_MOMENT: Final = _property("eq ge le", "in", "DateTimeOffset")
_FLAG: Final = _property("eq in", "", "Boolean")
_ID: Final = _property("eq in")
_UNFILTERED: Final = Property()

USER: Final = EntityType(
    name="microsoft.graph.user",
    resource="User",
    entity_set="users",
    default=(
        "businessPhones",
        "displayName",
        "givenName",
        "jobTitle",
        "mail",
        "mobilePhone",
        "officeLocation",
        "preferredLanguage",
        "surname",
        "userPrincipalName",
        "id",
    ),
    properties={
        "id": _ID,
        "accountEnabled": _FLAG,
        "assignedLicenses": _property("eq", "count", "Collection(Complex)", skuId=Property("Guid")),
        "businessPhones": _property("eq startsWith", "", "Collection(String)"),
        "city": _TEXT,
        "companyName": _ADVANCED_TEXT,
        "country": _TEXT,
        "createdDateTime": _MOMENT,
        "department": _TEXT,
        "displayName": _NAME,
        "employeeId": _property("eq in startsWith", "ge le null"),
        "givenName": _TEXT,
        "jobTitle": _TEXT,
        "mail": _MAIL,
        "mailNickname": _TEXT,
        "mobilePhone": _ADVANCED_TEXT,
        "officeLocation": _ADVANCED_TEXT,
        "preferredLanguage": _ADVANCED_TEXT,
        "surname": _TEXT,
        "userPrincipalName": _MAIL,
        "userType": _property("eq in", "null"),
    },
    single_only=frozenset(
        {"aboutMe", "birthday", "hireDate", "interests", "mySite", "pastProjects", "preferredName", "responsibilities"}
        | {"schools", "skills", "mailboxSettings"}
    ),
)

GROUP: Final = EntityType(
    name="microsoft.graph.group",
    resource="Group",
    entity_set="groups",
    default=(
        "id",
        "classification",
        "createdDateTime",
        "description",
        "displayName",
        "expirationDateTime",
        "groupTypes",
        "isAssignableToRole",
        "mail",
        "mailEnabled",
        "mailNickname",
        "membershipRule",
        "proxyAddresses",
        "renewedDateTime",
        "securityEnabled",
        "visibility",
    ),
    properties={
        "id": _ID,
        "classification": _TEXT,
        "createdDateTime": _MOMENT,
        "description": _TEXT,
        "displayName": _TEXT,
        "expirationDateTime": _MOMENT,
        "groupTypes": _property("eq startsWith", "", "Collection(String)"),
        "isAssignableToRole": _FLAG,
        "mail": _MAIL,
        "mailEnabled": _FLAG,
        "mailNickname": _TEXT,
        "membershipRule": _UNFILTERED,
        "proxyAddresses": _property("eq startsWith", "endsWith count", "Collection(String)"),
        "renewedDateTime": _MOMENT,
        "securityEnabled": _FLAG,
        "visibility": _UNFILTERED,
    },
)
