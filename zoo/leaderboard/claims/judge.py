"""Decide a claim by intervals.

    at_least x    holds: low >= x     fails: high < x     else undecided
    within x      holds: -x <= low and high <= x     fails: low > x or high < -x

A claim holds where each of its tests does, at 95% each: for all to hold by mistake is no likelier than
for one (intersection-union test, Berger 1982). It fails where one of its k tests does, and as each of
the k had a chance to, that one's interval is of 1 - 5%/k.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from zoo.leaderboard.claims.claim import Claim, Test
from zoo.leaderboard.claims.pick import Index, Picked
from zoo.leaderboard.record import Record
from zoo.leaderboard.statistics.family import speed_up
from zoo.leaderboard.statistics.interval import LEVEL, Interval
from zoo.leaderboard.statistics.paired import summarise
from zoo.leaderboard.statistics.power import MOST_SEEDS, seeds_needed

Verdict = Literal["holds", "fails", "undecided", "no runs"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a test measured, and what follows; `more_seeds` is of undecided ones.

    `more_seeds` is None where 1,000 would not do or nothing can be said.
    """

    verdict: Verdict
    value: float | None = None
    interval: Interval | None = None
    n: int = 0
    p: float | None = None
    more_seeds: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with its verdict, and what each of its tests measured."""

    claim: Claim
    paper: str
    verdict: Verdict
    outcomes: list[Outcome]
    tuned: dict[str, dict[str, object]]

    @property
    def telling(self) -> int:
        """The index of the test that tables show: the one that decided; of all that hold, the least sure."""
        deciding = [i for i, o in enumerate(self.outcomes) if o.verdict == self.verdict]
        p = [self.outcomes[i].p for i in deciding]
        if self.verdict != "holds" or any(v is None for v in p):
            return deciding[0] if deciding else 0
        return max(deciding, key=lambda i: self.outcomes[i].p or 0.0)


def judge(claim: Claim, paper: str, index: Index) -> Judged:
    """Measure a claim on the records and decide it."""
    picked = {name: index.pick(claim, group) for name, group in claim.groups.items()}
    outcomes = [_outcome(claim, test, picked) for test in claim.tests]
    found: set[Verdict] = {o.verdict for o in outcomes}
    order: tuple[Verdict, ...] = ("fails", "no runs", "undecided", "holds")
    verdict = next(v for v in order if v in found)
    tuned = {name: dict(p.tuned) for name, p in picked.items() if p.tuned}
    return Judged(claim, paper, verdict, outcomes, tuned)


def _outcome(claim: Claim, test: Test, picked: Mapping[str, Picked]) -> Outcome:
    missing = [(name, picked[name]) for name in test.groups if not picked[name].records]
    if missing:
        name, first = missing[0]
        absent = [(n, p) for n, p in missing if not p.exists]
        if absent:
            return Outcome("no runs", reason=f"{absent[0][0]}: {absent[0][1].reason}")
        return Outcome("undecided", reason=f"{name}: {first.reason}")
    for name in test.groups:
        diverged = sum(r.status == "diverged" for r in picked[name].records.values())
        if diverged:
            return Outcome("undecided", reason=f"{name}: {diverged} runs diverged, no mean")
    strict = 1 - (1 - LEVEL) / len(claim.tests)
    measured = _contrast if test.contrast is not None else _speed_up
    return measured(claim, test, picked, strict)


def _contrast(claim: Claim, test: Test, picked: Mapping[str, Picked], strict: float) -> Outcome:
    weights = test.contrast or {}
    seeds = sorted(set.intersection(*(set(picked[g].records) for g in weights)))
    if len(seeds) < claim.minimum_seeds:
        return Outcome(
            "undecided",
            n=len(seeds),
            more_seeds=claim.minimum_seeds - len(seeds),
            reason=f"{len(seeds)} of {claim.minimum_seeds} seeds in common",
        )
    values = []
    for seed in seeds:
        parts = [(w, _value(claim, g, picked[g].records[seed])) for g, w in weights.items()]
        if any(v is None for _, v in parts):
            return Outcome("undecided", reason=f"seed {seed} has a value without a logarithm")
        values.append(sum(w * v for w, v in parts if v is not None))
    name, bound = test.bound
    null = bound if name != "within" else 0.0
    found, wider = summarise(values, null), summarise(values, level=strict)
    verdict = decide(name, bound, found.interval, wider.interval)
    more = None
    if verdict == "undecided":
        # Inside of two bounds both have to be kept clear of, else the nearest one.
        ends = [found.effect - bound, found.effect + bound] if name == "within" else []
        inside = bool(ends) and ends[0] < 0 < ends[1]
        far = ends if inside else [min(ends or [found.effect - bound], key=abs)]
        needed = seeds_needed(*far, std=found.std or 0.0)
        more = max(1, needed - len(seeds)) if needed is not None else None
    said = "" if more is not None or verdict != "undecided" else f"over {MOST_SEEDS:,} more seeds"
    return Outcome(verdict, found.effect, found.interval, found.n, found.p, more, said)


def _speed_up(claim: Claim, test: Test, picked: Mapping[str, Picked], strict: float) -> Outcome:
    names = test.speed_up or ([], [])
    families = [
        [_points(claim, test.cost or "", picked[g].records.values()) for g in names[side]]
        for side in (0, 1)
    ]
    n = min(len(group) for family in families for group in family)
    if n < claim.minimum_seeds:
        return Outcome("undecided", n=n, reason=f"{n} of {claim.minimum_seeds} seeds")
    found = speed_up(*families, direction=claim.direction)
    wider = speed_up(*families, direction=claim.direction, level=strict)
    if found is None or wider is None:
        return Outcome("undecided", n=n, reason="the curves share no quality")
    verdict = decide(*test.bound, found.interval, wider.interval)
    return Outcome(verdict, found.value, found.interval, n)


def decide(name: str, bound: float, interval: Interval | None, wider: Interval | None) -> Verdict:
    """Decide a bound: it holds by the interval, it fails by the wider one."""
    if interval is None or wider is None:
        return "undecided"
    if name in ("at_most", "less_than", "more_than", "at_least"):
        low, high, top = interval.low, interval.high, wider.high
        if name in ("at_most", "less_than"):  # the same, upside down
            low, high, top, bound = -interval.high, -interval.low, -wider.low, -bound
        strict = name in ("more_than", "less_than")
        if low > bound or (low == bound and not strict):
            return "holds"
        return "fails" if top < bound or (top == bound == low == high and strict) else "undecided"
    if -bound <= interval.low and interval.high <= bound:
        return "holds"
    return "fails" if wider.low > bound or wider.high < -bound else "undecided"


def _value(claim: Claim, group: str, record: Record) -> float | None:
    return claim.scaled(record.metrics.get(claim.groups[group].metric or claim.metric))


def _points(claim: Claim, cost: str, records: Iterable[Record]) -> list[tuple[float, float]]:
    pairs = ((r.metrics.get(cost), r.metrics.get(claim.metric)) for r in records)
    return [(c, q) for c, q in pairs if c is not None and q is not None and c > 0]
