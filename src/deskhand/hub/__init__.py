"""The hub: log, sync, authority, dispatch, notifications; HTTP in ``http``. It never works on a task itself."""
