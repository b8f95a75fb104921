"""Who sees which conversation, and what can be found by words, in every store alike (P-08, P-09)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deskhand.core.drafting import Draft
from deskhand.core.finding import excerpt, wanted
from deskhand.protocol.events import TaskFinished, ThreadErased, ThreadRenamed, ThreadShared
from deskhand.protocol.objects import Role, Thread
from deskhand.protocol.ops import Principal
from deskhand.protocol.tasks import Task, TaskState
from tests.contract.storing import OWNER, PHONE, A, Box, artifact, begun, emit, file_ref, said, task, thread

MINA = Principal(account=A, id="dev_mina", role=Role.MEMBER, person="Mina")
TABLET = replace(MINA, id="dev_tablet", role=Role.VIEWER)
SAM = Principal(account=A, id="dev_sam", role=Role.MEMBER)
PEOPLE = (OWNER, MINA, TABLET, SAM)


def shared(name: str, *, shared: bool = True, person: str = "Mina") -> Draft:
    """Show a conversation, or take that back."""
    return Draft(body=ThreadShared(shared=shared, person=person), actor=MINA.id, thread=name)


async def sees(box: Box, reader: Principal, name: str) -> set[str]:
    """Return by which roads somebody learns of a conversation."""
    store = box.store
    events = [one for one in (await store.events(reader, after=0, limit=500)).events if one.thread == name]
    listed = await store.find(A, Thread, reader=reader)
    roads = {
        "log": any(one.kind != "thread.shared" for one in events),
        "timeline": any(
            one.kind != "thread.shared" for one in await store.thread_events(reader, name, before=None, limit=50)
        ),
        "by id": await store.get(A, Thread, name, reader=reader) is not None,
        "list": name in {one.id for one in listed},
        "text": any(f'"{name}"' in one for one in await store.texts(A, Thread, reader=reader, latest=True)),
        "tasks": any(one.thread == name for one in await store.find(A, Task, reader=reader)),
        "search": any(one.thread == name for one in await store.search(reader, "plum", limit=50)),
    }
    return {road for road, open_ in roads.items() if open_}


ALL = {"log", "timeline", "by id", "list", "text", "tasks", "search"}


async def test_a_conversation_is_its_persons_alone_until_it_is_shared(box: Box) -> None:
    """IS-05, P-09: every road in the store opens and closes with the one decision, on each device of a person."""
    await begun(box.store)
    await emit(box.store, thread("thr_m", person="Mina"), said("plum", thread="thr_m"), task("tsk_m", thread="thr_m"))
    await emit(box.store, said("plum", thread="thr_1"))

    private = [await sees(box, one, "thr_m") for one in PEOPLE]
    await emit(box.store, shared("thr_m"))
    open_to_all = [await sees(box, one, "thr_m") for one in PEOPLE]
    await emit(box.store, shared("thr_m", shared=False))
    again = [await sees(box, one, "thr_m") for one in PEOPLE]

    assert private == again == [set(), ALL, ALL, set()]
    assert open_to_all == [ALL] * 4
    assert [await sees(box, one, "thr_1") for one in PEOPLE] == [ALL, set(), set(), set()]
    assert await box.store.verify(A) == []


async def test_who_is_told_at_once_is_who_reads_it_later(box: Box) -> None:
    """Fan-out and reading are one decision, whatever order things happen in."""
    await begun(box.store)
    told: list[tuple[int, set[str]]] = []
    box.store.on_commit(
        lambda some: told.extend((one.event.seq, {who.id for who in PEOPLE if one.seen_by(who)}) for one in some)
    )

    await emit(box.store, thread("thr_m", person="Mina"), said("plum", thread="thr_m"), said("to all", thread=None))

    pages = {who.id: await box.store.events(who, after=2, limit=50) for who in PEOPLE}
    read = [(seq, {who for who, page in pages.items() if seq in {one.seq for one in page.events}}) for seq in (3, 4, 5)]
    assert told == read == [(3, {MINA.id, TABLET.id}), (4, {MINA.id, TABLET.id}), (5, {one.id for one in PEOPLE})]


async def test_a_program_sees_what_it_began(box: Box) -> None:
    """A bridge or client works for the owner: it sees its own conversations, the owner sees them, others do not."""
    await begun(box.store)
    client = Principal(account=A, id="dev_client", role=Role.CLIENT)
    await emit(box.store, replace(thread("thr_c"), actor=client.id), said("plum", thread="thr_c"))

    assert (await sees(box, client, "thr_c"), await sees(box, client, "thr_1")) == (ALL - {"tasks"}, set())
    assert [await sees(box, one, "thr_c") for one in PEOPLE] == [ALL - {"tasks"}, set(), set(), set()]


async def test_words_are_found_where_they_stand(box: Box) -> None:
    """P-08: titles, messages, results and names of files; parts of words, Korean too; all words, in any order."""
    await begun(box.store)
    ended = TaskFinished(epoch=1, state=TaskState.COMPLETED, summary="Three invoices are overdue 100%")
    await emit(box.store, said("회의록을 요약해 줘: Plum tart"), artifact(), said("see", files=(file_ref(),)))
    await emit(box.store, Draft(body=ended, actor=PHONE, thread="thr_1", task="tsk_1"))

    async def found(words: str) -> list[tuple[str, str]]:
        return [(one.kind, one.found) for one in await box.store.search(OWNER, words, limit=10)]

    assert await found("about") == [("thread", "About")]
    assert await found("의록") == [("message", "의록")]
    assert await found("tart PLUM") == [("message", "Plum")]
    assert await found("%") == [("result", "%")]
    assert await found("list.c") == [("file", "list.c")]
    assert await found("notes.txt") == [("file", "notes.txt")]
    assert await found("plum invoices") == await found("_o") == await found("  ") == []
    [hit] = await box.store.search(OWNER, "overdue", limit=10)
    assert (hit.thread, hit.task, hit.title, hit.before) == ("thr_1", "tsk_1", "About thr_1", "Three invoices are ")


async def test_what_is_likelier_and_newer_comes_first_and_a_new_title_takes_the_olds_place(box: Box) -> None:
    """Titles before messages, among equals the newest; what a thread was called before is not found."""
    await begun(box.store)
    await emit(box.store, said("plum one"), said("plum two"))
    await emit(box.store, Draft(body=ThreadRenamed(title="Plum"), actor=PHONE, thread="thr_1"))

    hits = await box.store.search(OWNER, "plum", limit=10)

    assert [(one.kind, one.after) for one in hits] == [("thread", ""), ("message", " two"), ("message", " one")]
    assert await box.store.search(OWNER, "about", limit=10) == []
    assert len(await box.store.search(OWNER, "plum", limit=2)) == 2


async def test_what_was_erased_is_not_found(box: Box) -> None:
    """R5: the words of a conversation go with it, in the same write; another one's stay."""
    await begun(box.store)
    await emit(box.store, said("plum"), artifact(), thread("thr_2"), said("plum jam", thread="thr_2"))

    await emit(box.store, Draft(body=ThreadErased(), actor=PHONE, thread="thr_1"))

    assert [one.thread for one in await box.store.search(OWNER, "plum", limit=10)] == ["thr_2"]
    assert box.one("SELECT count(*) FROM words WHERE thread = 'thr_1'") == 0
    assert await box.store.verify(A) == []


async def test_words_that_were_changed_behind_the_logs_back_are_told(box: Box) -> None:
    """R15: what is found by words is a fold of the log like every table of objects."""
    await begun(box.store)

    box.spoil("UPDATE words SET text = 'changed'")

    assert await box.store.verify(A) == ["What can be found by words is not what the log says."]


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("a  b\n c", "b", ("a ", "b", " c")),
        ("x" * 60 + " plum " + "y" * 100, "plum", ("…" + "x" * 39 + " ", "plum", " " + "y" * 79 + "…")),
        ("회의", "의", ("회", "의", "")),
        ("a.b", ".", ("a", ".", "b")),
        ("nothing", "else", ("", "", "nothing")),
    ],
)
def test_an_excerpt_shows_the_place(text: str, words: str, place: tuple[str, str, str]) -> None:
    """One line, cut where it can be seen; letters in parts are found as whole ones."""
    assert excerpt(text, wanted(words)) == place
