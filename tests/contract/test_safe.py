"""The safe: sealed by a key that lies elsewhere, wherever this computer can keep one."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typing_extensions import override

from deskhand.errors import Code, DeskhandError
from deskhand.store.private import KEY_FILE, LOCKED, SECRETS_FILE, Safe

VALUE = "sk-canary-of-the-safe"


@dataclass
class Kept:
    """A keyring in memory that answers as it should."""

    held: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    def get_password(self, service: str, name: str, /) -> str | None:
        return self.held.get((service, name))

    def set_password(self, service: str, name: str, value: str, /) -> None:
        self.held[service, name] = value

    def delete_password(self, service: str, name: str, /) -> None:
        del self.held[service, name]


class Forgets(Kept):
    """Takes everything and gives nothing back, as on a computer without a session."""

    @override
    def set_password(self, service: str, name: str, value: str, /) -> None:
        """Take it and forget it."""


class Raises(Kept):
    """Is there and does not work."""

    @override
    def get_password(self, service: str, name: str, /) -> str | None:
        raise RuntimeError(service, name)


class NeverDeletes(Kept):
    """Keeps what it should forget."""

    @override
    def delete_password(self, service: str, name: str, /) -> None:
        """Keep it."""


def safe(home: Path, ring: object = None) -> Safe:
    """Return the safe of a home on a computer with this keyring."""
    return Safe(home, ring=lambda: ring)


def value_of(found: Safe, name: str) -> str | None:
    """Return what is kept under a name."""
    secret = found.read(name)
    return secret.reveal() if secret else None


def keys(found: Safe) -> dict[str, str]:
    """Return where the key of each entry is."""
    return {name: key for name, (key, _) in found.all().items()}


def test_what_is_put_in_comes_out_and_stands_nowhere_in_the_clear(tmp_path: Path) -> None:
    """SE-03: sealed under its name, for its owner alone; equal values do not look equal."""
    found = safe(tmp_path)
    for name in ("A", "B"):
        found.put(name, VALUE)

    entries = json.loads((tmp_path / SECRETS_FILE).read_text())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (value_of(found, "A"), value_of(found, "nobody")) == (VALUE, None)
    assert entries["A"] != entries["B"]
    assert [path for path in files if VALUE.encode() in path.read_bytes()] == []
    assert {path.stat().st_mode & 0o777 for path in files if path.name != "lock"} == {0o600}


def test_an_entry_opens_only_under_its_own_name(tmp_path: Path) -> None:
    """Whoever can write the file cannot have one host's key sent to another."""
    found = safe(tmp_path)
    found.put("good.example", VALUE)
    entries = json.loads((tmp_path / SECRETS_FILE).read_text())
    (tmp_path / SECRETS_FILE).write_text(json.dumps({"evil.example": entries["good.example"]}))

    assert keys(found) == {"evil.example": LOCKED}
    assert found.read("evil.example") is None


@pytest.mark.parametrize("spoiled", ["file:", "file:AAAA", "file:not base64!", "other:AAAA", ""])
def test_a_damaged_entry_counts_as_absent(tmp_path: Path, spoiled: str) -> None:
    """One bad entry takes no other with it."""
    found = safe(tmp_path)
    found.put("A", VALUE)
    entries = json.loads((tmp_path / SECRETS_FILE).read_text())
    (tmp_path / SECRETS_FILE).write_text(json.dumps(entries | {"B": spoiled}))

    assert (value_of(found, "A"), found.read("B"), keys(found)["B"]) == (VALUE, None, LOCKED)


def test_a_keyring_that_answers_holds_the_key(tmp_path: Path) -> None:
    """Then no key lies beside the file, and the same keyring opens a copy of it."""
    ring = Kept()
    safe(tmp_path / "one", ring).put("A", VALUE)
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / SECRETS_FILE).rename(tmp_path / "two" / SECRETS_FILE)

    copy = safe(tmp_path / "two", ring)

    assert (keys(copy), value_of(copy, "A")) == ({"A": "keyring"}, VALUE)
    assert list(ring.held) == [("deskhand", SECRETS_FILE)]
    assert [path.name for path in (tmp_path / "one" / "keys").iterdir()] == ["lock"]
    assert safe(tmp_path / "two", Kept()).read("A") is None


@pytest.mark.parametrize("ring", [None, Forgets(), Raises(), NeverDeletes()])
def test_a_keyring_that_does_not_really_answer_is_passed_over(tmp_path: Path, ring: object) -> None:
    """It is tried with a canary: written, read, deleted."""
    found = safe(tmp_path, ring)

    found.put("A", VALUE)

    assert (keys(found), value_of(found, "A")) == ({"A": "file"}, VALUE)


def test_a_systemd_credential_is_the_key_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service manager keeps it; without it the entry cannot be opened."""
    (tmp_path / "deskhand").write_bytes(os.urandom(40))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    found = safe(tmp_path / "home")
    found.put("A", VALUE)
    there = (keys(found), value_of(found, "A"))

    monkeypatch.delenv("CREDENTIALS_DIRECTORY")

    assert there == ({"A": "credential"}, VALUE)
    assert (keys(found), found.read("A")) == ({"A": LOCKED}, None)


def test_without_its_key_a_safe_goes_on_and_says_what_it_cannot_open(tmp_path: Path) -> None:
    """A new key is made for what comes; the old entries wait for theirs, and come back with it."""
    found = safe(tmp_path)
    found.put("A", VALUE)
    (tmp_path / KEY_FILE).rename(tmp_path / "elsewhere")

    found.put("B", "another value")

    assert keys(found) == {"A": LOCKED, "B": "file"}
    (tmp_path / "elsewhere").rename(tmp_path / KEY_FILE)
    assert value_of(found, "A") == VALUE


@pytest.mark.parametrize("name", [SECRETS_FILE, KEY_FILE])
def test_files_that_others_can_read_are_refused(tmp_path: Path, name: str) -> None:
    """What leaked once is no secret any more: a person has to look (SE-02)."""
    found = safe(tmp_path)
    found.put("A", VALUE)
    (tmp_path / name).chmod(0o644)

    with pytest.raises(DeskhandError) as refused:
        found.read("A")

    assert refused.value.code is Code.HOME_UNSAFE


def test_many_hands_lose_nothing(tmp_path: Path) -> None:
    """Each takes the file for itself while it changes it."""
    hands = [threading.Thread(target=safe(tmp_path).put, args=(f"K{n}", VALUE)) for n in range(12)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()

    found = safe(tmp_path)

    assert len(found.all()) == 12
    assert (found.remove("K0"), found.remove("K0"), len(found.all())) == (True, False, 11)
