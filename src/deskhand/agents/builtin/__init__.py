"""The built-in agent: a language model that wishes for tools, through ``pydantic_ai.direct``."""
