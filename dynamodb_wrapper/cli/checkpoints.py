"""Files that say how far a long command has come, so that it can go on after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dynamodb_wrapper.cli.failures import CommandError


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """Where one long command stands, in a file that is there while there is something left to do.

    Attributes:
        path: The file.
        work: What is being done, ``{"command": "migrate", "table": "orders"}``: another command does not go on here.
    """

    path: Path
    work: Mapping[str, object]

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
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                json.dump({"work": dict(self.work), "state": dict(state)}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        except OSError as error:
            raise CommandError(f"the checkpoint {self.path} cannot be written: {error.strerror}") from error

    def remove(self) -> None:
        """Forget the work: it is done."""
        self.path.unlink(missing_ok=True)
