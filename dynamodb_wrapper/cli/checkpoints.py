"""Files that say how far a long command has come, so that it can go on after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dynamodb_wrapper.cli.failures import CommandError, ExitCode, say
from dynamodb_wrapper.exceptions import InvalidCursorError

_FORM = "1"
"""Another one when states are of other forms: what an older version has written is then of no use."""


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """Where one long command stands, in a file that is there while there is something left to do.

    Attributes:
        path: The file.
        work: What is being done, ``{"command": "migrate", "table": "orders"}``: another command does not go on here.
    """

    path: Path
    work: Mapping[str, object]

    def begin(self, *, resume: bool, restart: bool) -> dict[str, object] | None:
        """Return where an earlier call was ended, if this one is to go on there; None to begin.

        Raises:
            CommandError: There is an earlier call, and nobody said what to do about it; or the file is not one of this
                work, or cannot be written.
        """
        if resume and restart:
            raise CommandError("--resume and --restart are opposites")
        self._check_place()
        state = self.read(restart=restart)
        if state is not None and not resume:
            raise CommandError(
                f"an earlier run was ended before it was done ({self.path}): say --resume to go on, or --restart to "
                "begin anew"
            )
        return state

    def read(self, *, restart: bool) -> dict[str, object] | None:
        """Return what was written last; None when there is no file, or it is not to be gone on with.

        Raises:
            CommandError: The file is none that is written here, even for a restart, which replaces it; or it was
                changed, or is of other work.
        """
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            work, state, digest = dict(content["work"]), dict(content["state"]), content.get("digest")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise CommandError(f"{self.path} is no checkpoint of ours ({error}); name another file") from error
        if restart:
            return None
        if digest != _digest(work, state):
            raise CommandError(f"{self.path} was changed, or is of another version: --restart begins anew")
        if work != dict(self.work):
            raise CommandError(f"{self.path} is the checkpoint of other work, {work}; delete it, or name another file")
        return state

    def write(self, state: Mapping[str, object]) -> None:
        """Note how far the work has come; a kill leaves this or what was there before.

        Raises:
            CommandError: The file cannot be written.
        """
        content = {"work": dict(self.work), "state": dict(state), "digest": _digest(self.work, state)}
        try:
            with self._beside.open("w", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._beside, self.path)
        except OSError as error:
            raise self._unwritable(error, ExitCode.OUTPUT) from error

    def remove(self) -> None:
        """Forget the work: it is done."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Keep other runs away while the block runs, and say how to go on when it is ended before it is done.

        Raises:
            CommandError: Another run is at work; or what the file says is of no use to the work.
        """
        with self._held():
            try:
                yield
            except InvalidCursorError as error:
                raise CommandError(f"{self.path} is of no use, --restart begins anew: {error.message}") from error
            except BaseException:  # Ctrl-C, a full disk, a model's own error: each can be mended
                if self.path.exists():
                    say(f"what is done is noted in {self.path}; the same command with --resume goes on there")
                raise

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Keep others away from the work while the block runs; the system does so, so a kill leaves nothing locked."""
        place = Path(f"{self.path}.lock")
        try:
            file = place.open("wb")
        except OSError as error:
            raise self._unwritable(error) from error
        with file:
            if not _is_locked(file, place):
                raise CommandError(f"another run is at work with {self.path}; nothing was done")
            try:
                yield
            finally:
                with suppress(OSError):
                    place.unlink()

    def _check_place(self) -> None:
        """Make sure, before anything is done, that the file can be written."""
        try:
            tempfile.TemporaryFile(dir=self.path.parent).close()
        except OSError as error:
            raise self._unwritable(error) from error

    @property
    def _beside(self) -> Path:
        return Path(f"{self.path}.new")

    def _unwritable(self, error: OSError, code: ExitCode = ExitCode.USAGE) -> CommandError:
        return CommandError(
            f"the checkpoint {self.path} cannot be written ({error.strerror}): name another --checkpoint", code
        )


def _digest(work: Mapping[str, object], state: Mapping[str, object]) -> str:
    """Return what tells that nobody else has written a file: what it says is not looked at again."""
    content = json.dumps([_FORM, dict(work), dict(state)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _is_locked(file: IO[bytes], place: Path) -> bool:
    """Lock a file until it is closed, and return whether nobody else has it; True where the system has no locks."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), place.stat())
    except (BlockingIOError, FileNotFoundError):  # or it was deleted just now, by who had it
        return False
    except OSError:
        return True
