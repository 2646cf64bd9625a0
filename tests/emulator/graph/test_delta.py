"""Delta queries of the emulated Graph: everybody first, then what changed, and tokens that end."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

if TYPE_CHECKING:
    from tests.emulator.conftest import Service

DAY_S = 86400
ADA = "/v1.0/users/ada@contoso.com"
GRACE: dict[str, Any] = {
    "accountEnabled": True,
    "displayName": "Grace Murray",
    "mailNickname": "grace",
    "userPrincipalName": "grace@contoso.com",
    "passwordProfile": {"password": "correct horse battery"},
}
GROUP: dict[str, Any] = {
    "displayName": "Night Shift",
    "mailNickname": "night",
    "mailEnabled": False,
    "securityEnabled": True,
}


@dataclass
class Round:
    """One round, read to its end."""

    items: list[dict[str, Any]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    next_links: list[str] = field(default_factory=list)
    delta_link: str = ""

    def by_id(self) -> dict[str, dict[str, Any]]:
        return {item["id"]: item for item in self.items}


async def read(graph: Service, link: str, **headers: str) -> Round:
    """Read a round to its end."""
    whole = Round()
    while not whole.delta_link:
        response = await graph.get(link, headers=headers)
        assert response.status == 200, response.body
        assert ("@odata.nextLink" in response.body) != ("@odata.deltaLink" in response.body)
        whole.items += response.body["value"]
        whole.sizes.append(len(response.body["value"]))
        whole.delta_link = response.body.get("@odata.deltaLink", "")
        link = response.body.get("@odata.nextLink", "")
        whole.next_links += [link] if link else []
    return whole


async def patch(graph: Service, path: str, **changes: Any) -> None:
    assert (await graph.request("PATCH", path, json=changes)).status == 204


async def test_first_round_has_every_object(graph: Service) -> None:
    """Pages of the size set hold every user once; links carry the token and nothing else."""
    graph.behaviour.page_size = 60
    first = await read(graph, "/v1.0/users/delta?$select=displayName")
    assert first.sizes == [60, 60, 60, 60, 10]
    assert [item["id"] for item in first.items] == [graph.directory.user_id(index) for index in range(250)]
    assert first.items[0] == {"displayName": "Ada Lovelace", "id": graph.directory.user_id(0)}
    assert {tuple(URL(link).query) for link in first.next_links} == {("$skiptoken",)}
    assert first.delta_link.startswith(f"{graph.url}/v1.0/users/delta?$deltatoken=")
    second = await read(graph, first.delta_link)
    assert (second.items, second.sizes) == ([], [0])


@pytest.mark.parametrize("name", ["delta", "delta()", "microsoft.graph.delta", "microsoft.graph.delta()"])
async def test_function_goes_by_each_of_its_names(graph: Service, name: str) -> None:
    """The function is found by its short and its full name, with and without parentheses."""
    response = await graph.get(f"/v1.0/groups/{name}")
    assert len(response.body["value"]) == 20
    assert response.body["@odata.context"] == f"{graph.url}/v1.0/$metadata#groups"


async def test_changes_are_reported_once(graph: Service) -> None:
    """Created, changed and deleted users come in the next round, as they are now, and never again."""
    known = await read(graph, "/v1.0/users/delta?$deltatoken=latest")
    assert known.items == []
    created = (await graph.request("POST", "/v1.0/users", json=GRACE)).body
    for title in ("Analyst", "Countess"):
        await patch(graph, ADA, jobTitle=title)
    gone = graph.directory.user_id(7)
    assert (await graph.request("DELETE", f"/v1.0/users/{gone}")).status == 204
    changes = await read(graph, known.delta_link)
    assert changes.by_id().keys() == {created["id"], graph.directory.user_id(0), gone}
    assert len(changes.items) == 3
    assert changes.by_id()[gone] == {"id": gone, "@removed": {"reason": "changed"}}
    assert changes.by_id()[created["id"]]["displayName"] == "Grace Murray"
    ada = changes.by_id()[graph.directory.user_id(0)]
    assert (ada["jobTitle"], ada["surname"]) == ("Countess", "Lovelace")
    assert (await read(graph, changes.delta_link)).items == []
    assert (await read(graph, known.delta_link)).items == changes.items  # an old link still tells it


async def test_changes_made_in_python_are_reported(graph: Service) -> None:
    """What a test changes in the directory is told like what a request changed."""
    known = await read(graph, "/v1.0/users/delta?$deltatoken=latest&$select=city")
    users = graph.directory.users
    users.update(3, {"city": "Turin"})
    users.delete(4, restorable=False)
    assert (await read(graph, known.delta_link)).items == [
        {"id": graph.directory.user_id(3), "city": "Turin"},
        {"id": graph.directory.user_id(4), "@removed": {"reason": "deleted"}},
    ]


async def test_change_during_a_round_is_reported_in_the_next(graph: Service) -> None:
    """Whoever changes behind the reader's back, on a page already read, is told in the next round: nothing is lost."""
    graph.behaviour.page_size = 100
    first = (await graph.get("/v1.0/users/delta?$select=city")).body
    await patch(graph, ADA, city="Turin")
    await graph.request("DELETE", f"/v1.0/users/{graph.directory.user_id(1)}")
    await graph.request("DELETE", f"/v1.0/users/{graph.directory.user_id(200)}")
    rest = await read(graph, first["@odata.nextLink"])
    assert len(rest.items) == 149
    changes = (await read(graph, rest.delta_link)).by_id()
    assert changes[graph.directory.user_id(0)]["city"] == "Turin"
    removed = {"reason": "changed"}
    assert (
        changes[graph.directory.user_id(1)]["@removed"] == changes[graph.directory.user_id(200)]["@removed"] == removed
    )


