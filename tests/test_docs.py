"""Every Python block of README.md and docs/ runs, and every `make` command in them exists.

The blocks of a page run in order, in one namespace, in a process and an empty directory of their own; the environment
points at an empty DynamoDB server, so both ``DynamoDBConfig.from_env()`` and ``DynamoDBConfig.embedded()`` work.

- ``<!-- not executed: reason -->`` on the line before a block exempts it.
- ``<!-- output -->`` before a ``text`` or ``console`` block compares it with what the Python block before it printed
  (``...`` stands for anything).
- ``<!-- needs: module -->`` on the first line of a page runs it only where that module is installed (``make spark``).
- Every block names its language, and Python is called ``python``, so that none is passed over by accident.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import os
import re
import subprocess
import sys
import textwrap
import traceback
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.servers import RunningServer

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

OPENING = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<language>[^\s`{]*)(?P<rest>[^`]*)$")
MARKER = re.compile(r"^\s*<!--\s*(?P<text>not executed|output)\b:?\s*(?P<reason>.*?)\s*-->\s*$")
NEEDS = re.compile(r"<!-- needs: (?P<module>\w+) -->\n")
PYTHON_BY_ANOTHER_NAME = {"py", "python3", "pycon", "py3", "ipython", "python-repl"}
OUTPUT_LANGUAGES = {"text", "console"}


class DocsError(Exception):
    """A page breaks the rules above, or does not do what it says."""


@dataclass(frozen=True)
class Block:
    """One fenced block; ``line`` is that of its opening fence."""

    language: str
    text: str
    line: int
    marker: str | None = None
    reason: str = ""


def blocks_of(page: Path) -> list[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    blocks: list[Block] = []
    number = 0
    pending: re.Match[str] | None = None  # the marker on the line before
    while number < len(lines):
        line = lines[number]
        number += 1
        opening = OPENING.match(line)
        if opening is None:
            if pending is not None:
                raise DocsError(f"{page.name}:{number - 1}: the marker is not on the line before a block")
            pending = MARKER.match(line)
            continue
        start = number
        fence = opening["fence"]
        while number < len(lines) and not re.match(rf"^\s*{re.escape(fence[0])}{{{len(fence)},}}\s*$", lines[number]):
            number += 1
        if number == len(lines):
            raise DocsError(f"{page.name}:{start}: the block is never closed")
        blocks.append(
            Block(
                language=opening["language"],
                text=textwrap.dedent("\n".join(lines[start:number]) + "\n"),
                line=start,
                marker=pending["text"] if pending else None,
                reason=pending["reason"] if pending else "",
            )
        )
        pending = None
        number += 1
    if pending is not None:
        raise DocsError(f"{page.name}:{number}: the marker is not on the line before a block")
    return blocks


def check_rules(page: Path, blocks: list[Block]) -> None:
    python_before = False
    for block in blocks:
        where = f"{page.name}:{block.line}"
        if not block.language:
            raise DocsError(f"{where}: the block does not name its language")
        if block.language.lower() in PYTHON_BY_ANOTHER_NAME or block.language.startswith("Python"):
            raise DocsError(f"{where}: Python blocks are called `python`, not `{block.language}`")
        if block.marker == "not executed" and (block.language != "python" or not block.reason):
            raise DocsError(f"{where}: `not executed` is for a Python block, and needs a reason")
        if block.marker == "output" and (block.language not in OUTPUT_LANGUAGES or not python_before):
            raise DocsError(f"{where}: `output` is for a text or console block after a Python block that is executed")
        if block.language == "python":
            python_before = block.marker is None


def run_page(page: Path) -> None:
    """Execute the page in this process, as ``__main__``."""
    blocks = blocks_of(page)
    check_rules(page, blocks)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    printed = ""
    for block in blocks:
        if block.language == "python" and block.marker is None:
            # The empty lines make the line numbers of a traceback those of the page.
            code = compile("\n" * block.line + block.text, str(page), "exec", dont_inherit=True)
            captured = io.StringIO()
            with contextlib.redirect_stdout(captured):
                exec(code, module.__dict__)
            printed = captured.getvalue()
        elif block.marker == "output":
            compare(page, block, printed)


def compare(page: Path, block: Block, printed: str) -> None:
    want, got = (
        "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n" for text in (block.text, printed)
    )
    if not doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS):
        raise DocsError(f"{page.name}:{block.line}: the page says\n{want}\nbut the code above it printed\n{got}")


def run_in_a_process(page: Path, folder: Path, endpoint_url: str | None = None) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "TZ": "UTC"}
    environment |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    if endpoint_url:
        environment |= {
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "DYNAMODB_ENDPOINT_URL": endpoint_url,
        }
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, str(page)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if done.returncode:
        raise DocsError(done.stderr.strip()[-6000:])


@pytest.fixture
def empty_server(moto_server: RunningServer) -> str | None:
    """moto without tables: what the page before left is forgotten."""
    moto_server.delete_tables("")
    return moto_server.endpoint_url


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(page: Path, tmp_path: Path, empty_server: str | None) -> None:
    needed = NEEDS.match(page.read_text(encoding="utf-8"))
    if needed is not None and importlib.util.find_spec(needed["module"]) is None:
        pytest.skip(f"{needed['module']} is not installed here: `make spark` runs this page")
    run_in_a_process(page, tmp_path, empty_server)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_commands_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in blocks_of(page):
        if block.language in {"console", "bash", "sh", "shell"}:
            for command in re.findall(r"^\s*\$?\s*make\b(.*)$", block.text, re.MULTILINE):
                words = command.split("#")[0].split()
                named = {word for word in words if "=" not in word and not word.startswith("-")}
                assert named <= targets, f"{page.name}:{block.line}: make has no target {sorted(named - targets)}"


# --- the checks themselves -------------------------------------------------------------------------------------------

INVALID = {
    "code that fails": "```python\nraise RuntimeError('this line')\n```\n",
    "code that is no Python": "```python\nif\n```\n",
    "a name of another page": "```python\nprint(orders)\n```\n",
    "wrong output": "```python\nprint(1)\n```\n<!-- output -->\n```text\n2\n```\n",
    "output of nothing": "<!-- output -->\n```text\n2\n```\n",
    "output of a block that is not executed": (
        "<!-- not executed: needs AWS -->\n```python\nprint(1)\n```\n<!-- output -->\n```text\n1\n```\n"
    ),
    "exempt without a reason": "<!-- not executed -->\n```python\nraise SystemExit\n```\n",
    "exempt with an empty reason": "<!-- not executed:  -->\n```python\nraise SystemExit\n```\n",
    "a marker with a gap": "<!-- not executed: needs AWS -->\n\n```python\nx = 1\n```\n",
    "a marker at the end": "<!-- output -->\n",
    "no language": "```\nprint(1)\n```\n",
    "Python by another name": "```py\nprint(1)\n```\n",
    "never closed": "```python\nprint(1)\n",
    "a warning": "```python\nimport warnings\nwarnings.warn('old', DeprecationWarning)\n```\n",
}

VALID = """
# A page

