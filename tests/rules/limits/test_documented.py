"""The documented limits: which one a request counts against, and its cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.limits.documented import cost_of, shape_of

GRAPH = "https://graph.microsoft.com/v1.0"


@pytest.mark.parametrize(
    ("request_", "limit", "cost"),
    [
        ("GET users", "directory", 2),
        ("GET users?$select=id", "directory", 1),
        ("GET users?%24select=id&$top=999", "directory", 1),
        ("GET users?$top=5&$select=id", "directory", 1),
        ("GET users?$expand=manager", "directory", 3),
        ("GET users/ada@contoso.com", "directory", 1),
        ("GET users('ada@contoso.com')", "directory", 1),
        ("GET users/1/memberOf", "directory", 2),
        ("GET me/memberOf", "directory", 2),
        ("GET me", "directory", 1),
        ("GET groups/1/members?$top=999", "directory", 3),
        ("GET groups/1/members?$top=19", "directory", 2),
        ("GET groups/1/transitiveMembers", "directory", 5),
        ("GET domains/contoso.com/domainNameReferences", "directory", 4),
        ("GET subscribedSkus", "directory", 3),
        ("GET oauth2PermissionGrants/1", "directory", 2),
        ("POST users/1/getMemberGroups", "directory", 2),
        ("POST users/1/microsoft.graph.checkMemberGroups", "directory", 4),
        ("POST directoryObjects/getByIds", "directory", 3),
        ("PATCH users/1", "directory", 1),
        ("DELETE groups/1", "directory", 1),
        ("GET auditLogs/signIns", "reports", 1),
        ("GET identityProtection/riskyUsers", "identity protection", 1),
        ("GET identity/conditionalAccess/policies", "identity protection", 1),
        ("POST security/runHuntingQuery", "hunting", 1),
        ("GET security/alerts_v2", "security", 1),
        ("GET users/1/messages", "mail of 1", 1),
        ("GET me/events", "mail of me", 1),
        ("GET users/1/presence", "presence", 1),
        ("GET users/1/drive/root/children", "files", 1),
        ("GET sites/root", "files", 1),
        ("GET teams/1", "teams", 1),
    ],
)
def test_graph(request_: str, limit: str, cost: int) -> None:
    """Each workload of Graph has its own limit; the directory counts in resource units. Both versions share them."""
    method, path = request_.split(" ", 1)
    for service, root in (("Graph", GRAPH), ("graphbeta", GRAPH.replace("v1.0", "beta"))):
        assert cost_of(service, method, f"{root}/{path}")[:2] == (limit, cost)


@pytest.mark.parametrize(
    ("service", "method", "url", "limit", "rate"),
    [
        (
            "Azure",
            "GET",
            "https://management.azure.com/subscriptions/A1/resourceGroups?api-version=1",
            "reads of a1",
            25,
        ),
        ("Azure", "PUT", "https://management.azure.com/subscriptions/A1/x", "writes of a1", 10),
        ("Azure", "POST", "https://management.azure.com/subscriptions/A1/x", "writes of a1", 10),
        ("Azure", "DELETE", "https://management.azure.com/subscriptions/b2/x", "deletes of b2", 10),
        ("Azure", "GET", "https://management.azure.com/tenants", "reads of the tenant", 25),
        ("AzureKeyVault", "GET", "https://contoso.vault.azure.net/secrets/x/", "vault", 400),
        ("Endpoint", "GET", "https://api.securitycenter.microsoft.com/api/machines", "machines", 100 / 60),
        ("Endpoint", "POST", "https://api.securitycenter.microsoft.com/api/advancedqueries/run", "hunting", 45 / 60),
        ("Security", "GET", "https://api.security.microsoft.com/api/incidents", "incidents", 50 / 60),
        ("Security", "POST", "https://api.security.microsoft.com/api/advancedhunting/run", "hunting", 45 / 60),
        ("Contoso Orders", "GET", "https://orders.contoso.com/orders/1", "all", float("inf")),
    ],
)
def test_other_services(service: str, method: str, url: str, limit: str, rate: float) -> None:
    """Azure counts by subscription and kind, Defender by API; a registered service has a single limit."""
    cost = cost_of(service, method, url)

    assert (cost.limit, cost.cost) == (limit, 1)
    assert cost.documented.rate == pytest.approx(rate)


def test_a_limit_too_low_to_be_learned_is_enforced() -> None:
    """A limit of a few requests per second is kept from the first request on; a larger one is learned."""
    enforced = {
        path: cost_of("Graph", "GET", f"{GRAPH}/{path}").documented.enforced
        for path in ("identityProtection/riskyUsers", "auditLogs/signIns", "users", "sites/root")
    }

    assert enforced == {
        "identityProtection/riskyUsers": True,
        "auditLogs/signIns": True,
        "users": False,
        "sites/root": False,
    }


@given(
    st.sampled_from(["Graph", "Azure", "AzureKeyVault", "Endpoint", "Security", "x"]),
    st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"]),
    st.text(st.characters(codec="ascii", exclude_characters="\n"), max_size=60),
)
def test_any_request_has_a_limit_and_a_cost(service: str, method: str, path: str) -> None:
    """Every request counts against some limit, and costs at least one unit."""
    limit, cost, documented = cost_of(service, method, f"https://host/{path}")

    assert limit
    assert cost >= 1
    assert documented.rate > 0


SERVICES = st.sampled_from(["Graph", "GraphBeta", "Azure", "AzureKeyVault", "Endpoint", "Security", "x"])
METHODS = st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"])
VERSION_AND_ROOTS = [
    "v1.0",
    "users",
    "groups",
    "auditLogs",
    "subscriptions",
    "drive",
    "1",
    "2",
    "a'(b)",
    "$count",
    "$ref",
]
FUNCTIONS = ["getByIds", "getMemberGroups", "microsoft.graph.checkMemberGroups", "calendarView()"]
NAMES = [*VERSION_AND_ROOTS, *FUNCTIONS, "memberOf", "members", "messages", "events", "presence"]
QUERIES = st.sampled_from(["", "?", "?$select=id", "?$top=5", "?$expand=manager($select=id)&$top=5", "?a/messages=b/c"])


@given(SERVICES, METHODS, st.lists(st.sampled_from(NAMES), max_size=6), QUERIES, st.sampled_from(NAMES))
def test_requests_of_one_shape_cost_the_same(
    service: str, method: str, segments: list[str], query: str, key: str
) -> None:
    """Which object a request is for does not matter where a shape says so: the same limit, the same cost."""
    url, other = (
        f"https://host/{'/'.join(path)}{query}"
        for path in (segments, [*segments[:2], key, *segments[3:]][: len(segments)])
    )
    if shape_of(method, url) == shape_of(method, other) is not None:
        assert cost_of(service, method, url) == cost_of(service, method, other)


@pytest.mark.parametrize("path", ["users/1", "users/1?$select=id", "groups/1/members", "users/1/drive/root"])
def test_usual_requests_have_a_shape(path: str) -> None:
    """Who calls for each user of a tenant has the cost worked out once."""
    assert shape_of("GET", f"{GRAPH}/{path}") == shape_of("GET", f"{GRAPH}/{path}".replace("/1", "/2"))
    assert shape_of("GET", f"{GRAPH}/{path}") is not None
    assert shape_of("GET", f"{GRAPH}/users/1/messages") is None
