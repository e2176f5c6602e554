"""What is done while the disk fails: every command, a few to a scenario, each on its own store.

A step is *atomic* when all that it appends is one transaction; the others are made of several and
say so: after a fault a beginning of them may be there.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import steps as do
from engine_support import populated
from steps import SECRET, WORD, Scenario, Step, each, text

from eventstore import snapshots
from eventstore.exports.runner import export
from eventstore.redaction import Redactor

GOLDEN = Path(__file__).parent.parent / "golden" / "format_1.db"


def make_base(path: Path) -> None:
    """A store with every type of event, snapshots and a search index; beside it what others need.

    That is its log as an export, a store of the first format, and a damaged copy.
    """
    kept, snapshots.TAIL_MIN = snapshots.TAIL_MIN, 4
    try:
        with populated(path) as store:
            store.search("hello")
            export(store, "events-jsonl", path.with_name("base.jsonl"), record=False, force=True)
    finally:
        snapshots.TAIL_MIN = kept
    shutil.copy(GOLDEN, path.with_name("golden.db"))
    damaged = bytearray(path.read_bytes())
    damaged[:200] = bytes(200)
    path.with_name("damaged.db").write_bytes(damaged)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "create a store",
        (
            Step("create", lambda store: store.create("root", title="T", prompt="P", key="c")),
            Step("append", each("root", "append", "user", "hello")),
        ),
        base=None,
    ),
    Scenario(
        "append",
        (
            Step("append", each("root", "append", "user", "one")),
            Step("append again", each("root", "append", "user", "two", key="k9")),
            Step("append with nothing to look for", each("root", "append", "user", "three")),
            Step("append so again", each("root", "append", "user", "four")),
            Step("append calls", do.append_calls),
            Step("append a blob", each("root", "append", "user", text(70_000, 1))),
        ),
    ),
    Scenario(
        "a long text, over and over",
        tuple(
            Step(f"append {n}", each("root", "append", "user", text(60_000, n))) for n in range(6)
        ),
    ),
    Scenario(
        "change the context",
        (
            Step("append", each("child", "append", "user", "more")),
            Step("compact", each("child", "compact", 1, 2, "a note of two")),
            Step("consolidate", each("child", "consolidate", 3)),
            Step("append for nothing", each("child", "append", "user", "taken back")),
            Step("retract", each("child", "retract", 4)),
            Step("clear", each("root", "clear")),
        ),
    ),
    Scenario(
        "settings",
        (
            Step("title", each("root", "set_title", "Unique", unique=True)),
            Step("prompt", each("root", "change_prompt", "Another")),
            Step("usage", each("root", "record_usage", "r9", input=4, output=2)),
            Step("suspend", each("root", "suspend_tool_calls", {"a": 1}, ["call_1"])),
        ),
    ),
    Scenario(
        "sessions",
        (
            Step("fork", each("root", "fork", "fork-2")),
            Step("spawn", each("root", "spawn", "child-2")),
            Step("reparent", lambda store: store.session("child-2").reparent(None)),
            Step("close", each("root", "close", cascade=True, reason="done")),
        ),
    ),
    Scenario(
        "erase",
        (
            Step("search", lambda store: store.search("hello")),
            Step("erase one", lambda store: store.session("root").erase_events([6], reason="r")),
            Step("erase all", lambda store: store.session("gone~1").erase(reason="r")),
            Step("close and erase", lambda store: store.session("other").erase(reason="r")),
        ),
    ),
    Scenario(
        "rebuild",
        (
            Step("rebuild", lambda store: store.rebuild()),
            Step("append", each("root", "append", "user", "after")),
            Step("check", lambda store: store.check()),
        ),
    ),
    Scenario(
        "search",
        (
            Step("append", each("root", "append", "user", "where is the needle")),
            Step("search", lambda store: store.search("needle")),
            Step("activities", lambda store: store.search_activities("path")),
        ),
    ),
    Scenario("consume", (Step("consume", do.consume),)),
    Scenario("import", (Step("import", do.import_transcript, atomic=False),)),
    Scenario("backup", (Step("backup", do.back_up),)),
    Scenario(
        "erase with expansion",
        (
            Step("append", each("root", "append", "user", f"the word {WORD}")),
            Step("search", lambda store: store.search(WORD)),
            Step("erase", do.erase_expanded, gone=(WORD,)),
            Step("append after", each("root", "append", "user", "what comes next")),
        ),
    ),
    Scenario(
        "finish erasures",
        (
            Step("leave due", do.erase_again_later, atomic=False),
            Step("finish", lambda store: store.finish_erasures()),
        ),
    ),
    Scenario(
        "holds",
        (
            Step("place", each("root", "place_hold", "case 1", by="counsel")),
            Step("append", each("root", "append", "user", "held")),
            Step("release", each("root", "release_hold", "case 1")),
        ),
    ),
    Scenario("retention", (Step("retain", do.retain, atomic=False),)),
    Scenario(
        "redact at append",
        (
            Step("append", each("root", "append", "user", f"my key is {SECRET}")),
            Step("again", each("root", "append", "user", f"as I said: {SECRET}", key="k8")),
        ),
        options={"redact": Redactor()},
        never=(SECRET,),
    ),
    Scenario(
        "redact afterwards",
        (
            Step("append", each("root", "append", "user", f"my key is {SECRET}")),
            Step("search", lambda store: store.search("key")),
            Step("redact", do.redact_stored, atomic=False, gone=(SECRET,)),
            Step("append after", each("root", "append", "user", "what comes next")),
        ),
    ),
    Scenario(
        "checkpoint",
        (
            Step("append", each("root", "append", "user", "before the note")),
            Step("note", lambda store: do.make_note(store, signed=False)),
            Step("append more", each("root", "append", "user", "after the note")),
            Step("another", lambda store: do.make_note(store, signed=False)),
        ),
        holds=do.notes_hold,
    ),
    Scenario(
        "signed checkpoint",
        (
            Step("append", each("root", "append", "user", "before the note")),
            Step("note", lambda store: do.make_note(store, signed=True)),
            Step("append more", each("root", "append", "user", "after the note")),
            Step("another", lambda store: do.make_note(store, signed=True)),
        ),
        holds=do.notes_hold,
    ),
    Scenario(
        "tree",
        (
            Step("prove", do.prove),
            Step("append", each("root", "append", "user", "grown")),
            Step("prove again", do.prove),
        ),
    ),
    Scenario("export", (Step("export", do.export_log),), holds=do.exports_hold),
    Scenario("bundle", (Step("export", do.export_bundle, atomic=False),), holds=do.exports_hold),
    Scenario("import a log", (Step("import", do.import_log),), base=None, files=("base.jsonl",)),
    Scenario("snapshots", (Step("append", do.append_many_with_snapshots, atomic=False),)),
    Scenario(
        "vacuum",
        (
            Step("create", lambda store: store.create("large")),
            *(
                Step(f"append {n}", each("large", "append", "user", text(60_000, n)))
                for n in (1, 2)
            ),
            Step("erase", each("large", "erase", reason="r")),
            Step("vacuum", lambda store: store.vacuum()),
            Step("append", each("root", "append", "user", "between")),
            Step("vacuum all", lambda store: store.vacuum(full=True)),
        ),
    ),
    Scenario(
        "open a store of the first format",
        (Step("append", each("root", "append", "user", "brought forward")),),
        base="golden.db",
    ),
    Scenario(
        "salvage",
        (Step("salvage", do.salvage_damaged),),
        files=("damaged.db",),
        holds=do.salvaged_holds,
    ),
    Scenario(
        "restore",
        (
            Step("backup", do.back_up),
            Step("restore", do.restore_copy),
            Step("restore again", do.restore_copy),
        ),
        holds=do.restored_holds,
    ),
    Scenario(
        "mend",
        (Step("damage", do.damage_derived), Step("fix", do.fix)),
        derived=True,
    ),
    Scenario(
        "read",
        (
            Step("chat", each("root", "chat")),
            Step("history", each("root", "history")),
            Step("sessions", lambda store: list(store.sessions())),
            Step("verify", lambda store: store.verify()),
        ),
    ),
)


def by_name(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def copied(scenario: Scenario, base: Path, folder: Path) -> Path:
    """The file that the scenario works on, and what it needs beside it."""
    path = folder / "s.db"
    for name in scenario.files:
        shutil.copy(base.with_name(name), folder / name)
    if scenario.base is not None:
        shutil.copy(base.with_name(scenario.base), path)
        path.chmod(0o600)
    return path
