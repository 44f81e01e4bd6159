"""The command line as a process: signals, pipes, terminals, and what is missing where it is installed."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("termios", reason="there are pseudo-terminals on Unix only")

from dynamodb_wrapper import PipelineRunLogsRepository
from dynamodb_wrapper.cli.failures import ExitCode
from tests.integration.cli_shop import Notes, Orders, add_notes
from tests.integration.command_line import ROOT, SHOP, environment, process_of
from tests.integration.test_cli import filled
from tests.servers import RunningServer, Server
from tests.timing import until

SECONDS = 30.0
"""How long anything here may take at most."""

CTRL_C = b"\x03"
_TAKE_THE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is sent by it
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def server(moto_server: RunningServer) -> Iterator[Server]:
    server = Server(moto_server)
    yield server
    server.clean_up()


@dataclass(frozen=True)
class Started:
    """A place to start the command line in."""

    environment: Mapping[str, str]
    folder: Path

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Return how a command ended that nobody is there for."""
        return subprocess.run(
            process_of(*arguments),
            env={**self.environment, **more},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def run_to(self, descriptor: int, *arguments: str) -> tuple[int, str]:
        """Return how a command ended that writes to a descriptor, which is closed, and what it said on stderr."""
        try:
            done = subprocess.run(
                process_of(*arguments),
                env=self.environment,
                cwd=self.folder,
                stdout=descriptor,
                stderr=subprocess.PIPE,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        finally:
            os.close(descriptor)
        return done.returncode, done.stderr.replace("a module may print\n", "")

    def begin(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            process_of(*arguments),
            env={**self.environment, **more},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def at_a_terminal(self, *arguments: str, typed: Sequence[tuple[str, bytes]] = ()) -> tuple[int, str]:
        """Return how a command ended at a terminal, and what was on it.

        Args:
            arguments: The command.
            typed: What is typed when a text is on the terminal.
        """
        terminal, its_end = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_THE_TERMINAL, *process_of(*arguments)],
            env={**self.environment, "TERM": "xterm", "COLUMNS": "200"},
            cwd=self.folder,
            stdin=its_end,
            stdout=its_end,
            stderr=its_end,
            start_new_session=True,
        )
        os.close(its_end)
        shown, waiting, last = b"", list(typed), b""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                # input() does not see one that comes just before it reads, and Python's end is ended by a second one.
                if last == CTRL_C and b"stopped" not in shown:
                    os.write(terminal, CTRL_C)
                continue
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # it has ended
                break
            shown += piece
            if waiting and waiting[0][0].encode() in shown:
                last = waiting.pop(0)[1]
                os.write(terminal, last)
        os.close(terminal)
        return process.wait(SECONDS), shown.decode()


@pytest.fixture
def started(server: Server, tmp_path: Path) -> Started:
    return Started(environment(server.endpoint_url, server.table_prefix), tmp_path)


def orders_on(server: Server) -> Orders:
    return filled(Orders(server.config(environment="prod")))


def notes_on(server: Server, count: int) -> Notes:
    return add_notes(server.config(environment="prod"), count)


# --- what is missing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from dynamodb_wrapper.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == (
        f"error: the command line needs {missing}, which is not installed: pip install 'dynamodb-wrapper[cli]'\n"
    )


# --- pipes ----------------------------------------------------------------------------------------------------------


def test_stdout_has_the_answer_and_nothing_else(started: Started, server: Server) -> None:
    orders_on(server)
    done = started.run("scan", f"{SHOP}:Orders", "--json")
    assert done.returncode == 0
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 6
    assert done.stderr == "a module may print\n"


