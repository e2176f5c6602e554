"""Signed checkpoints: made durably, refused where they contradict, and what they find out."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import apsw
import pytest
from checkpoint_support import a_key, copied, needs_cryptography, opened, private_folders, put_back
from engine_support import budget, populate
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import AsyncSessionStore, Checkpoints, Message, SessionStore
from eventstore.backup import backup, restore
from eventstore.checkpoints import checkpoint, comparing, note, notes, side_file
from eventstore.checkpoints.beginning import OWN_SESSION, Past, begin_anew
from eventstore.checkpoints.keeping import Keeper, make
from eventstore.checkpoints.making import Made
from eventstore.doctor import examine
from eventstore.errors import (
    CheckpointError,
    CorruptStoreError,
    ForkDetectedError,
    NoteError,
    OtherLogError,
    ReadOnlyStoreError,
    RollbackDetectedError,
    UnverifiedNoteError,
)
from eventstore.log import entry
from eventstore.log.engine import Durability


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private_folders(tmp_path, monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a few events, closed."""
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        session = store.create("s")
        session.append_many([Message(role="user", content=f"m{n}") for n in range(5)])
    return path


def append(path: Path, text: str = "more", session: str = "s") -> None:
    with SessionStore.open(path) as store:
        store.session(session).append("user", text)


def made_of(store: SessionStore, reason: str = "hand") -> Made:
    made = make(store, reason)
    assert made is not None
    return made


def note_of(path: Path, **settings: Any) -> str:
    with opened(path, **settings) as store:
        return made_of(store).note.note


def kept_in(path: Path) -> list[notes.KeptNote]:
    with SessionStore.open(path, readonly=True) as store, store.log.snapshot() as connection:
        return notes.listed(connection)


# -- making ------------------------------------------------------------------------------------


def test_a_note_says_what_the_log_is_now(path: Path) -> None:
    with opened(path) as store:
        made = made_of(store).note
        head = store.tree_head()
        found, written = checkpoint.read(made.note)
    assert (found.size, found.root) == (6, head.root)
    assert found.origin.startswith("agent-eventstore/")
    assert len(found.origin) == len("agent-eventstore/") + 32
    assert written.signatures == ()
    assert not made.signed


def test_without_a_key_a_note_is_unsigned_and_everything_else_is_the_same(path: Path) -> None:
    side = path.with_name("side")
    made = note_of(path, side_file=side)
    assert side.read_text() == made
    with opened(path, side_file=side) as store:
        assert comparing.verify_note(store, made).keys == ()
    with SessionStore.open(path, checkpoints=Checkpoints(side_file=None, expect=made)):
        pass


@needs_cryptography
def test_a_note_is_signed_by_the_key(path: Path) -> None:
    key = a_key()
    written = note.parse(note_of(path, signer=key))
    assert [(one.name, one.key_id) for one in written.signatures] == [(key.name, key.key_id)]
    assert note.verified(written, [key.verifier])


@needs_cryptography
def test_the_origin_is_random_and_stays(path: Path, tmp_path: Path) -> None:
    first = checkpoint.read(note_of(path))[0]
    append(path)
    assert checkpoint.read(note_of(path, signer=a_key()))[0].origin == first.origin
    other = tmp_path / "other.db"
    assert checkpoint.read(note_of(other))[0].origin != first.origin


