"""``eventstore fixture``: a session as a regression test of the agent that had it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from errno import EEXIST
from pathlib import Path

import click

from eventstore.cli.options import Format, Settings, find, shared_options
from eventstore.cli.output import say, write_json_object
from eventstore.cli.points import point_option
from eventstore.cli.text import inline, plural
from eventstore.replaying import scripts
from eventstore.replaying.comparing import IGNORABLE
from eventstore.replaying.exchanges import script_of
from eventstore.store.points import At

_TEST = '''\
"""Written by `eventstore fixture`: runs an agent's loop against what was recorded."""

from pathlib import Path

from eventstore.testing.fixtures import load
{agent}

FIXTURE = Path(__file__).with_name("{file}")


def test_{name}() -> None:
    with load(FIXTURE{ignore}) as recording:
        agent(recording)
'''
_WALK = (
    "from eventstore.testing.fixtures import walk as agent  # put your agent's loop in its place"
)
_AGENT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@click.command()
@click.argument("session")
@click.option(
    "-o",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    metavar="DIR",
    help="Where to write the two files (here).",
)
@point_option("--from", "Leave out what led to this point (see --at of `show`).")
@point_option("--to", "Leave out what came after this point.")
@click.option(
    "--agent", metavar="MODULE:FUNCTION", help="The loop to test, called with the recording."
)
@click.option(
    "--ignore",
    multiple=True,
    type=click.Choice(IGNORABLE),
    help="Leave this out of comparisons; can be repeated.",
)
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@shared_options
@click.pass_obj
def fixture(
    settings: Settings,
    /,
    session: str,
    folder: Path,
    agent: str | None,
    ignore: Sequence[str],
    force: bool,
    **points: At | None,
) -> None:
    """Write a session as a regression test.

    \b
    Examples:
      eventstore fixture 5f3a9c1e -o tests
      eventstore fixture 5f3a9c1e -o tests --agent my_agent.testing:run --ignore system
      eventstore fixture 5f3a9c1e --from 12 --to before:1

    Writes replay_NAME.json, with every request to the model, its answers and the tools' results,
    and test_replay_NAME.py, which runs as it is. With --agent it runs that function, which gets a
    recording in the place of model and tools and fails at the first difference. The files hold what
    was said in the session.
    """  # noqa: D301
    if agent is not None and not _AGENT.fullmatch(agent):
        raise click.UsageError(f"--agent is MODULE:FUNCTION, not {agent!r}.")
    with settings.open_for_reading() as store:
        script = script_of(find(store, session), points["from"] or 0, points["to"])
    name = "replay_" + (re.sub(r"[^a-z0-9]+", "_", script.session.lower()).strip("_") or "session")
    data, test = folder / f"{name}.json", folder / f"test_{name}.py"
    for path in (data, test):
        if path.exists() and not force:
            raise FileExistsError(EEXIST, "there is a file already, use --force", str(path))
    folder.mkdir(parents=True, exist_ok=True)
    _write(data, scripts.encode(script), force)
    _write(test, _test(name, agent, ignore).encode(), force)
    if settings.format is Format.JSON:
        write_json_object(
            {
                "fixture": str(data),
                "test": str(test),
                "session": script.session,
                "from_version": script.after,
                "to_version": script.upto,
                "exchanges": len(script.exchanges),
                "results": sum(len(one.results) for one in script.exchanges),
                "messages": len(script.messages),
            }
        )
        return
    click.echo(inline(str(data)))
    click.echo(inline(str(test)))
    say(f"{plural(len(script.exchanges), 'model call')} of {script.session}")


def _write(path: Path, data: bytes, force: bool) -> None:
    """Write a file that only its owner can read, and not through a link that lies there."""

    def private(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)

    with open(path, "wb" if force else "xb", opener=private) as file:
        file.write(data)


def _test(name: str, agent: str | None, ignore: Sequence[str]) -> str:
    line = _WALK
    if agent is not None:
        module, _, function = agent.partition(":")
        line = f"from {module} import {function} as agent"
    left_out = f", ignore={list(ignore)!r}" if ignore else ""
    return _TEST.format(agent=line, file=f"{name}.json", name=name, ignore=left_out)
