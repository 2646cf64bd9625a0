"""The emulated drives: items, their content and its parts, and who may have them."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator
from hashlib import sha256

import aiohttp
import pytest
from yarl import URL

from entra_async.testing import Emulator
from entra_async.testing.drives.file_content import quick_xor_hash
from tests.emulator.support.drive_client import Files, signed_in

DATA = random.Random(5).randbytes(5000)


@pytest.fixture
async def files(emulator: Emulator, http: aiohttp.ClientSession) -> AsyncIterator[Files]:
    """Yield a signed-in client."""
    async with signed_in(emulator, http) as client:
        yield client


async def user_token(files: Files, scope: str, user_name: str = "") -> str:
    """Return a token for a user."""
    emulator = files.emulator
    app = emulator.register_app(public_client=True, delegated=[scope], admin_consent=True)
    user = emulator.add_user(user_name) if user_name else emulator.user
    form = {
        "grant_type": "password",
        "client_id": app.client_id,
        "username": user.user_principal_name,
        "password": user.password,
        "scope": f"https://graph.microsoft.com/{scope}",
    }
    url = f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token"
    async with files.http.post(url, data=form) as response:
        body = await response.json()
        assert response.status == 200, body
        return str(body["access_token"])


async def test_a_small_file_is_written_and_read(files: Files) -> None:
    """PUT creates with 201 and replaces with 200; the item tells size, hashes and tags; folders come by themselves."""
    path = f"{files.drive}/root:/reports/2026/Größe #1.txt:"
    created = await files.graph("PUT", f"{path}/content".replace("#", "%23"), data=DATA)
    assert created.status == 201
    item = (await files.graph("GET", path.replace("#", "%23"))).body
    assert item["id"] == created.body["id"]
    assert (item["name"], item["size"]) == ("Größe #1.txt", 5000)
    assert item["file"]["mimeType"] == "text/plain"
    assert item["file"]["hashes"] == {
        "sha256Hash": sha256(DATA).hexdigest().upper(),
        "quickXorHash": quick_xor_hash(DATA),
    }
    assert item["parentReference"]["path"] == f"{files.drive}/root:/reports/2026"
    assert files.emulator.drives.content("reports/2026/Größe #1.txt") == DATA
    replaced = await files.graph("PUT", f"{files.drive}/items/{item['id']}/content", data=b"less")
    assert (replaced.status, replaced.body["id"], replaced.body["size"]) == (200, item["id"], 4)
    assert item["cTag"] != replaced.body["cTag"]
    assert item["eTag"] != replaced.body["eTag"]
    folder = (await files.graph("GET", f"{files.drive}/root:/reports")).body
    assert (folder["folder"], folder["size"]) == ({"childCount": 1}, 4)


async def test_every_way_to_a_drive_leads_to_it(files: Files) -> None:
    """By id, by user, in parentheses, by item and below an item, with colons encoded or not: the same file."""
    item_id = files.emulator.drives.put("a/b.txt", DATA)
    folder = (await files.graph("GET", f"{files.drive}/root:/a")).body["id"]
    for path in (
        f"{files.drive}/items/{item_id}",
        f"{files.drive}/root:/a/b.txt",
        f"{files.drive}/root:/A/B.TXT:",
        f"{files.drive}/items/root:/a/b.txt:",
        f"{files.drive}/items/{folder}:/b.txt:",
        "/users/ada@contoso.com/drive/root:/a/b.txt",
        f"/users('{files.emulator.user.id}')/drive/items/{item_id}",
    ):
        assert (await files.graph("GET", path)).body["id"] == item_id, path
    encoded = f"{files.emulator.graph_url}/v1.0{files.drive}/items/root%3A%2Fa%2Fb.txt%3A?$select=id,size"
    response = await files.plain("GET", encoded, headers={"Authorization": f"Bearer {files.token}"})
    assert {name for name in response.body if not name.startswith("@odata")} == {"id", "size"}
    drive = await files.graph("GET", files.drive)
    assert (drive.body["driveType"], drive.body["quota"]["used"]) == ("business", 5000)
    assert (await files.graph("GET", f"{files.drive}/root")).body["root"] == {}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "{drive}/root:/nothing", 404, "itemNotFound"),
        ("GET", "{drive}/root:/a.txt/nothing", 404, "itemNotFound"),
        ("GET", "{drive}/items/01NOTHING", 404, "itemNotFound"),
        ("GET", "/drives/b!AAAAAAAAAAAAAAAAAAAAAA", 404, "itemNotFound"),
        ("GET", "/drives/nothing/root", 404, "itemNotFound"),
        ("GET", "/users/nobody@contoso.com/drive", 404, "ResourceNotFound"),
        ("GET", "/me/drive", 400, "BadRequest"),
        ("GET", "{drive}/root/content", 400, "invalidRequest"),
        ("GET", "{drive}/root/children", 400, "BadRequest"),
        ("GET", "{drive}/root:/a.txt:?$select=nothing", 400, "Request_BadRequest"),
        ("GET", "{drive}/root:/a.txt:?$expand=children", 400, "Request_BadRequest"),
        ("PATCH", "{drive}/root:/a.txt", 405, "Request_BadRequest"),
        ("PUT", "{drive}/root/content", 400, "invalidRequest"),
        ("PUT", "{drive}/root:/a.txt/b.txt:/content", 409, "invalidRequest"),
        ("PUT", "{drive}/root:/folder:/content", 409, "nameAlreadyExists"),
        ("PUT", "{drive}/root:/a*b.txt:/content", 400, "invalidRequest"),
        ("PUT", "{drive}/root:/b.:/content", 400, "invalidRequest"),
        ("PUT", "{drive}/root:/a.txt:/content?@microsoft.graph.conflictBehavior=fail", 409, "nameAlreadyExists"),
        ("PUT", "{drive}/root:/a.txt:/content?@microsoft.graph.conflictBehavior=x", 400, "invalidRequest"),
        ("DELETE", "{drive}/root", 403, "accessDenied"),
    ],
)
async def test_nonsense_is_an_error(files: Files, method: str, path: str, status: int, code: str) -> None:
    """What leads nowhere or may not be is refused with OneDrive's codes, and changes nothing."""
    files.emulator.drives.put("a.txt", DATA)
    files.emulator.drives.put("folder/b.txt", DATA)
    response = await files.graph(method, path.format(drive=files.drive), data=b"x" if method == "PUT" else None)
    assert (response.status, response.code) == (status, code)
    assert files.emulator.drives.content("a.txt") == DATA
    assert (await files.graph("GET", f"{files.drive}/root")).body["size"] == 10_000


