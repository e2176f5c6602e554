"""Files that nanobot left in a workspace and that are odd: none costs the others."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from nanobot_support import ours

from eventstore.adapters.nanobot import SessionManager

TIME = "2020-01-01T00:00:00"


def leave(workspace: Path, name: str, *lines: Any) -> Path:
    path = workspace / "sessions" / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def head(key: str, **more: Any) -> dict[str, Any]:
    return {"_type": "metadata", "key": key, "created_at": TIME, "updated_at": TIME, **more}


def keys(manager: SessionManager) -> list[str]:
    return sorted(one["key"] for one in manager.list_sessions())


def test_a_file_that_cannot_be_read_does_not_cost_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave(tmp_path, "a_b", head("a:b"))
    leave(tmp_path, "c_d", head("c:d"))
    opened = Path.open

    def refusing(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name == "a_b.jsonl":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    with closing(ours(tmp_path)) as manager:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refusing)
            assert keys(manager) == ["c:d"]
            assert "a_b.jsonl is not listed" in caplog.text
            # A new session, once it is saved, would hide what is in the file for good.
            with pytest.raises(PermissionError):
                manager.get_or_create("a:b")
        assert keys(manager) == ["a:b", "c:d"]


def test_a_file_with_a_key_that_is_too_long_does_not_cost_the_list(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leave(tmp_path, "a_b", head("x" * 600))
    leave(tmp_path, "c_d", head("c:d"))
    with closing(ours(tmp_path)) as manager:
        assert keys(manager) == ["c:d"]
    assert "a_b.jsonl is not listed" in caplog.text


@pytest.mark.parametrize("data", [b"", b"\n\n", b"no JSON\n", bytes(range(256))])
def test_a_file_without_a_session_in_it_is_none(tmp_path: Path, data: bytes) -> None:
    path = leave(tmp_path, "a_b")
    path.write_bytes(data)
    with closing(ours(tmp_path)) as manager:
        assert manager.list_sessions() == []
        assert manager.get_or_create("a:b").messages == []
        assert manager._load("a:b") is None
    assert path.read_bytes() == data


def test_a_number_of_too_many_digits_costs_one_line(tmp_path: Path) -> None:
    path = leave(tmp_path, "a_b", head("a:b"), {"role": "user", "content": "1"})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"role": "user", "content": "2", "x": ' + "9" * 5_000 + "}\n")
    leave(tmp_path, "c_d", head("c:d"))
    with closing(ours(tmp_path)) as manager:
        assert keys(manager) == ["a:b", "c:d"]
        assert [one["content"] for one in manager.get_or_create("a:b").messages] == ["1"]


@pytest.mark.parametrize("told", ["yesterday", 5, None])
def test_a_file_with_odd_times_keeps_its_messages(tmp_path: Path, told: Any) -> None:
    first = head("a:b", created_at=told, updated_at=told, last_consolidated=None)
    leave(tmp_path, "a_b", first, {"role": "user", "content": "1"})
    with closing(ours(tmp_path)) as manager:
        session = manager.get_or_create("a:b")
        assert [message["content"] for message in session.messages] == ["1"]
        assert session.last_consolidated == 0
        assert keys(manager) == ["a:b"]


def test_of_several_lines_of_metadata_the_last_counts(tmp_path: Path) -> None:
    later = {"created_at": "2021-01-01T00:00:00", "updated_at": "2021-01-02T00:00:00"}
    leave(
        tmp_path, "a_b",
        head("a:b", metadata={"x": 1}, last_consolidated=0),
        {"role": "user", "content": "1"},
        head("a:b", metadata={"y": 2}, last_consolidated=1, **later),
    )  # fmt: skip
    with closing(ours(tmp_path)) as manager:
        found = manager.get_or_create("a:b")
        assert found.created_at == datetime(2021, 1, 1)
        assert (found.metadata, found.last_consolidated) == ({"y": 2}, 1)
        [listed] = manager.list_sessions()
        assert {name: listed[name] for name in later} == later


def test_files_in_ones_home_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / ".nanobot").mkdir(parents=True)
    old = leave(home / ".nanobot", "a_b", head("a:b"), {"role": "user", "content": "1"})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(Path, "home", lambda: home)
    with closing(ours(tmp_path / "workspace")) as manager:
        assert manager.get_or_create("a:b").messages == []
        assert manager.list_sessions() == []
    assert old.is_file()
