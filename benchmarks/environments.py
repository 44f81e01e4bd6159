"""The environments of the peers: one for each ``requirements/bench-*.txt``, made when first needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import Peer, SkippedError

ROOT = Path(__file__).resolve().parent.parent
NEWER = ("python3.12", "python3.13", "python3.14")


def python_for(peer: Peer) -> Path:
    """Return the interpreter in which a peer runs; its environment is made if there is none, or an old one.

    Raises:
        SkippedError: It cannot be made; says why.
    """
    if not peer.environment:
        return Path(sys.executable)
    requirements = ROOT / "requirements" / f"bench-{peer.environment}.txt"
    folder = ROOT / f".venv-bench-{peer.environment}"
    interpreter, made_from = folder / "bin" / "python", folder / "made-from.txt"
    if not made_from.exists() or made_from.read_text() != requirements.read_text():
        print(f"==> {folder.name}", file=sys.stderr)
        run([suitable_python(peer), "-m", "venv", "--clear", str(folder)])
        pip = [str(interpreter), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:"]
        run([*pip, "--no-deps", "-r", str(requirements)])
        made_from.write_text(requirements.read_text())
    return interpreter


def suitable_python(peer: Peer) -> str:
    """Return an interpreter new enough for a peer: this one if it is, so that results compare.

    Raises:
        SkippedError: There is none.
    """
    if sys.version_info >= peer.python:
        return sys.executable
    for name in NEWER:
        found = shutil.which(name)
        # A shim of a version manager is found, but does not run unless that version is chosen.
        if found and subprocess.run([found, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0:
            return found
    raise SkippedError(f"needs Python {'.'.join(map(str, peer.python))} or newer, and none is on PATH")


def run(command: list[str]) -> None:
    """Run a command.

    Raises:
        SkippedError: It failed; has the last line of what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise SkippedError(f"could not be installed: {said[-1]}")
