"""Files that say how far a long command has come, so that it can go on after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dynamodb_wrapper.cli.failures import CommandError, say
from dynamodb_wrapper.exceptions import DynamoDBWrapperError, InvalidCursorError


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
        state = None if restart else self.read()
        if state is not None and not resume:
            raise CommandError(
                f"an earlier run was ended before it was done ({self.path}): say --resume to go on, or --restart to "
                "begin anew"
            )
        return state

    def read(self) -> dict[str, object] | None:
        """Return what was written last; None when there is no file.

        Raises:
            CommandError: The file is damaged, cannot be read, or is of other work.
        """
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            work, state = content["work"], dict(content["state"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CommandError(f"{self.path} is no checkpoint of ours ({error}); name another file") from error
        if work != dict(self.work):
            raise CommandError(f"{self.path} is the checkpoint of other work, {work}; delete it, or name another file")
        return state

    def write(self, state: Mapping[str, object]) -> None:
        """Note how far the work has come; a kill leaves this or what was there before.

        Raises:
            CommandError: The file cannot be written.
        """
        try:
            with self._beside.open("w", encoding="utf-8") as file:
                json.dump({"work": dict(self.work), "state": dict(state)}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._beside, self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    def remove(self) -> None:
        """Forget the work: it is done."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say how to go on when the block is ended before it is done.

        Raises:
            CommandError: What the file says is of no use to the work.
        """
        try:
            yield
        except InvalidCursorError as error:
            raise CommandError(f"{self.path} is of no use, --restart begins anew: {error.message}") from error
        except (KeyboardInterrupt, CommandError, DynamoDBWrapperError):
            if self.path.exists():
                say(f"what is done is noted in {self.path}; the same command with --resume goes on there")
            raise

    def _check_place(self) -> None:
        """Make sure, before anything is done, that the file can be written."""
        try:
            self._beside.touch()
            self._beside.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    @property
    def _beside(self) -> Path:
        return Path(f"{self.path}.new")

    def _unwritable(self, error: OSError) -> CommandError:
        return CommandError(
            f"the checkpoint {self.path} cannot be written ({error.strerror}): name another --checkpoint"
        )
