"""
What security services record of the emulated tenant: sign-ins, risky users, policies, alerts and incidents.

Every property is computed from the record's number; the newest record is number 0.

Sources:
    https://learn.microsoft.com/en-us/graph/api/resources/signin
    https://learn.microsoft.com/en-us/graph/api/resources/riskyuser
    https://learn.microsoft.com/en-us/graph/api/resources/conditionalaccesspolicy
    https://learn.microsoft.com/en-us/defender-endpoint/api/alerts
    https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from entra_async.testing.directory.directory import Objects
from entra_async.testing.directory.object_ids import GuidIds

if TYPE_CHECKING:
    from entra_async.testing.directory.directory import Directory

__all__ = ("SecurityRecords",)

Compute = Callable[[int], Any]

_NEWEST: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
_SEVERITIES: Final = ("Medium", "Low", "Informational", "High", "Medium", "Low")
_TITLES: Final = (
    ("Ransomware activity", "Ransomware", "WindowsDefenderAtp"),
    ("Suspicious 'Meterpreter' behavior was detected", "SuspiciousActivity", "WindowsDefenderAv"),
    ("Low-reputation arbitrary code executed by signed executable", "Execution", "WindowsDefenderAtp"),
    ("Password spray on several accounts", "CredentialAccess", "CustomDetection"),
    ("Unusual volume of file deletion", "Impact", "MCAS"),
)
_APPS: Final = (
    ("Graph Explorer", "de8bc8b5-d9f9-48b1-a8ad-b748da725064"),
    ("Azure Portal", "c44b4083-3bb0-49c1-b47d-974e53cbdf3c"),
    ("Office 365 Exchange Online", "00000002-0000-0ff1-ce00-000000000000"),
)
_POLICIES: Final = (
    "Require MFA for administrators",
    "Block legacy authentication",
    "Compliant device for Office",
    "Test",
)
_ALERTS_OF_INCIDENT: Final = 2
_SIGN_INS_OF_USER: Final = 3
_RISKY_OF: Final = 10  # one user of so many is at risk
_ALERT_NAMES: Final = {  # what Defender for Endpoint calls it, and what Defender XDR does
    "incidentId": "incidentId",
    "alertCreationTime": "creationTime",
    "lastUpdateTime": "lastUpdatedTime",
    "resolvedTime": "resolvedTime",
    "firstEventTime": "firstActivity",
    "lastEventTime": "lastActivity",
    "title": "title",
    "description": "description",
    "category": "category",
    "status": "status",
    "severity": "severity",
    "investigationId": "investigationId",
    "investigationState": "investigationState",
    "classification": "classification",
    "determination": "determination",
    "detectionSource": "detectionSource",
    "assignedTo": "assignedTo",
    "mitreTechniques": "mitreTechniques",
}


class SecurityRecords:
    """
    The records, by kind, each as :class:`~entra_async.testing.directory.directory.Objects`.

    Attributes:
        sign_ins: Sign-ins, as Graph reports them.
        risky_users: Users at risk; their ids are those of the users.
        policies: Conditional access policies.
        alerts: Alerts, as Defender for Endpoint reports them.
        incidents: Incidents, as Defender XDR reports them, each with its alerts.

    Args:
        directory: Whose users and machines they are about.
        incidents: How many incidents there are; each has two alerts, if there are machines.
    """

    def __init__(self, directory: Directory, *, incidents: int = 120) -> None:
        self._incidents = incidents
        users = len(directory.users)
        machines = len(directory.machines)
        self.sign_ins = _numbered("signIn", directory, _sign_ins(directory, max(users, 1)), users * _SIGN_INS_OF_USER)
        risky = -(-users // _RISKY_OF)
        self.risky_users = Objects(_risky_users(directory), lambda key: _risky_number(directory, key), risky)
        self.policies = _numbered("policy", directory, _policies(), len(_POLICIES))
        alerts = incidents * _ALERTS_OF_INCIDENT if machines else 0
        self.alerts = Objects(self._alerts(directory, max(machines, 1)), self._alert_number, alerts)
        self.incidents = Objects(self._incident_properties(directory.domain), self._incident_number, incidents)

    def incident_id(self, index: int) -> int:
        """Return an incident's id; newer ones have higher ids."""
        return 924_000 + self._incidents - index

    def _incident_number(self, key: str) -> int | None:
        if not (key.isascii() and key.isdecimal() and len(key) < 19):
            return None
        return 924_000 + self._incidents - int(key)

    def _alert_number(self, key: str) -> int | None:
        number = key.rpartition("_")[2]
        index = int(number) if number.isascii() and number.isdecimal() and len(number) < 19 else -1
        return index if index >= 0 and key == _alert_id(index) else None

    def _alerts(self, directory: Directory, machines: int) -> Mapping[str, Compute]:
        def machine(name: str) -> Compute:
            read = directory.machines.reader(name)
            return lambda index: read(index * 7 % machines)

        return {
            "id": _alert_id,
            "incidentId": lambda index: self.incident_id(index // _ALERTS_OF_INCIDENT),
            "investigationId": lambda index: None if index % 3 else 700_000 + index,
            "assignedTo": lambda index: None if index % 4 else f"secop{index % 5}@{directory.domain}",
            "severity": lambda index: _SEVERITIES[index % 6],
            "status": lambda index: ("New", "InProgress", "Resolved")[index % 3],
            "classification": lambda index: None if index % 3 else "TruePositive",
            "determination": lambda index: None if index % 3 else "Malware",
            "investigationState": lambda index: "UnsupportedAlertType" if index % 3 else "Queued",
            "detectionSource": lambda index: _TITLES[index % 5][2],
            "category": lambda index: _TITLES[index % 5][1],
            "threatFamilyName": lambda index: "Meterpreter" if index % 5 == 1 else None,
            "title": lambda index: _TITLES[index % 5][0],
            "description": lambda index: f"{_TITLES[index % 5][0]}: look at the device's timeline.",
            "alertCreationTime": lambda index: _hours_ago(index, 0),
            "firstEventTime": lambda index: _hours_ago(index, -300),
            "lastEventTime": lambda index: _hours_ago(index, -5),
            "lastUpdateTime": lambda index: _hours_ago(index, 60),
            "resolvedTime": lambda index: _hours_ago(index, 60) if index % 3 == 2 else None,
            "machineId": machine("id"),
            "computerDnsName": machine("computerDnsName"),
            "rbacGroupName": machine("rbacGroupName"),
            "aadTenantId": lambda _: directory.tenant_id,
            "threatName": lambda _: None,
            "mitreTechniques": lambda index: ["T1064", "T1085"] if index % 2 else [],
            "comments": lambda _: [],
            "evidence": lambda index: [
                {"entityType": "Process", "fileName": "rundll32.exe", "processId": 1000 + index},
                {"entityType": "File", "fileName": "suspicious.dll", "filePath": "c:\\temp"},
            ],
        }

    def _incident_properties(self, domain: str) -> Mapping[str, Compute]:
        return {
            "incidentId": self.incident_id,
            "redirectIncidentId": lambda _: None,
            "incidentName": lambda index: _TITLES[index % 5][0],
            "createdTime": lambda index: _hours_ago(index * _ALERTS_OF_INCIDENT, 10),
            "lastUpdateTime": lambda index: _hours_ago(index * _ALERTS_OF_INCIDENT, 90),
            "assignedTo": lambda index: None if index % 3 else f"secop{index % 4}@{domain}",
            "classification": lambda _: "Unknown",
            "determination": lambda _: "NotAvailable",
            "detectionSource": lambda index: _TITLES[index % 5][2],
            "status": lambda index: "Resolved" if index % 4 == 3 else "Active",
            "severity": lambda index: _SEVERITIES[index % 6],
            "tags": lambda index: ["crown jewels"] if index % 9 == 0 else [],
            "comments": lambda _: [],
            "alerts": self._alerts_of,
        }

    def _alerts_of(self, incident: int) -> list[dict[str, Any]]:
        numbers = range(incident * _ALERTS_OF_INCIDENT, (incident + 1) * _ALERTS_OF_INCIDENT)
        project = self.alerts.projector(("id", "machineId", "computerDnsName", *_ALERT_NAMES))
        alerts = [project(number) for number in numbers if number in self.alerts]
        return [
            {
                "alertId": alert["id"],
                "serviceSource": "MicrosoftDefenderForEndpoint",
                **{new: alert[old] for old, new in _ALERT_NAMES.items()},
                "devices": [{"mdatpDeviceId": alert["machineId"], "deviceDnsName": alert["computerDnsName"]}],
                "entities": [],
            }
            for alert in alerts
        ]


def _numbered(kind: str, directory: Directory, computes: Mapping[str, Compute], size: int) -> Objects:
    ids = GuidIds(kind, directory.tenant_id)
    return Objects({"id": ids.of, **computes}, ids.index, size)


def _sign_ins(directory: Directory, users: int) -> Mapping[str, Compute]:
    def user(name: str) -> Compute:
        read = directory.users.reader(name)
        return lambda index: read(index * 11 % users)

    correlation_ids = GuidIds("correlation", directory.tenant_id)
    return {
        "createdDateTime": lambda index: _time(_NEWEST - timedelta(minutes=7 * index)),
        "userDisplayName": user("displayName"),
        "userPrincipalName": user("userPrincipalName"),
        "userId": user("id"),
        "appId": lambda index: _APPS[index % 3][1],
        "appDisplayName": lambda index: _APPS[index % 3][0],
        "ipAddress": lambda index: f"203.0.113.{index % 254 + 1}",
        "clientAppUsed": lambda index: "Browser" if index % 3 else "Mobile Apps and Desktop clients",
        "correlationId": correlation_ids.of,
        "conditionalAccessStatus": lambda index: ("success", "notApplied", "failure")[index % 3],
        "isInteractive": lambda index: index % 4 != 3,
        "riskDetail": lambda _: "none",
        "riskLevelAggregated": lambda _: "none",
        "riskState": lambda _: "none",
        "resourceDisplayName": lambda _: "Microsoft Graph",
        "status": lambda index: {"errorCode": 50126 if index % 13 == 5 else 0, "failureReason": None},
    }


def _risky_users(directory: Directory) -> Mapping[str, Compute]:
    def user(name: str) -> Compute:
        read = directory.users.reader(name)
        return lambda index: read(index * _RISKY_OF)

    return {
        "id": user("id"),
        "isDeleted": lambda _: False,
        "isProcessing": lambda _: False,
        "riskLastUpdatedDateTime": lambda index: _time(_NEWEST - timedelta(hours=index)),
        "riskLevel": lambda index: ("low", "medium", "high")[index % 3],
        "riskState": lambda index: "remediated" if index % 4 == 3 else "atRisk",
        "riskDetail": lambda index: "userPerformedSecuredPasswordChange" if index % 4 == 3 else "none",
        "userDisplayName": user("displayName"),
        "userPrincipalName": user("userPrincipalName"),
    }


def _risky_number(directory: Directory, key: str) -> int | None:
    user = directory.users.find(key)
    return None if user is None or user % _RISKY_OF else user // _RISKY_OF


def _policies() -> Mapping[str, Compute]:
    return {
        "displayName": lambda index: _POLICIES[index],
        "createdDateTime": lambda index: _time(_NEWEST - timedelta(days=400 + index)),
        "modifiedDateTime": lambda _: None,
        "state": lambda index: ("enabled", "enabled", "enabledForReportingButNotEnforced", "disabled")[index],
        "conditions": lambda _: {"clientAppTypes": ["all"], "users": {"includeUsers": ["All"], "excludeUsers": []}},
        "grantControls": lambda index: {"operator": "OR", "builtInControls": ["block" if index == 1 else "mfa"]},
        "sessionControls": lambda _: None,
    }


def _alert_id(index: int) -> str:
    return f"da6373083922{index * 7919 % 100_000:05d}_{index}"


def _hours_ago(hours: int, seconds: int) -> str:
    return _time(_NEWEST - timedelta(hours=hours) + timedelta(seconds=seconds))


def _time(moment: datetime) -> str:
    return f"{moment.isoformat()[:19]}.0000000Z" if moment.second else f"{moment.isoformat()[:19]}Z"
