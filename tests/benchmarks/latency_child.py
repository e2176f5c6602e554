"""A process whose threads append at the same time as those of others; prints each wait as JSON."""

from __future__ import annotations

import json
import sys
import threading
import time

from eventstore import SessionStore


def main() -> None:
    """``latency_child.py STORE DURABILITY THREADS NUMBER``; texts and times come from the input."""
    path, durability, threads, number = sys.argv[1:]
    texts = json.loads(sys.stdin.readline())
    waits: list[list[float]] = [[] for _ in range(int(threads))]
    with SessionStore.open(path, durability=durability) as store:
        sessions = [store.create() for _ in waits]
        print("ready", flush=True)
        begin, end = map(float, sys.stdin.readline().split())

        def work(index: int) -> None:
            time.sleep(max(0.0, begin - time.monotonic()))
            step = int(number) * 7 + index
            now = time.monotonic()
            while now < end or not waits[index]:  # who never gets its turn has waited, too
                sessions[index].append("user", texts[step % len(texts)])
                waits[index].append(round((time.monotonic() - now) * 1000, 3))
                step += 1
                now = time.monotonic()

        workers = [threading.Thread(target=work, args=(index,)) for index in range(len(waits))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    print(json.dumps(waits))


if __name__ == "__main__":
    main()