def test_a_reader_that_has_enough_is_no_error(started: Started, server: Server) -> None:
    add_notes(server.config(environment="prod"), 300, length=1000)  # more than a pipe holds
    process = started.begin("scan", f"{SHOP}:OldNotes", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["id"]
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(SECONDS) == ExitCode.BROKEN_PIPE
    assert said == "a module may print\n"
    process.stderr.close()


@pytest.mark.parametrize("command", [("get", f"{SHOP}:Orders", "c1", "1"), ("tables", "list"), ("--version",)])
def test_a_reader_that_is_gone_is_told_by_the_exit_code(
    started: Started, server: Server, command: tuple[str, ...]
) -> None:
    orders_on(server)
    reader, writer = os.pipe()
    os.close(reader)
    assert started.run_to(writer, *command) == (ExitCode.BROKEN_PIPE, "")


@pytest.mark.parametrize("command", [("tables", "list"), ("--version",), ("--help",)])
def test_an_answer_that_cannot_be_written_is_an_error(
    started: Started, server: Server, command: tuple[str, ...]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    orders_on(server)
    code, said = started.run_to(os.open("/dev/full", os.O_WRONLY), *command)
    assert code == ExitCode.OUTPUT
    assert "No space left" in said
    assert len(said.splitlines()) == 1


def test_a_message_that_cannot_be_written_changes_no_exit_code(started: Started) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            process_of("tables", "diff", "no_module:Orders"),
            env=started.environment,
            stderr=full,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == ExitCode.USAGE


# --- terminals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "is_left"),
    [
        (b"y\n", ExitCode.OK, False),
        (b"n\n", ExitCode.NO, True),
        (CTRL_C, ExitCode.INTERRUPTED, True),
    ],
    ids=["yes", "no", "ctrl-c"],
)
def test_a_table_is_deleted_only_by_a_yes(
    started: Started, server: Server, answer: bytes, code: ExitCode, is_left: bool
) -> None:
    orders = orders_on(server)
    ended, shown = started.at_a_terminal("tables", "delete", orders.table_name, typed=[("[y/N]", answer)])
    assert ended == code
    assert f"Delete {orders.table_name} (about 6 items" in shown
    assert "Traceback" not in shown
    assert (orders.table_status() is not None) is is_left


def test_nobody_is_asked_without_a_terminal(started: Started, server: Server) -> None:
    orders = orders_on(server)
    done = started.run("tables", "delete", orders.table_name)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "--yes" in done.stderr
    assert orders.table_status() == "ACTIVE"


def test_colours_are_left_out_where_they_are_not_wanted(started: Started) -> None:
    plain = Started({**started.environment, "NO_COLOR": "1"}, started.folder)
    for place, has_colour in ((started, True), (plain, False)):
        ended, shown = place.at_a_terminal("--help")
        assert ended == 0
        assert bool(re.search(r"\x1b\[(\d+;)*(3|9)\d", shown)) is has_colour


# --- stopped and killed ---------------------------------------------------------------------------------------------

_STOPPED_AT_AN_IMPORT = """
import os, signal, sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == sys.argv[1]:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt as stopped:
                raise RuntimeError("as class bodies and callbacks of others do") from stopped

sys.meta_path.insert(0, Finder)
from dynamodb_wrapper.cli import main
main()
"""


@pytest.mark.parametrize("module", ["pydantic_core", "typer", "dynamodb_wrapper.cli.health"])
def test_a_command_that_is_stopped_before_it_begins_says_nothing(module: str) -> None:
    command = [sys.executable, "-c", _STOPPED_AT_AN_IMPORT, module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.INTERRUPTED, "", "")


_IN_A_THREAD = """
import sys, threading
from dynamodb_wrapper.cli import main

def run():
    try:
        main()
    except SystemExit as ended:
        ends.append(ended.code)

ends = []
thread = threading.Thread(target=run)
thread.start()
thread.join()
sys.exit(ends != [0])
"""


def test_a_thread_may_run_a_command() -> None:
    """Only the main thread may handle signals."""
    command = [sys.executable, "-c", _IN_A_THREAD, "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_migration_that_is_stopped_or_killed_goes_on(
    started: Started, server: Server, number: signal.Signals
) -> None:
    notes = notes_on(server, 200)
    file = started.folder / f"{notes.table_name}.migrate.json"
    command = ("migrate", f"{SHOP}:Notes", "--yes", "--segments", "1", "--json")
    in_second_round = notes.table.scan()["Items"][150]["text"]
    process = started.begin(*command, TEST_WAIT_AT=str(in_second_round))
    until(lambda: file.exists() or process.poll() is not None)
    process.send_signal(number)
    out, err = process.communicate(timeout=SECONDS)
    assert out == ""
    assert process.returncode == (ExitCode.INTERRUPTED if number is signal.SIGINT else -signal.SIGKILL)
    if number is signal.SIGINT:
        assert "the same command with --resume goes on there" in err
        assert "Traceback" not in err
    assert file.exists()
    noted = json.loads(file.read_text())["state"]["counts"]["scanned"]
    assert noted == 100

    done = started.run(*command, "--resume")
    assert done.returncode == 0, done.stderr
    assert f"going on after {noted} items" in done.stderr
    (report,) = map(json.loads, done.stdout.splitlines())
    assert (report["scanned"], report["rewritten"] + report["current"]) == (200, 200)
    assert all(note.length == len(note.text) for note in notes.scan())
    assert list(started.folder.iterdir()) == []


def test_watching_is_ended_by_ctrl_c_and_by_the_end_of_the_run(started: Started, server: Server) -> None:
    logs = PipelineRunLogsRepository(server.config(environment="prod"))
    logs.ensure_table()
    logs.create_run_log("r1", "p1", "manual", status="running")
    stopped, shown = started.at_a_terminal("runs", "watch", "r1", "--every", "0.1", typed=[("running", CTRL_C)])
    assert stopped == ExitCode.INTERRUPTED
    assert "Traceback" not in shown
    assert shown.count("\x1b[?25h") == 1  # the cursor is there again

    process = started.begin("runs", "watch", "r1", "--every", "0.1", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["status"] == "running"
    logs.update_run_status("r1", "success")
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["success"]


# --- completion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dynamodb-wrapper", "ta"], ["tables"]),
        (["dynamodb-wrapper", "tables", "d"], ["diff", "delete"]),
        (["dynamodb-wrapper", "tables", "delete", "--pro"], ["--profile"]),
        (["dynamodb-wrapper", "runs", "list", "--status", "fa"], ["failed"]),
    ],
)
def test_the_shell_completes_commands_and_options(started: Started, words: list[str], expected: list[str]) -> None:
    done = started.run(
        _DYNAMODB_WRAPPER_COMPLETE="complete_bash", COMP_WORDS="\n".join(words), COMP_CWORD=str(len(words) - 1)
    )
    assert done.stdout.split() == expected
