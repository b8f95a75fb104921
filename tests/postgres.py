"""A real PostgreSQL for tests: private, on a socket only this run can reach, gone afterwards.

Started from the server's own programs, never the machine's database service. Each pytest process
(xdist worker) has one server; each test module gets a fresh database. It stops only the process it
started.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.needs import postgres_folder

START_SECONDS_MAX = 30
POLL_SECONDS = 0.05
OWNER = "postgres"
SPEED = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=60")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running private server, named by the folder of its socket."""

    folder: Path

    def url(self, database: str) -> str:
        """Give the SQLAlchemy address of one database."""
        return f"postgresql+psycopg://{OWNER}@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Open a connection that commits each statement, as CREATE DATABASE asks."""
        return psycopg.connect(host=str(self.folder), user=OWNER, dbname=database, autocommit=True)

    def create(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def drop(self, name: str) -> None:
        """Remove a database, and whoever is still connected to it."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A private PostgreSQL server; ask for it only with the mark `needs("postgresql")`."""
    programs = postgres_folder()
    if programs is None:
        pytest.fail("a test uses PostgreSQL without the mark needs('postgresql')")
    # Unix socket addresses are at most about 100 bytes long: a short folder, not pytest's own.
    folder = Path(tempfile.mkdtemp(prefix="dhpg-"))
    try:
        with running_server(programs, folder):
            yield Cluster(folder=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def postgres_url(postgres_cluster: Cluster) -> Iterator[str]:
    """The `postgresql+psycopg://` address of a fresh database, one for each test module."""
    name = postgres_cluster.create()
    yield postgres_cluster.url(name)
    postgres_cluster.drop(name)


@contextlib.contextmanager
def running_server(programs: Path, folder: Path) -> Generator[None]:
    """Create the cluster, start it, wait until it answers, and stop that very process."""
    as_owner = drop_root(folder)
    data = folder / "data"
    initialised = subprocess.run(
        [
            *as_owner,
            programs / "initdb",
            "-D",
            data,
            "-U",
            OWNER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C.UTF-8",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert initialised.returncode == 0, initialised.stderr
    log = folder / "server.log"
    with log.open("w") as kept:
        server = subprocess.Popen(
            [*as_owner, programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", *SPEED],
            stdout=kept,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        try:
            wait_until_it_answers(server, folder, log)
            yield
        finally:
            server.send_signal(signal.SIGINT)  # "fast": cut sessions; SIGTERM would wait for them
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=5)
            if server.poll() is None:
                server.kill()
                server.wait()


def drop_root(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: hand the folder and the process to another user."""
    if os.geteuid() != 0:
        return []
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    owner = users.get(OWNER) or users["nobody"]
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", "--"]


def wait_until_it_answers(server: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    """Wait for the state "answers", for as long as the process lives."""
    deadline = time.monotonic() + START_SECONDS_MAX
    waiter = threading.Event()
    while True:
        try:
            Cluster(folder=folder).connect().close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            waiter.wait(POLL_SECONDS)
        else:
            return
