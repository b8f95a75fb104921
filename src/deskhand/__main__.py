"""``python -m deskhand`` is ``deskhand``."""

from __future__ import annotations

from deskhand.cli.main import main

if __name__ == "__main__":
    main()
