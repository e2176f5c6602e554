"""Drop-in adapters: the session stores of agent frameworks, call by call, on this engine.

An adapter translates: it has no tables and no SQL of its own, and what it raises is both an error
of this project and the one that the original's callers catch. None imports another.
"""
