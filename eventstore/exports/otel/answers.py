"""The answers of the model in a session's messages, with what was said before each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from eventstore.store.views import MessageView

#: Messages before an answer that are kept: there are more only where no model was asked.
_SAID_MAX = 100

#: Messages that one response is in at most.
_PIECES_MAX = 100


class Answer(Struct, frozen=True):
    """One response of the model, in one or more messages.

    `said` are the messages since the answer before; `began` is the time of the last of them;
    `compacted` says that the context had been compacted before.
    """

    pieces: list[MessageView]
    said: list[MessageView]
    began: int
    compacted: bool

    @property
    def key(self) -> str | None:
        """The key under which its usage is recorded, if it is: the response's id."""
        return self.pieces[0].response_id


def answers(messages: Iterable[MessageView], began: int) -> Iterator[Answer]:
    """The answers that messages, in order of seq, hold; those that a fork took over left out.

    Assistant messages that follow each other and belong to one response are one answer.
    """
    said: list[MessageView] = []
    pieces: list[MessageView] = []
    start, compacted = began, False
    for message in messages:
        if pieces and not _belongs(message, pieces):
            yield Answer(pieces, said, start, compacted)
            said, pieces = [], []
        if message.role == "assistant" and not message.stands_for:
            if not message.inherited:
                if not pieces:
                    start = began
                pieces.append(message)
        else:
            said = [*said[-_SAID_MAX + 1 :], message]
            compacted = compacted or bool(message.stands_for)
        began = max(began, message.at)
    if pieces:
        yield Answer(pieces, said, start, compacted)


def _belongs(message: MessageView, pieces: list[MessageView]) -> bool:
    last = pieces[-1]
    return (
        message.role == "assistant"
        and not message.stands_for
        and message.response_id is not None
        and message.response_id == last.response_id
        and len(pieces) < _PIECES_MAX
    )
