"""``/help [COMMAND]``: what there is and how it is typed. It reads and writes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from deskhand.agents.commands.command import Line, Plan, Spec, StoppedError
from deskhand.ports import Done
from deskhand.protocol.tasks import Brief
from deskhand.texts import text


class HelpCommand:
    """Lists the commands, or shows one with its examples."""

    spec = Spec(
        name="help",
        metavar="[COMMAND]",
        operands_least=0,
        operands_most=1,
        examples_en=(
            "What can you do?",
            "Show me the commands",
            "How do I use this?",
            "Help",
            "What are my options here?",
            "How do I write a briefing?",
        ),
        examples_ko=(
            "무엇을 할 수 있어?",
            "명령어를 보여줘",
            "어떻게 사용해?",
            "도움말",
            "사용법 알려줘",
            "브리핑은 어떻게 만들어?",
        ),
    )

    def __init__(self, specs: Sequence[Spec]) -> None:
        """Know what to list."""
        self._specs = (*specs, self.spec)

    def plan(self, line: Line, brief: Brief, before: Done | None) -> Plan:
        """Return the list as the summary; nothing is done."""
        del brief, before
        yield from ()
        if not line.operands:
            return Done(summary="\n".join(self._short(spec, line.language) for spec in self._specs))
        wanted = line.operands[0].lstrip("/").casefold()
        for spec in self._specs:
            if spec.name == wanted:
                return Done(summary=self._long(spec, line.language))
        raise StoppedError(text("command.help.unknown", language=line.language, name=wanted))

    def _short(self, spec: Spec, language: str) -> str:
        return f"{spec.usage}\n  {text(f'command.{spec.name}.summary', language=language)}"

    def _long(self, spec: Spec, language: str) -> str:
        examples = spec.examples_ko if language == "ko" else spec.examples_en
        lines = "\n".join(f"  · {example}" for example in examples)
        details = text(f"command.{spec.name}.details", language=language)
        return f"{self._short(spec, language)}\n  {details}\n{lines}"