```python
from __future__ import annotations
import json
from dataclasses import dataclass
from pathlib import Path

@dataclass
class Point:
    x: int

print(Point(1), "at", id(Point))
```

<!-- output -->
```text
Point(x=1) at ...
```

=== "In a tab"

    ```python title="kept in the same namespace"
    if __name__ == "__main__":
        Path("written.txt").write_text(json.dumps([Point(2).x]))
        print(Point.__module__)
    ```

    <!-- output -->
    ```console
    __main__
    ```

<!-- not executed: it would end the process -->
```python
raise SystemExit(1)
```

```console
$ make test
```
"""


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_invalid_page_fails(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(DocsError, match=r"page\.md"):
        run_in_a_process(page, tmp_path)


def test_traceback_names_the_line_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\nx = 1\nraise RuntimeError(x)\n```\n")
    with pytest.raises(DocsError, match=r'page\.md", line 5'):
        run_in_a_process(page, tmp_path)


def test_valid_page_passes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(VALID)
    run_in_a_process(page, tmp_path)
    assert (tmp_path / "written.txt").read_text() == "[2]"


def main() -> int:
    try:
        run_page(Path(sys.argv[1]))
    except DocsError as error:
        print(error, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 - whatever a page raises, sys.exit(0) included, is a page that failed
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
