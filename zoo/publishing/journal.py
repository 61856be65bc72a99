"""What is known to be published, kept on this machine: a line as soon as the server has it.

It decides nothing, since the server is asked; it says how far a publishing came that lost its server.
"""

import datetime
import json
from pathlib import Path


class Journal:
    """The lines of one project in a file that only grows.

    Args:
        path: the file, made with its folder when there is something to say.
        project: which lines are of interest: the server's address and the project.
    """

    def __init__(self, path: Path, project: str) -> None:
        self.path = path
        self.project = project
        self._known: dict[tuple[str, str], str] = {}
        text = path.read_text() if path.is_file() else ""
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                if entry["project"] == project:
                    self._known[entry["what"], entry["id"]] = entry["sha256"]
            except (ValueError, KeyError, TypeError):
                continue  # torn by a crash

    def add(self, what: str, name: str, digest: str) -> None:
        """Say that the server has this, unless it is said already."""
        if self._known.get((what, name)) == digest:
            return
        self._known[what, name] = digest
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        entry = {"project": self.project, "what": what, "id": name, "sha256": digest, "at": now}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(("\n" if self._torn else "") + json.dumps(entry) + "\n")
        self._torn = False

    def has(self, what: str, name: str, digest: str) -> bool:
        """Whether the server was seen to have this."""
        return self._known.get((what, name)) == digest