def test_an_empty_log_has_a_note_too(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    assert checkpoint.read(note_of(path))[0].size == 0
    with SessionStore.open(path) as store:
        store.create("s")
    assert checkpoint.read(note_of(path))[0].size == 1


@needs_cryptography
def test_a_note_of_the_same_size_is_made_once_and_gains_signatures(path: Path) -> None:
    note_of(path)
    one = note_of(path, signer=a_key())
    assert note_of(path, signer=a_key()) == one
    both = note_of(path, signer=a_key("second", 8))
    assert note_of(path) == both
    [kept] = kept_in(path)
    assert kept.note == both
    keys = [a_key().verifier, a_key("second", 8).verifier]
    assert len(note.verified(note.parse(both), keys)) == 2


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_what_is_signed_is_on_the_disk_before(
    path: Path, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit of the row that names the size is durable, and comes before the signature."""
    happened: list[str] = []

    class Signer:
        name, key_id = "n", b"abcd"

        def sign(self, text: str) -> note.Note:
            happened.append("signed")
            return note.signed(text, [note.Signature("n", b"abcd", b"x")])

    settings = Checkpoints(Signer(), side_file=None)  # type: ignore[arg-type]
    with SessionStore.open(path, durability=durability, checkpoints=settings) as store:
        other = apsw.Connection(str(path))
        set_synchronous = store.log._set_synchronous

        def told(wanted: Durability) -> None:
            rows = other.execute("SELECT count(*) FROM checkpoint_notes").get
            happened.append(f"{wanted} with {rows} rows committed")
            set_synchronous(wanted)

        monkeypatch.setattr(store.log, "_set_synchronous", told)
        made_of(store)
        other.close()
    assert happened[:3] == [
        "full with 0 rows committed",
        f"{durability} with 1 rows committed",  # back to what the store asks for
        "signed",
    ]


def test_a_note_whose_signing_fails_is_kept_unsigned_and_signed_later(path: Path) -> None:
    class Broken:
        name, key_id = "n", b"abcd"

        def sign(self, text: str) -> note.Note:
            raise OSError("the token was pulled out")

    with opened(path, Broken()) as store, pytest.raises(OSError, match="token"):  # type: ignore[arg-type]
        make(store)
    [kept] = kept_in(path)
    assert not kept.signed


def test_a_store_that_is_read_only_makes_no_note(path: Path) -> None:
    with (
        SessionStore.open(path, readonly=True, checkpoints=Checkpoints(side_file=None)) as store,
        pytest.raises(ReadOnlyStoreError),
    ):
        make(store)


def test_a_store_without_checkpoints_makes_none(path: Path) -> None:
    with SessionStore.open(path) as store:
        assert make(store) is None
        store.session("s").close()
    assert kept_in(path) == []


def test_a_store_in_memory_has_no_side_file(tmp_path: Path) -> None:
    with SessionStore.open(":memory:", checkpoints=Checkpoints()) as store:
        store.create("s")
        assert made_of(store).note.size == 1
    assert not (tmp_path / "xdg_state_home").exists()


def test_by_default_the_side_file_is_in_the_users_state_folder(path: Path, tmp_path: Path) -> None:
    with SessionStore.open(path, checkpoints=Checkpoints()) as store:
        made = made_of(store).note.note
    kept = side_file.default_for(str(path))
    assert kept.read_text() == made
    assert kept.is_relative_to(tmp_path)
    assert os.name != "posix" or kept.stat().st_mode & 0o077 == 0


def test_a_signer_refuses_a_log_that_contradicts_the_newest_note(path: Path) -> None:
    note_of(path)
    rewrite(path, 3)
    with opened(path) as store, pytest.raises(ForkDetectedError, match="newest note that was kept"):
        make(store)
    assert len(kept_in(path)) == 1


def test_a_signer_refuses_a_log_that_was_cut(path: Path) -> None:
    note_of(path)
    cut(path, 4)
    with opened(path) as store, pytest.raises(RollbackDetectedError) as caught:
        make(store)
    assert (caught.value.size, caught.value.found) == (6, 4)


def test_nothing_is_signed_that_the_tiles_alone_say(path: Path) -> None:
    with opened(path) as store:
        store.tree_head()
        store.log.transact(
            lambda tx: tx.connection.execute(
                "UPDATE tiles SET hashes = zeroblob(length(hashes))"
            ).fetchall(),
            exclusive=True,
        )
        with pytest.raises(CorruptStoreError, match="rebuild tree"):
            make(store)
        store.rebuild(["tree"])
        assert made_of(store).note.root == store.tree_head().root


def test_others_append_while_notes_are_made(path: Path) -> None:
    """Every note made in the middle of appends is of a log that there was."""
    over = threading.Event()

    def write() -> None:
        with SessionStore.open(path, durability="normal") as store:
            session = store.session("s")
            while not over.is_set():
                session.append("user", "x")

    writer = threading.Thread(target=write)
    with opened(path) as store:
        writer.start()
        made = [made_of(store).note for _ in range(15)]
        over.set()
        writer.join()
        for one in made:
            assert store.tree_head(one.size).root == one.root


# -- when nobody asks ----------------------------------------------------------------------------


@needs_cryptography
def test_a_note_is_made_after_a_session_is_closed(path: Path) -> None:
    with opened(path, a_key()) as store:
        store.session("s").close()
        events = store.head.position
    [kept] = kept_in(path)
    assert (kept.reason, kept.size, kept.signed) == ("close", events, True)


@needs_cryptography
@pytest.mark.parametrize("how", ["erase", "erase_events", "close_and_erase"])
def test_a_note_is_made_after_an_erasure(path: Path, how: str) -> None:
    with opened(path, a_key()) as store:
        session = store.session("s")
        getattr(session, how)(*([[2]] if how == "erase_events" else []))
        events = store.head.position
    [kept] = kept_in(path)
    assert (kept.reason, kept.size) == ("erasure", events)


def test_without_a_key_no_note_is_made_by_itself(path: Path) -> None:
    with opened(path) as store:
        store.session("s").close()
    assert kept_in(path) == []


@needs_cryptography
def test_a_session_closed_by_a_task_has_its_note_too(path: Path) -> None:
    async def body() -> int:
        settings = Checkpoints(a_key(), side_file=None)
        async with AsyncSessionStore.open(path, checkpoints=settings) as store:
            await (await store.session("s")).close()
            return (await store.head()).position

    events = asyncio.run(body())
    [kept] = kept_in(path)
    assert (kept.reason, kept.size) == ("close", events)


class SlowAnchor:
    """An anchor that takes a note when it is let."""

    name = "slow:"

    def __init__(self) -> None:
        self.let = threading.Event()
        self.asked = threading.Event()

    def submit(self, submitted: str) -> str:
        self.asked.set()
        assert self.let.wait(30)
        return "taken"

    def verify(self, submitted: str, receipt: str) -> None:
        raise NotImplementedError


@needs_cryptography
def test_no_append_waits_for_a_note(path: Path) -> None:
    anchor = SlowAnchor()
    with opened(path, a_key(), anchors=[anchor]) as store:
        store.create("other")
        store.session("s").close()  # comes back although the anchor does not
        assert anchor.asked.wait(30)
        store.session("other").append("user", "and on")
        assert not anchor.let.is_set()
        anchor.let.set()
    assert kept_in(path)[0].size == 8


@needs_cryptography
def test_a_note_that_fails_loses_no_append_and_is_reported(path: Path) -> None:
    blocked = path.with_name("a file")
    blocked.write_text("")
    with opened(path, a_key(), side_file=path.with_name("side")) as store:
        keeper = store.keeper
        assert isinstance(keeper, Keeper)
        keeper.settings.side_file = blocked / "side"  # what cannot be written any more
        store.session("s").close()
        keeper.close()
        assert isinstance(keeper.failure, CheckpointError)
        assert "cannot be" in str(keeper.failure)
    with SessionStore.open(path) as store:
        assert store.session("s").info().status == "closed"


@needs_cryptography
def test_a_failure_is_a_warning(path: Path) -> None:
    damaged = path.with_name("side")
    damaged.write_text("no note")
    with opened(path, a_key()) as store:
        keeper = store.keeper
        assert isinstance(keeper, Keeper)
        keeper.settings.side_file = damaged
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            store.session("s").close()
            keeper.close()
        assert [one.category for one in told] == [RuntimeWarning]
        assert "no checkpoint was made after: close" in str(told[0].message)


@needs_cryptography
def test_many_closed_sessions_share_a_note(path: Path) -> None:
    with opened(path, a_key()) as store:
        for number in range(30):
            store.create(f"n{number}").close()
        events = store.head.position
    found = kept_in(path)
    assert found[-1].size == events
    assert len(found) < 10


# -- what opening finds out ----------------------------------------------------------------------


@pytest.fixture
def side(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere" / "side.note"


def rewrite(path: Path, position: int, *, tiles: bool = True) -> None:
    """Change an event as a forger with the file would: leaves, and what is derived, made anew."""
    connection = apsw.Connection(str(path))
    triggers = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    connection.execute("DROP TRIGGER events_are_immutable; DROP TRIGGER contents_are_only_wiped")
    salt, body = bytes(32), '{"text":"forged"}'
    connection.execute(
        "UPDATE contents SET salt = ?, body = ? WHERE position = ?", (salt, body, position)
    )
    commitment = entry.commitment_of(salt, body.encode())
    connection.execute(
        "UPDATE events SET commitment = ? WHERE position = ?", (commitment, position)
    )
    rows = connection.execute(
        "SELECT e.position, e.version, e.recorded_at, s.uid, e.commitment, e.actor, e.schema, "
        "e.idempotency_key, e.type, e.facts, e.stream FROM events AS e "
        "JOIN streams AS s ON s.id = e.stream ORDER BY e.position"
    ).fetchall()
    leaves: dict[int, bytes] = {}
    for at, version, recorded_at, uid, commitment, actor, schema, key, name, facts, stream in rows:
        leaf = entry.leaf_of(
            at, version, recorded_at, uid, leaves.get(stream, entry.ZEROS), commitment, actor,
            schema, key, name.encode(), facts.encode(),
        )  # fmt: skip
        leaves[stream] = leaf
        connection.execute("UPDATE events SET leaf = ? WHERE position = ?", (leaf, at))
    for (sql,) in triggers:
        connection.execute(sql.replace("CREATE TRIGGER", "CREATE TRIGGER IF NOT EXISTS"))
    connection.close()
    if tiles:
        examine(path, fix=True)


def cut(path: Path, upto: int) -> None:
    """Drop the newest events, and what was derived from them."""
    connection = apsw.Connection(str(path))
    connection.execute("DROP TRIGGER events_are_permanent; DROP TRIGGER contents_are_permanent")
    connection.execute("DELETE FROM events WHERE position > ?", (upto,))
    connection.execute("DELETE FROM contents WHERE position > ?", (upto,))
    connection.execute("DELETE FROM projections; DELETE FROM snapshots")
    connection.close()
    examine(path, fix=True)


def test_a_forger_leaves_a_log_that_verifies(path: Path) -> None:
    """What the tests below do to the log is not found by the log alone."""
    rewrite(path, 3)
    with SessionStore.open(path) as store:
        assert store.verify() == []
        assert store.check() == []
        assert store.session("s").chat()[1]["content"] == "forged"


def test_a_sound_store_opens_and_moves_its_side_file_on(path: Path, side: Path) -> None:
    note_of(path, side_file=side)
    append(path)
    assert note_of(path, side_file=side) == side.read_text()
    with opened(path, side_file=side):
        pass


def test_an_older_copy_is_found_when_it_is_opened(path: Path, side: Path) -> None:
    note_of(path, side_file=side)
    copy = copied(path, "old.db")
    append(path)
    note_of(path, side_file=side)
    put_back(copy, path)
    with pytest.raises(RollbackDetectedError) as caught:
        opened(path, side_file=side)
    assert (caught.value.size, caught.value.found) == (7, 6)
    assert str(side) in str(caught.value)


def test_an_older_copy_that_grew_past_the_checkpoint_is_found_by_its_hash(
    path: Path, side: Path
) -> None:
    note_of(path, side_file=side)
    copy = copied(path, "old.db")
    append(path)
    note_of(path, side_file=side)
    put_back(copy, path)
    for _ in range(5):
        append(path, "another history")
    with pytest.raises(ForkDetectedError) as caught:
        opened(path, side_file=side)
    assert caught.value.size == 7
    assert caught.value.root != caught.value.found


def test_a_log_whose_end_was_cut_is_found(path: Path, side: Path) -> None:
    note_of(path, side_file=side)
    cut(path, 4)
    with pytest.raises(RollbackDetectedError):
        opened(path, side_file=side)


def test_a_copy_from_before_the_first_checkpoint_is_found(path: Path, side: Path) -> None:
    copy = copied(path, "old.db")
    append(path)
    note_of(path, side_file=side)
    put_back(copy, path)
    with pytest.raises(RollbackDetectedError):
        opened(path, side_file=side)
    append(path)
    append(path)
    with pytest.raises(ForkDetectedError):
        opened(path, side_file=side)


def test_two_copies_that_both_went_on_contradict_each_other(path: Path, side: Path) -> None:
    note_of(path, side_file=side)
    copy = copied(path, "copy.db")
    append(path, "here")
    append(copy, "there")
    here = note_of(path, side_file=side)
    with pytest.raises(ForkDetectedError):
        opened(copy, side_file=side)
    with opened(copy, expect=None) as store, pytest.raises(ForkDetectedError):
        comparing.verify_note(store, here)


@needs_cryptography
def test_a_log_rewritten_with_the_right_key_is_caught_by_an_older_note(
    path: Path, tmp_path: Path
) -> None:
    """Whoever has the file and the key can make all agree, but not the note that was given away."""
    key = a_key()
    given_away = note_of(path, signer=key)
    append(path)
    rewrite(path, 3)
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM checkpoint_notes")
    connection.close()
    forged = note_of(path, signer=key)
    with SessionStore.open(path, readonly=True) as store:
        assert store.verify() == []
        assert store.check() == []
        assert comparing.verify_note(store, forged, [key.verifier]).keys == (key.verifier,)
        with pytest.raises(ForkDetectedError) as caught:
            comparing.verify_note(store, given_away, [key.verifier])
    assert caught.value.size == 6
    with pytest.raises(ForkDetectedError):
        opened(path, expect=given_away)


def test_events_rewritten_below_tiles_that_were_left_are_found_leaf_by_leaf(path: Path) -> None:
    with SessionStore.open(path) as store:  # the last leaf is of a session that is not touched
        store.create("last")
    before = note_of(path)
    rewrite(path, 3, tiles=False)
    with opened(path, expect=before) as store:  # quick: reads the tiles
        with pytest.raises(ForkDetectedError):
            comparing.verify_note(store, before)
        assert store.check(["tree"]) != []
        assert made_of(store).note.root == checkpoint.read(before)[0].root  # not what was forged


def test_a_note_of_another_store_is_told_apart(path: Path, tmp_path: Path, side: Path) -> None:
    other = tmp_path / "other.db"
    with SessionStore.open(other) as store:
        store.create("x")
    note_of(other, side_file=side)
    note_of(path)
    with pytest.raises(OtherLogError) as caught:
        opened(path, side_file=side)
    assert caught.value.named != caught.value.own
    fresh = tmp_path / "fresh.db"
    shutil.copy(other, fresh)
    connection = apsw.Connection(str(fresh))
    connection.execute("DELETE FROM log_origins; DELETE FROM checkpoint_notes")
    connection.close()
    with pytest.raises(OtherLogError, match="has none yet"):
        opened(fresh, side_file=side)


def test_a_damaged_side_file_is_an_error_and_not_passed_over(path: Path, side: Path) -> None:
    note_of(path, side_file=side)
    side.write_text("nothing\n")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        opened(path, side_file=side)


def test_an_expected_note_is_compared_when_the_store_is_opened(path: Path) -> None:
    before = note_of(path)
    append(path)
    after = note_of(path)
    for one in (before, after, after.encode()):
        opened(path, expect=one).close()
    cut(path, 6)
    opened(path, expect=before).close()
    with pytest.raises(RollbackDetectedError, match="expected note"):
        opened(path, expect=after)
    with pytest.raises(NoteError):
        opened(path, expect="no note")


@needs_cryptography
def test_an_expected_note_needs_a_signature_by_a_trusted_key(path: Path) -> None:
    key, other = a_key(), a_key("someone.else", 9)
    signed = note_of(path, signer=key)
    opened(path, expect=signed, trusted=[other.verifier, key.verifier]).close()
    with pytest.raises(UnverifiedNoteError, match="no key that is trusted"):
        opened(path, expect=signed, trusted=[other.verifier])
    namesake = a_key(key.name, 9)
    with pytest.raises(UnverifiedNoteError):
        opened(path, expect=signed, trusted=[namesake.verifier])
    found = checkpoint.read(signed)[0]
    changed = signed.replace(f"\n{found.size}\n", f"\n{found.size - 1}\n")
    with pytest.raises(UnverifiedNoteError, match="is wrong"):
        opened(path, expect=changed, trusted=[key.verifier])
    with pytest.raises(UnverifiedNoteError):
        opened(path, expect=found.text, trusted=[key.verifier])


STEPS = st.one_of(st.sampled_from(["append", "note", "copy", "open"]), st.integers(0, 5))


@given(steps=st.lists(STEPS, max_size=25))
@settings(max_examples=budget(40), deadline=None)
def test_a_store_opens_exactly_when_it_begins_with_what_was_noted(
    steps: list[str | int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Appends, notes, copies and copies put back in any order, against a list of leaves."""
    folder = tmp_path_factory.mktemp("any")
    path, side = folder / "s.db", folder / "side"
    with SessionStore.open(path, durability="normal") as store:
        store.create("s")
    noted: list[bytes] = []
    copies: list[Path] = []
    for number, step in enumerate([*steps, "open"]):
        with SessionStore.open(path, durability="normal") as store:
            if step == "append":
                store.session("s").append("user", str(number))
            leaves = [recorded.leaf for recorded in store.events(content=False)]
        sound = leaves[: len(noted)] == noted
        if step == "copy":
            copies.append(copied(path, f"{len(copies)}.db"))
        elif isinstance(step, int) and step < len(copies):
            put_back(copies[step], path)
        elif step in ("note", "open"):
            refused: type[Exception] | None = None
            try:
                with opened(path, side_file=side) as store:
                    if step == "note":
                        made_of(store)
            except CheckpointError as error:
                refused = type(error)
            if refused is OtherLogError:  # a copy from before the first note, with its events
                assert sound
                return
            wanted = RollbackDetectedError if len(leaves) < len(noted) else ForkDetectedError
            assert refused is (None if sound else wanted)
            if sound and step == "note":
                noted = leaves


def test_what_refuses_a_store_leaves_it_closed(path: Path, side: Path) -> None:
    note_of(path, side_file=side)
    cut(path, 4)
    for _ in range(3):
        with pytest.raises(RollbackDetectedError):
            opened(path, side_file=side)
    os.rename(path, path.with_name("moved.db"))


def test_a_read_only_store_is_compared_too(path: Path, side: Path) -> None:
    note_of(path, side_file=side)
    cut(path, 4)
    with pytest.raises(RollbackDetectedError):
        SessionStore.open(path, readonly=True, checkpoints=Checkpoints(side_file=side))


# -- a copy that goes on as a log of its own -----------------------------------------------------


def restored_facts(path: Path) -> list[dict[str, Any]]:
    with SessionStore.open(path) as store:
        session = store.get(OWN_SESSION)
        if session is None:
            return []
        return [
            recorded.event.data
            for recorded in store.events()
            if getattr(recorded.event, "name", None) == "x.eventstore.restored"
        ]


def test_a_restored_backup_is_a_new_log_that_names_the_old_one(path: Path, side: Path) -> None:
    note_of(path, side_file=side)
    backup(path, path.with_name("backup.db"))
    append(path)
    last = checkpoint.read(note_of(path, side_file=side))[0]
    done = restore(path.with_name("backup.db"), path)
    assert done.origin not in (None, last.origin)
    assert restored_facts(path) == [
        {"origin": last.origin, "size": last.size, "root": last.root.hex()}
    ]
    found = checkpoint.read(note_of(path, side_file=side))[0]  # the side file goes along
    assert found.origin == done.origin
    with SessionStore.open(path) as store:
        assert store.verify() == []
        assert store.check() == []


def test_a_backup_from_before_the_first_checkpoint_is_a_new_log_too(path: Path, side: Path) -> None:
    backup(path, path.with_name("backup.db"))
    last = checkpoint.read(note_of(path, side_file=side))[0]
    done = restore(path.with_name("backup.db"), path)
    assert [one["origin"] for one in restored_facts(path)] == [last.origin]
    assert checkpoint.read(note_of(path, side_file=side))[0].origin == done.origin


def test_a_backup_put_where_no_store_was_names_its_own_last_checkpoint(path: Path) -> None:
    last = checkpoint.read(note_of(path))[0]
    backup(path, path.with_name("backup.db"))
    elsewhere = path.with_name("elsewhere.db")
    done = restore(path.with_name("backup.db"), elsewhere, without_erasures=True)
    assert done.origin not in (None, last.origin)
    assert [(one["origin"], one["size"]) for one in restored_facts(elsewhere)] == [
        (last.origin, last.size)
    ]


def test_a_store_without_checkpoints_is_restored_as_it_was(path: Path) -> None:
    backup(path, path.with_name("backup.db"))
    done = restore(path.with_name("backup.db"), path)
    assert done.origin is None
    with SessionStore.open(path) as store:
        assert store.head == done.head


def test_beginning_anew_twice_keeps_every_origin(path: Path) -> None:
    first = checkpoint.read(note_of(path))[0].origin
    with SessionStore.open(path) as store:
        second = begin_anew(store, Past())
        third = begin_anew(store, Past())
        with store.log.snapshot() as connection:
            assert notes.origins(connection) == [third, second, first]
    assert [one["origin"] for one in restored_facts(path)] == [first, second]


# -- the tables --------------------------------------------------------------------------------


def test_an_older_store_gets_the_tables_when_it_is_opened(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(
        "DROP TABLE log_origins; DROP TABLE checkpoint_notes; DROP TABLE checkpoint_anchors"
    )
    connection.close()
    with SessionStore.open(path, readonly=True) as store, store.log.snapshot() as reader:
        assert notes.listed(reader) == []
        assert notes.anchorings(reader) == []
        assert notes.origins(reader) == []
        assert notes.newest(reader, "x") is None
    note_of(path)
    assert len(kept_in(path)) == 1


def test_a_store_of_everything_is_sound_with_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with opened(path) as store:
        populate(store)
        made_of(store)
        assert store.verify() == []
        assert store.check() == []
    assert examine(path).healthy


def test_closing_waits_for_a_note_under_way(path: Path) -> None:
    class Lazy:
        name, key_id = "n", b"abcd"

        def sign(self, text: str) -> note.Note:
            time.sleep(0.2)
            return note.signed(text, [note.Signature("n", b"abcd", b"x")])

    with opened(path, Lazy()) as store:  # type: ignore[arg-type]
        store.session("s").close()
    assert [one.signed for one in kept_in(path)] == [True]
