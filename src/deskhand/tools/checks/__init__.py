"""Checks that we run ourselves: each reads the result and its source again and says what it found.

A check tool never believes the wish: what should be there is found out anew. Its value is ``{passed, evidence}``.
"""
