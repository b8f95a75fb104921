"""Changes to the product for a while: a quicker pulse for a simulation, a planted bug for a mutant.

Nothing of this is left when the block ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def patched(owner: object, **values: object) -> Generator[None]:
    """Give attributes of a module, class or object other values inside the block."""
    before = {name: vars(owner)[name] for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)
