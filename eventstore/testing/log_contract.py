"""What every log backend must do, as tests.

Subclass `LogContract` in a test module, give it a `fresh_log` that returns an empty log, and
pytest runs every test on it::

    class TestMyLog(LogContract):
        def fresh_log(self) -> Log:
            return MyLog(...)

A backend is accepted when all of them pass. They use the port alone (`eventstore.log.port`), so
they know nothing of SQLite.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from eventstore.errors import (
    EventStoreError,
    KeyReusedError,
    NotJSONError,
    PartialRetryError,
    StoreClosedError,
    VersionConflictError,
)
from eventstore.events.catalogue import (
    MessageAppended,
    MessageContent,
    SessionContent,
    SessionCreated,
    SessionEnded,
    TitleContent,
    TitleSet,
    UsageRecorded,
)
from eventstore.log.entry import ZEROS, leaf_of
from eventstore.log.port import (
    ANY,
    EXISTS,
    NO_STREAM,
    Actor,
    Expected,
    Log,
    NewEvent,
    Recorded,
    Transaction,
    exactly,
)


def created(session_id: str) -> NewEvent:
    """The event that begins a session."""
    return NewEvent(SessionCreated(content=SessionContent(session_id=session_id)), Actor.SYSTEM)


def said(seq: int, text: str | None = "hello", key: str | None = None) -> NewEvent:
    """A user's message."""
    content = None if text is None else MessageContent(text=text)
    return NewEvent(MessageAppended(seq=seq, role="user", content=content), Actor.USER, key)


def titled(title: str) -> NewEvent:
    """An event that commutes."""
    return NewEvent(TitleSet(content=TitleContent(title=title)))


def refused(kind: type[Exception], act: Callable[[], Any]) -> Exception:
    """The error of this kind that `act` raises; fails when it raises none."""
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


