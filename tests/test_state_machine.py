"""The store against a reference written with lists and dicts, driven by random commands.

The reference knows what a user is promised and nothing of how the store works: it has no fold, no
runs, no projections. Every step is made on both sides; both must agree on the answer or on the
refusal, and on everything that can be read afterwards, now and as of any earlier version.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from engine_support import budget, clean, tables_of, ticking
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventstore import Lifecycle, Message, Session, SessionStore, ToolCall, errors, snapshots
from eventstore.session import commands as do
from eventstore.session.fold import fold_all
from eventstore.session.state import SessionState

DEPTH_MAX = 3


# -- the reference -------------------------------------------------------------------------------


class Text:
    """Something that a person wrote; it can be erased wherever it shows."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.erased = False

    @property
    def now(self) -> Any:
        return None if self.erased else self.value


def shown(text: Text | None) -> Any:
    return None if text is None else text.now


class Msg:
    def __init__(self, seq: int, role: str, text: Text | None, calls: list[str]) -> None:
        self.seq = seq
        self.role = role
        self.text = text
        self.calls = calls
        self.state = "active"
        self.into: Msg | None = None

    def copy(self) -> Msg:
        return Msg(self.seq, self.role, self.text, self.calls)

    def folded_into(self, gone: list[Msg]) -> bool:
        note = self.into
        while note is not None:
            if note in gone:
                return True
            note = note.into
        return False


class Ref:
    """What is promised of one session."""

    def __init__(self, handle: Session, model: Model, **fields: Any) -> None:
        self.handle = handle
        self.model = model
        self.parent: Ref | None = None
        self.origin: Ref | None = None
        self.depth = 0
        self.kind = "root"
        self.lifecycle = "ephemeral"
        self.status = "active"
        self.version = 0
        self.all: list[Msg] = []
        self.active: list[Msg] = []
        self.next_seq = 1
        self.count = 0
        self.now: dict[str, Any] = {
            "title": None, "prompt": None, "configuration": None, "pending": None,
            "model": None, "round": 0, "preview": None, "open": [],
        }  # fmt: skip
        self.usage: dict[str, dict[str, int]] = {}
        self.compactions: list[tuple[Any, ...]] = []
        self.calls: list[dict[str, Any]] = []
        self.own_calls = 0
        self.keys: dict[str, tuple[str, str, int, Text]] = {}
        self.erased = False
        self.past: dict[int, dict[str, Any]] = {0: self.frozen()}
        for name, value in fields.items():
            setattr(self, name, value)

    def frozen(self) -> dict[str, Any]:
        return {
            **self.now,
            "open": list(self.now["open"]),
            "active": list(self.active),
            "next_seq": self.next_seq,
            "status": self.status,
        }

    def event(self, text: Text | None = None) -> None:
        """One event was stored, and the reference was changed accordingly before."""
        self.version += 1
        self.past[self.version] = self.frozen()
        self.model.log.append((self, text))

    def say(self, role: str, text: Text | None, calls: list[ToolCall], call_id: str | None) -> int:
        ids = [call.id for call in calls if call.id]
        message = Msg(self.next_seq, role, text, ids)
        self.next_seq += 1
        self.count += 1
        self.all.append(message)
        self.active.append(message)
        self.own_calls += len(ids)
        for call in calls:
            self.calls.append(
                {"id": call.id, "seq": message.seq, "text": text, "result": None, "answer": None}
            )
        still_open = [one for one in self.now["open"] if one not in ids] + ids
        if call_id is not None:
            newest = [one for one in self.calls if one["id"] == call_id][-1:]
            for one in newest:
                if one["result"] is None:
                    one["result"], one["answer"] = message.seq, text
            still_open = [one for one in still_open if one != call_id]
        self.now["open"] = still_open
        if role == "user" and self.now["preview"] is None:
            self.now["preview"] = text
        self.event(text)
        return message.seq

    def where(self, seq: int) -> int | None:
        return next((i for i, one in enumerate(self.active) if one.seq == seq), None)

    def children(self) -> list[Ref]:
        return [one for one in self.model.sessions if one.parent is self]


class Model:
    def __init__(self) -> None:
        self.sessions: list[Ref] = []
        self.log: list[tuple[Ref, Text | None]] = []

    def newest(self, name: str) -> Ref | None:
        found = [one for one in self.sessions if one.handle.id == name and not one.erased]
        return found[-1] if found else None


