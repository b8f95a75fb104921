"""Files in and out: resumable uploads, and results that no browser runs (UP, IS-01)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import httpx
import pytest

from deskhand.hub.app import plain_name
from deskhand.hub.http.messages import HEADERS
from deskhand.limits import UPLOAD_BYTES_MAX, UPLOAD_CHUNK_BYTES_MAX
from deskhand.ports import Draft
from deskhand.protocol.events import ArtifactCreated
from deskhand.protocol.objects import Origin, Role, Trust, Upload
from deskhand.protocol.tasks import Artifact
from tests.rim import TUS, Rim, chunks, code_of, open_rim

CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


@pytest.fixture
async def rim(tmp_path: Path) -> AsyncGenerator[Rim]:
    async with open_rim(tmp_path) as opened:
        yield opened


async def create(client: httpx.AsyncClient, size: int, name: str = "notes.md") -> str:
    told = {"Upload-Length": str(size), "Upload-Metadata": f"filename {_b64(name)}"}
    answer = await client.post("/v1/uploads", headers={**TUS, **told})
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


async def patch(
    client: httpx.AsyncClient, place: str, data: bytes | AsyncIterator[bytes], offset: int
) -> httpx.Response:
    return await client.patch(place, content=data, headers={**CHUNK, "Upload-Offset": str(offset)})


async def known_of(rim: Rim, place: str) -> Upload:
    owner, name = rim.owner, place.rpartition("/")[2]
    upload = await rim.hub.store.upload(owner.account, owner.device, name)
    assert upload is not None
    return upload


async def artifact(rim: Rim, data: bytes, name: str, media_type: str = "image/png") -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    await rim.blobs.put(chunks(data), limit=len(data))
    task = (await rim.local.post("/v1/tasks", json={"text": "make a file"})).json()
    made = Artifact(
        id=rim.ids.new("art"),
        task=task["id"],
        name=name,
        media_type=media_type,
        size=len(data),
        sha256=sha256,
        runner="run_1",
        path=name,
        origin=Origin(surface="agent"),
        trust=Trust.UNTRUSTED,
        created_at="2026-01-02T03:04:05.000Z",
    )
    body = ArtifactCreated(artifact=made, epoch=1)
    draft = Draft(body=body, actor="run_1", task=task["id"], thread=task["thread"])
    await rim.hub.store.write(rim.owner.account, lambda tx: tx.emit(draft))
    return made.id


async def test_one_request_at_a_time_adds_to_an_upload(rim: Rim) -> None:
    """Two writers of one upload would mix their bytes (security 2.4)."""
    place, others = await create(rim.local, 4), list[str]()

    async def jealous() -> AsyncIterator[bytes]:
        others.append(code_of(await patch(rim.local, place, b"that", 0)))
        yield b"mine"

    answer = await patch(rim.local, place, jealous(), 0)

    assert (answer.headers["Upload-Offset"], others) == ("4", ["conflict"])


async def test_an_upload_goes_on_where_it_stopped(rim: Rim) -> None:
    """Cut after the first chunk, asked for its offset, finished; the hash is of the whole (UP-06)."""
    client, data = rim.local, b"first half, second half"
    place = await create(client, len(data))

    first = await patch(client, place, data[:10], 0)
    where = await client.head(place, headers=TUS)
    last = await patch(client, place, data[10:], 10)
    known = await known_of(rim, place)

    assert (first.status_code, last.status_code) == (204, 204)
    assert (where.headers["Upload-Offset"], where.headers["Upload-Length"]) == ("10", str(len(data)))
    assert known.sha256 == hashlib.sha256(data).hexdigest()
    assert (known.media_type, known.name) == ("text/markdown", "notes.md")


async def test_the_disk_knows_how_far_an_upload_is(rim: Rim) -> None:
    """Bytes that were stored before a crash are not asked for twice."""
    client = rim.local
    place = await create(client, 20)
    await rim.blobs.append(place.rpartition("/")[2], chunks(b"0123456789"), offset=0, limit=20)

    where = await client.head(place, headers=TUS)
    behind = await patch(client, place, b"x", 0)

    assert where.headers["Upload-Offset"] == "10"
    assert (behind.status_code, code_of(behind)) == (409, "upload_offset")


async def test_bytes_that_a_crash_left_unnamed_become_a_file(rim: Rim) -> None:
    """All bytes were stored, the process died before naming them: asking how far it is finishes it."""
    place = await create(rim.local, 4)
    await rim.blobs.append(place.rpartition("/")[2], chunks(b"data"), offset=0, limit=4)

    where = await rim.local.head(place, headers=TUS)
    known = await known_of(rim, place)

    assert where.headers["Upload-Offset"] == "4"
    assert known.sha256 == hashlib.sha256(b"data").hexdigest()


async def test_an_upload_is_nobody_elses(rim: Rim) -> None:
    """Another device of the same account gets the 404 of an unknown id, for every verb (IS-01)."""
    place = await create(rim.local, 4)
    _, token = await rim.device(Role.OWNER)
    other = rim.client(token)

    answers = [
        await other.head(place, headers=TUS),
        await patch(other, place, b"evil", 0),
        await other.head("/v1/uploads/upl_unknown", headers=TUS),
    ]

    assert {one.status_code for one in answers} == {404}


async def test_one_writer_per_upload(rim: Rim) -> None:
    """A second request to the same upload at the same time is refused, not mixed in."""
    place = await create(rim.local, 8)
    first_came, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"abcd"
        first_came.set()
        await go_on.wait()
        yield b"efgh"

    async with asyncio.TaskGroup() as group:
        slow = group.create_task(patch(rim.local, place, slowly(), 0))
        await first_came.wait()
        second = await patch(rim.local, place, b"ABCD", 0)
        go_on.set()

    assert (second.status_code, slow.result().status_code) == (409, 204)
    assert rim.blobs.size(hashlib.sha256(b"abcdefgh").hexdigest()) == 8


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({}, 400),
        ({"Upload-Length": "-1"}, 400),
        ({"Upload-Length": str(UPLOAD_BYTES_MAX + 1)}, 413),
        ({"Upload-Defer-Length": "1"}, 400),
        ({"Upload-Length": "1", "Upload-Concat": "partial"}, 400),
        ({"Upload-Length": "1", "X-HTTP-Method-Override": "DELETE"}, 400),
        ({"Upload-Length": "1", "Upload-Metadata": "filename ***"}, 400),
        ({"Upload-Length": "1", "Tus-Resumable": "0.2.2"}, 412),
    ],
)
async def test_what_of_tus_is_not_spoken_is_refused(rim: Rim, told: dict[str, str], status: int) -> None:
    """No deferred length, no concatenation, no method override, no other version (security 2.4)."""
    answer = await rim.local.post("/v1/uploads", headers={**TUS, **told})

    assert answer.status_code == status


async def test_a_body_at_creation_is_refused(rim: Rim) -> None:
    """Bytes come by PATCH only."""
    answer = await rim.local.post("/v1/uploads", content=b"x", headers={**TUS, "Upload-Length": "1"})

    assert answer.status_code == 413


async def test_the_quota_is_reserved_by_the_length(rim: Rim) -> None:
    """Four promises of the largest size fit, the fifth is refused before a byte came (UP-06)."""
    told = {**TUS, "Upload-Length": str(UPLOAD_BYTES_MAX)}

    answers = [await rim.local.post("/v1/uploads", headers=told) for _ in range(5)]

    assert [one.status_code for one in answers] == [201] * 4 + [413]


async def test_more_than_was_promised_is_refused(rim: Rim) -> None:
    """The promised length is the bound of the bytes."""
    place = await create(rim.local, 4)

    over = await patch(rim.local, place, b"12345", 0)
    chunk = await rim.local.patch(
        place, content=b"", headers={**CHUNK, "Upload-Offset": "0", "Content-Length": str(UPLOAD_CHUNK_BYTES_MAX + 1)}
    )

    assert (over.status_code, chunk.status_code) == (413, 413)


async def test_an_empty_file_is_whole_at_once(rim: Rim) -> None:
    """Nothing is left to send for a file of no bytes."""
    place = await create(rim.local, 0)

    known = await known_of(rim, place)

    assert known.sha256 == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.txt", "x.txt"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("\0\n", "file"),
        (" .. ", "file"),
        ("회의록.md", "회의록.md"),
    ],
)
def test_a_hostile_name_is_only_a_label(name: str, kept: str) -> None:
    """Names never choose a place; what is kept of one is its last, printable part (UP-03)."""
    assert plain_name(name) == kept


@pytest.mark.parametrize(
    ("data", "name", "shown_as", "how"),
    [
        (PNG, "a.png", "image/png", "inline"),
        (b"plain words", "a.txt", "text/plain; charset=utf-8", "inline"),
        (b"<html><script>alert(1)</script>", "a.png", "text/plain; charset=utf-8", "inline"),
        (b"<svg onload=alert(1)>", "a.svg", "text/plain; charset=utf-8", "inline"),
        (b"importScripts('x')", "sw.js", "text/plain; charset=utf-8", "inline"),
        (b"%PDF-1.7", "a.pdf", "application/pdf", "attachment"),
        (b"\0\1\2", "a.html", "application/octet-stream", "attachment"),
        (b"a,b\n=1+1,2", "a.csv", "text/csv", "attachment"),
    ],
)
async def test_a_result_is_served_so_that_nothing_of_it_runs(
    rim: Rim, data: bytes, name: str, shown_as: str, how: str
) -> None:
    """The type is what the bytes are, the policy is the hard one, and what the runner claims counts for nothing (UP-04, UP-05)."""
    made = await artifact(rim, data, name)

    answer = await rim.local.get(f"/v1/artifacts/{made}/content")

    assert answer.content == data
    assert answer.headers["Content-Type"] == shown_as
    assert answer.headers["Content-Disposition"].startswith(how)
    assert answer.headers["Content-Security-Policy"] == HEADERS["file"]["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=5-500", 206, b"56789"),
        ("bytes=10-", 416, b""),
        ("bytes=4-2", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("bytes=" + "0-1," * 5000 + "0-1", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
async def test_one_range_is_answered_and_many_are_not(rim: Rim, asked: str, status: int, part: bytes) -> None:
    """A download resumes; a flood of ranges is answered with the whole file once (UP-07)."""
    made = await artifact(rim, b"0123456789", "a.txt")

    answer = await rim.local.get(f"/v1/artifacts/{made}/content", headers={"Range": asked})

    assert (answer.status_code, answer.content) == (status, part)


async def test_a_result_of_another_is_not_found(rim: Rim) -> None:
    """An integration cannot fetch what it did not order, by id or by guess (UP-10, IS-01)."""
    made = await artifact(rim, b"private", "a.txt")
    _, token = await rim.device(Role.CLIENT, "client")

    foreign = await rim.client(token).get(f"/v1/artifacts/{made}/content")
    unknown = await rim.client(token).get("/v1/artifacts/art_none/content")

    assert (foreign.status_code, unknown.status_code) == (404, 404)


async def test_a_runner_stores_bytes_under_their_own_hash_only(rim: Rim) -> None:
    """What arrives is hashed here; another hash than announced is refused."""
    _, token = await rim.device(Role.RUNNER, "runner")
    runner, data = rim.client(token, **{"Content-Type": "application/octet-stream"}), b"result"
    right = hashlib.sha256(data).hexdigest()

    stored = await runner.put(f"/v1/blobs/{right}", content=data)
    wrong = await runner.put(f"/v1/blobs/{'0' * 64}", content=data)
    odd = await runner.put("/v1/blobs/..%2fhub", content=data)

    assert (stored.status_code, stored.json()) == (201, {"sha256": right, "size": 6})
    assert (wrong.status_code, odd.status_code) == (409, 404)


async def test_a_file_of_a_message_reaches_its_task_only(rim: Rim) -> None:
    """The sender's other devices see it; a runner without the task does not."""
    client = rim.local
    place = await create(client, 4)
    await patch(client, place, b"data", 0)
    file = place.rpartition("/")[2]
    await client.post("/v1/tasks", json={"text": "read it", "files": [file]})
    _, token = await rim.device(Role.RUNNER, "runner")
    _, phone = await rim.device(Role.OWNER)

    seen = await rim.client(phone).get(f"/v1/files/{file}/content")
    unseen = await rim.client(token).get(f"/v1/files/{file}/content")

    assert (seen.status_code, seen.content, unseen.status_code) == (200, b"data", 404)


def _b64(name: str) -> str:
    return base64.b64encode(name.encode()).decode()