class LogContract(ABC):
    """Tests of a log; see the module's docstring."""

    log: Log

    @abstractmethod
    def fresh_log(self) -> Log:
        """An empty log."""

    def setup_method(self) -> None:
        """Begin each test with a log of its own."""
        self.log = self.fresh_log()

    def teardown_method(self) -> None:
        """Close the log."""
        self.log.close()

    # -- what the tests are written with ---------------------------------------------------

    def begin(self, session_id: str, *events: NewEvent) -> int:
        """Create a session with these events; its stream number."""

        def work(transaction: Transaction) -> int:
            head = transaction.create_stream(session_id)
            transaction.append(head.id, [created(session_id), *events])
            return head.id

        return self.log.transact(work)

    def append(self, stream: int, *events: NewEvent, expected: Expected = ANY) -> list[Recorded]:
        """Append to a stream in a transaction of its own."""
        return self.log.transact(lambda transaction: transaction.append(stream, events, expected))

    def events(self) -> list[Recorded]:
        """The whole log, content included, checked for gaps and for its chain of leaves."""
        found = list(self.log.read_all(content=True))
        assert [one.position for one in found] == list(range(1, len(found) + 1))
        versions: dict[int, int] = {}
        for one in found:
            assert one.version == versions.get(one.stream, 0) + 1
            versions[one.stream] = one.version
        last = found[-1] if found else None
        assert self.log.head() == ((last.position, last.leaf) if last else (0, ZEROS))
        return found

    # -- order -----------------------------------------------------------------------------

    def test_an_empty_log_has_no_head_and_no_streams(self) -> None:
        """Position 0 and zeros stand for "nothing yet"."""
        assert self.events() == []
        assert self.log.stream("a") is None

    def test_positions_and_versions_have_no_gaps(self) -> None:
        """Appends to several streams take turns."""
        one, two = self.begin("a"), self.begin("b")
        for seq in range(1, 6):
            assert self.append(one, said(seq))[0].version == seq + 1
            assert self.append(two, said(seq))[0].version == seq + 1
        assert len(self.events()) == 12

    def test_events_come_back_as_they_were(self) -> None:
        """Event, actor, key and stream, through every way of reading."""
        stream = self.begin("a")
        answered = self.append(stream, said(1, "ü 🙂 \0", "k"), titled("t"))
        assert list(self.log.read_stream(stream, after=1, content=True)) == answered
        assert self.events()[1:] == answered
        assert [one.event for one in answered] == [said(1, "ü 🙂 \0").event, titled("t").event]
        assert (answered[0].actor, answered[0].key, answered[1].key) == (Actor.USER, "k", None)

    def test_content_is_withheld_unless_asked_for(self) -> None:
        """Facts and commitment are there all the same; no content has no commitment."""
        stream = self.begin("a", said(1), said(2, None))
        bare = list(self.log.read_stream(stream))
        assert all(one.event.content is None for one in bare)
        assert [one.commitment is None for one in bare] == [False, False, True]
        full = list(self.log.read_stream(stream, content=True))
        assert [one.leaf for one in full] == [one.leaf for one in bare]
        assert full[1].event.content == MessageContent(text="hello")
        assert full[2].event.content is None

    def test_reads_begin_after_and_end_at(self) -> None:
        """`after` is exclusive, `upto` inclusive, in streams and in the log."""
        self.begin("other")
        stream = self.begin("a", *[said(seq) for seq in range(1, 10)])

        def versions(after: int = 0, upto: int | None = None) -> list[int]:
            found = self.log.read_stream(stream, after=after, upto=upto)
            return [one.version for one in found]

        assert versions() == list(range(1, 11))
        assert versions(after=3, upto=5) == [4, 5]
        assert versions(after=10) == versions(after=99) == versions(after=4, upto=4) == []
        assert versions(upto=0) == []
        assert [one.position for one in self.log.read_all(after=2, upto=4)] == [3, 4]

    def test_long_streams_are_read_whole(self) -> None:
        """However a backend pages, no event is left out or given twice."""
        stream = self.begin("a", *[said(seq, None) for seq in range(1, 1301)])
        assert [one.version for one in self.log.read_stream(stream)] == list(range(1, 1302))
        assert len(self.events()) == 1301

    # -- streams ---------------------------------------------------------------------------

    def test_a_stream_tells_its_head(self) -> None:
        """By session id, by number, and inside a transaction what it appended itself."""
        stream = self.begin("a", said(1))
        head = self.log.stream("a")
        assert head is not None
        assert (head.id, head.session_id, head.incarnation, head.version) == (stream, "a", 1, 2)
        assert head.leaf == self.events()[-1].leaf
        assert len(head.uid) == 16

        def work(transaction: Transaction) -> None:
            recorded = transaction.append(stream, [said(2), said(3)])
            inside = transaction.stream("a")
            assert inside == transaction.stream_by_id(stream)
            assert inside is not None
            assert (inside.version, inside.leaf) == (4, recorded[-1].leaf)
            assert list(transaction.read_stream(stream, after=2))[-1].version == 4
            assert transaction.stream_by_id(999) is None

        self.log.transact(work)

    def test_an_id_created_again_is_the_next_incarnation(self) -> None:
        """With versions from 1 and another uid; the id means the newest."""
        one, two = self.begin("a", said(1)), self.begin("a")
        first, second = self.log.stream("a", 1), self.log.stream("a", 2)
        assert first is not None
        assert second is not None
        assert (first.id, second.id) == (one, two)
        assert self.log.stream("a") == second
        assert (first.version, second.version) == (2, 1)
        assert first.uid != second.uid
        assert self.log.stream("a", 3) is None

    # -- atomicity -------------------------------------------------------------------------

    def test_an_append_to_several_streams_is_atomic(self) -> None:
        """All of it is stored together, in the order it was asked for."""
        one, two = self.begin("a"), self.begin("b")

        def work(transaction: Transaction) -> None:
            transaction.append(one, [said(1)], exactly(1))
            transaction.append(two, [said(1)], exactly(1))
            transaction.append(one, [said(2)])

        self.log.transact(work)
        assert [one_.stream for one_ in self.events()[2:]] == [one, two, one]

    def test_a_transaction_that_fails_is_undone(self) -> None:
        """Nothing of it is seen afterwards: events, streams, keys, what it remembered."""
        stream = self.begin("a")
        before = self.events()

        class MyError(Exception):
            pass

        def work(transaction: Transaction) -> None:
            transaction.append(stream, [said(1, key="k")])
            transaction.create_stream("b")
            transaction.remember("fact", 1)
            raise MyError

        refused(MyError, lambda: self.log.transact(work))
        assert self.events() == before
        assert self.log.stream("b") is None

        def look(transaction: Transaction) -> None:
            assert transaction.recall("fact") is None
            assert transaction.keyed(stream, ["k"]) is None
            head = transaction.stream_by_id(stream)
            assert head is not None
            assert head.version == 1

        self.log.transact(look)
        assert self.append(stream, said(1))[0].position == 2

    def test_a_bad_event_in_a_batch_undoes_the_batch(self) -> None:
        """The good ones before it are not stored."""
        stream = self.begin("a")
        bad = NewEvent(MessageAppended(seq=2, role="user", content=MessageContent(parts=[{1: 2}])))
        refused(NotJSONError, lambda: self.append(stream, said(1), bad))
        assert len(self.events()) == 1
        assert self.append(stream, said(1))[0].version == 2

    def test_neighbours_in_a_group_are_not_harmed(self) -> None:
        """Of many threads that append at once, those that fail, fail alone."""
        stream = self.begin("a")
        barrier = threading.Barrier(16)
        outcomes: list[Any] = []

        def half(transaction: Transaction) -> None:
            transaction.append(stream, [said(1)])
            transaction.create_stream("never")
            transaction.append(stream, [said(2)], NO_STREAM)

        def run(number: int) -> None:
            barrier.wait()
            for seq in range(8):
                try:
                    if number % 4 == 0:
                        self.log.transact(half)
                    else:
                        key = f"{number}-{seq}"
                        outcomes.append((key, self.append(stream, said(seq, key=key))[0]))
                except EventStoreError as error:
                    outcomes.append(error)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        errors = [one for one in outcomes if isinstance(one, Exception)]
        assert [type(one) for one in errors] == [VersionConflictError] * 32
        stored = {one.key: one for one in self.events()[1:]}
        assert len(stored) == 96
        assert self.log.stream("never") is None
        for key, recorded in (one for one in outcomes if isinstance(one, tuple)):
            assert stored[key].position == recorded.position

    def test_what_is_remembered_is_there_for_the_next(self) -> None:
        """Values kept beside the log."""
        self.log.transact(lambda transaction: transaction.remember(("x", 1), "value"))
        stream = self.begin("a")
        self.log.transact(lambda transaction: transaction.append(stream, [said(1)]))
        found = self.log.transact(lambda transaction: transaction.recall(("x", 1)))
        assert found in ("value", None)  # it may be dropped at any time, but never be another

    # -- expected versions -----------------------------------------------------------------

    def test_expected_versions(self) -> None:
        """The error carries what was expected and what is."""
        stream = self.begin("a")
        self.append(stream, said(1), expected=ANY)
        self.append(stream, said(2), expected=EXISTS)
        self.append(stream, said(3), expected=exactly(3))
        for expected in (NO_STREAM, exactly(3), exactly(0), exactly(5)):
            act = partial(self.append, stream, said(4), expected=expected)
            error = refused(VersionConflictError, act)
            assert isinstance(error, VersionConflictError)
            assert (error.expected, error.actual) == (str(expected), 4)
        assert len(self.events()) == 4

        def work(transaction: Transaction) -> None:
            head = transaction.create_stream("b")
            refused(VersionConflictError, lambda: transaction.append(head.id, [said(1)], EXISTS))
            transaction.append(head.id, [created("b")], NO_STREAM)

        self.log.transact(work)

    def test_events_that_commute_do_not_disturb_exactly(self) -> None:
        """Usage and titles of a second writer leave the first one's expectation true."""
        stream = self.begin("a", said(1))
        usage = NewEvent(UsageRecorded(key="r", input=1))
        self.append(stream, titled("t"), usage)
        self.append(stream, usage)
        assert self.append(stream, said(2), expected=exactly(2))[0].version == 6
        refused(VersionConflictError, lambda: self.append(stream, said(3), expected=exactly(2)))
        assert self.append(stream, said(3), expected=exactly(6))[0].version == 7

    def test_appending_to_no_stream_is_refused(self) -> None:
        """A stream must have been created."""
        refused(VersionConflictError, lambda: self.append(77, said(1)))
        assert self.events() == []

    # -- idempotency keys ------------------------------------------------------------------

    def test_a_retry_gives_the_original_events(self) -> None:
        """Wherever it comes: in the same transaction, later, or between other events."""
        stream = self.begin("a")
        first = self.append(stream, said(1, "x", "k1"), said(2, "y", "k2"))
        self.append(stream, said(3))
        again = self.append(stream, said(4, "x", "k1"), said(5, "y", "k2"))
        assert [one.position for one in again] == [one.position for one in first]
        assert [one.event for one in again] == [one.event for one in first]

        def work(transaction: Transaction) -> None:
            one = transaction.append(stream, [said(4, "z", "k3")])
            two = transaction.append(stream, [said(5, "z", "k3")])
            assert [r.position for r in one] == [r.position for r in two]

        self.log.transact(work)
        assert len(self.events()) == 5

    def test_some_keys_stored_is_an_error_naming_both(self) -> None:
        """Nothing is appended then."""
        stream = self.begin("a", said(1, "x", "k1"))
        error = refused(
            PartialRetryError, lambda: self.append(stream, said(1, "x", "k1"), said(2, "y", "k2"))
        )
        assert isinstance(error, PartialRetryError)
        assert (error.present, error.absent) == (("k1",), ("k2",))
        assert len(self.events()) == 2

    def test_a_key_with_another_event_is_an_error(self) -> None:
        """Other content, other facts, another type, or twice in one batch."""
        stream = self.begin("a", said(1, "x", "k"))
        for event in (
            MessageAppended(seq=1, role="user", content=MessageContent(text="other")),
            MessageAppended(seq=1, role="system", content=MessageContent(text="x")),
            SessionEnded(),
        ):
            new = NewEvent(event, Actor.USER, "k")
            refused(KeyReusedError, partial(self.append, stream, new))
        refused(KeyReusedError, lambda: self.append(stream, said(2, "a", "n"), said(3, "b", "n")))
        assert len(self.events()) == 2

    def test_keys_belong_to_one_stream(self) -> None:
        """The same key in another session is another key."""
        one, two = self.begin("a", said(1, "x", "k")), self.begin("b")
        assert self.append(two, said(1, "x", "k"))[0].stream == two
        assert self.append(one, said(1, "x", "k"))[0].stream == one
        assert len(self.events()) == 4

    # -- hashes ----------------------------------------------------------------------------

    def test_leaves_are_those_of_the_entry_format(self) -> None:
        """Each leaf covers its event and the leaf before it, as `entry/v1` says."""
        from eventstore.events import stored

        stream = self.begin("a", said(1, "x", "k"), said(2, None))
        head = self.log.stream("a")
        assert head is not None
        previous = ZEROS
        for one in self.log.read_stream(stream):
            form = stored.store(one.event)
            previous = leaf_of(
                one.position, one.version, one.recorded_at, head.uid, previous, one.commitment,
                one.actor, form.schema, one.key, form.name.encode(), form.facts,
            )  # fmt: skip
            assert one.leaf == previous

    # -- closing ---------------------------------------------------------------------------

    def test_a_closed_log_refuses_everything(self) -> None:
        """Closing twice is harmless."""
        stream = self.begin("a")
        self.log.close()
        self.log.close()
        refused(StoreClosedError, lambda: self.append(stream, said(1)))
        refused(StoreClosedError, self.log.head)
        refused(StoreClosedError, lambda: self.log.stream("a"))
        refused(StoreClosedError, lambda: list(self.log.read_all()))
        refused(StoreClosedError, lambda: list(self.log.read_stream(stream)))