# -- the machine ---------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c d", "é"])
words = st.text(st.characters(codec=None), min_size=0, max_size=8)
picks = st.integers(0, 1000)
call_ids = st.sampled_from(["c1", "c2", "c3"])


class Sessions(RuleBasedStateMachine):
    """Commands on a store and on the reference."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="eventstore-machine-"))
        self.clock = ticking()
        self.store = self.open()
        self.model = Model()
        self.touched: Ref | None = None
        self.agreed = True

    def open(self) -> SessionStore:
        return SessionStore.open(
            self.folder / "s.db", durability="normal", clock=self.clock, spawn_depth_max=DEPTH_MAX
        )

    def pick(self, number: int) -> Ref:
        open_ones = [one for one in self.model.sessions if one.status != "closed"]
        pool = open_ones if open_ones and number % 5 else self.model.sessions
        self.touched = pool[number % len(pool)]
        return self.touched

    def refused(self, ref: Ref, kind: type[Exception], act: Any) -> None:
        """The act is refused with this error, or because the session is closed."""
        version = ref.handle.version
        with pytest.raises(errors.SessionClosedError if ref.status == "closed" else kind):
            act()
        assert ref.handle.version == version == ref.version

    def closed(self, ref: Ref, act: Any) -> bool:
        """Whether the session is closed; the act is refused then."""
        if ref.status == "closed":
            self.refused(ref, errors.SessionClosedError, act)
            return True
        act()
        return False

    @property
    def any_session(self) -> bool:
        return bool(self.model.sessions)

    # -- life

    @initialize()
    def first(self) -> None:
        self.create("a", None, None, Lifecycle.EPHEMERAL)
        self.append(0, "user", "hello")
        self.append(0, "assistant", "hi")

    @rule(
        name=names,
        title=st.none() | words,
        parent=st.none() | picks,
        lifecycle=st.sampled_from(list(Lifecycle)),
    )
    def create(
        self, name: str, title: str | None, parent: int | None, lifecycle: Lifecycle
    ) -> None:
        up = None if parent is None else self.pick(parent)

        def act() -> Session:
            return self.store.create(
                name, title=title, parent=None if up is None else up.handle, lifecycle=lifecycle
            )

        newest = self.model.newest(name)
        count = self.store.head
        if up is not None and up.status == "closed":
            with pytest.raises(errors.SessionClosedError):
                act()
            assert self.store.head == count
            return
        if newest is not None and newest.status != "closed":
            with pytest.raises(errors.SessionExistsError):
                act()
            assert self.store.head == count
            return
        depth = 0 if up is None else up.depth + 1
        if depth > DEPTH_MAX:
            with pytest.raises(errors.SpawnDepthError):
                act()
            assert self.store.head == count
            return
        handle = act()
        assert handle.incarnation == (1 if newest is None else newest.handle.incarnation + 1)
        ref = Ref(
            handle, self.model, parent=up, depth=depth, lifecycle=str(lifecycle),
            kind="root" if up is None else "subagent",
        )  # fmt: skip
        self.model.sessions.append(ref)
        ref.event(Text(name))
        if title is not None:
            ref.now["title"] = Text(title)
            ref.event(ref.now["title"])
        self.touched = ref

    @precondition(lambda self: self.any_session)
    @rule(who=picks, what=st.sampled_from(["end", "reopen", "archive"]))
    def life(self, who: int, what: str) -> None:
        ref = self.pick(who)
        if self.closed(ref, getattr(ref.handle, what)):
            return
        status = {"end": "ended", "reopen": "active", "archive": "archived"}[what]
        if what == "end" or ref.status != status:
            ref.status = status
            ref.event()

    @precondition(lambda self: self.any_session)
    @rule(who=picks, parent=st.none() | picks)
    def reparent(self, who: int, parent: int | None) -> None:
        up = None if parent is None else self.pick(parent)
        ref = self.pick(who)
        above = up
        while above is not None:
            if above is ref:
                with pytest.raises(errors.InvalidValueError):
                    ref.handle.reparent(up.handle)  # type: ignore[union-attr]
                return
            above = above.parent
        if self.closed(ref, lambda: ref.handle.reparent(None if up is None else up.handle)):
            return
        if ref.parent is not up:
            ref.parent = up
            ref.event()

    @precondition(lambda self: self.any_session)
    @rule(who=picks, cascade=st.booleans())
    def close(self, who: int, cascade: bool) -> None:
        ref = self.pick(who)
        if ref.status == "closed":
            self.refused(ref, errors.SessionClosedError, ref.handle.close)
            return
        names = ref.handle.close(cascade=cascade, reason="over")
        expected = [ref]
        ref.status = "closed"
        ref.event(Text("over"))
        if cascade:
            self._close_below(ref, expected, [ref])
        assert names == [one.handle.name for one in expected]

    def _close_below(self, ref: Ref, closed: list[Ref], seen: list[Ref]) -> None:
        for child in ref.children():
            if child in seen:
                continue
            seen.append(child)
            if child.status != "closed" and child.lifecycle == "detached":
                child.parent = None
                child.event()
                continue
            if child.status != "closed":
                child.status = "closed"
                child.event()
                closed.append(child)
            self._close_below(child, closed, seen)

    @precondition(lambda self: self.any_session)
    @rule(who=picks, name=st.none() | names, at=picks)
    def fork(self, who: int, name: str | None, at: int) -> None:
        ref = self.pick(who)
        version = at % (ref.version + 2)
        head = self.store.head
        if not 0 < version <= ref.version:
            with pytest.raises(errors.InvalidRangeError):
                ref.handle.fork(name, at=version)
            return
        newest = None if name is None else self.model.newest(name)
        if newest is not None and newest.status != "closed":
            with pytest.raises(errors.SessionExistsError):
                ref.handle.fork(name, at=version)
            assert self.store.head == head
            return
        fork = Ref(ref.handle.fork(name, at=version), self.model, origin=ref)
        past = ref.past[version]
        fork.active = [message.copy() for message in past["active"]]
        fork.all = sorted(fork.active, key=lambda message: message.seq)
        fork.next_seq = past["next_seq"]
        fork.count = len(fork.active)
        fork.now = {**fork.now, **{k: v for k, v in past.items() if k in fork.now}}
        fork.now["open"] = list(past["open"])
        for one in fork.now["open"]:
            rows = [call for call in ref.calls if call["id"] == one and call["seq"] < fork.next_seq]
            fork.calls.append({**rows[-1], "result": None, "answer": None})
        fork.calls.sort(key=lambda call: call["seq"])
        self.model.sessions.append(fork)
        fork.event(Text(fork.handle.id))
        self.touched = fork

    # -- messages

    @precondition(lambda self: self.any_session)
    @rule(who=picks, role=st.sampled_from(["user", "assistant", "system"]), text=words)
    def append(self, who: int, role: str, text: str) -> None:
        ref = self.pick(who)
        answers: list[int] = []
        if self.closed(ref, lambda: answers.append(ref.handle.append(role, text))):
            return
        assert answers == [ref.say(role, Text(text), [], None)]

    @precondition(lambda self: self.any_session)
    @rule(
        who=picks,
        turns=st.lists(
            st.tuples(words, st.lists(call_ids, max_size=2, unique=True), st.booleans()),
            max_size=3,
        ),
    )
    def append_turns(self, who: int, turns: list[tuple[str, list[str], bool]]) -> None:
        ref = self.pick(who)
        batch: list[Message] = []
        for text, ids, answered in turns:
            calls = tuple(ToolCall(id=one, name="t", arguments={"x": text}) for one in ids)
            batch.append(Message(role="assistant", content=text, tool_calls=calls))
            if answered:
                batch += [Message(role="tool", content=f"r{text}", call_id=one) for one in ids]
        answers: list[list[int]] = []
        if self.closed(ref, lambda: answers.append(ref.handle.append_many(batch))):
            return
        expected = [
            ref.say(one.role, Text(one.content), list(one.tool_calls), one.call_id) for one in batch
        ]
        assert answers == [expected]

    @precondition(lambda self: self.any_session)
    @rule(who=picks, first=picks, last=picks, note=words)
    def compact(self, who: int, first: int, last: int, note: str) -> None:
        ref = self.pick(who)
        if not ref.active:
            self.refused(ref, errors.UnknownMessageError, lambda: ref.handle.compact(1, 1, note))
            return
        i, j = first % len(ref.active), last % len(ref.active)
        a, b = ref.active[i].seq, ref.active[j].seq
        if i > j:
            self.refused(ref, errors.InvalidRangeError, lambda: ref.handle.compact(a, b, note))
            return
        if self.closed(ref, lambda: ref.handle.compact(a, b, note)):
            return
        folded = ref.active[i : j + 1]
        message = Msg(ref.next_seq, "system", Text(note), [])
        for one in folded:
            one.state, one.into = "compacted", message
        ref.active[i : j + 1] = [message]
        ref.all.append(message)
        ref.next_seq += 1
        ref.count += 1
        ref.compactions.append((message.seq, a, b, len(folded), message.text))
        ref.event(message.text)

    @precondition(lambda self: self.any_session)
    @rule(who=picks, what=st.sampled_from(["consolidate", "retract"]), seq=st.integers(-1, 30))
    def fold(self, who: int, what: str, seq: int) -> None:
        ref = self.pick(who)
        if ref.active and seq % 4:
            seq = ref.active[seq % len(ref.active)].seq
        at = ref.where(seq)
        act = getattr(ref.handle, what)
        if at is None:
            self.refused(ref, errors.UnknownMessageError, lambda: act(seq))
            return
        if self.closed(ref, lambda: act(seq)):
            return
        if what == "consolidate":
            for one in ref.active[: at + 1]:
                one.state = "consolidated"
            del ref.active[: at + 1]
        else:
            gone = ref.active[at:]
            for one in ref.all:
                if one in gone or one.folded_into(gone):
                    one.state = "retracted"
            del ref.active[at:]
            ref.now["open"] = []
        ref.event()

    @precondition(lambda self: self.any_session)
    @rule(who=picks)
    def clear(self, who: int) -> None:
        ref = self.pick(who)
        if self.closed(ref, ref.handle.clear) or not ref.count:
            return
        for one in ref.all:
            if one.state != "retracted":
                one.state = "cleared"
        ref.active.clear()
        ref.now["open"] = []
        ref.event()

    # -- the rest

    @precondition(lambda self: self.any_session)
    @rule(
        who=picks,
        key=st.sampled_from(["u1", "u2"]),
        counters=st.tuples(*[st.integers(0, 9)] * 4),
    )
    def usage(self, who: int, key: str, counters: tuple[int, int, int, int]) -> None:
        ref = self.pick(who)
        fields = ("input", "cache_read", "cache_write", "output")
        used = dict(zip(fields, counters, strict=True))
        if self.closed(ref, lambda: ref.handle.record_usage(key, **used)):
            return
        ref.usage[key] = used
        ref.event()

    @precondition(lambda self: self.any_session)
    @rule(
        who=picks,
        what=st.sampled_from(["title", "prompt", "configuration"]),
        value=st.none() | words,
    )
    def in_force(self, who: int, what: str, value: str | None) -> None:
        ref = self.pick(who)
        given: Any = value
        if what == "configuration" and value is not None:
            given = {"v": value}
        act = {
            "title": ref.handle.set_title,
            "prompt": ref.handle.change_prompt,
            "configuration": ref.handle.change_configuration,
        }[what]
        before = ref.now[what]
        if self.closed(ref, lambda: act(given)):
            return
        if given is None and before is None:
            return
        ref.now[what] = None if given is None else Text(given)
        ref.event(ref.now[what])

    @precondition(lambda self: self.any_session)
    @rule(who=picks, what=st.sampled_from(["model", "round"]), value=st.integers(0, 2))
    def switches(self, who: int, what: str, value: int) -> None:
        ref = self.pick(who)
        given: Any = value if what == "round" else [None, "m1", "m2"][value]
        act = {"model": ref.handle.change_model, "round": ref.handle.advance_round}[what]
        if self.closed(ref, lambda: act(given)):
            return
        if ref.now[what] != given:
            ref.now[what] = given
            ref.event()

    @precondition(lambda self: self.any_session)
    @rule(who=picks, settle=st.booleans(), payload=words)
    def pending(self, who: int, settle: bool, payload: str) -> None:
        ref = self.pick(who)
        if settle:
            if self.closed(ref, ref.handle.settle_tool_calls) or ref.now["pending"] is None:
                return
            ref.now["pending"] = None
            ref.event()
        else:
            if self.closed(ref, lambda: ref.handle.suspend_tool_calls({"p": payload}, ["c1"])):
                return
            ref.now["pending"] = Text({"p": payload})
            ref.event(ref.now["pending"])

    @precondition(lambda self: self.any_session)
    @rule(who=picks, where=picks)
    def erase_event(self, who: int, where: int) -> None:
        ref = self.pick(who)
        position = where % len(self.model.log) + 1
        owner, text = self.model.log[position - 1]
        if owner is not ref and where % 3:
            ref = self.touched = owner
        if owner is not ref:
            with pytest.raises(errors.InvalidValueError):
                ref.handle.erase_events([position])
            return
        erased = ref.handle.erase_events([position])
        assert erased.complete
        if text is None or text.erased:
            assert erased.positions == ()
            return
        assert erased.positions == (position,)
        text.erased = True
        ref.event()

    @precondition(lambda self: len(self.model.sessions) > 2)
    @rule(who=picks)
    def erase_session(self, who: int) -> None:
        ref = self.pick(who)
        expected = [
            position
            for position, (owner, text) in enumerate(self.model.log, 1)
            if owner is ref and text is not None and not text.erased
        ]
        erased = ref.handle.erase()
        assert list(erased.positions) == expected
        for position in expected:
            text = self.model.log[position - 1][1]
            assert text is not None
            text.erased = True
        ref.erased = True
        ref.handle = self.store.session_of(ref.handle.stream)
        ref.event()

    @precondition(lambda self: self.any_session)
    @rule(who=picks, key=st.sampled_from(["k1", "k2"]), role=st.sampled_from(["user", "system"]),
          text=st.sampled_from(["x", "y"]))  # fmt: skip
    def keyed(self, who: int, key: str, role: str, text: str) -> None:
        ref = self.pick(who)
        if key in ref.keys:
            old_role, old_text, seq, stored = ref.keys[key]
            same = role == old_role and (stored.erased or text == old_text)
            if same:
                assert ref.handle.append(role, text, key=key) == seq
                return
            with pytest.raises(errors.KeyReusedError):
                ref.handle.append(role, text, key=key)
            return
        answers: list[int] = []
        if self.closed(ref, lambda: answers.append(ref.handle.append(role, text, key=key))):
            return
        stored = Text(text)
        seq = ref.say(role, stored, [], None)
        assert answers == [seq]
        ref.keys[key] = (role, text, seq, stored)

    @precondition(lambda self: self.any_session)
    @rule(who=picks, other=picks)
    def batch_fails_whole(self, who: int, other: int) -> None:
        one, two = self.pick(who), self.pick(other)
        head = self.store.head
        batch = [
            (one.handle, do.Append(messages=(Message(role="user", content="never"),))),
            (two.handle, do.SetTitle(title="never")),
            (one.handle, do.Retract(from_seq=99_999)),
        ]
        with pytest.raises(errors.RuleError):
            self.store.execute(batch)
        assert self.store.head == head

    @precondition(lambda self: self.any_session)
    @rule(who=picks, bad=st.sampled_from(["role", "json", "surrogate", "expected"]))
    def bad_append(self, who: int, bad: str) -> None:
        ref = self.pick(who)
        acts: dict[str, tuple[type[Exception], Any]] = {
            "role": (errors.InvalidValueError, lambda: ref.handle.append("USER", "x")),
            "json": (errors.NotJSONError, lambda: ref.handle.append("user", [float("nan")])),
            "surrogate": (
                errors.NotJSONError,
                lambda: ref.handle.append("tool", "x", call_id="\ud800"),
            ),
            "expected": (
                errors.VersionConflictError,
                lambda: self.store.execute(
                    [(ref.handle, do.Append(messages=(Message(role="user", content="x"),)))],
                    expected=do_exactly(ref.version + 1),
                ),
            ),
        }
        self.refused(ref, *acts[bad])

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()
        for ref in self.model.sessions:
            ref.handle = self.store.session_of(ref.handle.stream)

    # -- comparing

    @invariant()
    def agrees(self) -> None:
        self.agreed = False
        if self.touched is not None:
            self.compare(self.touched)
            versions = len(self.touched.past)
            self.compare_past(self.touched, (len(self.model.log) * 7) % versions)
        self.agreed = True

    def compare(self, ref: Ref) -> None:
        handle = ref.handle
        assert handle.version == ref.version
        assert [(m.seq, m.role, m.text, m.state) for m in handle.messages()] == [
            (m.seq, m.role, shown(m.text), "active") for m in ref.active
        ]
        assert [(m.seq, m.text, m.state, m.erased) for m in handle.history()] == [
            (m.seq, shown(m.text), m.state, m.text is not None and m.text.erased) for m in ref.all
        ]
        info = handle.info()
        preview = shown(ref.now["preview"])
        assert (
            info.status, info.kind, info.lifecycle, info.depth, info.version, info.messages,
            info.active_messages, info.compactions, info.tool_calls, info.title, info.model,
            info.round, info.incarnation, info.origin is None, info.parent is None,
        ) == (
            ref.status, ref.kind, ref.lifecycle, ref.depth, ref.version, ref.count,
            len(ref.active), len(ref.compactions), ref.own_calls, shown(ref.now["title"]),
            ref.now["model"], ref.now["round"], handle.incarnation, ref.origin is None,
            ref.parent is None,
        )  # fmt: skip
        assert info.preview == (None if preview is None else " ".join(preview.split()))
        assert info.session_id.startswith("erased:") == ref.erased
        assert [c.stream for c in handle.children()] == [c.handle.stream for c in ref.children()]
        self.compare_usage(ref)
        assert [(c.seq, c.from_seq, c.to_seq, c.count, c.note) for c in handle.compactions()] == [
            (seq, a, b, count, shown(note)) for seq, a, b, count, note in ref.compactions
        ]
        assert sorted(
            (c.call_id, c.seq, c.name is None, c.result_seq, c.result) for c in handle.tool_calls()
        ) == sorted(
            (c["id"], c["seq"], c["text"].erased, c["result"], shown(c["answer"]))
            for c in ref.calls
        )

    def compare_usage(self, ref: Ref) -> None:
        totals = ref.handle.usage()
        assert totals.calls == len(ref.usage)
        for field in ("input", "cache_read", "cache_write", "output"):
            assert getattr(totals, field) == sum(one[field] for one in ref.usage.values())

    def compare_past(self, ref: Ref, version: int) -> None:
        handle, past = ref.handle, ref.past[version]
        assert [(m.seq, m.text) for m in handle.messages(version)] == [
            (m.seq, shown(m.text)) for m in past["active"]
        ]
        state = handle.state(version)
        assert (str(state.status), state.next_seq, state.model, state.round) == (
            past["status"], past["next_seq"], past["model"], past["round"],
        )  # fmt: skip
        assert sorted(state.open_calls) == sorted(past["open"])
        assert handle.title(version) == shown(past["title"])
        assert handle.prompt(version) == shown(past["prompt"])
        assert handle.configuration(version) == shown(past["configuration"])
        assert handle.pending_tool_calls(version) == shown(past["pending"])

    def compare_all(self) -> None:
        for ref in self.model.sessions:
            self.compare(ref)
            for version in ref.past:
                self.compare_past(ref, version)

    def teardown(self) -> None:
        try:
            if self.any_session and self.agreed:
                self.finish()
        finally:
            self.store.close()
            shutil.rmtree(self.folder)

    def finish(self) -> None:
        clean(self.store)
        assert self.store.head.position == len(self.model.log)
        self.compare_all()
        self.reopen()
        self.compare_all()
        before = tables_of(self.store)
        self.store.rebuild()
        assert tables_of(self.store) == before
        clean(self.store)
        for ref in self.model.sessions:
            events = list(ref.handle.events(content=False))
            for version in range(ref.version + 1):
                assert ref.handle.state(version) == fold_all(SessionState(), events[:version])
        for ref in self.model.sessions:
            self.compare(ref)


def do_exactly(version: int) -> Any:
    from eventstore import exactly

    return exactly(version)


@pytest.fixture(autouse=True)
def _many_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "TAIL_MIN", 4)
    monkeypatch.setattr(snapshots, "SPACING", 6)


def run_machine(examples: int, steps: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Sessions,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_store_keeps_its_promises_under_any_commands() -> None:
    run_machine(budget(25), 40)


@pytest.mark.slow
def test_the_store_keeps_its_promises_under_many_commands() -> None:
    run_machine(budget(400), 80)
