"""Numbers, times and sums as a page writes them. Times are µs since 1970, shown in UTC."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from eventstore.events.catalogue import Run, UsageRecorded
from eventstore.exports.html.escaping import inline
from projections.queries.usage import UsageTotals

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(us: int) -> datetime:
    """A time as a `datetime` in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def day(us: int) -> str:
    """The day of a time."""
    return moment(us).strftime("%Y-%m-%d")


def clock(us: int) -> str:
    """The time of the day, with the whole of it for machines."""
    at = moment(us)
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%S}.{at:%f}Z">{at:%H:%M:%S}</time>'


def date_and_time(us: int) -> str:
    """A day and the time of it."""
    at = moment(us)
    return f'<time datetime="{at:%Y-%m-%dT%H:%M:%S}.{at:%f}Z">{at:%Y-%m-%d %H:%M:%S} UTC</time>'


def duration(us: int) -> str:
    """A length of time, in the two largest units that matter."""
    seconds = us / 1_000_000
    if seconds < 1:
        return f"{us / 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def plural(count: int, noun: str) -> str:
    """``1 message``, ``2 messages``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def size(count: int) -> str:
    """A number of bytes."""
    if count < 1000:
        return plural(count, "byte")
    return f"{count / 1000:,.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:,.1f} MB"


def money(nanos: int, currency: str | None) -> str:
    """An amount given in billionths, with at least two and at most six decimals."""
    amount = f"{Decimal(nanos) / 10**9:,.6f}".rstrip("0")
    point = amount.index(".")
    amount = amount.ljust(point + 3, "0")
    if currency == "USD":
        return f"−${amount[1:]}" if nanos < 0 else f"${amount}"
    return f"{amount} {inline(currency or 'in an unknown currency')}"


def tokens(used: UsageTotals | UsageRecorded) -> str:
    """Tokens in and out; the parts of them that are known apart."""
    parts = [
        f"{used.cache_read:,} from cache" if used.cache_read else "",
        f"{used.cache_write:,} to cache" if used.cache_write else "",
    ]
    within = ", ".join(part for part in parts if part)
    total = used.input + used.cache_read + used.cache_write
    words = f"{total:,} tokens in" + (f" ({within})" if within else "")
    words += f" · {used.output:,} out"
    return words + (f" ({used.reasoning:,} reasoning)" if used.reasoning else "")


def seqs(runs: tuple[Run, ...]) -> str:
    """Links to the first and last message of each run."""
    return ", ".join(
        link(first) if length == 1 else f"{link(first)}–{link(first + length - 1)}"
        for first, length in runs
    )


def link(seq: int) -> str:
    """A link to a message."""
    return f'<a href="#m{seq}">#{seq}</a>'


def event_link(version: int) -> str:
    """A link to an event of the session."""
    return f'<a href="#v{version}">event v{version}</a>'


class Tally:
    """What the model calls of a turn used. A call counts where its newest record stands."""

    def __init__(self) -> None:
        self.calls = 0
        self._counts: Counter[str] = Counter()
        self._costs: Counter[str | None] = Counter()

    def add(self, used: UsageRecorded) -> None:
        """Count one call."""
        self.calls += 1
        for name in ("input", "cache_read", "cache_write", "output", "reasoning"):
            self._counts[name] += getattr(used, name)
        if used.cost_nanos is not None:
            self._costs[used.currency] += used.cost_nanos

    def __str__(self) -> str:
        """The sums; costs in several currencies stay apart."""
        totals = UsageTotals(calls=self.calls, **self._counts)
        costs = [money(nanos, currency) for currency, nanos in self._costs.items()]
        return " · ".join((plural(self.calls, "model call"), tokens(totals), *costs))
