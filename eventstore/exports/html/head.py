"""The head of a page: which session it is, what it used, and what part of the log is shown."""

from __future__ import annotations

from collections.abc import Iterator

from eventstore.exports.html.escaping import inline, on_one_line
from eventstore.exports.html.figures import date_and_time, duration, money, plural, tokens
from eventstore.exports.html.history import History
from eventstore.exports.html.relatives import Relatives, forks
from eventstore.store.points import At
from eventstore.store.session import Session
from eventstore.store.views import SessionInfo
from projections.queries.usage import UsageTotals


def title_of(history: History, info: SessionInfo) -> str:
    """What the page is called."""
    title = info.title if history.texts else None
    return on_one_line(title or f"Session {info.name}", 300)


def head(
    session: Session, history: History, info: SessionInfo, children: Relatives
) -> Iterator[str]:
    """The facts of the session as a list of names and values, and its usage."""
    yield "<dl>"
    for name, value in _facts(history, info, children):
        yield f"<div><dt>{name}</dt><dd>{value}</dd></div>"
    yield "</dl>\n"
    at = At.version(history.version)
    by_currency = session.usage_by("currency", at)
    if sum(one.calls for one in by_currency.values()):
        yield from _usage(session.usage(at), by_currency, session.usage_by("model", at))


def _facts(history: History, info: SessionInfo, children: Relatives) -> Iterator[tuple[str, str]]:
    yield "Session", f"<code>{inline(info.name)}</code>"
    if info.model:
        provider = f" of {inline(on_one_line(info.provider, 80))}" if info.provider else ""
        yield "Model", inline(on_one_line(info.model, 80)) + provider
    yield "Status", inline(info.status)
    if info.source:
        yield "Source", inline(on_one_line(info.source, 80))
    yield "First event", date_and_time(info.created_at)
    lasted = info.updated_at - info.created_at
    took = f" ({duration(lasted)} later)" if lasted > 0 else ""
    yield "Last activity", date_and_time(max(info.updated_at, info.created_at)) + took
    counts = f"{info.messages:,}, of which the model sees {info.active_messages:,}"
    yield "Messages", counts
    if info.compactions:
        yield "Compactions", f"{info.compactions:,}"
    if info.tool_calls:
        yield "Tool calls", f"{info.tool_calls:,}"
    if info.parent is not None:
        yield "Spawned by", f"<code>{inline(info.parent)}</code>"
    if info.origin is not None:
        yield (
            "Fork of",
            f"<code>{inline(info.origin)}</code> at version {info.origin_version or 0:,}",
        )
    for name, found in (("Sub-agents", children), ("Forks", forks(history))):
        if found.count:
            yield name, _names(found)
    if not history.texts:
        yield "Texts", "left out of this page"
    yield "Shown", f"versions 1 to {history.version:,}, the log up to {history.position:,}"
    yield "Last leaf", f"<code>{history.leaf.hex()}</code>"


def _names(found: Relatives) -> str:
    names = [f"<code>{inline(one)}</code>" for one in found.names]
    more = found.count - len(names)
    return ", ".join([*names, f"and {more:,} more"] if more else names)


def costs(used: dict[str | int | None, UsageTotals]) -> list[str]:
    """What was paid in each currency."""
    return [
        money(one.cost_nanos, None if currency is None else str(currency))
        for currency, one in used.items()
        if one.cost_nanos is not None
    ]


def _usage(
    totals: UsageTotals,
    by_currency: dict[str | int | None, UsageTotals],
    models: dict[str | int | None, UsageTotals],
) -> Iterator[str]:
    known = costs(by_currency)
    calls = plural(totals.calls, "model call")
    cost = " · ".join(known) if known else "no cost is recorded"
    yield f'<p class="total"><b>{cost}</b> · {calls} · {tokens(totals)}</p>\n'
    if len(models) > 1:
        yield from _by_model(models, with_cost=len(known) == 1 and len(by_currency) == 1)


def _by_model(models: dict[str | int | None, UsageTotals], *, with_cost: bool) -> Iterator[str]:
    names = ["Model", "Calls", "Input", "From cache", "To cache", "Output"]
    names += ["Cost"] if with_cost else []
    yield '<div class="wide"><table><thead><tr>'
    yield "".join(f'<th scope="col">{name}</th>' for name in names)
    yield "</tr></thead><tbody>"
    for model, one in models.items():
        figures = (one.calls, one.input, one.cache_read, one.cache_write, one.output)
        cells = "".join(f"<td>{figure:,}</td>" for figure in figures)
        if with_cost:
            cells += f"<td>{'' if one.cost_nanos is None else one.cost_nanos / 10**9:,.4f}</td>"
        name = "not recorded" if model is None else inline(on_one_line(str(model), 80))
        yield f'<tr><th scope="row">{name}</th>{cells}</tr>'
    yield "</tbody></table></div>\n"
