"""No process starves: the rule by which writers try for the lock again, in virtual time."""

from __future__ import annotations

import heapq
import random
from statistics import mean

import pytest

from eventstore.log import engine


def commits(writers: int, hold: float, seed: int, seconds: float = 2.0) -> list[int]:
    """How often each writer commits that comes back for the lock as soon as it has let go of it."""
    chance = random.Random(seed)
    counts, free_at = [0] * writers, 0.0
    tries = [(chance.uniform(0, 0.001), writer, -1.0) for writer in range(writers)]
    heapq.heapify(tries)
    while tries[0][0] < seconds:
        now, writer, since = heapq.heappop(tries)
        if now >= free_at:
            counts[writer] += 1
            free_at = now + hold * chance.uniform(0.7, 1.3)
            heapq.heappush(tries, (free_at + chance.uniform(0.00005, 0.00015), writer, -1.0))
        else:
            since = now if since < 0 else since
            heapq.heappush(tries, (now + engine.retry_pause(now - since), writer, since))
    return counts


@pytest.mark.parametrize("writers", [2, 4, 8])
@pytest.mark.parametrize("hold", [0.0003, 0.0025, 0.005])
def test_a_writer_of_many_processes_gets_at_least_a_third_of_the_mean(
    writers: int, hold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that had lost the lock often tried for it as seldom as one that had just come.

    Where a commit takes milliseconds, it then found the lock taken each time, for seconds.
    """
    for seed in range(20):
        monkeypatch.setattr(engine, "random", random.Random(seed))
        counts = commits(writers, hold, seed)
        assert min(counts) >= mean(counts) / 3, (seed, counts)


def test_a_lock_that_is_held_for_long_is_not_tried_for_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "random", random.Random(1))
    waited, tries = 0.0, 0
    while waited < engine.BUSY_SECONDS:
        waited += engine.retry_pause(waited)
        tries += 1
    assert tries < 200 * engine.BUSY_SECONDS
