"""The private PostgreSQL that other tests rely on is real, fresh and durable within a module."""

from __future__ import annotations

import pytest
import sqlalchemy

from tests.postgres import Cluster

pytestmark = pytest.mark.needs("postgresql")


def test_the_database_of_a_module_answers_through_sqlalchemy(postgres_url: str) -> None:
    """The address given to tests is one that SQLAlchemy opens as it is."""
    engine = sqlalchemy.create_engine(postgres_url)

    with engine.begin() as connection:
        said = connection.execute(sqlalchemy.text("SELECT version()")).scalar_one()

    engine.dispose()
    assert str(said).startswith("PostgreSQL")


def test_each_database_starts_empty(postgres_cluster: Cluster) -> None:
    """What one module writes, another never sees."""
    first, second = postgres_cluster.create(), postgres_cluster.create()
    with postgres_cluster.connect(first) as connection:
        connection.execute("CREATE TABLE note (line TEXT)")

    with postgres_cluster.connect(second) as connection:
        row = connection.execute("SELECT to_regclass('public.note')").fetchone()

    postgres_cluster.drop(first)
    postgres_cluster.drop(second)
    assert row == (None,)
