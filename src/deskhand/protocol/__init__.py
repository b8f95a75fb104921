"""What crosses a wire or lies in the log, as pure data: ops, events, objects, who may send what."""
