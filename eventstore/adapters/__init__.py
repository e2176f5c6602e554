"""Drop-in replacements for the session stores of agent frameworks, call by call, on this engine.

An adapter translates: it has no tables of its own, and what it raises is both an error of this
project and the one that the original's callers catch. No adapter imports another.
"""
