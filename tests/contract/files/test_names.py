"""Names beneath a handle: odd spellings, what runs by itself, and which directories may be granted."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from deskhand.errors import Code
from deskhand.tools.beneath import Folder, refuse_root
from tests.contract.files.handles import LIMIT, every_use, refusal

# --- FS-01, FS-02: spellings

SPELLINGS = [
    "../work-private/secret.txt",
    "notes/../../work-private/secret.txt",
    "/etc/passwd",
    "//server/share",
    "notes//a.md",
    "~/secret.txt",
    "~root/x",
    "$HOME/secret.txt",
    "${HOME}/x",
    "%USERPROFILE%/x",
    "%2e%2e/work-private/secret.txt",
    "notes%2Fa.md",
    "notes/a.md\0.txt",
    "notes\\..\\..\\secret.txt",
    "\\\\server\\share",
    "C:/Windows/win.ini",
    "notes/a.md:hidden",
    "notes/a.md::$DATA",
    "notes/\u202emd.exe",
    "notes/a\u200b.md",
    "notes/line\nbreak.md",
    "notes/a.md.",
    "notes/a.md ",
    "notes /a.md",
    "\udcff\udcfe",
    "x" * 256,
    "d/" * 65 + "x",
]


@pytest.mark.parametrize("rel", SPELLINGS, ids=ascii)
def test_a_spelling_that_means_something_elsewhere_is_refused(folder: Folder, rel: str) -> None:
    """FS-01, FS-02: neither reading nor writing guesses what was meant."""
    codes = {
        refusal(lambda: folder.read(rel, limit=LIMIT)),
        refusal(lambda: folder.write(rel, b"x")),
        refusal(lambda: folder.mkdir(rel)),
        refusal(lambda: folder.move("notes/a.md", rel)),
    }

    assert codes == {Code.PATH_REFUSED}


def test_an_honest_existing_name_can_still_be_read(folder: Folder) -> None:
    """FS-01 bites names that are fine on POSIX: reading an exact existing one works, making one does not."""
    (folder.root / "Notes: May.txt").write_bytes(b"may")

    assert folder.read("Notes: May.txt", limit=LIMIT) == b"may"
    assert refusal(lambda: folder.write("Notes: June.txt", b"")) is Code.PATH_REFUSED


@pytest.mark.parametrize("rel", ["회의록.md", "Übung äöü.md", "👩‍💻.txt", "a b (1).md", ".env", "AGENTS.md"])
def test_ordinary_names_of_every_language_can_be_made(folder: Folder, rel: str) -> None:
    """The rules stop tricks, not people."""
    folder.write(rel, b"fine")

    assert folder.read(rel, limit=LIMIT) == b"fine"


# --- FS-08, FS-11: protected names

PROTECTED = [
    ".git/config",
    ".git/hooks/pre-commit",
    ".git/info/attributes",
    ".git/objects/info/alternates",
    ".git",
    "vendor/lib/.git/config",
    ".GIT/config",
    ".\uff47\uff49\uff54/config",
    ".g\u200dit/config",
    "git~1/config",
    ".hg/hgrc",
    ".deskhand.toml",
    ".bashrc",
    ".Zshrc",
    "sub/.profile",
    ".vscode/tasks.json",
    ".VSCode/tasks.json",
    ".mcp.json",
    ".envrc",
    ".npmrc",
    ".husky/pre-commit",
    ".claude/settings.json",
    ".ssh/authorized_keys",
]


@pytest.mark.parametrize("existing", [True, False], ids=["there", "not there yet"])
@pytest.mark.parametrize("rel", PROTECTED, ids=ascii)
def test_what_runs_by_itself_cannot_be_written(folder: Folder, rel: str, *, existing: bool) -> None:
    """FS-11, FS-08: hooks, shell and tool settings are refused in every case and width, also before they exist."""
    path = folder.root / rel
    if existing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"as it was")
    writing = ("write", "mkdir", "remove", "move from", "move to")

    codes = {use: refusal(act) for use, act in every_use(folder, rel).items() if use in writing}

    allowed = {Code.PROTECTED_NAME} | ({Code.CONFLICT} if existing else set[Code]())
    assert codes["write"] is Code.PROTECTED_NAME
    assert set(codes.values()) <= allowed
    assert path.exists() == existing


@pytest.mark.parametrize("rel", [".git/objects/ab/cd", ".git/index", ".git/refs/heads/main", ".gitignore"])
def test_an_ordinary_commit_may_be_written_into_an_existing_repository(folder: Folder, rel: str) -> None:
    """FS-11 protects what can name a program, not the history itself."""
    (folder.root / ".git").mkdir()
    parent = str(Path(rel).parent)

    folder.mkdir(parent)
    folder.write(rel, b"data")

    assert folder.read(rel, limit=LIMIT) == b"data"


def test_a_protected_name_cannot_be_reached_by_moving_its_parent(folder: Folder) -> None:
    """FS-11: building the directory elsewhere and moving it into place is refused too."""
    folder.mkdir("harmless/hooks")
    folder.write_from("harmless/hooks/pre-commit", BytesIO(b"#!/bin/sh\n"), limit=99, mode=0o755)

    assert refusal(lambda: folder.move("harmless", ".git")) is Code.PROTECTED_NAME
    assert refusal(lambda: folder.move("harmless/hooks", ".git/hooks")) is Code.PROTECTED_NAME


# --- which directories may be granted


@pytest.mark.parametrize("choice", ["home", "/", "home/..", "state", "state/x", "data", ".ssh", ".config/app"])
def test_some_directories_are_never_a_folder(tmp_path: Path, choice: str) -> None:
    """The home itself, what contains it, our own state, and where credentials live are refused as a folder."""
    home, state = tmp_path / "u" / "home", tmp_path / "u" / "home" / "data" / "deskhand"
    for each in (home / ".ssh", home / ".config" / "app", state / "x", home / "work"):
        each.mkdir(parents=True)
    paths = {
        "home": home,
        "/": Path("/"),
        "home/..": home / "..",
        "state": state,
        "state/x": state / "x",
        "data": home / "data",
    }

    path = paths.get(choice, home / choice)

    assert refusal(lambda: refuse_root(path, home=home, state=state)) is Code.FOLDER_REFUSED
    assert refuse_root(home / "work", home=home, state=state) == home / "work"


@pytest.mark.parametrize("path", ["/etc", "/usr/share", "/proc", "/run", "/no/such/place", "/etc/passwd"])
def test_system_directories_are_never_a_folder(tmp_path: Path, path: str) -> None:
    """A tree that the system owns is no place for work."""
    code = refusal(lambda: refuse_root(Path(path), home=tmp_path / "h", state=tmp_path / "s"))

    assert code is Code.FOLDER_REFUSED
