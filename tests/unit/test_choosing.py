"""Which model thinks, as a table over what was found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deskhand.agents.builtin.agent import KEY_VARIABLE, Findings, Offer, Wanted
from deskhand.errors import Code, DeskhandError
from deskhand.secret import Secret

ALL = frozenset({"openai", "anthropic", "google.genai"})
URL = "http://127.0.0.1:11434/v1"
QWEN = Offer(name="ollama:qwen3:8b", source="server", where="127.0.0.1:11434", base_url=URL, context_tokens=32_768)
TINY = Offer(
    name="local:tiny",
    source="embedded",
    where="tiny.gguf",
    model="openai-chat:tiny",
    label="too_small",
    file="/models/tiny.gguf",
)
OWN = replace(TINY, name="local:own", label=None)
STAND_IN = Offer(name="vllm:stand-in", source="server", model="openai-chat:stand-in")
CANARY_A, CANARY_O = Secret("A", "canary-a"), Secret("O", "canary-o")
MINE = Secret("MINE", "mine")
ANTHROPIC, OPENAI = {"ANTHROPIC_API_KEY": CANARY_A}, {"OPENAI_API_KEY": CANARY_O}


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (Findings(), None),
        (Findings(here=(OWN,)), "local:own"),
        (Findings(here=(QWEN, OWN)), "ollama:qwen3:8b"),
        # What is too small for work thinks only where somebody chose it.
        (Findings(here=(TINY,)), None),
        (Findings(wanted=Wanted(name="local:tiny"), here=(OWN, TINY)), "local:tiny"),
        (Findings(keys=OPENAI, packages=ALL, here=(QWEN,)), "openai:gpt-6.1-terra"),
        (Findings(keys=OPENAI | ANTHROPIC, packages=ALL), "anthropic:claude-sonnet-5-5"),
        (Findings(keys={"GOOGLE_API_KEY": MINE}, packages=ALL), "google:gemini-3.8-flash"),
        # A key whose library is not installed is passed over, and shown.
        (Findings(keys=ANTHROPIC, packages=frozenset({"openai"}), here=(QWEN,)), QWEN.name),
        (Findings(wanted=Wanted(name="openai:gpt-6-luna"), keys=OPENAI, packages=ALL),
         "openai:gpt-6-luna"),
        (Findings(wanted=Wanted(name="qwen3:8b"), here=(QWEN,), keys=OPENAI), QWEN.name),
        (Findings(wanted=Wanted(name="none"), keys=OPENAI, packages=ALL, here=(QWEN,)), None),
        (Findings(here=(STAND_IN,)), None),
    ],
)  # fmt: skip
def test_config_wins_over_keys_over_servers_over_what_is_installed(found: Findings, name: str | None) -> None:
    """The order of the design, with nothing taken that cannot work."""
    first = found.used

    assert (first and first.name) == name
    assert first is None or first.lacks is None


def test_what_the_settings_name_is_never_replaced_by_something_else_that_works() -> None:
    """A configured model without its key is shown with what it lacks, while a server would answer."""
    found = Findings(wanted=Wanted(name="openai:gpt-6-luna"), packages=ALL, here=(QWEN,))

    first = found.used

    assert first is not None
    assert (first.name, first.lacks, first.where) == ("openai:gpt-6-luna", Code.MODEL_KEY, "OPENAI_API_KEY")


def test_an_address_of_ones_own_gets_only_the_key_that_is_named_for_it() -> None:
    """SE-01: a provider's key from the environment goes to no other address."""
    wanted = Wanted(name="my-model", base_url="http://10.0.0.9/v1", context_tokens=16_000)
    found = Findings(wanted=wanted, keys=OPENAI | {"MINE": MINE}, packages=ALL)

    without, with_key = found.used, found_with(found, key_variable="MINE").named("my-model")

    assert without is not None
    assert without == Offer(
        name="my-model",
        model="openai-chat:my-model",
        base_url="http://10.0.0.9/v1",
        where="http://10.0.0.9/v1",
        key=None,
        context_tokens=16_000,
    )
    assert with_key.key is MINE