async def test_a_taken_name_can_give_another(files: Files) -> None:
    """With conflictBehavior rename both files stay, the new one under a name with a number."""
    files.emulator.drives.put("a.b.txt", b"old")
    for number in (1, 2):
        path = f"{files.drive}/root:/a.b.txt:/content?@microsoft.graph.conflictBehavior=rename"
        response = await files.graph("PUT", path, data=b"new")
        assert (response.status, response.body["name"]) == (201, f"a.b {number}.txt")
    assert files.emulator.drives.content("a.b.txt") == b"old"


async def test_tags_guard_and_save(files: Files) -> None:
    """If-Match refuses to write over or delete another state (412); If-None-Match saves reading the same one (304)."""
    path = f"{files.drive}/root:/a.txt:"
    first = (await files.graph("PUT", f"{path}/content", data=b"1")).body
    for where in (path, f"{path}/content"):
        assert (await files.graph("GET", where, headers={"If-None-Match": first["eTag"]})).status == 304
    second = await files.graph("PUT", f"{path}/content", data=b"2", headers={"If-Match": first["eTag"]})
    assert second.status == 200
    assert (await files.graph("GET", path, headers={"If-None-Match": first["eTag"]})).status == 200
    stale = {"If-Match": first["eTag"]}
    assert (await files.graph("PUT", f"{path}/content", data=b"3", headers=stale)).code == "preconditionFailed"
    assert (await files.graph("DELETE", path, headers=stale)).status == 412
    assert (await files.graph("PUT", f"{files.drive}/root:/b.txt:/content", data=b"", headers=stale)).status == 412
    assert (await files.graph("DELETE", path, headers={"If-Match": second.body["eTag"]})).status == 204
    with pytest.raises(FileNotFoundError):
        files.emulator.drives.content("a.txt")


