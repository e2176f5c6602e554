"""``eventstore keys``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from eventstore.checkpoints import keyfiles
from eventstore.checkpoints.keyfiles import KeyFile
from eventstore.cli.options import Format, Settings, shared_options
from eventstore.cli.output import nothing, write_json_array
from eventstore.cli.text import inline
from eventstore.errors import SigningError

#: What a key is called unless told otherwise.
NAME = "agent-eventstore"

key_option = click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"The key's file; else ${keyfiles.VARIABLE}, else your only key.",
)


@click.command()
@click.argument("action", type=click.Choice(["list", "new", "show"]), default="list")
@click.argument("name", required=False)
@key_option
@shared_options
@click.pass_obj
def keys(settings: Settings, action: str, name: str | None, key_file: Path | None) -> None:
    """Make and list the keys that sign checkpoints.

    \b
    Examples:
      eventstore keys new
      eventstore keys new example.com/agents --key /mnt/usb/log.key
      eventstore keys list
      eventstore keys show --json

    A key is a file that only you can read, and never in a store. What is shown is the verifier key,
    name+id+base64, which you give to whoever is to check your checkpoints. The private part is
    never shown. Needs the package cryptography: pip install 'agent-eventstore[sign]'.
    """  # noqa: D301
    if action == "new":
        found = [keyfiles.create(name or NAME, key_file)]
    elif action == "list" and key_file is None:
        found = [one for one in keyfiles.listed() if name in (None, one.verifier.name)]
    else:
        found = [_shown(name, key_file)]
    if settings.format is Format.JSON:
        write_json_array(map(_shape, found))
    else:
        _write(found, action)
    if not found:
        nothing(f"there is no key in {keyfiles.keys_folder()}; `eventstore keys new` makes one")


def _shown(name: str | None, key_file: Path | None) -> KeyFile:
    """One key: by its file, by its name or id, or the only one."""
    if key_file is not None or name is None:
        key = keyfiles.chosen(key_file)
        if key is None:
            raise SigningError(f"there is no key in {keyfiles.keys_folder()}")
        return KeyFile(path=str(key_file or keyfiles.where()), verifier=key.verifier)
    found = [
        one for one in keyfiles.listed() if name in (one.verifier.name, one.verifier.key_id.hex())
    ]
    if len(found) != 1:
        raise SigningError(f"{len(found)} keys have the name or id {name!r}")
    return found[0]


def _shape(one: KeyFile) -> dict[str, str]:
    return {
        "name": one.verifier.name,
        "id": one.verifier.key_id.hex(),
        "verifier": str(one.verifier),
        "path": one.path,
    }


def _write(found: Sequence[KeyFile], action: str) -> None:
    for one in found:
        click.echo(inline(str(one.verifier)))
        if action != "show":
            click.echo(f"  {inline(one.path)}")
