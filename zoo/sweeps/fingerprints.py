"""The ids of a sweep's runs before they run: configuration, data, checkpoint, version.

Data are read once for each section `data`, as a data set is the same for every seed, and a
checkpoint once. Were a guess wrong, the run would be started and find its own record.
"""

import json
from dataclasses import dataclass
from typing import Any

from zoo.budget import Budget
from zoo.checkpoint import Start, decides, start_of, tokenizer_of
from zoo.config import build
from zoo.errors import UserError
from zoo.extensions import version_with
from zoo.leaderboard.record import identity
from zoo.refusals import delay_fits


@dataclass(frozen=True)
class _Data:
    sha256: str
    batches_per_epoch: int
    batch_size: int


class Fingerprints:
    """Ids and budgets of runs, from their checked configurations."""

    def __init__(self) -> None:
        self._data: dict[str, _Data] = {}
        self._starts: dict[str, Start] = {}

    def id(self, settings: dict[str, Any]) -> str:
        """Return the id of the run of these settings.

        Raises:
            UserError: its data or its checkpoint cannot be read, or its delay does not fit.
        """
        refusal = delay_fits(settings["delay"], self.budget(settings).max_steps)
        if refusal is not None:
            raise UserError(refusal)
        known = decides(settings, self._start(settings["model"]))
        return identity(known, self._of(settings).sha256, version_with(settings))

    def budget(self, settings: dict[str, Any]) -> Budget:
        """Return how long the run of these settings lasts."""
        data = self._of(settings)
        return Budget(
            settings["trainer"],
            batches_per_epoch=data.batches_per_epoch,
            batch_size=data.batch_size,
        )

    def _start(self, section: dict[str, Any]) -> Start | None:
        typed = section.get("checkpoint")
        if typed is None:
            return None
        if typed not in self._starts:
            found = start_of(section)
            assert found is not None
            self._starts[typed] = found
        return self._starts[typed]

    def _of(self, settings: dict[str, Any]) -> _Data:
        start = self._start(settings["model"])
        key = json.dumps([settings["data"], start and start.sha256], sort_keys=True)
        if key not in self._data:
            data = build(settings["data"], seed=settings["seed"], **tokenizer_of(start))
            self._data[key] = _Data(data.sha256, data.batches_per_epoch, data.batch_size)
        return self._data[key]