async def test_select_tracks_only_what_it_names(graph: Service) -> None:
    """A change of another property is not told; without $select every property is tracked."""
    some = await read(graph, "/v1.0/users/delta?$deltatoken=latest&$select=city")
    every = await read(graph, "/v1.0/users/delta?$deltatoken=latest")
    await patch(graph, ADA, department="Mathematics")
    await patch(graph, ADA, surname="Lovelace")  # it was that before
    assert (await read(graph, some.delta_link)).items == []
    (changes,) = (await read(graph, every.delta_link)).items
    assert (changes["department"], changes["surname"]) == ("Mathematics", "Lovelace")


async def test_minimal_has_only_what_changed(graph: Service) -> None:
    """With Prefer: return=minimal an entry has its id and the changed properties; a new user has them all."""
    known = await read(graph, "/v1.0/users/delta?$deltatoken=latest&$select=city,jobTitle,surname")
    await patch(graph, ADA, city="Turin")
    await patch(graph, ADA, jobTitle=None)
    created = (await graph.request("POST", "/v1.0/users", json=GRACE)).body["id"]
    changes = await read(graph, known.delta_link, Prefer='odata.include="x", return=Minimal')
    assert changes.items == [
        {"id": graph.directory.user_id(0), "city": "Turin", "jobTitle": None},
        {"id": created, "city": None, "jobTitle": None, "surname": None},
    ]


async def test_filter_confines_to_ids(graph: Service) -> None:
    """Only the users with these ids are told, in the first round and in later ones, deletions included."""
    ids = [graph.directory.user_id(index) for index in (3, 5)]
    query = f"id eq '{ids[0].upper()}' or id eq '{ids[1]}'"
    first = await read(graph, f"/v1.0/users/delta?$filter={query}&$select=id")
    assert [item["id"] for item in first.items] == ids
    await patch(graph, ADA, city="Turin")
    await graph.request("DELETE", f"/v1.0/users/{ids[1]}")
    assert (await read(graph, first.delta_link)).items == [{"id": ids[1], "@removed": {"reason": "changed"}}]


