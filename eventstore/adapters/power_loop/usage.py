"""power-loop's usage of a round as this engine's, and back.

The engine counts input and output. What a round's three numbers say beyond that (a count that was
not given, a total that is not the sum) is kept as numbers in a custom event beside it.
"""

from __future__ import annotations

from collections.abc import Iterable

from eventstore.adapters.power_loop.rows import UsageRow
from eventstore.events.catalogue import CustomEvent, UsageRecorded
from eventstore.log.port import Actor, Recorded
from eventstore.session.commands import AddEvent, Command, RecordUsage

#: The custom event that keeps the numbers as they were given.
AS_GIVEN = "x.power-loop.usage"


def commands_of(
    round_index: int,
    prompt: int | None,
    completion: int | None,
    total: int | None,
    model: str | None,
    *,
    key: str | None = None,
    cached: int = 0,
    occurred_at: int | None = None,
) -> list[Command]:
    """The commands that record a round's usage; `cached` is the part of `prompt` read from a cache.

    Tokens that only the total counts are output where the input is known, else input.
    """
    beyond = max(0, (total or 0) - (prompt or 0) - (completion or 0))
    usage = UsageRecorded(
        key=key or f"round:{round_index}",
        round=round_index,
        model=model,
        input=(prompt or 0) - cached + (beyond if prompt is None else 0),
        cache_read=cached,
        output=(completion or 0) + (0 if prompt is None else beyond),
        occurred_at=occurred_at,
    )
    commands: list[Command] = [RecordUsage(usage=usage, actor=Actor.SYSTEM)]
    if (prompt, completion, total) != _counted(usage):
        data = {"round": round_index, "prompt": prompt, "completion": completion, "total": total}
        given = CustomEvent(name=AS_GIVEN, data=data, commuting=True, occurred_at=occurred_at)
        commands.append(AddEvent(event=given, actor=Actor.SYSTEM))
    return commands


def _counted(usage: UsageRecorded) -> tuple[int, int, int]:
    prompt = usage.input + usage.cache_read + usage.cache_write
    return prompt, usage.output, prompt + usage.output


def rows_of(session_id: str, events: Iterable[Recorded]) -> list[UsageRow]:
    """The newest usage of each round in these events of a session, in order of rounds."""
    found: dict[int, UsageRow] = {}
    for recorded in events:
        event = recorded.event
        if isinstance(event, UsageRecorded) and event.round is not None:
            at = (event.occurred_at or recorded.recorded_at) // 1000
            found[event.round] = UsageRow(
                session_id, event.round, *_counted(event), event.model, at
            )
        elif isinstance(event, CustomEvent) and event.name == AS_GIVEN:
            row = found.get(event.data["round"])
            if row is not None:
                row.prompt_tokens = event.data["prompt"]
                row.completion_tokens = event.data["completion"]
                row.total_tokens = event.data["total"]
    return [found[number] for number in sorted(found)]
