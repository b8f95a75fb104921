"""The reference pages of what is typed after a slash, read off the code and printed; ``make docs`` keeps them.

python scripts/typed_pages.py commands | risks-checklist
"""

from __future__ import annotations

import sys

from deskhand.agents.commands.agent import COMMANDS
from deskhand.agents.commands.command import examples
from deskhand.core.words.risks import checklist
from deskhand.texts import text

_LANGUAGES = (("en", "English"), ("ko", "한국어"))


def commands() -> str:
    """Return the page of commands."""
    parts = [
        (
            '# Commands\n\nWhat works without a model, typed on the page, the phone or as `deskhand do "/..."`. A path is '
            "relative to the folder of the task; names with spaces stand in quotes. A result is looked at again by checks "
            "of our own before it is called verified. A sentence that asks for one in everyday words is kept, and the "
            "command is suggested with its words filled in.\n"
        )
    ]
    for command in COMMANDS:
        name = command.name
        parts.append(f"\n## /{name}\n\n```\n{command.usage}\n```\n")
        for language, title in _LANGUAGES:
            said = (text(f"command.{name}.{part}", language=language) for part in ("summary", "details"))
            shown = "".join(f"- {each}\n" for each in examples(name, language))
            parts.append(f"\n**{title}.** {' '.join(said)}\n\n{shown}")
    return "".join(parts)


def risks_checklist() -> str:
    """Return the published checklist of ``/risks``."""
    rows = [
        f"| `{one.id}` | {one.name['en']}<br>{one.name['ko']} | {one.why['en']}<br>{one.why['ko']} |\n"
        for one in checklist()
    ]
    return (
        "# The checklist of /risks\n\n"
        f"`/risks FILE...` looks for these {len(rows)} patterns in a contract or document, in English and Korean, quotes "
        "every line it finds with its file and line, and names every pattern it did not find. It looks for words: the "
        "exact forms are in `src/deskhand/core/words/risks.toml`. It does not judge and is no legal advice; a clause in other "
        "words is not found.\n\n| id | pattern | why it matters |\n| --- | --- | --- |\n" + "".join(rows)
    )


PAGES = {"commands": commands, "risks-checklist": risks_checklist}

if __name__ == "__main__":
    sys.stdout.write(PAGES[sys.argv[1]]())
