"""``config list|get|set|unset``: every setting with its value and where it comes from; ``secret set|list|remove``.

What belongs to the account goes to the hub as a wish; what belongs to this computer goes into ``config.toml``. Secrets
are sealed by name in this machine's own file and no other. A value of one is read from a prompt or stdin and never
from a command line, where other users of the machine could see it, and is never printed.
"""

from __future__ import annotations

from dataclasses import asdict
from getpass import getpass
from typing import cast

from deskhand.cli.client import client, home
from deskhand.cli.flags import from_stdin
from deskhand.cli.screen import Obj, speak
from deskhand.cli.values import Setting, Value, parsed, setting, spec_of, write_value
from deskhand.core.settings import REGISTRY
from deskhand.errors import Code, DeskhandError
from deskhand.store.safe import Safe


def list_settings() -> int:
    """List all settings."""
    found = list(_of_account().values())
    found += [setting(one.name) for one in REGISTRY.values() if not one.account]
    shown = [asdict(one) for one in found]
    return speak.listed(shown, "id", lambda one: _shown(one["value"]), "source")


def get_setting(name: str) -> int:
    """Print one value."""
    found = _of_account()[name] if spec_of(name).account else setting(name)
    return speak.answer(asdict(found), _shown(found.value))


def set_setting(name: str, value: str) -> int:
    """Change a setting."""
    return _put(name, parsed(name, value))


def unset_setting(name: str) -> int:
    """Go back to the default."""
    return _put(name, None)


def _put(name: str, value: Value | None) -> int:
    """Put a value where it belongs, or the default in its place, and say what holds now."""
    spec = spec_of(name)
    if spec.account:
        found = Setting(id=name, value=spec.default if value is None else value, source="account")
        client().op("settings.put", {"name": name, "value": found.value})
    else:
        write_value(name, value)
        found = setting(name)
    shown = {"name": name, "value": _shown(found.value), "source": found.source}
    return speak.done(asdict(found), "config.changed", **shown)


def _of_account() -> dict[str, Setting]:
    """Return the account's settings; the defaults, and that they are only that, while the hub is away."""
    try:
        rows: list[Obj] = client().get("/v1/settings")["items"]
    except DeskhandError as error:
        speak.note(speak.say("config.hub_away", why=str(error)), "ask")
        own = [spec for spec in REGISTRY.values() if spec.account]
        return {one.name: Setting(id=one.name, value=one.default, source="default?") for one in own}
    found: dict[str, Setting] = {}
    for row in rows:
        source = "account" if "changed_at" in row else "default"
        found[row["id"]] = Setting(id=row["id"], value=row["value"], source=source)
    return found


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, cast("list[object]", value)))
    return str(value).lower() if isinstance(value, bool) else str(value)


def set_secret(name: str) -> int:
    """Seal a value."""
    asked = speak.say("secret.ask", name=name)
    Safe(home()).put(name, getpass(f"{asked} ") if speak.asks else from_stdin("-"))
    return speak.done({"set": name}, "secret.done", name=name)


def list_secrets() -> int:
    """List names."""
    items = [{"name": name, "key": key} for name, (key, _) in Safe(home()).all().items()]
    return speak.listed(items, "name", "secret.key.{key}", none="secret.none")


def remove_secret(name: str) -> int:
    """Forget a value."""
    if not Safe(home()).remove(name):
        raise DeskhandError(Code.NOT_FOUND, name)
    return speak.done({"removed": name}, "secret.gone", name=name)
