"""Deliberate breakages of the engine: each is a promise that the tests are to notice broken.

A breakage is a text of the source and what it is replaced with, and the tests that must fail then.
"""

from __future__ import annotations

from typing import NamedTuple


class Breakage(NamedTuple):
    """`old` occurs exactly once in `file`; `tests` are what pytest is given, quick ones."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_SWEEP = "tests/faults/test_sweep.py"
_LOG = "eventstore/log/sqlite.py"
_TRANSACTION = "eventstore/log/transaction.py"

BREAKAGES: tuple[Breakage, ...] = (
    Breakage(
        "drop a sync",
        "eventstore/log/engine.py",
        '_SYNCHRONOUS = {Durability.FULL: "FULL"',
        '_SYNCHRONOUS = {Durability.FULL: "OFF"',
        (f"{_SWEEP}::test_a_power_loss_loses_nothing_answered[append]",),
    ),
    Breakage(
        "answer a commit that failed",
        _LOG,
        '            self._cursor.execute("COMMIT")\n',
        '            with suppress(apsw.Error):\n                self._cursor.execute("COMMIT")\n',
        (f"{_SWEEP}::test_a_call_that_fails_loses_nothing_answered[append]",),
    ),
    Breakage(
        "answer a lone commit that failed",
        _LOG,
        '            cursor.execute("COMMIT")\n',
        '            with suppress(apsw.Error):\n                cursor.execute("COMMIT")\n',
        ("tests/test_plain.py::test_a_plain_message_that_cannot_be_committed_leaves_nothing",),
    ),
    Breakage(
        "answer before the commit",
        _LOG,
        '            self._cursor.execute("COMMIT")\n',
        "            for member in members:\n"
        "                member.done = True\n"
        "                if member.wake is not None and not member.promoted:\n"
        "                    member.wake, wake = None, member.wake\n"
        "                    wake.release()\n"
        "            time.sleep(0.01)\n"
        '            self._cursor.execute("COMMIT")\n',
        ("tests/test_processes.py::test_nobody_is_answered_before_the_commit",),
    ),
    Breakage(
        "skip undo of a failed member",
        _LOG,
        "            transaction.undo_to(transaction.beginning() if mark is None else mark)\n",
        "",
        ("tests/test_log_contract.py",),
    ),
    Breakage(
        "forget the inline projection",
        _TRANSACTION,
        "            self._inline(self._cursor, events, before, self.head)\n",
        "            pass\n",
        ("tests/test_compacting_sets.py",),
    ),
    Breakage(
        "forget the inline projection of a lone message",
        _TRANSACTION,
        "        self._inline.apply_message(cursor, message, before, after)\n",
        "",
        ("tests/test_plain.py",),
    ),
    Breakage(
        "reuse a position",
        _TRANSACTION,
        "        position = self.head[0] + 1\n",
        "        position = self._written[0] + 1\n",
        ("tests/test_processes.py::test_works_of_one_group_fail_alone_and_leave_no_gap",),
    ),
    Breakage(
        "remember after a failed commit",
        _LOG,
        "        self._transaction.forget()\n        self._known = None\n",
        "",
        (f"{_SWEEP}::test_a_call_that_fails_loses_nothing_answered[append]",),
    ),
    Breakage(
        "skip the rollback",
        _LOG,
        '                self._writer.execute("ROLLBACK")\n            except',
        "                pass\n            except",
        ("tests/test_derived.py::test_a_work_that_wrote_by_itself_and_failed_is_undone",),
    ),
    Breakage(
        "skip the check of an expected version",
        _TRANSACTION,
        "        if expected is not ANY:\n            self._check_expected",
        "        if False:\n            self._check_expected",
        ("tests/simulation/test_simulation.py::test_one_log_explains_what_all_clients_were_told",),
    ),
    Breakage(
        "ignore an idempotency key",
        _TRANSACTION,
        "        present = [key for key in keys if found[key] is not None]\n",
        "        present = []\n",
        ("tests/test_idempotency.py",),
    ),
    Breakage(
        "do not chain the previous leaf",
        _TRANSACTION,
        "            position, version, now, uid, leaf, commitment,\n",
        "            position, version, now, uid, ZEROS, commitment,\n",
        ("tests/test_log_contract.py",),
    ),
    Breakage(
        "leave the salt on erasure",
        "eventstore/log/erasure.py",
        "UPDATE contents SET salt = NULL, body = NULL WHERE",
        "UPDATE contents SET body = NULL WHERE",
        ("tests/test_traces.py::test_a_four_digit_pin_cannot_be_found_again",),
    ),
    Breakage(
        "do not empty the write-ahead log",
        _LOG,
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_checkpoint(PASSIVE)",
        ("tests/test_traces.py::test_no_file_of_the_store_has_a_byte_of_it",),
    ),
    Breakage(
        "claim an erasure complete",
        "eventstore/traces/finishing.py",
        "    if outcome.complete and emptied:\n",
        "    if outcome.complete:\n",
        ("tests/test_traces.py::test_a_reader_makes_it_incomplete_and_the_next_process_finishes",),
    ),
    Breakage(
        "commit a consumer before its page",
        "eventstore/following.py",
        "        yield from page\n        if page and settled is not None:\n"
        "            settled(page[-1])\n",
        "        if page and settled is not None:\n            settled(page[-1])\n"
        "        yield from page\n",
        ("tests/test_consumers.py",),
    ),
    Breakage(
        "miss what another process writes",
        _LOG,
        "        if head is None or self._writer.data_version() != self._data_version:\n",
        "        if head is None:\n",
        ("tests/simulation/test_simulation.py::test_one_log_explains_what_all_clients_were_told",),
    ),
    Breakage(
        "miss what another process writes before a lone message",
        _LOG,
        " = head is not None and self._writer.data_version() == self._data_version\n",
        " = head is not None\n",
        ("tests/test_plain.py::test_two_stores_on_one_file_append_plain_messages_in_turns",),
    ),
    Breakage(
        "skip read-back",
        "eventstore/events/stored.py",
        "codec.encode(bare), body, commutes)\n    _check(event, form)\n",
        "codec.encode(bare), body, commutes)\n",
        ("tests/test_properties.py::test_what_json_would_change_is_refused_and_nothing_is_stored",),
    ),
    Breakage(
        "sign before the durable commit",
        "eventstore/checkpoints/making.py",
        "        notes.keep(connection, made)\n        return made\n\n"
        "    return store.log.transact(work, full=True)\n",
        "        notes.keep(connection, made)\n        return made\n\n"
        "    return store.log.transact(work, exclusive=True)\n",
        ("tests/test_checkpoints.py::test_what_is_signed_is_on_the_disk_before",),
    ),
    Breakage(
        "accept a missing content",
        "eventstore/log/verification.py",
        '            yield _finding(position, "content", "the content is missing")\n',
        "            pass\n",
        ("tests/test_tampering.py::test_rows_deleted_swapped_or_invented_are_found",),
    ),
    Breakage(
        "leave a tile as it was",
        "projections/tree/projection.py",
        "DO UPDATE SET hashes = excluded.hashes",
        "DO NOTHING",
        ("tests/test_tree_projection.py",),
    ),
    Breakage(
        "leave the words of what was redacted",
        "projections/search/projection.py",
        "                connection.execute(self._unindex, (before.position, old))\n"
        "                connection.execute(self._index",
        "                connection.execute(self._index",
        ("tests/test_redaction_stored.py",),
    ),
    Breakage(
        "erase despite a hold",
        "eventstore/store/erasure.py",
        "        if not despite_holds:\n",
        "        if False:\n",
        ("tests/test_holds.py",),
    ),
    Breakage(
        "believe a snapshot without its checksum",
        "eventstore/snapshots/__init__.py",
        "    if stored[:CHECKSUM_BYTES] != _checksum(leaf, stored[CHECKSUM_BYTES:]):\n",
        "    if False:\n",
        ("tests/test_derived.py::test_a_snapshot_with_one_bit_wrong_is_not_believed",),
    ),
    Breakage(
        "forget the state after a plain message",
        _TRANSACTION,
        '        self.remember(("state", stream), state)\n        return seq\n',
        "        return seq\n",
        ("tests/test_plain.py",),
    ),
    Breakage(
        "do not sync a file's name",
        "eventstore/files.py",
        "    sync_names(target.absolute().parent)\n",
        "",
        ("tests/test_files.py",),
    ),
)