def test_a_key_goes_only_where_it_was_meant_to_go() -> None:
    """SE-01: the key of the set model reaches no other provider, and a named one is never replaced by another."""
    keys = OPENAI | {"DESKHAND_MODEL_API_KEY": MINE}
    wanted = Wanted(name="m", base_url=URL, key_variable="DESKHAND_MODEL_API_KEY")
    found = Findings(wanted=wanted, keys=keys, packages=ALL)
    elsewhere = Wanted(name="openai:gpt-6-luna", key_variable="MY_KEY")

    other = found.named("openai:gpt-6-luna")
    own = Findings(wanted=replace(elsewhere, key_variable=KEY_VARIABLE), keys=keys, packages=ALL).used
    missing = Findings(wanted=elsewhere, keys=keys, packages=ALL).used

    assert (found.named("m").key, other.key) == (MINE, CANARY_O)
    assert own is not None
    assert own.key is MINE
    assert missing is not None
    assert (missing.lacks, missing.where) == (Code.MODEL_KEY, "MY_KEY")


def found_with(found: Findings, *, key_variable: str) -> Findings:
    """Return the same findings with a variable named for the key."""
    wanted = found.wanted
    return Findings(
        wanted=Wanted(name=wanted.name, base_url=wanted.base_url, key_variable=key_variable),
        keys=found.keys,
        packages=found.packages,
    )


@pytest.mark.parametrize(
    ("name", "code", "detail"),
    [
        ("ollama:llama9", Code.MODEL_UNKNOWN, "ollama 127.0.0.1:11434"),
        ("gpt-7", Code.MODEL_UNKNOWN, "gpt-7"),
        ("local:other", Code.MODEL_UNKNOWN, "local:other"),
        ("google:gemini-4-carbon", Code.MODEL_KEY, "GEMINI_API_KEY"),
        ("anthropic:claude-opus-5-5", Code.MODEL_UNKNOWN, "pip install 'deskhand[anthropic]'"),
    ],
)
def test_a_name_that_cannot_be_served_here_is_refused_with_what_is_missing(name: str, code: Code, detail: str) -> None:
    """Never a silent other model, though others are there."""
    keys = OPENAI | ANTHROPIC
    found = Findings(keys=keys, packages=frozenset({"openai"}), here=(QWEN, TINY))

    with pytest.raises(DeskhandError) as refused:
        found.named(name)

    assert refused.value.code is code
    assert detail in refused.value.detail


@pytest.mark.parametrize(
    ("name", "offer"),
    [
        ("ollama:qwen3:8b", QWEN),
        ("tiny", TINY),
        ("openai-chat:gpt-6-luna", Offer(name="openai-chat:gpt-6-luna", key=CANARY_O,
                                         where="OPENAI_API_KEY", context_tokens=128_000)),
        ("zai:glm", Offer(name="zai:glm")),
    ],
)  # fmt: skip
def test_a_task_may_name_any_model_that_can_be_served_here(name: str, offer: Offer) -> None:
    """By the name that is shown, or by the bare name; other providers are left to their own library."""
    found = Findings(keys=OPENAI, packages=ALL, here=(QWEN, TINY))

    assert found.named(name) == offer


def test_another_model_of_the_configured_address_is_asked_for_there() -> None:
    """``openai-chat:big`` beside the configured ``openai-chat:small`` goes to the same server."""
    wanted = Wanted(name="openai-chat:small", base_url=URL)
    found = Findings(wanted=wanted, keys=OPENAI, packages=ALL)

    offer = found.named("openai-chat:big")

    assert (offer.base_url, offer.key) == (URL, None)


def test_nothing_that_others_are_told_holds_a_key_or_an_address() -> None:
    """SE-01: the advertisement has name, source, label and context length; a key is not even in a repr."""
    found = Findings(keys=OPENAI | ANTHROPIC, packages=ALL, here=(QWEN, TINY))

    told = [offer.info.to_json() for offer in found.offers]

    assert {key for one in told for key in one} <= {"name", "source", "label", "context_tokens"}
    assert "canary" not in f"{told} {found!r} {found.offers!r}"
