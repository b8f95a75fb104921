"""What may be called, judged from the URL and the addresses alone: nothing here opens a socket."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from deskhand.egress import ANY_PRIVATE, Egress, EgressRequest, parse_target, reach_of
from deskhand.errors import Code, DeskhandError

GLOBAL = "93.184.216.34"


class NoDial(httpcore.AsyncNetworkBackend):
    """A network that notes what was dialled and refuses it."""

    def __init__(self) -> None:
        """Start with nothing dialled."""
        self.dialled: list[tuple[str, int]] = []

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: object = None,
    ) -> httpcore.AsyncNetworkStream:
        self.dialled.append((host, port))
        raise httpcore.ConnectError


class Names:
    """A resolver with fixed answers that counts the questions."""

    def __init__(self, *addresses: str) -> None:
        """Answer every question with ``addresses``."""
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        """Answer."""
        self.asked.append((name, port))
        return self.addresses


async def verdict(
    url: str, *, names: Names | None = None, allowed: frozenset[str] = frozenset[str]()
) -> tuple[Code, list[tuple[str, int]]]:
    """Return the error of a call on a dead network, and what was dialled before it."""
    network = NoDial()
    egress = Egress(allowed=allowed, resolve=names or Names(GLOBAL), backend=network)
    with pytest.raises(DeskhandError) as caught:
        await egress.send(EgressRequest(method="GET", url=url))
    return caught.value.code, network.dialled


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://0/",
        "https://0.0.0.0/",
        "https://10.0.0.7/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://198.18.0.1/",
        "https://[::]/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::ffff:93.184.216.34]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[64:ff9b:1::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[2001:0:7f00:1::]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fec0::1]/",
        "https://[fd00:ec2::254]/",
        "https://[ff02::1]/",
        "https://[2001:db8::1]/",
    ],
)
async def test_an_inner_address_is_refused_in_every_spelling(url: str) -> None:
    """SS-01: private, mapped, zero, decimal and link-local addresses are refused, undialled and unresolved."""
    names = Names(GLOBAL)

    code, dialled = await verdict(url, names=names)

    assert (code, dialled, names.asked) == (Code.ADDRESS_REFUSED, [], [])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "push.example.org",
        "//push.example.org/",
        "ftp://push.example.org/",
        "file:///etc/passwd",
        "gopher://push.example.org/",
        "unix:///run/docker.sock",
        "https:/push.example.org/",
        "https://user@push.example.org/",
        "https://push.example.org@127.0.0.1/",
        "https://127.0.0.1#@push.example.org/",
        "https://127.0.0.1\\@push.example.org/",
        "https://push.example.org\\.evil.test/",
        "https://push.example.org%00.evil.test/",
        "https://push.example.org\x00/",
        "https://push.example.org/a b",
        "https://push.example.org/\r\nHost: evil.test",
        "https://push.example.org\n/",
        " https://push.example.org/",
        "https://pu\u017fh.example.org/",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://push\u3002example.org/",
        "https://push.example.org./",
        "https://push..example.org/",
        "https://-push.example.org/",
        "https://push.example.org:/",
        "https://push.example.org:0/",
        "https://push.example.org:65536/",
        "https://push.example.org:-1/",
        "https://[::1/",
        "https://push.example.org/#x",
        "https://push.example.org/" + "a" * 5000,
    ],
)
async def test_a_url_that_two_parsers_could_read_differently_is_refused(url: str) -> None:
    """NE-05, SS-03: only one strict grammar is accepted; anything else is neither resolved nor dialled."""
    names = Names(GLOBAL)

    code, dialled = await verdict(url, names=names)

    assert (code, dialled, names.asked) == (Code.ADDRESS_REFUSED, [], [])


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("10.1.2.3",),
        ("169.254.169.254",),
        ("::1",),
        ("::ffff:10.0.0.1",),
        ("64:ff9b::a00:1",),
        ("fd12::1",),
        ("fe80::1%2",),
        (GLOBAL, "127.0.0.1"),
        ("127.0.0.1", GLOBAL),
    ],
)
async def test_a_name_with_any_inner_address_is_refused(addresses: tuple[str, ...]) -> None:
    """SS-01: one address that is not global spoils the whole name."""
    code, dialled = await verdict("https://push.example.org/x", names=Names(*addresses))

    assert (code, dialled) == (Code.ADDRESS_REFUSED, [])


async def test_a_global_name_is_dialled_by_its_judged_address() -> None:
    """SS-02: the name is resolved once and the address that was judged is the one that is dialled."""
    names = Names(GLOBAL)

    code, dialled = await verdict("https://push.example.org/x", names=names)

    assert (code, dialled) == (Code.UNAVAILABLE, [(GLOBAL, 443)])
    assert names.asked == [("push.example.org", 443)]


async def test_the_next_judged_address_is_tried_when_one_does_not_answer() -> None:
    """A failed connect has sent nothing, so every judged address gets its turn, up to the bound."""
    names = Names(*(f"93.184.216.{number}" for number in range(1, 9)))

    _, dialled = await verdict("https://push.example.org/", names=names)

    assert [host for host, _ in dialled] == [f"93.184.216.{number}" for number in range(1, 5)]


@pytest.mark.parametrize(
    ("url", "allowed", "code"),
    [
        ("http://push.example.org/", frozenset[str](), Code.ADDRESS_REFUSED),
        ("https://push.example.org:8443/", frozenset[str](), Code.ADDRESS_REFUSED),
        ("https://push.example.org:8443/", frozenset({"push.example.org:8443"}), Code.UNAVAILABLE),
        ("http://push.example.org:8443/", frozenset({"push.example.org:8443"}), Code.ADDRESS_REFUSED),
        ("http://push.example.org/", frozenset({ANY_PRIVATE}), Code.ADDRESS_REFUSED),
        ("https://push.example.org:8443/", frozenset({ANY_PRIVATE}), Code.ADDRESS_REFUSED),
        ("http://127.0.0.1:4000/", frozenset({"127.0.0.1:4000"}), Code.UNAVAILABLE),
        ("http://127.0.0.1:4001/", frozenset({"127.0.0.1:4000"}), Code.ADDRESS_REFUSED),
        ("http://192.168.1.5:8080/", frozenset({ANY_PRIVATE}), Code.UNAVAILABLE),
        ("http://169.254.169.254/", frozenset({ANY_PRIVATE, "169.254.169.254:80"}), Code.ADDRESS_REFUSED),
    ],
)
async def test_the_owners_entries_lift_exactly_one_rule(url: str, allowed: frozenset[str], code: Code) -> None:
    """Plain http and inner addresses need an explicit entry; metadata addresses have no entry at all."""
    found, _ = await verdict(url, allowed=allowed)

    assert found is code


async def test_a_caller_cannot_send_another_host_header() -> None:
    """NE-07: what is checked, dialled and named in Host is one and the same."""
    network = NoDial()
    request = EgressRequest(method="GET", url="https://push.example.org/", headers={"hOsT": "inner.test"})

    with pytest.raises(DeskhandError) as caught:
        await Egress(resolve=Names(GLOBAL), backend=network).send(request)

    assert (caught.value.code, network.dialled) == (Code.ADDRESS_REFUSED, [])


async def test_an_unknown_name_may_be_tried_again() -> None:
    """A resolver that has no answer is a passing trouble, not a refusal."""
    code, dialled = await verdict("https://push.example.org/", names=Names())

    assert (code, dialled) == (Code.UNAVAILABLE, [])


@given(st.from_regex(r"https?://(\[[0-9a-f:]{2,12}\]|[a-z0-9.:@\\-]{1,20})(:[0-9]{1,5})?(/[!-~]{0,9})?"))
def test_whatever_is_accepted_reads_the_same_to_another_parser(url: str) -> None:
    """NE-05: a differential between our grammar and the standard library's never finds two readings."""
    try:
        target = parse_target(url)
    except DeskhandError:
        return
    other = urlsplit(url)

    assert (target.scheme, target.host, target.port) == (
        other.scheme,
        str(target.literal) if target.literal else other.hostname,
        other.port or {"https": 443, "http": 80}[other.scheme],
    )
    assert target.literal is None or target.literal == ipaddress.ip_address(other.hostname or "")


@given(st.ip_addresses())
def test_no_address_is_called_global_that_the_registry_calls_otherwise(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """SS-01: our judgement is never wider than the standard library's."""
    assert reach_of(address) != "global" or (address.is_global and not address.is_multicast)


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_hides_inside_an_ipv6_one(address: ipaddress.IPv4Address) -> None:
    """SS-01: mapped, compatible, NAT64 and 6to4 forms are never dialled, whatever they carry."""
    number = int(address)
    forms = [
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address(number | 1 << 31),
        ipaddress.IPv6Address(0x0064_FF9B << 96 | number),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80),
    ]

    assert {reach_of(form) for form in forms} == {"never"}
