"""
The population of the emulated tenant: every property of a user, group or machine is computed from its number.

Nothing is stored, so a tenant of a million users costs no memory, and the same tenant looks the same in every run.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from entra_async.testing.directory.names import GIVEN_NAMES, SURNAMES
from entra_async.testing.directory.object_ids import GuidIds, MachineIds

__all__ = ("GroupPopulation", "MachinePopulation", "UserPopulation")

Compute = Callable[[int], Any]

_DEPARTMENTS: Final = ("Engineering", "Sales", "Finance", "R&D", "Human Resources", "Legal", None, "Customer Support")
_JOB_TITLES: Final = (
    "Engineer",
    "Analyst",
    "Account Manager",
    None,
    "Director, EMEA",
    "Developer (Senior)",
    "Accountant",
)
_PLACES: Final = (
    ("London", "United Kingdom", "en-GB", "18/2111"),
    ("München", "Germany", "de-DE", "31/1105"),
    ("São Paulo", "Brazil", "pt-BR", "12/01"),
    ("東京", "Japan", "ja-JP", None),
    ("Redmond", "United States", "en-US", "98/6"),
    ("Kraków", "Poland", "pl-PL", "4/17"),
)
# Microsoft 365 E3 and E5:
# https://learn.microsoft.com/en-us/entra/identity/users/licensing-service-plan-reference
_E3: Final = {"disabledPlans": (), "skuId": "05e9a617-0261-4cee-bb44-138d3ef5d965"}
_E5: Final = {"disabledPlans": (), "skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06"}
_PARTNERS: Final = ("fabrikam.com", "adatum.com", "northwindtraders.com")
_EPOCH: Final = datetime(2015, 1, 1, 8, tzinfo=UTC)


class UserPopulation:
    """
    The users. Number 0 is Ada Lovelace; of every 25 the eighth is a guest; every 13th account is disabled.

    Args:
        domain: Domain of the user principal names, such as ``contoso.com``.
        tenant_id: Other tenants have other ids.
    """

    def __init__(self, domain: str, tenant_id: str) -> None:
        self._domain = domain
        self._ids = GuidIds("user", tenant_id)
        self._nicknames = _nicknames()
        self.computes: Mapping[str, Compute] = {
            "id": self._ids.of,
            "accountEnabled": lambda index: index % 13 != 12,
            "assignedLicenses": lambda index: [] if _is_guest(index) else [_E3] if index % 5 else [_E3, _E5],
            "businessPhones": lambda index: [] if index % 3 else [f"+44 20 {7000_0000 + index:08d}"],
            "city": lambda index: _PLACES[index % 6][0],
            "companyName": lambda index: _PARTNERS[index % 3] if _is_guest(index) else "Contoso",
            "country": lambda index: _PLACES[index % 6][1],
            "createdDateTime": _created,
            "department": lambda index: _DEPARTMENTS[index // 3 % 8],
            "displayName": lambda index: f"{_given_name(index)} {_surname(index)}",
            "employeeId": lambda index: None if _is_guest(index) else f"E{index:07d}",
            "givenName": _given_name,
            "jobTitle": lambda index: _JOB_TITLES[index % 7],
            "mail": self._mail,
            "mailNickname": self._mail_nickname,
            "mobilePhone": lambda index: None if index % 4 else f"+49 151 {10_000_000 + index:08d}",
            "officeLocation": lambda index: _PLACES[index % 6][3],
            "preferredLanguage": lambda index: _PLACES[index % 6][2] if index % 5 else None,
            "surname": _surname,
            "userPrincipalName": self.user_principal_name,
            "userType": lambda index: "Guest" if _is_guest(index) else "Member",
        }

    def index_of(self, key: str) -> int | None:
        """Return the number of the user with this id or user principal name, in any case of letters."""
        index = self._ids.index(key)
        if index is not None:
            return index
        if key.lower() == f"ada@{self._domain}".lower():
            return 0
        number = re.search(r"\.(\d{1,12})(?:_[^@#]+#ext#)?@", key.lower())
        if number is None:
            return None
        index = int(number[1])
        return index if self.user_principal_name(index).lower() == key.lower() else None

    def user_principal_name(self, index: int) -> str:
        """Return the unique name: ``given.surname.INDEX@domain``; a guest's holds the home address and ``#EXT#``."""
        if index == 0:
            return f"ada@{self._domain}"
        nickname = self._nickname(index)
        if _is_guest(index):
            return f"{nickname}_{_PARTNERS[index % 3]}#EXT#@{self._domain}"
        return f"{nickname}@{self._domain}"

    def _mail(self, index: int) -> str | None:
        if index == 0:
            return f"ada@{self._domain}"
        if index % 11 == 10:
            return None  # an account without a mailbox
        return f"{self._nickname(index)}@{_PARTNERS[index % 3] if _is_guest(index) else self._domain}"

    def _mail_nickname(self, index: int) -> str:
        return self.user_principal_name(index).partition("@")[0]

    def _nickname(self, index: int) -> str:
        return f"{self._nicknames[index % len(GIVEN_NAMES)][_surname_number(index)]}.{index}"


