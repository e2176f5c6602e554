"""The rules of a session's life: pure functions, no I/O, no clock, no SQL.

`state` is what a session's facts add up to, `fold` adds one event to it, `commands` are what
callers ask for and `decisions` say which events a command produces or why it is refused.
"""
