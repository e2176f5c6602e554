"""Damage that fuzzing found: told by this project's own errors."""

from __future__ import annotations

import enum

import apsw
import pytest

from eventstore import codec
from eventstore.errors import CorruptStoreError, EventFormatError
from eventstore.log import reading


class Colour(enum.StrEnum):
    RED = "red"


def test_an_event_without_facts_is_damage() -> None:
    read = reading.event_reader(reading.blob_fetcher(apsw.Connection(":memory:")))
    with pytest.raises(CorruptStoreError, match="event 7"):
        read(7, "message.appended", 1, None, None)


def test_a_lone_surrogate_where_one_of_a_few_words_belongs_does_not_fit() -> None:
    with pytest.raises(EventFormatError):
        codec.convert("\ud800", Colour)
