"""The guide to the command line: every command and option is in it, and every example in it does what it says.

A command has a section whose heading is its name, as in ``### `dynamodb-wrapper tables diff` ``, in any guide. The
console blocks of docs/guides/command-line.md and of docs/guides/export-import.md are run in order, with the Python
blocks between them, over a real server.
"""

from __future__ import annotations

import contextlib
import doctest
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")

import typer.main

from dynamodb_wrapper.cli import app
from dynamodb_wrapper.cli.failures import ExitCode
from tests.servers import RunningServer, Server
from tests.test_docs import ROOT, blocks_of

GUIDES = ROOT / "docs/guides"
GUIDE = GUIDES / "command-line.md"
PROGRAM = "dynamodb-wrapper"
ELSEWHERE = {"--help", "--version", "--install-completion", "--show-completion"}
"""Options that are explained once, for all commands."""

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
HEADING = re.compile(rf"^#+ `({PROGRAM}[^`]*)`$", re.MULTILINE)


def commands_of(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every command below a group, with the words it is called by."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, each in below.items():
        yield from commands_of(each, f"{path} {name}")


COMMANDS = dict(commands_of(typer.main.get_command(app.app), PROGRAM))


def sections() -> Mapping[str, str]:
    """Return the text under each heading that names a command, down to the next heading."""
    found: dict[str, str] = {}
    for page in sorted(GUIDES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for heading in HEADING.finditer(text):
            rest = text[heading.end() :]
            after = re.search(r"^#{2,4} ", rest, re.MULTILINE)
            assert heading[1] not in found, f"{heading[1]} has two sections"
            found[heading[1]] = rest[: after.start()] if after else rest
    return found


SECTIONS = sections()


def options_of(command: Any) -> set[str]:
    return {name for option in command.params for name in option.opts if name.startswith("--")}


SHARED = {"--profile", "--region", "--endpoint", "--embedded", "--timezone", "--json"}


def test_no_section_is_about_a_command_that_does_not_exist() -> None:
    assert SECTIONS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_with_an_example_and_its_options(name: str) -> None:
    section = SECTIONS[name]
    assert f"$ {name}" in section
    documented = set(OPTION.findall(section))
    own = options_of(COMMANDS[name]) - SHARED - ELSEWHERE
    assert own - documented == set()
    assert documented - own - SHARED - ELSEWHERE == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_shared_options(name: str) -> None:
    assert options_of(COMMANDS[name]) >= SHARED


def test_shared_options_and_exit_codes_are_documented() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert {option for option in SHARED | ELSEWHERE if f"`{option}" not in text and f"{option}`" not in text} == set()
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == {int(code) for code in ExitCode}


@pytest.mark.parametrize("name", [PROGRAM, *COMMANDS])
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = typer.main.get_command(app.app)
    with pytest.raises(SystemExit) as ended:
        command.main(args=[*name.split()[1:], "--help"], prog_name=PROGRAM)
    assert ended.value.code == 0
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    assert [option.name for option in COMMANDS[name].params if not option.help] == []
    assert COMMANDS[name].help


# --- the examples ---------------------------------------------------------------------------------------------------


@pytest.fixture
def server(moto_server: RunningServer) -> Iterator[Server]:
    moto_server.delete_tables("")
    server = Server(moto_server, table_prefix="")
    yield server
    server.clean_up()


@pytest.mark.parametrize(
    ("guide", "made"),
    [
        (GUIDE, set()),
        (GUIDES / "export-import.md", {"orders.csv", "orders.json.gz", "backup", "more.jsonl", "refused.jsonl"}),
    ],
    ids=["command-line", "export-import"],
)
def test_every_example_does_what_the_guide_says(
    guide: Path,
    made: set[str],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "DYNAMODB_ENDPOINT_URL": server.endpoint_url or "",
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    blocks = blocks_of(guide)
    module = next(block.text for block in blocks if block.language == "python")
    (tmp_path / "shop.py").write_text(module, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    namespace: dict[str, Any] = {"__name__": "guide"}
    examples = 0
    for block in blocks:
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, str(guide), "exec", dont_inherit=True), namespace)
        for asked, expected in examples_in(block.text) if block.language == "console" else ():
            examples += 1
            said = "\n".join(line.rstrip() for line in run(asked, capsys).splitlines()) + "\n"
            assert doctest.OutputChecker().check_output(expected, said, doctest.ELLIPSIS), (
                f"{guide.name}:{block.line}: `{asked}` said\n{said}"
            )
    sys.modules.pop("shop", None)
    assert examples > (len(COMMANDS) if guide == GUIDE else 5)
    assert {path.name for path in tmp_path.iterdir()} - {"shop.py", "__pycache__"} == made


def examples_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, each with what is said to be its output."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        asked, _, output = part.partition("\n")
        yield asked, output


def run(asked: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a command says, on stdout and stderr as a terminal shows them."""
    words = shlex.split(asked)
    assert words[0] == PROGRAM
    capsys.readouterr()
    with contextlib.redirect_stderr(sys.stdout), pytest.raises(SystemExit):
        typer.main.get_command(app.app).main(args=words[1:], prog_name=PROGRAM)
    return capsys.readouterr().out
