"""Planning an erasure, and erasing: one transaction for everything that a selection reaches."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from eventstore.erasing import planning, selection
from eventstore.erasing.expansion import DERIVED, Rule
from eventstore.erasing.planning import Plan
from eventstore.erasing.selection import Selection
from eventstore.erasing.silence import require_silent, require_unnamed
from eventstore.errors import InvalidValueError, PlanChangedError
from eventstore.log import reading
from eventstore.log.transaction import SqliteTransaction
from eventstore.store import erasure
from eventstore.store.current import require_current
from eventstore.store.erasure import Erased, Target, Words
from eventstore.store.keeping import keep
from eventstore.store.session_store import SessionStore


class Receipt(Struct, frozen=True, kw_only=True):
    """What was erased, who said so and why, and what was not reached.

    `plan` lists the events and names what stays: rules left out, forks, sub-agents, and earlier
    exports with their recipients. `erased` has the positions of the `content.erased` events and
    says whether the file is clean. Never reached are backups and copies of the file, snapshots of
    the file system, and what a disk keeps of blocks that were written anew.
    """

    plan: Plan
    erased: Erased
    words: Words


class Reach(Struct, frozen=True, kw_only=True):
    """How far an erasure goes beyond what was selected.

    `only`: no further. `keep`: by all rules but these. `sub_agents`, `forks`: those as a whole too.
    """

    only: bool = False
    keep: tuple[Rule, ...] = ()
    sub_agents: bool = False
    forks: bool = False

    def __post_init__(self) -> None:
        for rule in self.keep:
            if rule not in DERIVED:
                raise InvalidValueError(f"one can keep {', '.join(DERIVED)}, not {rule!r}")

    def rules(self) -> frozenset[Rule]:
        """The rules that apply."""
        derived = () if self.only else (rule for rule in DERIVED if rule not in self.keep)
        asked = ((Rule.SUB_AGENT, self.sub_agents), (Rule.FORK, self.forks))
        return frozenset((*derived, *(rule for rule, wanted in asked if wanted)))


ALL = Reach()


def plan(store: SessionStore, chosen: Selection, reach: Reach = ALL) -> Plan:
    """What erasing a selection would reach; nothing is written but indexes.

    Raises what `selection.chosen` does.
    """
    selection.prepared(store, chosen)
    with store.log.snapshot() as connection:
        require_current(connection)
        found = selection.chosen(store, connection, chosen)
        return planning.plan(connection, found, reach.rules(), DERIVED, chosen.text)


def erase(
    store: SessionStore,
    chosen: Selection,
    reach: Reach = ALL,
    *,
    by: str | None = None,
    reason: str | None = None,
    basis: str | None = None,
    confirmed: Plan | None = None,
) -> Receipt:
    """Erase what a selection reaches, in one transaction, and see to it that no trace is left.

    Each session concerned gets one `content.erased` event; a store that makes checkpoints makes one
    soon after. What was appended since `confirmed`, a
    plan that somebody agreed to, and is in as well raises `PlanChangedError`; nothing is erased.

    Raises `InvalidValueError` when `by`, `reason` or `basis` repeats what is erased, and what
    `selection.chosen` does.
    """
    words = Words(by=by, reason=reason, basis=basis)
    require_unnamed(words, chosen)
    selection.prepared(store, chosen)
    # What takes long to find is looked for before the transaction, and then only behind the head.
    with store.log.snapshot() as connection:
        require_current(connection)
        head = reading.head_of(connection).position
        early = selection.chosen(store, connection, chosen)
    done: list[Plan] = []

    def choose(transaction: SqliteTransaction) -> list[Target]:
        transaction.project()
        connection = transaction.connection
        found = selection.chosen(store, connection, chosen, after=head)
        found.add(early)
        made = planning.plan(connection, found, reach.rules(), DERIVED, chosen.text)
        if confirmed is not None:
            _require_same(made, confirmed.positions)
        require_silent(connection, words, made.positions)
        done.append(made)
        return made.targets()

    erased = erasure.erase(store.log, choose, words, store.derived.erase)
    keep(store.keeper, "erasure")
    return Receipt(plan=done[-1], erased=erased, words=words)


def _require_same(made: Plan, confirmed: Collection[int]) -> None:
    more = set(made.positions).difference(confirmed)
    if more:
        raise PlanChangedError(
            f"{len(more)} more events are concerned than when the plan was made; look at it again"
        )
