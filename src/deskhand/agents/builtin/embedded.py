"""A model of this computer in a process of its own: ``python -m deskhand.agents.builtin.embedded``.

Its order is one line of JSON on stdin, its address one line on stdout. It ends when stdin does, so that it never
outlives the runner, however that ends. It refuses to answer anybody without the key of its order.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any


def main() -> None:
    """Serve until stdin ends."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    xllamacpp: Any = import_module("xllamacpp")  # the extra ``local``, which has no types
    params: Any = xllamacpp.CommonParams()
    params.model.path = order["file"]
    params.model_alias = {order["name"]}
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.api_keys = [order["key"]]
    params.n_ctx, params.n_parallel = order["context_tokens"], 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 1) - 1)
    # Without a question the model leaves the memory until the next one.
    params.sleep_idle_seconds = 600
    params.use_jinja, params.ui, params.endpoint_slots = True, False, False
    server: Any = xllamacpp.Server(params)
    sys.stdout.write(server.listening_address + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # whatever it is thinking of


if __name__ == "__main__":
    main()
