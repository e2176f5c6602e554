"""The pages on the command line are current and complete.

`UPDATE_DOCS=1 pytest tests/test_cli_docs.py` writes docs/cli.md anew.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import click
import pytest
from cli_support import GOLDEN, ROOT, run

from eventstore.cli import main
from eventstore.importers.registry import formats

CLI = ROOT / "docs" / "cli.md"
CLI_JSON = ROOT / "docs" / "cli-json.md"

_HEAD = """\
# Command line

`eventstore` works on one store, a SQLite file. What follows is what `--help` prints; the form of \
the JSON that `--json` and `--jsonl` write is fixed in [JSON of the command line](cli-json.md).

## Exit codes

| code | meaning |
|---|---|
| 0 | fine |
| 1 | it failed, wholly or for a file of a folder that `import` was given, or nothing was found |
| 2 | wrong usage |
| 3 | the store is not as it should be: `verify`, `check` or `doctor` found \
something, `salvage` lost something, or the file is damaged |
| 130 | interrupted |

Results go to stdout, everything else to stderr. Progress and colour are for terminals only; \
[`NO_COLOR`](https://no-color.org) turns colour off. Control characters in what is shown, which \
could come from a message, are printed as escapes such as `\\x1b`.

"""


def help_of(command: click.Command, path: str) -> str:
    """What ``--help`` prints, 88 columns wide."""
    options = main.context_settings
    parent = click.Context(main, info_name="eventstore", terminal_width=88, **options)
    if command is main:
        return main.get_help(parent)
    context = click.Context(command, info_name=path, parent=parent, terminal_width=88)
    return command.get_help(context)


def reference() -> str:
    """The whole page."""
    pieces = [_HEAD, f"## `eventstore`\n\n```text\n{help_of(main, '')}\n```\n"]
    for name, command in main.commands.items():
        link = f"JSON: [`eventstore {name}`](cli-json.md#eventstore-{name})."
        text = f"\n## `eventstore {name}`\n\n{link}\n\n```text\n{help_of(command, name)}\n```\n"
        pieces.append(text)
    return "".join(pieces)


def test_the_reference_is_current() -> None:
    if os.environ.get("UPDATE_DOCS"):
        CLI.write_text(reference(), encoding="utf-8")
    assert CLI.read_text(encoding="utf-8") == reference(), "run with UPDATE_DOCS=1"


@pytest.mark.parametrize("name", main.commands)
def test_every_command_is_on_both_pages(name: str) -> None:
    for page in (CLI, CLI_JSON):
        assert f"\n## `eventstore {name}`\n" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", main.commands)
def test_the_help_leads_with_examples_and_every_option_has_one_line_at_least(name: str) -> None:
    command = main.commands[name]
    short = run(name, "-h").stdout
    assert short == run(name, "--help").stdout
    assert re.match(rf"Usage: eventstore {name} .*\n\n  .*\n\n  Examples:\n    eventstore ", short)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
    assert "--json" in short
    assert "--db" in short
    assert "..." not in (command.get_short_help_str(60)), "it must fit the list of commands"


def test_the_help_of_all_shows_examples_and_exit_codes() -> None:
    text = run("--help").stdout
    assert text == run("-h").stdout
    assert "Examples:\n    eventstore demo" in text
    for code in (0, 1, 2, 3, 130):
        assert re.search(rf"^    {code} +\w", text, re.MULTILINE)


def test_every_format_can_be_chosen() -> None:
    for name in formats():
        assert name in run("import", "--help").stdout


# -- the JSON contract ---------------------------------------------------------------------------


def section_of(name: str) -> str:
    text = CLI_JSON.read_text(encoding="utf-8")
    return text.split(f"\n## `eventstore {name}`\n")[1].split("\n## ")[0]


def fields_of(section: str) -> set[str]:
    return set(re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE))


#: Fields whose values are described elsewhere, or are whatever was stored.
OPAQUE = {
    "show": {"session", "messages.tool_calls", "messages.parts", "messages.metadata"},
    "fork": {"session"},
    "replay": {"event"},
    "resume": {"tool_calls", "content"},
    "context": {"sent", "coverage"},
    "diff": {
        "settings.before",
        "settings.after",
        "messages.before",
        "messages.after",
        "messages.fields",
    },
    "search": {"neighbours"},
    "log": {"facts", "content"},
    "demo": {"import", "verify", "resume", "past.messages"},
}


def fields_in(value: Any, opaque: set[str], prefix: str = "") -> set[str]:
    """The dotted names of all fields of an object, and of those in its lists."""
    if prefix[:-1] in opaque:
        return set()
    if isinstance(value, list):
        return set().union(*(fields_in(one, opaque, prefix) for one in value))
    if not isinstance(value, dict):
        return set()
    found = {prefix + key for key in value}
    return found.union(*(fields_in(item, opaque, f"{prefix}{key}.") for key, item in value.items()))


@pytest.mark.parametrize("name", main.commands)
def test_the_table_has_exactly_the_fields_that_are_printed(name: str) -> None:
    printed: set[str] = set()
    for path in (*GOLDEN.glob(f"{name}.json"), *GOLDEN.glob(f"{name}-*.json")):
        printed |= fields_in(json.loads(path.read_bytes()), OPAQUE.get(name, set()))
    documented = fields_of(section_of(name))
    if name == "check":
        documented -= {f"differences.{one}" for one in ("projection", "table", "kind", "row")}
    if name == "verify":
        documented -= {f"findings.{one}" for one in ("position", "kind", "message")}
    assert documented == printed


@pytest.mark.parametrize("name", main.commands)
def test_the_example_is_json_with_documented_fields(name: str) -> None:
    section = section_of(name)
    [example] = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    shown = fields_in(json.loads(example), OPAQUE.get(name, set()))
    assert shown <= fields_of(section)
