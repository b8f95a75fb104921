"""What an owner may write down about the internet, and which requests such an entry speaks of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskhand.egress import parse_target
from deskhand.egress.broker import admits, credential, entry
from deskhand.errors import Code, DeskhandError
from deskhand.permissions.rules import is_shared


@pytest.mark.parametrize(
    "said",
    [
        "github.com",
        "gist.github.com",
        "GET github.com",
        "github.com/me",
        "bucket.s3.amazonaws.com",
        "api.telegram.org:443",
    ],
)
def test_a_host_of_many_tenants_needs_method_and_path(said: str) -> None:
    """NE-04: an entry that would allow what strangers keep there is refused, and says what helps."""
    with pytest.raises(DeskhandError) as caught:
        entry(said)

    assert caught.value.code is Code.CONFIG_INVALID
    assert "say GET" in caught.value.detail


@pytest.mark.parametrize(
    "said",
    [
        "",
        "a b",
        "get example.org",
        "TRACE example.org/",
        "example.org/a?b",
        "https://example.org",
        "user@example.org",
        "*.example.org",
        "example.org:0",
        "127.1",
        "exa\x00mple.org",
    ],
)
def test_an_entry_that_could_mean_something_else_is_refused(said: str) -> None:
    """NE-05: it is read by the same grammar as the addresses it is compared with."""
    with pytest.raises(DeskhandError) as caught:
        entry(said)

    assert caught.value.code in {Code.CONFIG_INVALID, Code.ADDRESS_REFUSED}


@pytest.mark.parametrize(
    ("said", "method", "url", "admitted"),
    [
        ("example.org", "GET", "https://example.org/a", True),
        ("example.org", "POST", "https://example.org/a", True),
        ("example.org", "GET", "https://www.example.org/a", False),
        ("example.org", "GET", "https://example.org.evil.test/a", False),
        ("example.org", "GET", "https://example.org:8443/a", False),
        ("example.org", "GET", "http://example.org/a", False),
        ("example.org:8443", "GET", "https://example.org:8443/a", True),
        ("10.0.0.7:80", "GET", "http://10.0.0.7/a", True),
        ("GET github.com/me", "GET", "https://github.com/me", True),
        ("GET github.com/me", "GET", "https://github.com/me/x?y=/../z", True),
        ("GET github.com/me/", "GET", "https://github.com/me", True),
        ("GET github.com/me", "POST", "https://github.com/me", False),
        ("GET github.com/me", "GET", "https://github.com/mean", False),
        ("GET github.com/me", "GET", "https://github.com/you", False),
        ("GET github.com/me", "CONNECT", "https://github.com", False),
        ("CONNECT github.com/", "CONNECT", "https://github.com", True),
        ("CONNECT github.com/", "GET", "https://github.com/you", False),
        ("example.org", "CONNECT", "https://example.org", True),
        ("example.org/a", "CONNECT", "https://example.org", False),
    ],
)
def test_an_entry_admits_what_it_says(said: str, method: str, url: str, *, admitted: bool) -> None:
    """NE-04: host, port, method and path prefix are each held; a tunnel is admitted for a whole host only."""
    assert admits(said, method, parse_target(url)) is admitted


@given(
    st.lists(
        st.sampled_from(["..", ".", "%2e%2e", "%2E.", "%252e%252e", "..;", "", "me", "you", "..%2fyou", "%5c..", "a"]),
        max_size=6,
    )
)
def test_no_climbing_path_lies_beneath_a_prefix(parts: list[str]) -> None:
    """NE-04: whatever a server makes of dots, double encodings and empty parts, it stays beneath the prefix."""
    path = "/".join(["/me", *parts])
    inner = path.rstrip("/").split("/")[1:]
    climbs = any(not part or "." in part or "%" in part for part in inner)

    admitted = admits("GET github.com/me", "GET", parse_target(f"https://github.com{path}"))

    assert admitted is not climbs


@pytest.mark.parametrize(
    "said",
    [
        "api.example.org",
        "api.example.org Authorization: Bearer",
        "api.example.org Host: {name}",
        "api.example.org Authorization: {a}{b}",
        "github.com Authorization: Bearer {name}",
    ],
)
def test_a_credential_says_where_to_in_which_header_and_whose(said: str) -> None:
    """NE-03: one without a secret's name, for ``Host``, or for a host of many as a whole, is refused."""
    with pytest.raises(DeskhandError) as caught:
        credential(said)

    assert caught.value.code is Code.CONFIG_INVALID


def test_a_shared_host_is_known_by_every_name_beneath_it() -> None:
    """NE-04: and a name that only ends alike is another one."""
    assert [is_shared(name) for name in ("X.GitHub.com.", "notgithub.com", "example.org")] == [True, False, False]