async def test_content_comes_from_another_host(files: Files) -> None:
    """GET content redirects (302) to a URL that needs no token, refuses one, and is good for a few minutes only."""
    files.emulator.drives.put("a.bin", DATA)
    redirect = await files.graph("GET", f"{files.drive}/root:/a.bin:/content")
    assert (redirect.status, redirect.body) == (302, b"")
    url = redirect.headers["Location"]
    assert url.startswith("https://127.0.0.1:")
    whole = await files.plain("GET", url)
    assert (whole.status, whole.body, whole.headers["Accept-Ranges"]) == (200, DATA, "bytes")
    refused = await files.plain("GET", url, headers={"Authorization": f"Bearer {files.token}"})
    assert (refused.status, refused.code) == (401, "unauthenticated")
    assert (await files.plain("GET", f"{url}0")).status == 401
    assert (await files.plain("GET", url.partition("?")[0])).status == 401
    assert all("tempauth=" not in record.raw_query or "***" in record.raw_query for record in files.emulator.requests)
    other = (await files.graph("GET", f"{files.drive}/root:/a.bin")).body["@microsoft.graph.downloadUrl"]
    assert (await files.plain("GET", other)).body == DATA
    files.emulator.clock.move(301)
    assert (await files.plain("GET", url)).status == 401
    assert (await files.plain("POST", url)).status == 405
    assert (await files.plain("GET", f"{files.emulator.drives.url}/nothing")).status == 404


@pytest.mark.parametrize(
    ("requested", "start", "end"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=4000-", 4000, 4999),
        ("bytes=4999-99999", 4999, 4999),
        ("bytes=-10", 4990, 4999),
        ("bytes=-99999", 0, 4999),
    ],
)
async def test_a_part_can_be_read(files: Files, requested: str, start: int, end: int) -> None:
    """A Range is answered 206 with just those bytes, and says which they are."""
    files.emulator.drives.put("a.bin", DATA)
    url = (await files.graph("GET", f"{files.drive}/root:/a.bin:/content")).headers["Location"]
    part = await files.plain("GET", url, headers={"Range": requested})
    assert (part.status, part.body) == (206, DATA[start : end + 1])
    assert part.headers["Content-Range"] == f"bytes {start}-{end}/5000"
    assert int(part.headers["Content-Length"]) == end + 1 - start


async def test_ranges_obey_rfc_9110(files: Files) -> None:
    """Beyond the end is 416; what can't be understood is ignored; If-Range and If-Match hold for this state only."""
    item_id = files.emulator.drives.put("a.bin", DATA)
    url = (await files.graph("GET", f"{files.drive}/root:/a.bin:/content")).headers["Location"]
    for requested in ("bytes=5000-", "bytes=-0"):
        beyond = await files.plain("GET", url, headers={"Range": requested})
        assert (beyond.status, beyond.code, beyond.headers["Content-Range"]) == (416, "invalidRange", "bytes */5000")
    for requested in ("bytes=0-1,3-4", "lines=0-1", "bytes=9-3", "bytes=-", "nonsense"):
        assert (await files.plain("GET", url, headers={"Range": requested})).status == 200
    tag = (await files.plain("GET", url)).headers["ETag"]
    half = {"Range": "bytes=0-9", "If-Range": tag}
    assert (await files.plain("GET", url, headers=half)).status == 206
    assert (await files.plain("GET", url, headers={"If-None-Match": tag})).status == 304
    files.emulator.drives.put("a.bin", b"another")
    changed = await files.plain("GET", url, headers=half)
    assert (changed.status, changed.body) == (200, b"another")
    assert (await files.plain("GET", url, headers={"Range": "bytes=0-1", "If-Match": tag})).status == 412
    await files.graph("DELETE", f"{files.drive}/items/{item_id}")
    assert (await files.plain("GET", url)).status == 404


@pytest.mark.parametrize(
    ("roles", "reads", "writes"),
    [
        (["Files.ReadWrite.All"], 200, 201),
        (["Sites.ReadWrite.All"], 200, 201),
        (["Files.Read.All"], 200, 403),
        (["User.ReadWrite.All"], 403, 403),
    ],
)
async def test_an_app_needs_a_role(
    emulator: Emulator, http: aiohttp.ClientSession, roles: list[str], reads: int, writes: int
) -> None:
    """Reading and writing take application permissions; the emulator's own app has them all."""
    emulator.drives.put("a.txt", DATA)
    emulator.app.roles = frozenset(roles)
    async with signed_in(emulator, http) as files:
        read = await files.graph("GET", f"{files.drive}/root:/a.txt")
        written = await files.graph("PUT", f"{files.drive}/root:/b.txt:/content", data=b"b")
        session = await files.graph("POST", f"{files.drive}/root:/c.txt:/createUploadSession")
    assert (read.status, written.status, session.status) == (reads, writes, 200 if writes == 201 else 403)
    assert writes == 201 or written.code == "accessDenied"


