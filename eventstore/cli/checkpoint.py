"""``eventstore checkpoint``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from eventstore.checkpoints import checkpoint as forms
from eventstore.checkpoints import comparing, keyfiles, notes, side_file
from eventstore.checkpoints.anchors import Anchor
from eventstore.checkpoints.beginning import Past, begin_anew
from eventstore.checkpoints.git_anchor import anchor_of
from eventstore.checkpoints.keeping import DEFAULT, Checkpoints, make
from eventstore.checkpoints.keys import SignerKey, VerifierKey
from eventstore.checkpoints.making import Made
from eventstore.checkpoints.notes import Anchoring, KeptNote
from eventstore.cli.keys import key_option
from eventstore.cli.options import Format, Settings, shared_options
from eventstore.cli.output import iso, nothing, say, write_json_array, write_json_object
from eventstore.cli.text import inline, local_time, plural
from eventstore.errors import InvalidValueError, MissingExtraError

_path = click.Path(path_type=Path)


class _Chosen:
    """What the options say."""

    def __init__(
        self,
        side: Path | None,
        no_side_file: bool,
        anchors: Sequence[str],
        vkeys: Sequence[str],
    ) -> None:
        if side is not None and no_side_file:
            raise click.UsageError("--side-file and --no-side-file exclude each other.")
        self.side_file = None if no_side_file else side or DEFAULT
        self.anchors: tuple[Anchor, ...] = tuple(map(anchor_of, anchors))
        self.trusted = tuple(map(VerifierKey.parse, vkeys))

    def checkpoints(self, signer: SignerKey | None) -> Checkpoints:
        """What the store is opened with."""
        return Checkpoints(signer, side_file=self.side_file, anchors=self.anchors)


@click.command()
@click.option("--list", "listing", is_flag=True, help="List the notes that were made.")
@click.option(
    "--verify",
    "note_file",
    type=_path,
    metavar="NOTE",
    help="Compare the log with a note (- for stdin).",
)
@click.option("--verify-anchors", is_flag=True, help="Compare the log with all that --anchor has.")
@click.option("--as-new-log", is_flag=True, help="Have this copy be a log of its own from now on.")
@key_option
@click.option("--unsigned", is_flag=True, help="Make a note that nobody signs.")
@click.option("--vkey", "vkeys", multiple=True, metavar="KEY", help="Trust this verifier key.")
@click.option(
    "--side-file", "side", type=_path, metavar="FILE", help="Where the last note is kept."
)
@click.option("--no-side-file", is_flag=True, help="Keep the last note in the store only.")
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    metavar="ANCHOR",
    help="file:PATH, git:PATH or git+push:PATH; can be repeated.",
)
@shared_options
@click.pass_obj
def checkpoint(
    settings: Settings,
    listing: bool,
    note_file: Path | None,
    verify_anchors: bool,
    as_new_log: bool,
    key_file: Path | None,
    unsigned: bool,
    vkeys: Sequence[str],
    side: Path | None,
    no_side_file: bool,
    anchors: Sequence[str],
) -> None:
    """Sign what the log is now, or compare it with what it was.

    \b
    Examples:
      eventstore checkpoint
      eventstore checkpoint --anchor git:~/notes > note.txt
      eventstore checkpoint --verify note.txt
      eventstore checkpoint --verify-anchors --anchor git:~/notes
      eventstore checkpoint --list

    A checkpoint is a note of three lines: what the log is called, how many events it has, and the
    root of the tree over them; and a signature. Give it to somebody whom you cannot make give it
    back: the log can be compared with it later, and then cannot have been rewritten. Exit code 3
    when the log is not what a note, the side file or an anchor says; 1 when an anchor failed.
    """  # noqa: D301
    if sum((listing, note_file is not None, verify_anchors, as_new_log)) > 1:
        raise click.UsageError("Ask for one thing at a time.")
    chosen = _Chosen(side, no_side_file, anchors, vkeys)
    if listing:
        _list(settings)
    elif note_file is not None:
        _verify(settings, note_file, chosen.trusted)
    elif verify_anchors:
        _verify_anchors(settings, chosen)
    else:
        signer = None if unsigned else _signer(key_file)
        _make(settings, chosen, signer, as_new_log)


def _signer(key_file: Path | None) -> SignerKey | None:
    """The key to sign with; None, which is said, where there is none and none was named."""
    try:
        signer = keyfiles.chosen(key_file)
    except MissingExtraError as error:
        say(f"the note is not signed: {error}")
        return None
    if signer is None:
        say("the note is not signed: there is no key, `eventstore keys new` makes one")
    return signer


# -- making ------------------------------------------------------------------------------------


def _make(settings: Settings, chosen: _Chosen, signer: SignerKey | None, as_new_log: bool) -> None:
    wanted = chosen.checkpoints(signer)
    if as_new_log:
        _begin_anew(settings, wanted)
    with settings.open_for_writing(checkpoints=wanted) as store:
        made = make(store)
    assert made is not None
    if settings.format is Format.JSON:
        write_json_object(_made_shape(made))
    else:
        click.echo(made.note.note, nl=False)
    for one in made.failures:
        say(f"not anchored, to be tried again: {one.failure}")
    if made.failures:
        raise click.exceptions.Exit(1)


def _begin_anew(settings: Settings, wanted: Checkpoints) -> None:
    with settings.open_for_writing() as store:
        path = wanted.side_path(store)
        last = None if path is None else side_file.read(path)
        past = Past() if last is None else Past(origins=(last.origin,), last=last)
        origin = begin_anew(store, past)
    say("no checkpoint was made of it yet" if origin is None else f"a new log begins: {origin}")


def _made_shape(made: Made) -> dict[str, Any]:
    return {**_note_shape(made.note), "anchors": [_anchoring_shape(one) for one in made.anchored]}


def _note_shape(one: KeptNote) -> dict[str, Any]:
    _, written = forms.read(one.note)
    return {
        "origin": one.origin,
        "size": one.size,
        "root": one.root.hex(),
        "reason": one.reason,
        "made_at": iso(one.made_at),
        "signatures": [
            {"name": signature.name, "id": signature.key_id.hex()}
            for signature in written.signatures
        ],
        "note": one.note,
    }


def _anchoring_shape(one: Anchoring) -> dict[str, Any]:
    return {
        "size": one.size,
        "anchor": one.anchor,
        "receipt": one.receipt,
        "failure": one.failure,
        "tried_at": iso(one.tried_at),
    }


# -- listing -----------------------------------------------------------------------------------


def _list(settings: Settings) -> None:
    with settings.open_for_reading(derived=False) as store, store.log.snapshot() as connection:
        found = notes.listed(connection)
        tried = notes.anchorings(connection)
    sent: dict[tuple[str, int], list[Anchoring]] = {}
    for attempt in tried:
        sent.setdefault((attempt.origin, attempt.size), []).append(attempt)
    if settings.format is Format.JSON:
        write_json_array(
            {
                **_note_shape(one),
                "anchors": [
                    _anchoring_shape(each) for each in sent.get((one.origin, one.size), [])
                ],
            }
            for one in found
        )
    else:
        for one in found:
            click.echo("\n".join(_listed(one, sent.get((one.origin, one.size), []))))
    if not found:
        nothing(f"no checkpoint was made of {settings.path}")


def _listed(one: KeptNote, sent: Sequence[Anchoring]) -> Iterator[str]:
    _, written = forms.read(one.note)
    by = ", ".join(f"{inline(s.name)} ({s.key_id.hex()})" for s in written.signatures)
    yield f"{one.origin} at {plural(one.size, 'event')}, {local_time(one.made_at)}, {one.reason}"
    yield f"  root    {one.root.hex()}"
    yield f"  signed  {by or 'by nobody'}"
    for each in sent:
        took = "not taken: " + inline(each.failure or "") if each.receipt is None else each.receipt
        yield f"  anchor  {inline(each.anchor)}  {inline(took)}"


# -- comparing ---------------------------------------------------------------------------------


def _verify(settings: Settings, note_file: Path, trusted: tuple[VerifierKey, ...]) -> None:
    try:
        with click.open_file(str(note_file), "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise InvalidValueError(f"{note_file} cannot be read: {error.strerror}") from error
    with settings.open_for_reading(derived=False) as store:
        done = comparing.verify_note(store, data, trusted)
        size = store.head.position
    if settings.format is Format.JSON:
        write_json_object({**_verified_shape(done), "events": size})
        return
    known = done.checkpoint
    click.echo(f"the log has {plural(size, 'event')}; the first {known.size} are as the note says")
    _say_keys(done.keys)


def _verify_anchors(settings: Settings, chosen: _Chosen) -> None:
    if not chosen.anchors:
        raise click.UsageError("--verify-anchors goes with --anchor.")
    with settings.open_for_reading(derived=False) as store:
        found = [
            (anchor.name, done)
            for anchor in chosen.anchors
            for done in comparing.verify_anchor(store, anchor, chosen.trusted)
        ]
    if settings.format is Format.JSON:
        write_json_array({"anchor": name, **_verified_shape(done)} for name, done in found)
        return
    for name, done in found:
        click.echo(
            f"{inline(name)}: the first {plural(done.checkpoint.size, 'event')} are as noted"
        )
    _say_keys(chosen.trusted if found else ())


def _verified_shape(done: comparing.Verified) -> dict[str, Any]:
    return {
        "origin": done.checkpoint.origin,
        "size": done.checkpoint.size,
        "root": done.checkpoint.root.hex(),
        "verified_keys": [str(one) for one in done.keys],
    }


def _say_keys(keys: Sequence[VerifierKey]) -> None:
    if keys:
        say(f"signed by {', '.join(one.name for one in keys)}")
    else:
        say("no signature was verified: name the keys that you trust with --vkey")
