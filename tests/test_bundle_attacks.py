"""What can be done to a log and its bundle, and what both verifiers say of it then.

One test an attack of the table in docs/auditing.md. Whoever holds a bundle can write its manifest
anew, so the tests do that for them; whoever holds the store and the key can do more.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from bundle_support import (
    KEY,
    ORIGIN,
    OTHER_KEY,
    Sample,
    copied,
    entries_in,
    files_of,
    framed,
    lines_of,
    signed,
    tar_of,
    verify,
    with_erasures,
    with_manifest,
    write_files,
)
from merkle_support import mth, sha

from eventstore import Message, SessionStore
from eventstore.bundles import layout
from eventstore.bundles.layout import Line
from eventstore.bundles.writing import write_bundle
from eventstore.checkpoints.checkpoint import Checkpoint
from eventstore.log.entry import ZEROS, commitment_of
from eventstore.log.headers import StoredEvent

OLDER = 9


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    made = Sample(tmp_path_factory.mktemp("attacks"))
    made.older(OLDER)
    made.bundle("log", older=[signed(made.store, OLDER)])
    made.bundle("sessions", sessions=[made.made["root"]], older=[signed(made.store, OLDER)])
    yield made
    made.store.close()


class Attack:
    """The files of a right bundle, to be changed."""

    def __init__(self, sample: Sample, tmp_path: Path, mode: str = "log") -> None:
        self.folder = tmp_path / "bundle"
        self.files = files_of(sample.folder / mode)
        self.older = sample.folder / "older.txt"
        self.answer_before = verify(sample.folder / mode, older=[self.older])
        assert self.answer_before.exit == 0

    @property
    def lines(self) -> list[bytes]:
        return lines_of(self.files)

    def put_lines(self, lines: list[bytes]) -> None:
        self.files[layout.EVENTS] = b"".join(lines)

    def index_of(self, part: bytes, after: int = -1) -> int:
        return next(n for n, line in enumerate(self.lines) if n > after and part in line)

    def verdict(self, **changes: int) -> str:
        write_files(self.folder, with_manifest(self.files, **changes))
        return verify(self.folder, older=[self.older]).verdict

    def replace_entries(self, entries: list[bytes], key: object = KEY) -> None:
        """All entries, with the tiles and the checkpoint that somebody makes of them."""
        leaves = [sha(b"\0" + one) for one in entries]
        for name in [name for name in self.files if name.startswith("tile/")]:
            del self.files[name]
        self.files[f"tile/entries/000.p/{len(entries)}"] = framed(entries)
        self.files[f"tile/0/000.p/{len(entries)}"] = b"".join(leaves)
        text = Checkpoint(ORIGIN, len(entries), mth(leaves)).text
        note = text if key is None else str(key.sign(text))  # type: ignore[attr-defined]
        self.files[layout.CHECKPOINT] = note.encode()


@pytest.fixture(params=["log", "sessions"])
def attack(request: pytest.FixtureRequest, sample: Sample, tmp_path: Path) -> Attack:
    return Attack(sample, tmp_path, request.param)


@pytest.fixture
def whole(sample: Sample, tmp_path: Path) -> Attack:
    return Attack(sample, tmp_path)


def content_of(line: bytes) -> bytes:
    return line[line.index(b',"content":') : line.rindex(b',"session":')]


# -- contents --------------------------------------------------------------------------------------


def test_a_changed_content_is_found(attack: Attack) -> None:
    lines, at = attack.lines, attack.index_of(b'"text":"to be retracted"')
    lines[at] = lines[at].replace(b"to be retracted", b"to be retraced")
    attack.put_lines(lines)
    assert attack.verdict() == "NOT VERIFIED"


def test_swapped_contents_are_found(attack: Attack) -> None:
    lines = attack.lines
    one = attack.index_of(b'"prompt.changed"')
    two = attack.index_of(b'"title.set"')
    first, second = content_of(lines[one]), content_of(lines[two])
    lines[one] = lines[one].replace(first, second)
    lines[two] = lines[two].replace(second, first)
    attack.put_lines(lines)
    assert attack.verdict() == "NOT VERIFIED"


def test_a_forged_content_is_found(attack: Attack) -> None:
    lines, at = attack.lines, attack.index_of(b'"title.set"')
    forged = layout.shown(b'{"title":"Another"}', bytes(32))
    lines[at] = lines[at].replace(content_of(lines[at]), forged)
    attack.put_lines(lines)
    assert attack.verdict() == "NOT VERIFIED"


def test_a_content_for_an_event_without_one_is_found(attack: Attack) -> None:
    lines, at = attack.lines, attack.index_of(b'"round.advanced"')
    end = lines[at].rindex(b',"session":')
    lines[at] = lines[at][:end] + layout.shown(b"{}", bytes(32)) + lines[at][end:]
    attack.put_lines(lines)
    shown = attack.answer_before.told["shown"]
    assert attack.verdict(shown=shown + 1) == "NOT VERIFIED"


def test_a_changed_blob_is_found(attack: Attack) -> None:
    name = next(name for name in attack.files if name.startswith("blobs/"))
    attack.files[name] = attack.files[name].replace(b"0123", b"0124", 1)
    assert attack.verdict() == "NOT VERIFIED"


def test_a_content_that_is_quietly_left_out_is_found(attack: Attack) -> None:
    """Whoever calls it erased is refuted; whoever calls it withheld shows that they withhold it."""
    lines, at = attack.lines, attack.index_of(b'"title.set"')
    told = attack.answer_before.told
    for state, expected in (("erased", "NOT VERIFIED"), ("withheld", "VERIFIED with ")):
        changed = lines[at].replace(content_of(lines[at]), layout.absent(state))
        attack.put_lines([*lines[:at], changed, *lines[at + 1 :]])
        counts = {"shown": told["shown"] - 1, state: told[state] + 1}
        assert attack.verdict(**counts).startswith(expected)
    without = lines[at].replace(content_of(lines[at]), b"")
    attack.put_lines([*lines[:at], without, *lines[at + 1 :]])
    assert attack.verdict(shown=told["shown"] - 1) == "NOT VERIFIED"


def test_a_content_that_the_operator_wiped_without_an_event_is_found(
    sample: Sample, tmp_path: Path
) -> None:
    path = tmp_path / "s.db"
    with apsw.Connection(str(sample.path)) as source, apsw.Connection(str(path)) as target:
        with target.backup("main", source, "main") as backup:
            backup.step()
        target.execute("UPDATE contents SET salt = NULL, body = NULL WHERE position = 2")
    target.close()
    source.close()
    with SessionStore.open(path) as store:
        folder = tmp_path / "b"
        folder.mkdir()
        write_bundle(store, folder, signed(store))
    answer = verify(folder, older=[sample.folder / "older.txt"])
    assert answer.verdict == "NOT VERIFIED"
    assert any("event 2" in finding for finding in answer.findings)


def test_a_content_put_back_at_an_erased_position_is_found(tmp_path: Path) -> None:
    """Even the true one, with its salt, from an older bundle."""
    made = Sample(tmp_path, lambda store: store.create("a").append("user", "secret"))
    before = lines_of(files_of(made.bundle("before")))
    session = made.store.session("a")
    session.erase_events([2])
    files = files_of(made.bundle("after"))
    lines = lines_of(files)
    assert b'"erased":true' in lines[1]
    for content in (content_of(before[1]), layout.shown(b'{"text":"other"}', bytes(32))):
        lines[1] = before[1].replace(content_of(before[1]), content)
        files[layout.EVENTS] = b"".join(lines)
        folder = tmp_path / f"b{len(content)}"
        write_files(folder, with_manifest(files, shown=2, erased=0))
        assert verify(folder, older=[made.older(2)]).verdict == "NOT VERIFIED"
    made.store.close()


# -- entries ---------------------------------------------------------------------------------------


def entries_of(attack: Attack) -> tuple[str, list[bytes]]:
    name = next(n for n in attack.files if n == "entries" or n.startswith("tile/entries/"))
    return name, entries_in(attack.files[name])


def test_a_changed_entry_is_found(attack: Attack) -> None:
    name, entries = entries_of(attack)
    at = next(n for n, one in enumerate(entries) if b'{"round":3}' in one)
    entries[at] = entries[at].replace(b'{"round":3}', b'{"round":4}')
    attack.files[name] = framed(entries)
    attack.put_lines([one.replace(b'{"round":3}', b'{"round":4}') for one in attack.lines])
    assert attack.verdict() == "NOT VERIFIED"


@pytest.mark.parametrize("key", [None, OTHER_KEY])
def test_a_changed_entry_in_a_tree_made_anew_has_no_trusted_signature(
    whole: Attack, key: object
) -> None:
    """With what follows in its session linked anew: without the key the rest cannot be made."""
    _, entries = entries_of(whole)
    whole.replace_entries(entries, key)
    whole.files = {n: data for n, data in whole.files.items() if not n.startswith("anchors/")}
    assert whole.verdict().startswith("UNSIGNED with ")
    changed = [one.replace(b'{"round":3}', b'{"round":4}') for one in entries]
    whole.replace_entries(changed, key)
    whole.put_lines([one.replace(b'{"round":3}', b'{"round":4}') for one in whole.lines])
    shutil.rmtree(whole.folder)
    assert whole.verdict() == "NOT VERIFIED", "the older checkpoint and the link show it"


@pytest.mark.parametrize("what", ["drop", "reorder", "insert", "repeat", "first", "last"])
def test_entries_dropped_reordered_or_inserted_are_found(attack: Attack, what: str) -> None:
    name, entries = entries_of(attack)
    lines = attack.lines
    for rows in (entries, lines):
        match what:
            case "drop":
                del rows[5]
            case "first":
                del rows[0]
            case "last":
                del rows[-1]
            case "reorder":
                rows[5], rows[6] = rows[6], rows[5]
            case "insert":
                rows.insert(5, rows[2])
            case "repeat":
                rows.insert(5, rows[5])
    attack.files[name] = framed(entries)
    attack.put_lines(lines)
    assert attack.verdict() == "NOT VERIFIED"


def test_events_of_a_session_that_are_hidden_are_found_but_its_end_is_not(
    sample: Sample, tmp_path: Path
) -> None:
    """What docs/auditing.md says of the tail of a session."""
    folder = tmp_path / "b"
    folder.mkdir()
    write_bundle(
        sample.store, folder, signed(sample.store), sessions=[sample.made["child"]],
        older=[signed(sample.store, OLDER)],
    )  # fmt: skip
    files, older = files_of(folder), sample.folder / "older.txt"
    entries, lines = entries_in(files["entries"]), lines_of(files)
    told = verify(folder, older=[older]).told
    assert len(entries) == 3
    for hidden, expected in ((0, 3), (1, 3), (2, 0)):
        kept = [n for n in range(3) if n != hidden]
        files["entries"] = framed(entries[n] for n in kept)
        files[layout.EVENTS] = b"".join(lines[n] for n in kept)
        shown = told["shown"] - (b'"content":' in lines[hidden])
        target = write_files(tmp_path / f"h{hidden}", with_manifest(files, shown=shown))
        assert verify(target, older=[older]).exit == expected


# -- the log as a whole ----------------------------------------------------------------------------


def test_a_cut_tail_and_an_old_copy_are_found_by_an_older_checkpoint(
    sample: Sample, tmp_path: Path
) -> None:
    size = sample.store.head.position
    folder = tmp_path / "b"
    folder.mkdir()
    write_bundle(sample.store, folder, signed(sample.store, size - 3))
    assert verify(folder, older=[sample.folder / "older.txt"]).exit == 0
    answer = verify(folder, older=[sample.older(size, "newest.txt")])
    assert answer.verdict == "NOT VERIFIED"


def twin(sample: Sample, path: Path, texts: list[str]) -> SessionStore:
    """Another history under the same name, by whoever holds the key."""
    store = SessionStore.open(path)
    store.create("a").append_many([Message(role="user", content=text) for text in texts])
    return store


def test_a_log_rewritten_by_whoever_holds_the_key_is_found_by_an_older_checkpoint_only(
    sample: Sample, tmp_path: Path
) -> None:
    with twin(sample, tmp_path / "s.db", [str(number) for number in range(20)]) as store:
        folder = tmp_path / "b"
        folder.mkdir()
        write_bundle(store, folder, signed(store))
    assert verify(folder).verdict == "UNANCHORED"
    answer = verify(folder, older=[sample.folder / "older.txt"])
    assert answer.verdict == "NOT VERIFIED"
    assert any("another root" in finding for finding in answer.findings)


def test_two_copies_that_went_their_own_ways_are_found(tmp_path: Path) -> None:
    made = Sample(tmp_path, lambda store: store.create("a").append("user", "1"))
    made.store.close()
    copy = tmp_path / "copy.db"
    shutil.copy(made.path, copy)
    notes, bundles = [], []
    for path in (made.path, copy):
        with SessionStore.open(path) as store:
            store.session("a").append("user", path.name)
            folder = tmp_path / f"b-{path.name}"
            folder.mkdir()
            write_bundle(store, folder, signed(store))
            note = tmp_path / f"{path.name}.txt"
            note.write_text(signed(store))
        notes.append(note)
        bundles.append(folder)
    for bundle, own, other in zip(bundles, notes, reversed(notes), strict=True):
        assert verify(bundle, older=[own]).verdict == "VERIFIED"
        assert verify(bundle, older=[own, other]).verdict == "NOT VERIFIED"


def test_a_checkpoint_of_another_log_is_found(sample: Sample, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    head = sample.store.tree_head(OLDER)
    note.write_text(str(KEY.sign(Checkpoint(ORIGIN + "0", OLDER, head.root).text)))
    assert verify(sample.folder / "log", older=[note]).verdict == "NOT VERIFIED"


def test_a_stripped_signature_leaves_it_unsigned(attack: Attack) -> None:
    text = attack.files[layout.CHECKPOINT].decode()
    attack.files[layout.CHECKPOINT] = text.partition("\n\n")[0].encode() + b"\n"
    assert attack.verdict().startswith("UNSIGNED with ")


def test_another_keys_signature_leaves_it_unsigned_and_a_wrong_one_is_found(
    attack: Attack,
) -> None:
    text = attack.files[layout.CHECKPOINT].decode().partition("\n\n")[0] + "\n"
    attack.files[layout.CHECKPOINT] = str(OTHER_KEY.sign(text)).encode()
    assert attack.verdict().startswith("UNSIGNED with ")
    right = KEY.sign(text.replace(ORIGIN, ORIGIN + "1"))
    wrong = str(right).replace(ORIGIN + "1", ORIGIN)
    attack.files[layout.CHECKPOINT] = wrong.encode()
    shutil.rmtree(attack.folder)
    assert attack.verdict() == "NOT VERIFIED"


def test_signatures_of_others_beside_the_trusted_one_change_nothing(attack: Attack) -> None:
    text = attack.files[layout.CHECKPOINT].decode().partition("\n\n")[0] + "\n"
    both = f"{OTHER_KEY.sign(text)}{str(KEY.sign(text)).partition(chr(10) * 2)[2]}"
    attack.files[layout.CHECKPOINT] = both.encode()
    assert attack.verdict() == attack.answer_before.verdict


def test_a_wrong_checkpoint_among_those_of_the_bundle_is_found(attack: Attack) -> None:
    head = Checkpoint(ORIGIN, OLDER, bytes(32))
    attack.files[f"anchors/{OLDER}"] = str(KEY.sign(head.text)).encode()
    assert attack.verdict() == "NOT VERIFIED"


def test_the_proof_of_another_bundle_is_found(
    attack: Attack, sample: Sample, tmp_path: Path
) -> None:
    other = Sample(tmp_path, with_erasures)
    tiles = files_of(other.bundle("other"))
    assert tiles.keys() >= {n for n in attack.files if n.startswith("tile/")}
    attack.files.update({n: tiles[n] for n in attack.files if n.startswith("tile/")})
    assert attack.verdict() == "NOT VERIFIED"
    other.store.close()


def test_what_the_manifest_claims_is_compared(attack: Attack) -> None:
    told = json.loads(attack.files[layout.MANIFEST])
    changes: list[tuple[str, object]] = [
        ("format", "agent-eventstore/bundle/v2"), ("mode", "other"), ("origin", "x"), ("size", 1),
        ("root", "00" * 32), ("sessions", 99), ("shown", 0), ("erased", 0), ("withheld", 1),
        ("more", 1),
    ]  # fmt: skip
    for name, value in changes:
        assert attack.verdict(**{name: value}) == "NOT VERIFIED", name  # type: ignore[arg-type]
        shutil.rmtree(attack.folder)
    told["files"][layout.README] = "00" * 32
    text = json.dumps(told, indent=1, sort_keys=True) + "\n"
    write_files(attack.folder, {**attack.files, layout.MANIFEST: text.encode()})
    assert verify(attack.folder, older=[attack.older]).verdict == "NOT VERIFIED"


def test_a_copy_under_another_name_is_as_right_as_before(sample: Sample) -> None:
    for mode in ("log", "sessions"):
        folder = copied(sample.folder / mode, f"{mode}-copy")
        older = [sample.folder / "older.txt"]
        assert verify(folder, older=older) == verify(tar_of(folder), older=older)


# -- redaction -------------------------------------------------------------------------------------


def bundle_of(
    folder: Path,
    events: list[tuple[str, str, bytes | None, str]],
    *,
    links: dict[int, bytes] | None = None,
    versions: dict[int, int] | None = None,
) -> Path:
    """The bundle of one session with these events: type, facts, content, state of the content.

    `links` and `versions` are wrong ones, by position: whoever has the key can sign any tree.
    """
    salt, uid, leaf = bytes(32), bytes(16), ZEROS
    entries, lines, counts = [], [], dict.fromkeys(("shown", "erased", "withheld"), 0)
    for number, (name, facts, body, state) in enumerate(events, 1):
        commitment = None if body is None else commitment_of(salt, body)
        version = (versions or {}).get(number, number)
        event = StoredEvent(
            number, 1, uid, version, number, name, 1, 0, facts, None, commitment, b"", None, None
        )
        entries.append(event.entry((links or {}).get(number, leaf)))
        leaf = sha(b"\0" + entries[-1])
        part = b"" if body is None else layout.absent(state)
        if state == "shown" and body is not None:
            part = layout.shown(body, salt)
        head = Line(number, uid, version, number, 0, name, 1, facts).head()
        lines.append(head + part + layout.tail("a"))
        if body is not None:
            counts[state] += 1
    leaves = [sha(b"\0" + entry) for entry in entries]
    note = KEY.sign(Checkpoint(ORIGIN, len(entries), mth(leaves)).text)
    files = {
        layout.CHECKPOINT: str(note).encode(),
        layout.README: layout.README_TEXT.encode(),
        layout.EVENTS: b"".join(lines),
        f"tile/entries/000.p/{len(entries)}": framed(entries),
        f"tile/0/000.p/{len(entries)}": b"".join(leaves),
    }
    files[layout.MANIFEST] = layout.manifest(
        whole=True, origin=ORIGIN, size=len(entries), root=mth(leaves), sessions=1, counts=counts,
        files={name: layout.digest(files[name]) for name in (layout.CHECKPOINT, layout.README)},
    )  # fmt: skip
    return write_files(folder, files)


def test_a_redaction_with_content_says_that_the_content_before_it_is_gone(tmp_path: Path) -> None:
    """One without content says what was done before the content was stored, which is there."""
    begin = ("session.created", "{}", b'{"session_id":"a"}', "shown")
    redaction = ("content.redacted", '{"position":2,"replaced":[]}')
    message = ("message.appended", '{"seq":1,"role":"user"}', b'{"text":"x"}')
    cases = [
        ("erased", b'{"text":"[x]"}', "UNANCHORED with 1 erased and 0 withheld"),
        ("shown", b'{"text":"[x]"}', "NOT VERIFIED"),
        ("withheld", b'{"text":"[x]"}', "NOT VERIFIED"),
        ("shown", None, "UNANCHORED"),
        ("erased", None, "NOT VERIFIED"),
        ("withheld", None, "UNANCHORED with 0 erased and 1 withheld"),
    ]
    for number, (state, body, expected) in enumerate(cases):
        events = [begin, (*message, state), (*redaction, body, "shown")]
        answer = verify(bundle_of(tmp_path / str(number), events))
        assert answer.verdict == expected, (state, body, answer.findings)


@pytest.mark.parametrize(
    "facts", ["[]", "{}", '{"positions":1}', '{"positions":[[2]]}', '{"positions":[["2",1]]}',
              '{"positions":[[null,1]]}', "{", "NaN"],
)  # fmt: skip
def test_facts_that_make_no_sense_are_refused(tmp_path: Path, facts: str) -> None:
    begin = ("session.created", "{}", b'{"session_id":"a"}', "shown")
    folder = bundle_of(tmp_path / "b", [begin, ("content.erased", facts, None, "")])
    assert verify(folder).verdict == "NOT VERIFIED"


def test_erasures_that_name_everything_take_no_longer(tmp_path: Path) -> None:
    """Runs are merged, never counted out."""
    begin = ("session.created", "{}", b'{"session_id":"a"}', "shown")
    message = ("message.appended", '{"seq":1,"role":"user"}', b'{"text":"x"}', "erased")
    runs = ",".join(f"[{first},{2**62}]" for first in range(2, 2000))
    facts = f'{{"positions":[[-5,3],[0,1],{runs}]}}'
    events = [begin, message, *[("content.erased", facts, None, "")] * 50]
    answer = verify(bundle_of(tmp_path / "b", events))
    assert answer.verdict == "UNANCHORED with 1 erased and 0 withheld"


def test_a_session_of_another_id_than_its_first_event_says_is_found(tmp_path: Path) -> None:
    begin = ("session.created", "{}", b'{"session_id":"b"}', "shown")
    assert verify(bundle_of(tmp_path / "b", [begin])).verdict == "NOT VERIFIED"


def test_a_session_whose_events_do_not_follow_each_other_is_found_though_signed(
    tmp_path: Path,
) -> None:
    begin = ("session.created", "{}", b'{"session_id":"a"}', "shown")
    events = [begin, *[("round.advanced", '{"round":1}', None, "")] * 3]
    assert verify(bundle_of(tmp_path / "right", events)).verdict == "UNANCHORED"
    for number in (1, 2, 4):
        wrong = bundle_of(tmp_path / f"link{number}", events, links={number: bytes(31) + b"x"})
        assert verify(wrong).verdict == "NOT VERIFIED"
    for number, version in ((1, 2), (2, 3), (3, 2), (4, 5), (4, 1)):
        folder = tmp_path / f"version{number}-{version}"
        wrong = bundle_of(folder, events, versions={number: version})
        assert verify(wrong).verdict == "NOT VERIFIED"
