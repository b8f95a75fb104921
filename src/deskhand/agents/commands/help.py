"""``/help [COMMAND]``: what there is and how it is typed. It reads and writes nothing."""

from __future__ import annotations

from deskhand.agents.commands.command import Command, Line, Plan, StoppedError, Voice
from deskhand.ports import Done


def help_among(*others: Command) -> Command:
    """Return the command that lists the others and itself, or shows one with its examples."""

    def plan(line: Line, before: Done | None) -> Plan:
        del before
        yield from ()
        voice = Voice(line.language)
        if not line.operands:
            return Done(summary="\n".join(_short(command, voice) for command in commands))
        wanted = line.operands[0].lstrip("/").casefold()
        for command in commands:
            if command.name == wanted:
                examples = "\n".join(f"  · {each}" for each in command.examples(voice.language))
                details = voice.say(f"{command.name}.details")
                return Done(summary=f"{_short(command, voice)}\n  {details}\n{examples}")
        raise StoppedError(voice.say("help.unknown", name=wanted))

    helping = Command.of("help", plan)
    commands = (*others, helping)
    return helping


def _short(command: Command, voice: Voice) -> str:
    return f"{command.usage}\n  {voice.say(f'{command.name}.summary')}"