async def test_deleted_for_good_and_restored(graph: Service) -> None:
    """What leaves the deleted items is told as deleted, what comes back as an ordinary user."""
    known = await read(graph, "/v1.0/users/delta?$deltatoken=latest&$select=displayName")
    ids = [graph.directory.user_id(index) for index in (0, 1)]
    for user_id in ids:
        await graph.request("DELETE", f"/v1.0/users/{user_id}")
    restored = await graph.request("POST", f"/v1.0/directory/deletedItems/{ids[0]}/restore")
    assert (restored.status, restored.body["@odata.type"]) == (200, "#microsoft.graph.user")
    assert (await graph.request("DELETE", f"/v1.0/directory/deletedItems/{ids[1]}")).status == 204
    changes = (await read(graph, known.delta_link)).by_id()
    assert changes == {
        ids[0]: {"id": ids[0], "displayName": "Ada Lovelace"},
        ids[1]: {"id": ids[1], "@removed": {"reason": "deleted"}},
    }
    assert (await graph.get(ADA)).status == 200
    assert (await graph.request("POST", f"/v1.0/directory/deletedItems/{ids[1]}/restore")).status == 404


async def test_groups_have_a_delta_of_their_own(graph: Service) -> None:
    """Groups that are created, changed and deleted are told; security groups are deleted for good at once."""
    known = await read(graph, "/v1.0/groups/delta?$deltatoken=latest&$select=displayName")
    await patch(graph, ADA, city="Turin")
    created = (await graph.request("POST", "/v1.0/groups", json=GROUP)).body["id"]
    group_id = graph.directory.groups.reader("id")
    await patch(graph, f"/v1.0/groups/{group_id(2)}", displayName="Day Shift")
    for index in (0, 1):  # Microsoft 365, security
        assert (await graph.request("DELETE", f"/v1.0/groups/{group_id(index)}")).status == 204
    assert (await read(graph, known.delta_link)).items == [
        {"id": created, "displayName": "Night Shift"},
        {"id": group_id(2), "displayName": "Day Shift"},
        {"id": group_id(0), "@removed": {"reason": "changed"}},
        {"id": group_id(1), "@removed": {"reason": "deleted"}},
    ]


async def test_changes_come_in_pages(graph: Service) -> None:
    """A round of changes is paged like the first one, and stays the round it was while more happens."""
    graph.behaviour.page_size = 4
    known = await read(graph, "/v1.0/users/delta?$deltatoken=latest&$select=city")
    for index in range(10):
        graph.directory.users.update(index, {"city": f"City {index}"})
    first = (await graph.get(known.delta_link)).body
    graph.directory.users.update(0, {"city": "Turin"})
    rest = await read(graph, first["@odata.nextLink"])
    assert [len(first["value"]), *rest.sizes] == [4, 4, 2]
    cities = [item["city"] for item in (*first["value"], *rest.items)]
    assert cities == [f"City {index}" for index in range(10)]
    assert [item["city"] for item in (await read(graph, rest.delta_link)).items] == ["Turin"]


async def test_empty_pages_are_no_end(graph: Service) -> None:
    """With empty pages switched on, an empty page has a nextLink, and nobody is lost, in either kind of round."""
    graph.behaviour.empty_pages = 2
    graph.behaviour.page_size = 100
    first = await read(graph, "/v1.0/users/delta?$select=id")
    assert first.sizes == [100, 0, 100, 0, 50]
    for index in range(250):
        graph.directory.users.update(index, {"city": "Turin"})
    assert (await read(graph, first.delta_link)).items == []  # id is what is tracked
    every = await read(graph, "/v1.0/users/delta")
    graph.directory.users.update(0, {"city": "Bath"})
    graph.directory.users.update(1, {"city": "Bath"})
    graph.behaviour.page_size = 1
    assert (await read(graph, every.delta_link)).sizes == [1, 0, 1]


