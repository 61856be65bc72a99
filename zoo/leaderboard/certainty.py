"""How sure a board is: each row's chance of being on the frontier, and its distance to the baseline."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zoo.leaderboard.frontier import Group, depends_on_hardware

if TYPE_CHECKING:
    from zoo.leaderboard.boards import View
    from zoo.leaderboard.statistics.paired import Paired


@dataclass(frozen=True, slots=True)
class Certainty:
    """By the group's key; rows that are on no frontier in any case are in neither."""

    membership: dict[str, float] = field(default_factory=dict)
    against_baseline: "dict[str, tuple[Paired, float | None]]" = field(default_factory=dict)


def certainty(filled: "View") -> Certainty:
    """Resample the seeds of a board, and compare its rows with its baseline."""
    return Certainty(membership_of(filled), _against_baseline(filled))


def membership_of(filled: "View") -> dict[str, float]:
    """Return the probability of being on the frontier of each row that can be, by its key."""
    from zoo.leaderboard.statistics.membership import membership

    board = filled.board
    found: dict[str, float] = {}
    directions = (filled.cost.direction, board.quality.direction)
    apart = depends_on_hardware(filled.cost.key)
    by_class: dict[tuple[str, str], list[tuple[str, list[tuple[float, float]]]]] = {}
    for group in filled.groups:
        if not group.complete or len(group.records) < board.minimum_seeds:
            continue
        pairs = [
            (c, q)
            for r in group.records
            if (c := board.value(r, filled.cost.key)) is not None
            and (q := board.value(r, board.quality.key)) is not None
            and math.isfinite(c + q)
        ]
        if len(pairs) == len(group.records):
            kind = (group.hardware if apart else "", board.kind(group))
            members = by_class.setdefault(kind, [])
            members.append((group.key, sorted(pairs)))
    for members in by_class.values():
        members.sort()  # the draws depend on the order
        chances = membership([pairs for _, pairs in members], directions)
        # One seed competes with its value, but how sure that is nobody knows.
        known = [len(pairs) > 1 for _, pairs in members]
        found.update(
            (key, chance)
            for (key, _), chance, told in zip(members, chances, known, strict=True)
            if told
        )
    return found


def _against_baseline(filled: "View") -> "dict[str, tuple[Paired, float | None]]":
    from zoo.leaderboard.statistics.paired import compare, holm

    if filled.board.baseline is None:
        return {}
    compared = {}
    for group in filled.groups:
        rival = baseline_of(filled, group)
        if rival is not None and rival is not group:
            paired = compare(_by_seed(filled, group), _by_seed(filled, rival))
            if paired is not None:
                compared[group.key] = paired
    tested = [key for key, paired in compared.items() if paired.p is not None]
    corrected = holm([p for key in tested if (p := compared[key].p) is not None])
    by_key = dict(zip(tested, corrected, strict=True))
    return {key: (paired, by_key.get(key)) for key, paired in compared.items()}


def baseline_of(filled: "View", group: Group) -> Group | None:
    """Return the baseline that a row is compared with: like it in the keys of `within`.

    Of several, the one that is best on the validation split; never by the test split.
    """
    from zoo.leaderboard.boards import get

    board = filled.board
    if board.baseline is None:
        return None
    where, within = board.baseline.where, board.baseline.within
    rivals = [
        g
        for g in filled.groups
        if all(get(g.config, k) == v for k, v in where.items())
        and all(get(g.config, k) == get(group.config, k) for k in within)
        and g.complete
    ]
    if group in rivals:
        return group
    key = board.quality.key.replace("test/", "val/", 1)
    sign = 1.0 if board.quality.direction == "max" else -1.0

    def score(rival: Group) -> float:
        mean = board.cell(rival.records, key).mean
        return sign * mean if mean is not None else -math.inf

    return max(rivals, key=score, default=None)


def _by_seed(filled: "View", group: Group) -> dict[int, float]:
    values = {r.seed: filled.board.value(r, filled.board.quality.key) for r in group.records}
    return {seed: v for seed, v in values.items() if v is not None and math.isfinite(v)}
