"""Random histories of a store, with everything in them that an export must survive."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
from engine_support import BIG

from eventstore import Message, Session, SessionStore, ToolCall, errors
from eventstore.events import catalogue as ev
from eventstore.log import reading, restoring
from eventstore.log.entry import leaf_of
from eventstore.log.port import Head
from eventstore.log.transaction import SqliteTransaction

#: Texts that break what is not careful: halves of surrogate pairs, control characters, fences,
#: tags, marks that reorder text, markers of blobs, and texts that are kept as blobs.
NASTY = (
    "", "plain", "two\nlines", "\ud83d half a pair", "nul \x00 and \x1b[31m red", "```\nfence\n```",
    "````", "</details><script>alert(1)</script>", "# heading\n---\n[link](http://example.org)",
    "\u202eright to left\u2028", '{"$blob": "00"}', "🙂 中文", BIG, BIG + "\udc00", "- x\r\n- y",
)  # fmt: skip
texts = st.sampled_from(NASTY) | st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([{"$blob": "x"}, {"$literal": 1}]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=5,
)  # fmt: skip

NAMES = ("a", "b/ü", "name with spaces", "…" * 5, "c~1x", "z'z")
picks = st.integers(0, 1 << 16)
OPERATIONS = (
    "create", "user", "user", "assistant", "assistant", "tool", "parts", "compact", "consolidate",
    "retract", "clear", "usage", "fork", "spawn", "close", "erase_event", "erase", "custom",
    "activity", "title", "prompt", "unknown", "settings",
)  # fmt: skip
histories = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), picks, picks, texts, values), min_size=1, max_size=25
)


def play(store: SessionStore, history: list[tuple[str, int, int, str, Any]]) -> None:
    """Make these things happen; what a rule of the session forbids does not happen."""
    for number, (what, who, which, text, value) in enumerate(history):
        found = _sessions(store)
        session = found[who % len(found)] if found else store.create(NAMES[which % len(NAMES)])
        with suppress(
            errors.RuleError, errors.NotJSONError, errors.SessionExistsError,
            errors.InvalidValueError,
        ):  # fmt: skip
            _OPERATIONS[what](store, session, which, text, value, number)


def _sessions(store: SessionStore) -> list[Session]:
    with store.log.reader() as connection:
        heads = reading.streams_begun(connection, 0, 1 << 62, 1000)
    return [store.session_of(head.id) for head in heads]


def _assistant(
    s: SessionStore, session: Session, which: int, text: str, value: Any, n: int
) -> None:
    calls = [ToolCall(id=f"call_{n}_{i}", name="run", arguments=value) for i in range(which % 3)]
    session.append_many(
        [Message(role="assistant", content=text, tool_calls=tuple(calls), reasoning=text or None,
                 response_id=f"r{which % 4}", model="m", tokens=which, key=f"k{n}")]
    )  # fmt: skip


def _tool(s: SessionStore, session: Session, which: int, text: str, value: Any, n: int) -> None:
    open_calls = session.state().open_calls
    call = open_calls[which % len(open_calls)] if open_calls else "nobody's"
    session.append("tool", text, call_id=call, tool_name=text[:9] or "t", failed=bool(which % 2))


def _active(session: Session, which: int) -> int:
    seqs = [message.seq for message in session.messages()]
    return seqs[which % len(seqs)] if seqs else 1


def _erase_event(
    s: SessionStore, session: Session, which: int, text: str, value: Any, n: int
) -> None:
    positions = [event.position for event in session.events(content=False)]
    session.erase_events([positions[which % len(positions)]], by="somebody")


def _usage(s: SessionStore, session: Session, which: int, text: str, value: Any, n: int) -> None:
    session.record_usage(
        f"r{which % 4}", input=which, cache_read=n, cache_write=1, output=which % 7, cost=0.25,
        currency=("EUR", "USD")[n % 2],
    )  # fmt: skip


def unknown(store: SessionStore, session: Session) -> None:
    """An event of a type that this version does not know, as a later one would write it."""

    def work(transaction: SqliteTransaction) -> None:
        head = transaction.stream_by_id(session.stream)
        assert head is not None
        position, version, at = transaction.head.position + 1, head.version + 1, 1_800_000_000_000
        facts = '{"later": [1, 2.50]}'
        leaf = leaf_of(
            position, version, at, head.uid, head.leaf, None, 4, 3, None, b"future.thing",
            facts.encode(),
        )  # fmt: skip
        restoring.write_events(
            transaction.connection,
            [(position, head.id, version, "future.thing", 3, at, 4, facts, None, None, leaf)],
        )
        transaction.wrote(Head(position, leaf))
        head = Head(position, leaf)
        store.derived.inline(transaction.connection.cursor(), [], head, head)

    store.log.transact(work, exclusive=True)


_OPERATIONS: dict[str, Any] = {
    "create": lambda s, x, w, t, v, n: s.create(NAMES[w % len(NAMES)], title=t, metadata={"v": v}),
    "user": lambda s, x, w, t, v, n: x.append("user", t, name="ann" if w % 2 else None),
    "assistant": _assistant,
    "tool": _tool,
    "parts": lambda s, x, w, t, v, n: x.append(
        "user", [{"type": "text", "text": t}, {"type": "x", "v": v}]
    ),
    "compact": lambda s, x, w, t, v, n: x.compact(_active(x, w), _active(x, w // 7), t),
    "consolidate": lambda s, x, w, t, v, n: x.consolidate(_active(x, w)),
    "retract": lambda s, x, w, t, v, n: x.retract(_active(x, w)),
    "clear": lambda s, x, w, t, v, n: x.clear(),
    "usage": _usage,
    "fork": lambda s, x, w, t, v, n: x.fork(f"fork{n}", at=1 + w % x.version),
    "spawn": lambda s, x, w, t, v, n: x.spawn(f"child{n}"),
    "close": lambda s, x, w, t, v, n: x.close(reason=t),
    "erase_event": _erase_event,
    "erase": lambda s, x, w, t, v, n: x.erase(by="somebody"),
    "custom": lambda s, x, w, t, v, n: x.add_event(
        ev.CustomEvent(name="x.acme.thing", data={"n": w}, content=v)
    ),
    "activity": lambda s, x, w, t, v, n: x.add_event(
        ev.FileTouched(operation="read", content=ev.ActivityContent(subject=t))
    ),
    "title": lambda s, x, w, t, v, n: x.set_title(t, unique=bool(w % 2)),
    "prompt": lambda s, x, w, t, v, n: x.change_prompt(t),
    "unknown": lambda s, x, w, t, v, n: unknown(s, x),
    "settings": lambda s, x, w, t, v, n: x.change_configuration({"v": v}),
}  # fmt: skip