class GroupPopulation:
    """
    The groups, and which users each holds: a run of neighbouring users, so that membership is decided by arithmetic.

    Args:
        domain: Domain of the mail addresses.
        tenant_id: Other tenants have other ids.
        users: How many users there are to be members.
    """

    _SIZES: Final = (400, 3, 0, 25, 120, 1, 60, 750, 12, 100)
    _NAMES: Final = (
        "All Company",
        "Project Ångström",
        "Empty Group",
        "R&D Leads",
        "Sales EMEA",
        "Break-glass",
        "Chess Club",
    )

    def __init__(self, domain: str, tenant_id: str, users: int) -> None:
        self._users = users
        self._ids = GuidIds("group", tenant_id)
        self.computes: Mapping[str, Compute] = {
            "id": self._ids.of,
            "classification": lambda index: "Confidential" if index % 6 == 5 else None,
            "createdDateTime": _created,
            "description": lambda index: None if index % 4 == 3 else f"{self._name(index)}: who's in it",
            "displayName": self._name,
            "expirationDateTime": lambda _: None,
            "groupTypes": lambda index: ["Unified"] if _is_unified(index) else [],
            "isAssignableToRole": lambda _: None,
            "mail": lambda index: f"group{index}@{domain}" if _is_unified(index) else None,
            "mailEnabled": _is_unified,
            "mailNickname": lambda index: f"group{index}",
            "membershipRule": lambda _: None,
            "proxyAddresses": lambda index: [f"SMTP:group{index}@{domain}"] if _is_unified(index) else [],
            "renewedDateTime": _created,
            "securityEnabled": lambda index: not _is_unified(index),
            "visibility": lambda index: ("Private" if index % 2 else "Public") if _is_unified(index) else None,
        }

    def index_of(self, key: str) -> int | None:
        """Return the number of the group with this id."""
        return self._ids.index(key)

    def size(self, group: int) -> int:
        """Return how many users the group was made with."""
        return min(self._SIZES[group % len(self._SIZES)], self._users)

    def member(self, group: int, position: int) -> int:
        """Return the number of the user at this place of the group."""
        return (self._first(group) + position) % self._users

    def contains(self, group: int, user: int) -> bool:
        """Return whether the user is one the group was made with."""
        return user < self._users and (user - self._first(group)) % self._users < self.size(group)

    def _first(self, group: int) -> int:
        return group * 7919 % self._users  # a prime step scatters the runs; group 0 begins with user 0

    def _name(self, index: int) -> str:
        name = self._NAMES[index % len(self._NAMES)]
        return name if index < len(self._NAMES) else f"{name} {index}"


