"""``eventstore search``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from eventstore.cli.catching_up import open_caught_up
from eventstore.cli.options import (
    Format,
    Settings,
    find,
    listing_options,
    since_option,
    until_option,
)
from eventstore.cli.output import (
    nothing,
    say,
    write_json_array,
    write_json_lines,
)
from eventstore.cli.shapes import hit_shape
from eventstore.cli.text import cut, inline, local_time, on_one_line, plural, visible
from eventstore.conversation import ERASED
from eventstore.events.catalogue import MessageContent
from eventstore.store.searching import SYNTAXES, WORDS, Hit, SearchResult
from eventstore.store.views import MessageView
from projections.search.snippets import WIDTH
from projections.search.text import readable_text


@click.command()
@click.argument("words", metavar="QUERY...", nargs=-1, required=True)
@click.option("--session", metavar="SESSION", help="Only in this session.")
@click.option("--lineage", metavar="SESSION", help="Only in this one, its sub-agents and forks.")
@click.option(
    "--source", multiple=True, help="Only what this importer or framework wrote, e.g. claude-code."
)
@click.option("--exclude-source", multiple=True, help="Nothing that this one wrote.")
@click.option("--role", multiple=True, help="Only messages of this role: user, assistant, tool …")
@click.option(
    "--kind",
    type=click.Choice(["root", "subagent", "message", "note"]),
    help="Only in sessions, or only messages, of this kind.",
)
@click.option("--active", is_flag=True, help="Only what a model would be sent now.")
@click.option("--newest", is_flag=True, help="Newest first, instead of best first.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, help="At most so many (20).")
@click.option(
    "--offset", type=click.IntRange(min=0), default=0, help="Leave out the first so many."
)
@click.option(
    "-C",
    "--context",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="With so many messages before and after each.",
)
@since_option
@until_option
@click.option(
    "--syntax",
    type=click.Choice(SYNTAXES),
    default=WORDS,
    help="How the query is read: as below (words), or as SQLite's FTS5 does.",
)
@listing_options
@click.pass_obj
def search(
    settings: Settings,
    words: Sequence[str],
    session: str | None,
    lineage: str | None,
    source: Sequence[str],
    exclude_source: Sequence[str],
    role: Sequence[str],
    kind: str | None,
    active: bool,
    newest: bool,
    limit: int,
    offset: int,
    context: int,
    since: int | None,
    until: int | None,
    syntax: str,
) -> None:
    """Find messages, compacted ones too.

    \b
    Examples:
      eventstore search docker compose
      eventstore search '"exact words" OR other NOT this' --newest
      eventstore search 'deploy*' --role tool --since 7d
      eventstore search 東京 --session 5f3a9c1e --json
      eventstore search 'off by one' -C 2
      eventstore search --syntax fts5 'NEAR(docker compose, 5) AND up*'

    All words must be there. Put quotes around a phrase, OR between alternatives, NOT before what
    must not be there, * after the beginning of a word; everything else is text. After -- nothing
    is an option. --source, --exclude-source and --role can be given several times. Exit code 1
    when nothing matches.
    """  # noqa: D301
    with open_caught_up(settings, "search", "indexing") as store:
        result = store.search(
            " ".join(words),
            session=None if session is None else find(store, session),
            lineage=None if lineage is None else find(store, lineage),
            syntax=syntax,
            source=source or None,
            exclude_source=exclude_source,
            role=role or None,
            kind=kind,
            since=since,
            until=until,
            active=True if active else None,
            newest=newest,
            limit=limit,
            offset=offset,
            neighbours=context,
        )
    if settings.format is Format.JSON:
        write_json_array(map(hit_shape, result.hits))
    elif settings.format is Format.JSONL:
        write_json_lines(map(hit_shape, result.hits))
    elif result.hits:
        click.echo("\n".join(line for hit in result.hits for line in hit_lines(hit)))
    _tell(result)
    if not result.hits:
        nothing(f"nothing matches in {settings.path}")


def _tell(result: SearchResult) -> None:
    if result.behind:
        say(f"the index lacks the last {plural(result.behind, 'event')}")
    if result.bounded:
        say("too many matches to rank them all: only the newest were ranked")


def hit_lines(hit: Hit) -> Iterator[str]:
    """A hit for people: where it is, and the snippet with its matches in bold.

    Its neighbours stand before and after it, each cut to one line.
    """
    for message in hit.neighbours:
        if message.seq < hit.seq:
            yield from _neighbour_lines(hit, message)
    marks = [local_time(hit.at)]
    if hit.kind == "note":
        marks.append("note")
    if hit.state != "active":
        marks.append(hit.state)
    if hit.also_in:
        marks.append(f"also in {', '.join(map(inline, hit.also_in))}")
    heading = f"{inline(hit.name)} #{hit.seq} {on_one_line(hit.role)}"
    yield f"{click.style(heading, bold=True)}  {', '.join(marks)}"
    yield "    " + _highlighted(hit)
    for message in hit.neighbours:
        if message.seq > hit.seq:
            yield from _neighbour_lines(hit, message)


def _neighbour_lines(hit: Hit, message: MessageView) -> Iterator[str]:
    content = MessageContent(
        text=message.text,
        parts=message.parts,
        tool_calls=message.tool_calls,
        tool_name=message.tool_name,
    )
    text = ERASED if message.erased else readable_text(content, message.role)
    yield f"{inline(hit.name)} #{message.seq} {on_one_line(message.role)}"
    yield "    " + on_one_line(cut(text, WIDTH))


def _highlighted(hit: Hit) -> str:
    shown, at = "", 0
    for start, length in hit.highlights:
        end = start + length
        shown += visible(hit.snippet[at:start])
        shown += click.style(visible(hit.snippet[start:end]), bold=True)
        at = end
    return shown + visible(hit.snippet[at:])