async def test_replays_end_with_the_truth(graph: Service) -> None:
    """With replays, objects come more than once, as they were on the way; the last time is how they are."""
    graph.behaviour.delta_replays = True
    first = await read(graph, "/v1.0/users/delta?$select=city,jobTitle")
    assert len(first.items) > len(first.by_id()) == 250
    await patch(graph, ADA, city="Turin")
    await patch(graph, ADA, city="Bath", department="Mathematics")
    gone = graph.directory.user_id(1)
    await graph.request("DELETE", f"/v1.0/users/{gone}")
    await graph.request("POST", f"/v1.0/directory/deletedItems/{gone}/restore")
    changes = await read(graph, first.delta_link)
    ada = graph.directory.user_id(0)
    assert [item["city"] for item in changes.items if item["id"] == ada] == ["Turin", "Bath", "Bath"]
    assert [("@removed" in item) for item in changes.items if item["id"] == gone] == [True, False, False]
    assert changes.by_id()[ada].keys() == {"id", "city", "jobTitle"}


@pytest.mark.parametrize("seed", range(6))
async def test_a_mirror_kept_by_deltas_equals_the_directory(graph: Service, seed: int) -> None:
    """However writes fall between the pages of rounds, whoever applies what is told holds what a full read gives."""
    chance = random.Random(seed)
    graph.behaviour.page_size = chance.choice([1, 7, 40])
    graph.behaviour.delta_replays = seed % 2 == 1
    graph.behaviour.empty_pages = chance.choice([0, 3])
    users = graph.directory.users
    mirror: dict[str, dict[str, Any]] = {}

    def write() -> None:
        index = chance.randrange(60)
        match chance.choice(["create", "update", "delete", "restore", "purge"]):
            case "create":
                users.create({"userPrincipalName": f"new{chance.random()}@contoso.com", "city": "Bath"})
            case "update" if index in users:
                users.update(index, {"city": chance.choice(["Turin", None, "Bath"]), "jobTitle": str(index)})
            case "delete" if index in users:
                users.delete(index)
            case "restore" if users.removal(index) == "changed":
                users.restore(index)
            case "purge" if users.removal(index) == "changed":
                users.purge(index)

    link = "/v1.0/users/delta?$select=city,jobTitle"
    for number in range(4):
        headers = {"Prefer": "return=minimal"} if number % 2 else {}
        ended = False
        while not ended:
            body = (await graph.get(link, headers=headers)).body
            for item in body["value"]:
                if "@removed" in item:
                    mirror.pop(item["id"], None)
                else:
                    mirror[item["id"]] = mirror.get(item["id"], {}) | item
            ended = "@odata.deltaLink" in body
            link = body["@odata.deltaLink"] if ended else body["@odata.nextLink"]
            for _ in range(chance.randrange(4) if number < 3 else 0):
                write()
    everybody = await graph.items("/v1.0/users?$top=999&$select=city,jobTitle,id")
    assert mirror == {user["id"]: user for user in everybody}


RESETS = [
    ("location", 410, "syncStateNotFound"),
    ("gone", 410, "SyncStateNotFound"),
    ("sync_state_not_found", 400, "syncStateNotFound"),
    ("resync_required", 410, "resyncRequired"),
]


@pytest.mark.parametrize(("reset", "status", "code"), RESETS)
async def test_expired_tokens_are_refused(graph: Service, reset: Any, status: int, code: str) -> None:
    """Both kinds of link die at once when a test says so, in the form it says; a new round works."""
    graph.behaviour.page_size = 100
    path = "/v1.0/users/delta?$select=id&$filter=id eq 'x' or id eq 'y'"
    link = (await graph.get("/v1.0/users/delta")).body["@odata.nextLink"]
    known = await read(graph, path)
    graph.behaviour.expire_delta_tokens(reset)
    for dead in (link, known.delta_link, known.delta_link):
        response = await graph.get(dead)
        assert (response.status, response.body["error"]["code"]) == (status, code)
        assert ("Location" in response.headers) == (reset == "location")
    if reset == "location":
        location = (await graph.get(known.delta_link)).headers["Location"]
        assert dict(URL(location).query) == {"$select": "id", "$filter": "id eq 'x' or id eq 'y'", "$deltatoken": ""}
        assert (await read(graph, location)).items == []
    assert len((await read(graph, "/v1.0/users/delta")).items) == 250


