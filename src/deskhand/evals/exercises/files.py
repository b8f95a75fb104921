"""Files: given better names, sorted, found, compared, and one line of one of them changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from deskhand.evals.exercise import Case, Checker, Desk, Exercise, Outcome
from deskhand.evals.looking import figures, has, lacks
from deskhand.protocol.objects import FolderMode

_THINGS: Final = ("lease", "menu", "offer", "passport", "permit", "recipe", "tax", "ticket", "visa")
_ENDINGS: Final = ("csv", "md", "pdf", "txt")
_SECTIONS: Final = ("web", "mail", "store", "queue")


def _moved(wanted: Mapping[str, str]) -> Checker:
    """Return a look at every file, where it should be now and whole; lists of what was moved do not count."""

    def check(outcome: Outcome) -> Iterator[str]:
        expected = {wanted.get(name, name): data for name, data in outcome.before.items()}
        after = {name: one for name, one in outcome.after.items() if not name.endswith("-list.csv")}
        for name in sorted(expected.keys() | after.keys()):
            if name not in after:
                yield f"{name} is not there"
            elif name not in expected:
                yield f"{name} should not be there"
            elif after[name] != expected[name]:
                yield f"{name} has other content"

    return check


def _rename(desk: Desk) -> Case:
    """The day first, as it sorts; what has no day stays."""
    wanted: dict[str, str] = {}
    for thing in desk.chance.sample(_THINGS, 7):
        day = desk.today - timedelta(days=desk.chance.randrange(10, 900))
        name = f"scans/{thing}_{day:%d.%m.%Y}.{desk.chance.choice(_ENDINGS)}"
        wanted[name] = f"scans/{day}_{thing}.{name.rpartition('.')[2]}"
        desk.put(name, f"{thing} {desk.chance.random()}\n")
    desk.put("scans/readme.txt", "Scans of this year.\n")

    said = (
        "Rename the files in scans/ that have a day in their name (day.month.year): the day first, as YYYY-MM-DD, then "
        "an underscore, then the rest; lease_03.11.2026.txt becomes 2026-11-03_lease.txt. Leave the others as they are."
    )
    return Case(sentences=(said,), check=_moved(wanted), mode=FolderMode.ASK)


def _organize(desk: Desk) -> Case:
    """A folder for each month; what lies deeper stays."""
    wanted: dict[str, str] = {}
    for number in range(12):
        day = desk.today - timedelta(days=desk.chance.randrange(10, 400))
        name = f"{day} {desk.chance.choice(_THINGS)} {number}.{desk.chance.choice(_ENDINGS)}"
        wanted[f"inbox/{name}"] = f"inbox/{day:%Y-%m}/{name}"
        desk.put(f"inbox/{name}", f"{number} {desk.chance.random()}\n")
    desk.put(f"inbox/kept/{desk.today} old.txt", "Stays.\n")
    said = (
        "Sort the files that lie directly in inbox/ into folders inside inbox/, one per month and named YYYY-MM, by the "
        "day in each name. What lies in a folder already stays."
    )
    return Case(sentences=(said,), check=_moved(wanted), command="/organize inbox --by date")


def _duplicates(desk: Desk) -> Case:
    """Groups by content; what only looks alike is none."""
    numbers = iter(desk.chance.sample(range(1000, 9999), 20))
    groups: list[list[str]] = []
    for size in (2, 3, 2):
        content, names = f"{desk.chance.random():.16f}\n" * 20, list[str]()
        for _ in range(size):
            names.append(f"{desk.chance.choice(_THINGS)}-{next(numbers)}.txt")
            desk.put(f"archive/{names[-1]}", content)
        groups.append(names)
    alone = [f"{desk.chance.choice(_THINGS)}-{next(numbers)}.txt" for _ in range(8)]
    for name in alone:
        desk.put(f"archive/{name}", f"{desk.chance.random():.16f}\n" * 20)

    def check(outcome: Outcome) -> Iterator[str]:
        for names in groups:
            yield from lacks(outcome.said, names)
            others = [name for group in groups if group is not names for name in group]
            places = [outcome.said.find(name) for name in names]
            between = outcome.said[min(places) : max(places)]
            if -1 not in places and any(other in between for other in others):
                yield f"{names[0]} and its copies do not stand together"
        yield from has(outcome.said, alone, "has no copy")
        yield from outcome.strays()

    said = (
        "Which files in archive/ have exactly the same content? Tell me the groups, with every file name of each, and "
        "name no other file. Change nothing."
    )
    return Case(sentences=(said,), check=check, command="/duplicates archive")


def _setting(desk: Desk) -> Case:
    """One line of one section; every comment and every other section as before."""
    section, value = desk.chance.choice(_SECTIONS), str(desk.chance.randrange(61, 600))
    before, after = list[str](), list[str]()
    for name in _SECTIONS:
        lines = [
            f"[{name}]",
            f"# how long {name} may take, in seconds; was 45 once",
            f"timeout = {desk.chance.randrange(5, 60)}",
            f"retries={desk.chance.randrange(9)}   ; keep it small",
            "",
        ]
        before += lines
        after += [*lines[:2], f"timeout = {value}", *lines[3:]] if name == section else lines
    desk.put("config/app.ini", "\n".join(before))

    def check(outcome: Outcome) -> Iterator[str]:
        if outcome.text("config/app.ini").splitlines() != "\n".join(after).splitlines():
            yield "the file is not as before but for the one value"
        yield from outcome.strays("config/app.ini")

    said = f"In config/app.ini set the timeout of {section} to {value}. Change nothing else."
    return Case(sentences=(said,), check=check, mode=FolderMode.ASK)


def _find(desk: Desk) -> Case:
    """The one letter of thirty, and what it says; a number with two digits swapped is another."""
    numbers = desk.chance.sample(range(10_000, 99_999), 30)
    letters = {
        f"letter-{desk.chance.choice(_THINGS)}-{place}.txt": (number, desk.chance.randrange(10_000, 99_999))
        for place, number in enumerate(numbers)
    }
    for name, (number, due) in letters.items():
        lines = ["Dear customer,", "", f"for order {number} there are {due} EUR due.", "", "Yours"]
        desk.put(f"letters/{name}", "\n".join(lines) + "\n")
    wanted = desk.chance.choice(list(letters))
    number, due = letters[wanted]

    def check(outcome: Outcome) -> Iterator[str]:
        yield from lacks(outcome.said, (wanted,))
        if due not in figures(outcome.said):
            yield f"missing: {due}"
        yield from has(outcome.said, [name for name in letters if name != wanted], "another letter")
        yield from outcome.strays()

    said = f"Which file in letters/ is about order {number}, and what is due there? Change nothing."
    return Case(sentences=(said,), check=check, command=f"/find {number} --in letters")


EXERCISES: Final = (
    Exercise(name="rename-dates", make=_rename),
    Exercise(name="organize-months", make=_organize, typed=True),
    Exercise(name="duplicates", make=_duplicates, typed=True),
    Exercise(name="edit-setting", make=_setting),
    Exercise(name="find-order", make=_find, typed=True),
)
