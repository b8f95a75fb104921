"""A command that was permitted to talk to a host, tried from inside its box: that host is reached and nothing else is."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from deskhand import limits
from deskhand.egress.broker import Broker, lines
from deskhand.errors import Code, DeskhandError
from deskhand.ports import Place, ToolResult
from deskhand.protocol.objects import FolderMode
from deskhand.protocol.wire import JsonObject
from deskhand.tools import outward
from deskhand.tools.registry import standard_tools
from tests.contract.sandbox.conftest import PARTIES
from tests.contract.sandbox.parties import Bench, Party
from tests.contract.test_egress_wire import tls_server

pytestmark = [
    pytest.mark.needs("bubblewrap"),
    pytest.mark.needs("overlay"),
    pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no Python below /usr for the box to run"),
]

BOXED = pytest.mark.parametrize("party", PARTIES, indirect=True)
PROBE = r"""
import os, socket, struct, sys, urllib.request
other = int(sys.argv[1])
def tried(name, act):
    try: print(name, "REACHED", act())
    except OSError as error: pass
def raw(kind): return lambda: socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).sendto(b"x", ("192.0.2.1", 0))
tried("another port", lambda: socket.create_connection(("127.0.0.1", other), 1))
tried("another port by proxy", lambda: urllib.request.urlopen(f"https://127.0.0.1:{other}/", timeout=5).status)
tried("address", lambda: socket.create_connection(("192.0.2.1", 443), 1))
tried("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)))
tried("udp to loopback", lambda: socket.create_connection(("127.0.0.53", 53), 1))
tried("icmp", raw(socket.SOCK_RAW))
tried("ping", raw(socket.SOCK_DGRAM))
tried("name", lambda: socket.getaddrinfo("secret.data.example.org", 80))
tried("packet", lambda: socket.socket(17, socket.SOCK_RAW, 0x300))
def hand_over():
    path = next(os.path.join(at, "out") for at, _, names in os.walk("/tmp") if "out" in names)
    out, server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.create_server(("127.0.0.1", 0))
    out.connect(path)
    socket.send_fds(out, [b"1"], [server.fileno()])
    near = socket.create_connection(server.getsockname())
    near.settimeout(1)
    near.sendall(b"CONNECT %s HTTP/1.1\r\n\r\n" % sys.argv[2].encode())
    return near.recv(100)
tried("second hand-over", hand_over)
print(sorted(name for _, name in socket.if_nameindex()))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A server outside all boxes; it lives in a thread, because a normal user's scenario is another process."""

    port: int
    asked: list[str]

    @property
    def host(self) -> str:
        """Return it as the owner lists it."""
        return f"127.0.0.1:{self.port}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Serve on loopback, by TLS."""
    asked: list[str] = []

    class Canary(BaseHTTPRequestHandler):
        """Answers everything."""

        def do_GET(self) -> None:
            """Note it."""
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"tweet")

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Canary) as server:
        _, context = tls_server(tmp_path, "site.example")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Site(port=server.server_port, asked=asked)
        server.shutdown()
        thread.join()


def running(
    party: Party, site: Site, *argv: str, hosts: tuple[str, ...] | None = None
) -> Callable[[Bench], Awaitable[ToolResult]]:
    """Return a scenario: the tool runs a command for which the site is listed."""

    async def play(bench: Bench) -> ToolResult:
        broker = Broker(hosts=lambda: [site.host], path=party.home / "state" / "egress")
        tools = standard_tools(offload=asyncio.to_thread, broker=broker)
        place = Place(
            folder=bench.folder, results=bench.folder, mode=FolderMode.WORKSPACE, sandbox=bench.box, task="tsk_1"
        )
        said: JsonObject = {"argv": [*argv], "hosts": [*(hosts or ())]}
        if hosts is None:
            said["hosts"] = [site.host]
        return await tools["run_command"].call(said, place)

    return play


@BOXED
def test_a_command_reaches_the_host_it_was_permitted_and_no_other(party: Party, site: Site) -> None:
    """NE-01, NE-02, NE-08: no other port, no address, no name, no UDP, no ICMP, no second way with the net on."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        port = str(other.server_port)
        script = (
            "import ssl, urllib.request as u; ctx = ssl._create_unverified_context();"
            f"print(u.urlopen('https://{site.host}/a', context=ctx).read())"
        )

        reached = party.do(running(party, site, "/usr/bin/python3", "-c", script))
        probed = party.do(running(party, site, "/usr/bin/python3", "-c", PROBE, port, site.host))

    assert reached.value["output"] == "b'tweet'\n"
    assert probed.value["output"] == "['lo']\n"
    assert site.asked == ["/a"]
    refused = [line["ended"] for line in lines(party.home / "state" / "egress")[1:]]
    assert refused == [f"address_refused 127.0.0.1:{port} was not asked for"]


@BOXED
@pytest.mark.skipif(shutil.which("curl", path="/usr/bin") is None, reason="no curl in the box")
def test_programs_find_their_way_by_themselves(party: Party, site: Site) -> None:
    """What honours a proxy variable works as it is, and its writes are applied at the end."""
    ended = party.do(running(party, site, "curl", "-sSk", "-o", "got", f"https://{site.host}/b"))

    assert (ended.outcome, site.asked) == ("ok", ["/b"])
    assert (party.work / "got").read_text("utf-8") == "tweet"


@BOXED
def test_without_hosts_there_is_no_proxy_either(party: Party, site: Site) -> None:
    """NE-01: a command that names no host finds neither a socket nor a variable."""
    ended = party.do(running(party, site, "sh", "-c", "env | grep -ci proxy; ls /run", hosts=()))

    assert ended.value["output"] == "0\n"


@BOXED
def test_a_command_ends_as_it_ends(party: Party, site: Site) -> None:
    """The program before it changes neither status nor output, and a missing program is said."""
    exits = party.do(running(party, site, "sh", "-c", "echo out; echo err >&2; exit 3"))
    missing = party.do(running(party, site, "no-such-program"))

    assert (exits.value["exit_code"], exits.value["output"]) == (3, "out\nerr\n")
    assert missing.value["exit_code"] == 127
    assert "no-such-program" in str(missing.value["output"])


@BOXED
def test_a_command_that_says_too_much_ends_its_task(party: Party, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """NE-10: the result says so in the word that ends a task; nothing more goes out."""
    monkeypatch.setattr(limits, "EGRESS_TASK_OUT_BYTES_MAX", 10 * limits.EGRESS_REQUEST_BYTES_MIN)
    script = f"for n in $(seq 15); do curl -sk https://{site.host}/$n; done"

    ended = party.do(running(party, site, "sh", "-c", script))

    assert (ended.outcome, ended.value["code"]) == ("error", "egress_quota")
    assert 0 < len(site.asked) < 10


@pytest.mark.parametrize("party", ["normal user, Landlock"], indirect=True)
def test_a_wall_without_a_network_of_its_own_refuses_every_host(party: Party, site: Site) -> None:
    """NE-01: Landlock alone cannot hold one host, so it holds none."""
    with pytest.raises(DeskhandError) as caught:
        party.do(running(party, site, "true"))

    assert caught.value.code is Code.SANDBOX_UNAVAILABLE


@pytest.mark.parametrize("party", PARTIES[:1], indirect=True)
def test_a_computer_without_python_says_so(party: Party, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """SH-10: where the way out cannot be built, the command does not run without it."""
    monkeypatch.setattr(outward, "PATH_IN_BOX", "/nowhere")

    with pytest.raises(DeskhandError) as caught:
        party.do(running(party, site, "true"))

    assert caught.value.code is Code.SANDBOX_UNAVAILABLE