async def test_a_user_has_one_drive(files: Files) -> None:
    """A delegated token opens /me/drive, which is the user's own, and nobody else's; reading alone does not write."""
    files.token = await user_token(files, "Files.ReadWrite")
    written = await files.graph("PUT", "/me/drive/root:/mine.txt:/content", data=b"mine")
    assert written.status == 201
    assert files.emulator.drives.content("mine.txt", user_id="ada@contoso.com") == b"mine"
    assert (await files.graph("GET", "/users/ada@contoso.com/drive/root:/mine.txt")).status == 200
    files.token = await user_token(files, "Files.Read", "grace")
    assert (await files.graph("GET", "/me/drive/root:/mine.txt")).status == 404
    assert (await files.graph("PUT", "/me/drive/root:/mine.txt:/content", data=b"x")).status == 403
    assert (await files.graph("GET", files.drive)).code == "accessDenied"
    assert (await files.graph("GET", "/users/ada@contoso.com/drive")).status == 403


async def test_a_drive_can_be_full(files: Files) -> None:
    """What would not fit is refused with 507 before it is stored."""
    files.emulator.drives.quota_bytes = 6000
    files.emulator.drives.put("a.txt", DATA)
    full = await files.graph("PUT", f"{files.drive}/root:/b.txt:/content", data=DATA)
    assert (full.status, full.code) == (507, "quotaLimitReached")
    session = f"{files.drive}/root:/b.txt:/createUploadSession"
    assert (await files.graph("POST", session, json={"item": {"fileSize": 1001}})).status == 507
    assert (await files.graph("POST", session, json={"item": {"fileSize": 1000}})).status == 200


@pytest.mark.parametrize("cut", [0, 1, 2500, 4999])
async def test_a_download_can_be_cut_and_resumed(files: Files, cut: int) -> None:
    """A fault cuts the download at an exact byte; a Range from there gives the rest."""
    files.emulator.drives.put("a.bin", DATA)
    url = (await files.graph("GET", f"{files.drive}/root:/a.bin:/content")).headers["Location"]
    files.emulator.faults.add("/download/*", service="files", cut_response_after=cut)
    arrived = bytearray()

    async def read_all(response: aiohttp.ClientResponse) -> None:
        async for piece in response.content.iter_any():
            arrived.extend(piece)

    async with files.http.get(URL(url, encoded=True)) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await read_all(response)
    assert arrived == DATA[:cut]
    rest = await files.plain("GET", url, headers={"Range": f"bytes={cut}-"})
    assert bytes(arrived) + rest.body == DATA


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # https://github.com/rclone/rclone/blob/master/backend/onedrive/quickxorhash/quickxorhash_test.go
        ("", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("Sg==", "SgAAAAAAAAAAAAAAAQAAAAAAAAA="),
        ("tbQ=", "taAFAAAAAAAAAAAAAgAAAAAAAAA="),
        ("0pZP", "0rDEEwAAAAAAAAAAAwAAAAAAAAA="),
        ("jRRDVA==", "jaDAEKgAAAAAAAAABAAAAAAAAAA="),
        ("luBZlaT6", "lgBHFipBCn0AAAAABgAAAAAAAAA="),
    ],
)
def test_quick_xor_hash_is_onedrives(data: str, expected: str) -> None:
    """The hash is the one other implementations compute."""
    assert quick_xor_hash(base64.b64decode(data)) == expected


@pytest.mark.parametrize("size", [1, 159, 160, 161, 320, 1000, 5000])
def test_quick_xor_hash_of_long_data(size: int) -> None:
    """Folding blocks changes nothing: byte by byte, as Microsoft describes it, the hash is the same."""
    expected = 0
    for at, byte in enumerate(DATA[:size]):
        for bit in range(8):
            expected ^= (byte >> bit & 1) << (at * 11 + bit) % 160
    expected ^= size << 96
    assert quick_xor_hash(DATA[:size]) == base64.b64encode(expected.to_bytes(20, "little")).decode()


async def test_a_batch_reaches_drives(files: Files) -> None:
    """Items of a batch write small files, are redirected to content, and are refused like requests of their own."""
    path = f"{files.drive}/root:/a.txt:/content"
    text = {"Content-Type": "text/plain"}
    requests = [
        {"id": "1", "method": "PUT", "url": path, "headers": text, "body": base64.b64encode(b"data").decode()},
        {"id": "2", "method": "GET", "url": path, "dependsOn": ["1"]},
        {"id": "3", "method": "GET", "url": f"{files.drive}/root:/nothing"},
    ]
    batch = await files.graph("POST", "/$batch", json={"requests": requests})
    responses = {response["id"]: response for response in batch.body["responses"]}
    assert [responses[key]["status"] for key in "123"] == [201, 302, 404]
    assert (await files.plain("GET", responses["2"]["headers"]["Location"])).body == b"data"
