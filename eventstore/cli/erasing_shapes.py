"""The JSON of ``eventstore erase`` and ``vacuum``: docs/cli-json.md."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict

from eventstore.cli.output import iso
from eventstore.erasing import Plan, Receipt
from eventstore.traces import Finished
from eventstore.vacuum import Vacuumed

#: What no erasure reaches.
NOT_REACHED = (
    "backups and copies of the file: restoring one erases again (`eventstore restore`)",
    "exports and whoever has them, and the files that sessions were imported from",
    "what other events quote without being derived from it: `eventstore erase --text` finds it",
    "facts: roles, times, counts, ids of tool calls, idempotency keys",
    "snapshots of the file system, and blocks that a disk or SSD keeps after writing anew",
    "whoever received it already: providers of models, other programs, their logs",
)


def plan_shape(plan: Plan) -> dict[str, Any]:
    """What an erasure would reach, and what it would leave."""
    return {
        "events": [_item_shape(item) for item in plan.items],
        "sessions": list(plan.sessions),
        "left": [_item_shape(item) for item in plan.left],
        "forks": list(plan.forks),
        "sub_agents": list(plan.sub_agents),
        "named": list(plan.named),
        "exports": [{**asdict(one), "at": iso(one.at)} for one in plan.exports],
    }


def receipt_shape(receipt: Receipt) -> dict[str, Any]:
    """What was erased, and what was not reached."""
    erased = receipt.erased
    return {
        "erased": list(erased.positions),
        "recorded": list(erased.events),
        "by": receipt.words.by,
        "reason": receipt.words.reason,
        "basis": receipt.words.basis,
        "complete": erased.complete,
        "cause": erased.cause,
        "rewritten": erased.rewritten,
        "shared_blobs": list(erased.shared_blobs),
        **plan_shape(receipt.plan),
        "not_reached": list(NOT_REACHED),
    }


def finished_shape(done: Finished) -> dict[str, Any]:
    """Whether erasures are complete now."""
    return {"complete": done.complete, "cause": done.cause, "rewritten": done.rewritten}


def vacuumed_shape(done: Vacuumed) -> dict[str, Any]:
    """The size of a store before and after."""
    return asdict(done) | {"before": asdict(done.before), "after": asdict(done.after)}


def _item_shape(item: Any) -> dict[str, Any]:
    shape = asdict(item)
    del shape["stream"]
    return shape
