"""Several processes on one workspace: what a save answered is there."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from engine_support import budget, clean
from nanobot_support import ours

ROOT = Path(__file__).parents[3]

#: Saves to a session of its own and to one that all share; says what was answered.
WRITER = """
import sys
from pathlib import Path
from eventstore.adapters.nanobot import SessionManager
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
manager = SessionManager(folder, durability="normal")
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    own = manager.get_or_create(f"own:{name}")
    own.add_message("user", f"{name}:{number}")
    manager.save(own)
    manager.invalidate("shared:1")
    shared = manager.get_or_create("shared:1")
    shared.add_message("user", f"{name}:{number}")
    manager.save(shared)
    manager.list_sessions()
    assert shared.messages[-1]["content"] == f"{name}:{number}"
print(len(own.messages), flush=True)
manager.close()
"""


def test_two_processes_lose_nothing_that_was_answered(tmp_path: Path) -> None:
    count = budget(40)
    names = ("one", "two")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name, str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for name in names
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.communicate(timeout=120)[0] for writer in writers] == [f"{count}\n"] * 2
    assert [writer.returncode for writer in writers] == [0, 0]

    expected = {name: [f"{name}:{number}" for number in range(count)] for name in names}
    with closing(ours(tmp_path)) as manager:
        for name in names:
            own = manager.get_or_create(f"own:{name}")
            assert [message["content"] for message in own.messages] == expected[name]
        # The last save of the shared session won; what the other saved is in its history.
        stored = Counter(view.text for view in manager.store.session("shared:1").history())
        assert set(stored) == {text for texts in expected.values() for text in texts}
        seen = [message["content"] for message in manager.get_or_create("shared:1").messages]
        assert seen[-1] in (expected["one"][-1], expected["two"][-1])
        for name in names:
            mine = [text for text in seen if text.startswith(name)]
            assert mine == [text for text in expected[name] if text in mine]
        clean(manager.store)


def test_the_last_save_wins_whoever_was_read_first(tmp_path: Path) -> None:
    with closing(ours(tmp_path)) as one, closing(ours(tmp_path)) as other:
        first = one.get_or_create("a:b")
        first.add_message("user", "1")
        one.save(first)
        second = other.get_or_create("a:b")
        second.add_message("user", "2")
        other.save(second)
        first.add_message("user", "3")
        one.save(first)
        assert seen_anew(tmp_path) == ["1", "3"]
        other.save(second)  # an old object, not changed since it was saved
        assert seen_anew(tmp_path) == ["1", "2"]


def seen_anew(folder: Path) -> list[str]:
    with closing(ours(folder)) as manager:
        return [message["content"] for message in manager.get_or_create("a:b").messages]


def test_a_session_that_was_deleted_is_begun_again_by_a_save(tmp_path: Path) -> None:
    with closing(ours(tmp_path)) as one, closing(ours(tmp_path)) as other:
        session = one.get_or_create("a:b")
        session.add_message("user", "1")
        one.save(session)
        other.store.session("a:b").close()
        assert one.list_sessions() == []
        session.add_message("user", "2")
        one.save(session)
        other.invalidate("a:b")
        assert [m["content"] for m in other.get_or_create("a:b").messages] == ["1", "2"]
        assert [one_["key"] for one_ in other.list_sessions()] == ["a:b"]
