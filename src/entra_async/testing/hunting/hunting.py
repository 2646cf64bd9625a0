"""
Advanced hunting: the tables that Graph, Defender XDR and Defender for Endpoint let queries run over.

Sources:
    https://learn.microsoft.com/en-us/defender-xdr/advanced-hunting-schema-tables
    https://learn.microsoft.com/en-us/defender-xdr/api-advanced-hunting (100,000 rows)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio.lowlevel

from entra_async.testing.hunting.query import Columns, HuntingError, parse_hunting_query

if TYPE_CHECKING:
    from entra_async.testing.directory.directory import Directory, Objects
    from entra_async.testing.directory.security_records import SecurityRecords

__all__ = ("DEVICE_TABLES", "Hunting", "HuntingResult")

DEVICE_TABLES: Final = frozenset({"DeviceInfo"})
"""The tables of Defender for Endpoint."""

_MAX_ROWS: Final = 100_000
_TURN_AFTER: Final = 64
_Properties = Mapping[str, tuple[str, str]]
_DEVICE_INFO: Final[_Properties] = {  # column: its type, and the property it shows
    "Timestamp": ("DateTime", "lastSeen"),
    "DeviceId": ("String", "id"),
    "DeviceName": ("String", "computerDnsName"),
    "OSPlatform": ("String", "osPlatform"),
    "OSBuild": ("Int64", "osBuild"),
    "MachineGroup": ("String", "rbacGroupName"),
    "OnboardingStatus": ("String", "onboardingStatus"),
    "PublicIP": ("String", "lastExternalIpAddress"),
}
_IDENTITY_INFO: Final[_Properties] = {
    "AccountObjectId": ("String", "id"),
    "AccountUpn": ("String", "userPrincipalName"),
    "AccountDisplayName": ("String", "displayName"),
    "EmailAddress": ("String", "mail"),
    "Department": ("String", "department"),
    "JobTitle": ("String", "jobTitle"),
    "City": ("String", "city"),
    "Country": ("String", "country"),
}
_ALERT_INFO: Final[_Properties] = {
    "Timestamp": ("DateTime", "alertCreationTime"),
    "AlertId": ("String", "id"),
    "Title": ("String", "title"),
    "Category": ("String", "category"),
    "Severity": ("String", "severity"),
    "DetectionSource": ("String", "detectionSource"),
}


@dataclass(frozen=True, slots=True)
class HuntingResult:
    """
    The result of a query.

    Attributes:
        columns: The columns, with their types.
        rows: At most 100,000 rows.
    """

    columns: Columns
    rows: list[Mapping[str, Any]]


class Hunting:
    """
    Runs hunting queries.

    Attributes:
        running_s: Seconds each query is said to run, and counted as. Nothing waits for them.

    Args:
        directory: Whose users and machines.
        records: Whose alerts.
    """

    def __init__(self, directory: Directory, records: SecurityRecords) -> None:
        self.running_s = 0.5
        self._tables: Mapping[str, tuple[Objects, _Properties]] = {
            "DeviceInfo": (directory.machines, _DEVICE_INFO),
            "IdentityInfo": (directory.users, _IDENTITY_INFO),
            "AlertInfo": (records.alerts, _ALERT_INFO),
        }

    async def run(self, text: str, *, limit_s: float, tables: Collection[str] | None = None) -> HuntingResult:
        """
        Run a query.

        Args:
            text: The query.
            limit_s: How long it may run, in seconds.
            tables: The tables it may read; all unless given.

        Raises:
            HuntingError: If it can't be run, or would run too long.
        """
        known = {
            name: {column: kind for column, (kind, _) in properties.items()}
            for name, (_, properties) in self._tables.items()
            if tables is None or name in tables
        }
        query = parse_hunting_query(text, known)
        if self.running_s > limit_s:
            message = f"Query execution has timed out after {limit_s:g} seconds. Optimize your query and try again."
            raise HuntingError(message)
        rows: list[Mapping[str, Any]] = []
        for row in query.run(self._rows(query.table)):
            if row is None:
                await anyio.lowlevel.checkpoint()
                continue
            rows.append(row)
            if len(rows) == _MAX_ROWS:
                break
        return HuntingResult(query.columns, rows)

    def _rows(self, table: str) -> Iterator[Mapping[str, Any] | None]:
        objects, properties = self._tables[table]
        readers = [(column, objects.reader(name)) for column, (_, name) in properties.items()]
        selection = objects.selection
        for seen, position in enumerate(selection.positions):
            if not seen % _TURN_AFTER:
                yield None
            index = selection.index_at(position)
            if index is not None:
                yield {column: read(index) for column, read in readers}
