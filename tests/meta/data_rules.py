"""Rules about data files: hashed locks cover what is declared, both languages say the same things."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from string import Formatter

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.meta.findings import Finding

PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==(\S+)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def pins(text: str) -> dict[str, str]:
    """Read name and version of everything a lock pins."""
    hits = [hit for line in text.splitlines() if (hit := PIN.match(line))]
    return {canonicalize_name(hit[1]): hit[2] for hit in hits}


def lock_findings(path: str, text: str, declared: Iterable[str]) -> list[Finding]:
    """A lock covers every declared dependency, each with hashes, and names no address."""
    pinned = pins(text)
    complaints: list[str] = []
    for requirement in map(Requirement, declared):
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None:
            complaints.append(f"{requirement.name} is not in the lock; run make lock")
        elif version not in requirement.specifier:
            complaints.append(f"{requirement.name} {version} is not {requirement.specifier}")
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    unhashed = [block.split()[0] for block in blocks if PIN.match(block) and not HASH.search(block)]
    complaints += [f"{name} has no hash" for name in unhashed]
    if "://" in text:
        complaints.append("an address stands in the lock")
    return [Finding(path=path, line=1, message=complaint) for complaint in complaints]


def catalogue_findings(path: str, english: str, korean: str) -> list[Finding]:
    """Both languages have the same sentences, none empty, with the same places to fill."""
    catalogues: dict[str, dict[str, str]] = {}
    complaints: list[str] = []
    for language, text in (("en", english), ("ko", korean)):
        pairs: list[tuple[str, str]] = json.loads(text, object_pairs_hook=list)
        counted = Counter(key for key, _ in pairs)
        complaints += [f"{language}: {key} stands twice" for key in counted if counted[key] > 1]
        complaints += [f"{language}: {key} is empty" for key, value in pairs if not value.strip()]
        catalogues[language] = dict(pairs)
    complaints += unequal(catalogues["en"], catalogues["ko"])
    return [Finding(path=path, line=1, message=complaint) for complaint in complaints]


def unequal(english: Mapping[str, str], korean: Mapping[str, str]) -> list[str]:
    """List the sentences that one language lacks or fills differently."""
    lacking = [f"ko: {key} is missing" for key in english if key not in korean]
    lacking += [f"en: {key} is missing" for key in korean if key not in english]
    differing = [
        f"{key}: the places differ: {sorted(places(english[key]))} and {sorted(places(korean[key]))}"
        for key in english
        if key in korean and places(english[key]) != places(korean[key])
    ]
    return lacking + differing


def places(sentence: str) -> set[str]:
    """Name the places of a sentence that are filled when it is shown."""
    try:
        return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}
    except ValueError:
        return {"(cannot be read)"}
