"""A `tailscale` program that answers as the real one (1.9x), and its road: https under one name, to what is served.

Names are looked up by a `sitecustomize.py` that only the program under test loads, so that no port below 1024 and no
network is needed. It keeps its state in a file, says every call, and is no mock: whoever calls it runs it.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deskhand.clock import SystemClock

NAME = "laptop.tail1234.ts.net"
DENIED = """sending serve config: Access denied: serve config denied

Use 'sudo tailscale serve --bg --https=443 http://127.0.0.1:3375'.
To not require root, use 'sudo tailscale set --operator=$USER' once.
"""
DISABLED = """
Serve is not enabled on your tailnet.
To enable, visit:

         https://login.tailscale.com/f/serve?node=nABC123
"""
AWAY = "failed to connect to local tailscaled; it doesn't appear to be running (sudo systemctl start tailscaled ?)\n"
ANOTHER = {
    "TCP": {"443": {"HTTPS": True}},
    "Web": {f"{NAME}:443": {"Handlers": {"/": {"Proxy": "http://127.0.0.1:8123"}}}},
}
PROGRAM = """#!{python}
import json, sys, time
from pathlib import Path

place = Path(__file__).parent / "tailscale.json"
state, words = json.loads(place.read_text()), sys.argv[1:]
state["calls"].append(words)

def end(code=0, out="", err=""):
    place.write_text(json.dumps(state))
    sys.stdout.write(out)
    sys.stderr.write(err)
    sys.stdout.flush()
    sys.exit(code)

if state["away"]:
    end(1, err=state["away"])
if words[:2] == ["status", "--json"]:
    end(out=json.dumps(state["status"], indent=2))
if words == ["serve", "status", "--json"]:
    end(out=json.dumps(state["served"], indent=2))
if state["denied"]:
    end(1, err=state["denied"])
if state["disabled"]:
    sys.stdout.write(state["disabled"])
    sys.stdout.flush()
    time.sleep(600)
if words[:3] == ["serve", "--bg", "--https=443"]:
    handlers = {{"/": {{"Proxy": words[3]}}}}
    state["served"] = {{"TCP": {{"443": {{"HTTPS": True}}}}, "Web": {{"{name}:443": {{"Handlers": handlers}}}}}}
    end(out="Available within your tailnet:\\n\\nhttps://{name}/\\n|-- proxy " + words[3] + "\\n")
if words == ["serve", "--https=443", "off"] and state["served"]:
    state["served"] = {{}}
    end()
end(1, err="error: failed to remove web serve: handler does not exist\\n")
"""
LOOKED_UP = """import socket
real = socket.getaddrinfo
names = {names!r}
def looked_up(host, port, *more, **how):
    return real(*names.get((host, port), (host, port)), *more, **how)
socket.getaddrinfo = looked_up
"""


def status(state: str = "Running", *, certificates: bool = True) -> dict[str, Any]:
    """Return what `tailscale status --json --peers=false` prints."""
    known = state == "Running"
    me = {"ID": "nABC", "HostName": "laptop", "DNSName": f"{NAME}." if known else "", "OS": "linux", "Online": known}
    return {
        "Version": "1.98.8-t1241b225b-g0520dfda5",
        "TUN": True,
        "BackendState": state,
        "HaveNodeKey": known,
        "AuthURL": "",
        "TailscaleIPs": ["100.101.102.103"] if known else None,
        "Self": me,
        "Health": [],
        "MagicDNSSuffix": NAME.partition(".")[2] if known else "",
        "CertDomains": [NAME] if known and certificates else None,
        "Peer": None,
        "User": None,
    }


@dataclass(kw_only=True)
class Tailnet:
    """The program's folder, and the end of the road on this machine."""

    place: Path
    port: int = 0
    to: int = 0
    """Where the road leads instead of what is served."""
    names: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict[tuple[str, int], tuple[str, int]])

    @property
    def state(self) -> dict[str, Any]:
        """What the program keeps."""
        return cast("dict[str, Any]", json.loads((self.place / "tailscale.json").read_text()))

    def answers(self, **changed: object) -> None:
        """Have the program answer otherwise."""
        quiet = dict.fromkeys(("away", "denied", "disabled"), "")
        now: dict[str, object] = {"status": status(), "served": {}, "calls": [], **quiet, **changed}
        (self.place / "tailscale.json").write_text(json.dumps(now))

    @property
    def changes(self) -> list[list[str]]:
        """What it was told to do, beside answering."""
        return [one for one in self.state["calls"] if one[0] == "serve" and "status" not in one]

    def env(self) -> dict[str, str]:
        """What a program needs to find all of this."""
        lookup = LOOKED_UP.format(names={(NAME, 443): ("127.0.0.1", self.port), **self.names})
        (self.place / "sitecustomize.py").write_text(lookup)
        trust = {"SSL_CERT_FILE": str(self.place / "cert.pem"), "PYTHONPATH": str(self.place)}
        return {"PATH": f"{self.place}:{os.environ['PATH']}", **trust}

    def lead(self, listener: socket.socket) -> None:
        """Carry each connection to what is served, until the listener is closed."""
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self.place / "cert.pem", self.place / "key.pem")
        with suppress(OSError):
            while True:
                taken, _ = listener.accept()
                threading.Thread(target=self._carry, args=(taken, tls), daemon=True).start()

    def _carry(self, taken: socket.socket, tls: ssl.SSLContext) -> None:
        sites = self.state["served"].get("Web", {})
        target = sites[f"{NAME}:443"]["Handlers"]["/"]["Proxy"] if sites else ""
        port = self.to or int(target.rpartition(":")[2] or 0)
        with (
            suppress(OSError),
            tls.wrap_socket(taken, server_side=True) as near,
            socket.create_connection(("127.0.0.1", port)) as far,
        ):
            threading.Thread(target=_pump, args=(far, near), daemon=True).start()
            _pump(near, far)


def _pump(start: socket.socket, end: socket.socket) -> None:
    with suppress(OSError):
        while data := start.recv(65536):
            end.sendall(data)
        end.shutdown(socket.SHUT_WR)


@contextmanager
def tailnet(folder: Path, **state: object) -> Generator[Tailnet]:
    """Have a signed-in computer with a certificate, unless told otherwise."""
    place = folder / "tailscale"
    place.mkdir()
    certify(place, x509.DNSName(NAME))
    (place / "tailscale").write_text(PROGRAM.format(python=sys.executable, name=NAME))
    (place / "tailscale").chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = Tailnet(place=place, port=int(listener.getsockname()[1]))
        here.answers(**state)
        threading.Thread(target=here.lead, args=(listener,), daemon=True).start()
        yield here


def certify(place: Path, known_as: x509.DNSName | x509.IPAddress) -> tuple[Path, Path]:
    """Write a certificate for a name or address that signs itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), SystemClock().now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(known_as.value))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([known_as]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (place / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (place / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return place / "cert.pem", place / "key.pem"