class MachinePopulation:
    """
    The machines Defender for Endpoint watches.

    Args:
        domain: Domain of the computers' DNS names.
        tenant_id: Other tenants have other ids.
    """

    _PLATFORMS: Final = (
        ("Windows11", "24H2", 26100),
        ("Windows10", "22H2", 19045),
        ("WindowsServer2022", "21H2", 20348),
        ("Ubuntu", "22.4", None),
        ("macOS", "15.1", None),
    )
    _HEALTH: Final = ("Active", "Active", "Inactive", "Active", "ImpairedCommunication", "NoSensorData", "Active")
    _RISK: Final = ("None", "Low", "Informational", "Medium", "None", "High", "Low", "None")
    _EXPOSURE: Final = ("Low", "Medium", "None", "High")

    def __init__(self, domain: str, tenant_id: str) -> None:
        self._domain = domain
        self._ids = MachineIds(tenant_id)
        devices = GuidIds("device", tenant_id)
        self.computes: Mapping[str, Compute] = {
            "id": self._ids.of,
            "computerDnsName": self.computer_dns_name,
            "firstSeen": lambda index: _timestamp(_EPOCH + timedelta(days=index % 3000), digits=7),
            "lastSeen": lambda index: _timestamp(_EPOCH + timedelta(days=index % 3000 + 500, minutes=index), digits=7),
            "osPlatform": lambda index: self._PLATFORMS[index % 5][0],
            "osProcessor": lambda index: "arm64" if index % 5 == 4 else "x64",
            "version": lambda index: self._PLATFORMS[index % 5][1],
            "osBuild": lambda index: self._PLATFORMS[index % 5][2],
            "lastIpAddress": _ip_address,
            "lastExternalIpAddress": lambda index: f"203.0.113.{index % 254 + 1}",
            "agentVersion": lambda index: f"10.8760.26100.{1000 + index % 9}",
            "healthStatus": lambda index: self._HEALTH[index % 7],
            "onboardingStatus": lambda index: "CanBeOnboarded" if index % 17 == 16 else "Onboarded",
            "deviceValue": lambda index: "High" if index % 9 == 8 else "Normal",
            "rbacGroupId": lambda index: 140 + index % 3,
            "rbacGroupName": lambda index: ("Workstations", "Servers", "Owner's own")[index % 3],
            "riskScore": lambda index: self._RISK[index % 8],
            "exposureLevel": lambda index: self._EXPOSURE[index % 4],
            "isAadJoined": lambda index: index % 2 == 0,
            "aadDeviceId": lambda index: None if index % 2 else devices.of(index),
            "machineTags": lambda index: [] if index % 3 else ["pilot", f"floor {index % 10}"],
            "ipAddresses": lambda index: [
                {"ipAddress": _ip_address(index), "operationalStatus": "Up", "type": "Ethernet"}
            ],
        }

    def index_of(self, key: str) -> int | None:
        """Return the number of the machine with this id or DNS name."""
        index = self._ids.index(key)
        if index is not None:
            return index
        number = re.match(r"[a-z]+-(\d{5,12})\.", key.lower())
        if number is None:
            return None
        index = int(number[1])
        return index if self.computer_dns_name(index).lower() == key.lower() else None

    def computer_dns_name(self, index: int) -> str:
        """Return the unique DNS name."""
        return f"{('desktop', 'laptop', 'server', 'build')[index % 4]}-{index:05d}.{self._domain}"


def _given_name(index: int) -> str:
    return GIVEN_NAMES[index % len(GIVEN_NAMES)]


def _surname_number(index: int) -> int:
    # The second addend pairs the names anew on each round, so all pairs come up.
    return (index + index // len(GIVEN_NAMES)) % len(SURNAMES)


def _surname(index: int) -> str:
    return SURNAMES[_surname_number(index)]


def _is_guest(index: int) -> bool:
    return index % 25 == 7


def _is_unified(index: int) -> bool:
    return index % 3 == 0


def _ip_address(index: int) -> str:
    return f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"


def _created(index: int) -> str:
    return _timestamp(_EPOCH + timedelta(minutes=index * 5 % 4_000_000))


def _timestamp(moment: datetime, *, digits: int = 0) -> str:
    fraction = "." + "0" * digits if digits else ""
    return f"{moment.isoformat()[:19]}{fraction}Z"


@cache  # folding letters is the one slow step, and there are few pairs
def _nicknames() -> list[list[str]]:
    return [[f"{_ascii(given)}.{_ascii(surname)}" for surname in SURNAMES] for given in GIVEN_NAMES]


def _ascii(name: str) -> str:
    """Return what a user principal name may hold of a name: letters a to z, digits, apostrophes and hyphens."""
    letters = unicodedata.normalize("NFKD", name.lower()).translate({0xDF: "ss", 0xF8: "o", 0x142: "l", 0x131: "i"})
    return re.sub(r"[^a-z0-9'-]", "", letters) or "user"