async def test_tokens_live_seven_days(graph: Service) -> None:
    """A link works on the seventh day and not after; a test can set another life."""
    known = await read(graph, "/v1.0/users/delta")
    graph.clock.move(7 * DAY_S)
    renewed = await read(graph, known.delta_link)
    graph.clock.move(1)
    response = await graph.get(known.delta_link)
    assert (response.status, response.headers["Location"]) == (410, f"{graph.url}/v1.0/users/delta?$deltatoken=")
    assert (await graph.get(renewed.delta_link)).status == 200
    graph.behaviour.delta_token_lifetime_s = 0.5
    assert (await graph.get(renewed.delta_link)).status == 410


async def test_one_page_can_expire_once(graph: Service) -> None:
    """The link to page 3 of a round dies when it is used, once: the round that starts over gets to its end."""
    graph.behaviour.page_size = 100
    graph.behaviour.expire_delta_tokens("sync_state_not_found", at_page=3)
    first = (await graph.get("/v1.0/users/delta")).body
    second = (await graph.get(first["@odata.nextLink"])).body
    for _ in range(2):
        assert (await graph.get(second["@odata.nextLink"])).status == 400
    assert (await read(graph, "/v1.0/users/delta")).sizes == [100, 100, 50]


@pytest.mark.parametrize(
    "query",
    [
        *("$top=5", "$orderby=displayName", "$expand=manager", '$search="displayName:a"', "$count=true", "$skip=1"),
        *("$filter=displayName eq 'x'", "$filter=startsWith(id,'x')", "$filter=id ne 'x'", "$filter=id eq null"),
        *("$filter=id in ('x')", "$filter=not(id eq 'x')", "$filter=id eq 'x' and id eq 'y'", "$filter=id eq"),
        "$filter=" + " or ".join(f"id eq '{number}'" for number in range(51)),
        *("$select=shoeSize", "$deltatoken=forged", "$skiptoken=forged", "$skiptoken=", "$deltatoken=&$skiptoken="),
    ],
)
async def test_what_a_delta_query_does_not_take(graph: Service, query: str) -> None:
    """Other options than $select, and other filters than up to 50 ids, are a 400."""
    assert (await graph.get(f"/v1.0/users/delta?{query}", eventual=True)).status == 400


async def test_fifty_ids_are_taken(graph: Service) -> None:
    """A filter on fifty ids is served."""
    query = " or ".join(f"id eq '{graph.directory.user_id(index)}'" for index in range(50))
    assert len((await read(graph, f"/v1.0/users/delta?$filter={query}")).items) == 50


async def test_tokens_belong_to_their_query(graph: Service) -> None:
    """A token is no good as the other kind, for another collection or version, or beside another option."""
    graph.behaviour.page_size = 100
    first = (await graph.get("/v1.0/users/delta")).body["@odata.nextLink"]
    known = (await read(graph, first)).delta_link
    wrong = [
        *(f"{link}&$select=id" for link in (first, known)),
        *(link.replace("/users/", "/groups/") for link in (first, known)),
        *(link.replace("/v1.0/", "/beta/") for link in (first, known)),
        first.replace("$skiptoken", "$deltatoken"),
        known.replace("$deltatoken", "$skiptoken"),
        f"{known[:-1]}",
    ]
    for link in wrong:
        assert (await graph.get(link)).status == 400, link
    spelled = known.replace("$deltatoken", "%24deltaToken").replace("/delta?", "/microsoft.graph.delta()?")
    assert (await graph.get(spelled)).status == 200


async def test_reading_is_what_it_takes(graph: Service) -> None:
    """A delta query takes the role its collection takes."""
    graph.roles = frozenset({"Group.Read.All"})
    assert (await graph.get("/v1.0/users/delta")).status == 403
    assert (await graph.get("/v1.0/groups/delta")).status == 200
