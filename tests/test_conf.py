"""conf/ and sweeps/: every combination of all groups composes, or is refused in one sentence.

There are more than a billion, so they are shown in parts (tests/product.py), none of which is a
sample: every section of the product, for all options of the groups that write into it, goes through the schema; all combinations of the sections that a rule compares go through the
rule; a rule sees no other section, and the schema never two. That a configuration is put together
from these sections as Hydra does is checked against Hydra for every pair of options and for random
choices. `make exhaustive` goes through larger parts of the product literally.
"""

import itertools
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from tests.jobs import job_overrides
from tests.product import (
    AXES,
    Choice,
    Plain,
    Product,
    covering,
    listed,
    named,
    words,
)
from zoo.config import check, check_plain, compose, session
from zoo.errors import UserError
from zoo.overrides import groups
from zoo.refusals import RULES, Rule, compares
from zoo.schema import Schema, validate

ROOT = Path(__file__).resolve().parent.parent

# On one worker, so that the product is made once.
pytestmark = pytest.mark.xdist_group("product")


@pytest.fixture(scope="session")
def product() -> Product:
    return Product()


def assert_says_what_to_type(refusal: str) -> None:
    assert "type " in refusal, refusal
    assert "\n" not in refusal


def check_or_refuse(plain: dict[str, Any]) -> bool:
    try:
        check_plain(plain)
    except UserError as refusal:
        assert_says_what_to_type(str(refusal))
        return False
    return True


def compose_and_check(row: Choice) -> None:
    config = compose(words(row))
    try:
        check(config)
    except UserError as refusal:
        assert_says_what_to_type(str(refusal))


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="there is one process")
def test_a_group_of_tests_stays_on_one_worker(request: pytest.FixtureRequest) -> None:
    """Else the tests still pass, but each worker makes what one was to make: twice the time."""
    assert request.node.nodeid.endswith("@product")


def test_all_groups_are_in_the_product() -> None:
    known = {name for name, options in groups().items() if options and "/" not in name}
    assert set(AXES) == known - {"hydra"}
    assert groups()["hydra"] == ["default"]


def test_an_option_brings_files_of_its_own_and_overrides_only() -> None:
    """So that, where every group is chosen, a group's files are the same beside any others."""
    for path in [*(ROOT / "conf").rglob("*/*.yaml"), *(ROOT / "sweeps").glob("*.yaml")]:
        for entry in (yaml.safe_load(path.read_text()) or {}).get("defaults", []):
            for name in entry if isinstance(entry, dict) else []:
                keyword, _, group = name.partition("@")[0].partition(" ")
                ours = group.removeprefix("/") in AXES or path.parent.name == "hydra"
                assert (keyword, ours) == ("override", True), f"{path.name}: {name}"
            assert "$" not in str(entry), f"{path.name}: {entry}"


def test_every_pair_of_options_and_random_choices_are_put_together_as_by_hydra(
    product: Product,
) -> None:
    """Three and more groups at a time are what the random choices are for."""
    rng = random.Random(0)
    rows = covering(AXES, 2)
    pairs = {frozenset(p) for row in rows for p in itertools.combinations(row.items(), 2)}
    for (one, options), (other, others) in itertools.combinations(AXES.items(), 2):
        for o, p in itertools.product(options, others):
            assert frozenset({(one, o), (other, p)}) in pairs
    at_random = [{g: rng.choice(options) for g, options in AXES.items()} for _ in range(50)]
    with session():
        for row in at_random:
            assert named(listed(words(row))[0]) == product.lists(row), row
    for row in rows + at_random:
        config = compose(words(row))
        assert product.compose(row) == OmegaConf.to_container(config, resolve=False), row
        check_or_refuse(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


def test_sections_refer_to_themselves_and_to_paths(product: Product) -> None:
    """So that what a section is resolved to is decided by its writers, too."""
    assert AXES["paths"] == ["default"]
    for section, contents in product.sections.items():
        referred = set(re.findall(r"\$\{(oc\.\w+|\w+)", repr(contents)))
        assert referred <= {"oc.env", "paths", section}, section


@pytest.fixture(scope="session")
def variants(product: Product) -> dict[str, list[Plain]]:
    """Each section's different contents, as the schema hands them to the rules.

    One section at a time is enough: the schema has nothing that looks at two of them.
    """
    assert not Schema.__pydantic_decorators__.model_validators
    assert not Schema.__pydantic_decorators__.root_validators
    base = product.compose(product.base, resolve=True)
    return {
        section: [validate({**base, section: v})[section] for v in product.variants(section)]
        for section in product.sections
    }


def test_every_section_has_valid_keys_and_values(variants: dict[str, list[Plain]]) -> None:
    """The schema takes all of them, or the fixture had failed; some sections have thousands."""
    assert all(variants.values())
    assert max(map(len, variants.values())) > 1000


class Watched(dict[str, Any]):
    """A section that notes which of its keys are looked at."""

    def __init__(self, content: Plain, read: set[str]) -> None:
        super().__init__(content)
        self.read = read

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.read.add(str(key))
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self.read.update(super().keys())
        return super().__iter__()

    def _unseen(self, *_: Any) -> Any:
        raise AssertionError("what this looks at is not noted; loop over the section's keys")

    keys = values = items = pop = copy = _unseen


def different(sections: list[Plain], keys: set[str]) -> list[Plain]:
    """Return one of all sections that agree in these keys."""
    return list(
        {repr([(k, s.get(k, "absent")) for k in sorted(keys)]): s for s in sections}.values()
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_on_all_sections_that_it_compares(
    variants: dict[str, list[Plain]], rule: Rule
) -> None:
    """All combinations of the contents of the keys that it looks at, which are found by watching it."""
    names = list(compares(rule))
    read: list[set[str]] = [set() for _ in names]
    known: list[set[str]] | None = None
    while known != read:
        known = [set(keys) for keys in read]
        kinds = [different(variants[n], keys) for n, keys in zip(names, read, strict=True)]
        for compared in itertools.product(*kinds):
            watched = [Watched(s, keys) for s, keys in zip(compared, read, strict=True)]
            refusal = rule(*watched)
            if refusal is not None:
                assert_says_what_to_type(refusal)


def test_a_rule_is_watched_until_it_looks_at_nothing_new() -> None:
    seen = []

    def rule(one: Plain, other: Plain) -> str | None:
        if one["a"] and other["b"]:
            seen.append((one["a"], other["b"], other["c"]))
        return None

    made = {
        "one": [{"a": a, "unread": u} for a in (0, 1) for u in range(9)],
        "other": [{"b": b, "c": c} for b in (0, 1) for c in range(5)],
    }
    test_every_rule_on_all_sections_that_it_compares(made, rule)
    assert {(1, 1, c) for c in range(5)} <= set(seen)
    assert len(seen) < 2 * 9 * 5


def chosen(typed: Choice) -> tuple[Choice, Plain]:
    """Return what Hydra chooses of all groups where this is typed, and what it composes."""
    config: Any = OmegaConf.to_container(compose(words(typed), with_hydra=True), resolve=False)
    choices = config.pop("hydra")["runtime"]["choices"]
    return {group: choices[group] for group in AXES}, config


def test_a_group_that_is_left_out_is_the_experiments_or_the_default(product: Product) -> None:
    for experiment, sweep in itertools.product(AXES["experiment"], AXES["sweeps"]):
        typed = {"experiment": experiment, "sweeps": sweep}
        choice, config = chosen(typed)
        assert choice == {**choice, **typed}
        assert config == product.compose(choice)


def test_an_explicit_choice_wins_over_the_experiments(product: Product) -> None:
    overridden = 0
    for experiment in AXES["experiment"]:
        theirs, _ = chosen({"experiment": experiment})
        for group in set(AXES) - {"experiment"}:
            if theirs[group] != product.base[group]:
                typed = {"experiment": experiment, group: product.base[group]}
                # A model may have brought more with it: without it, the defaults are back.
                kept = {} if group == "model" else theirs
                found, config = chosen(typed)
                assert found == {**found, **kept, **typed}
                assert config == product.compose(found)
                overridden += 1
    assert overridden > 3


def sections() -> dict[str, list[dict[str, Any]]]:
    """Return, for each group that decides a result, its sections as Hydra composes them alone."""
    deciding = ("model", "data", "task", "precision", "optimizer", "scheduler", "delay", "trainer")
    return {
        group: [
            OmegaConf.to_container(compose([f"{group}={o}"]), resolve=True)[group]
            for o in AXES[group]
        ]  # type: ignore[call-overload, index]
        for group in deciding
    }


def check_all(parts: dict[str, list[dict[str, Any]]], combinations: Any) -> None:
    base = OmegaConf.to_container(compose(), resolve=True)
    assert isinstance(base, dict)
    count = refused = 0
    for chosen in combinations:
        plain = {**base, **dict(zip(parts, chosen, strict=True))}
        count += 1
        refused += not check_or_refuse(plain)
    assert 0 < refused < count


def test_random_combinations_of_the_groups_that_decide_a_result() -> None:
    """The whole check on some thousands; rule by rule, all of them go through it above."""
    rng, parts = random.Random(0), sections()
    check_all(parts, ([rng.choice(p) for p in parts.values()] for _ in range(3000)))


@pytest.mark.exhaustive  # hours
def test_every_combination_of_the_groups_that_decide_a_result() -> None:
    """Literally all of them go through the whole check."""
    parts = sections()
    check_all(parts, itertools.product(*parts.values()))


@pytest.mark.exhaustive  # an hour
@pytest.mark.parametrize("model", AXES["model"])
def test_hydra_composes_every_model_with_every_data_precision_optimizer_and_delay(
    model: str,
) -> None:
    others = ("data", "precision", "optimizer", "delay")
    for options in itertools.product(*(AXES[name] for name in others)):
        compose_and_check({"model": model, **dict(zip(others, options, strict=True))})


SWEEPS = [name for name in groups()["sweeps"] if name != "none"]


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_job_of_every_sweep(sweep: str) -> None:
    jobs = job_overrides(sweep)
    assert len(jobs) > 1
    # Seeds and rates go with everything: one of each is enough.
    swept = ("seed=", "optimizer.lr=")
    alike = {tuple(w for w in job if not w.startswith(swept)): job for job in jobs}
    for job in alike.values():
        check(compose([f"sweeps={sweep}", *job]))


COMMANDS = [
    line.removeprefix("# python train.py ")
    for path in sorted((ROOT / "sweeps").glob("*.yaml"))
    for line in path.read_text().splitlines()
    if line.startswith("# python train.py sweeps=") and path.stem != "none"
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_a_sweep_file(command: str) -> None:
    """As Hydra does it: what is not swept goes together by itself, and with the first of what is."""
    typed = command.split()
    swept = [w for w in typed if "," in w and "[" not in w]
    plain = [w for w in typed if w not in swept]
    compose(plain)
    names = {word.lstrip("+").partition("=")[0] for word in typed}
    (first, *_) = job_overrides(typed[0].partition("=")[2])
    kept = [word for word in first if word.partition("=")[0] not in names]
    check(compose([*plain, *kept, *(word.partition(",")[0] for word in swept)]))


@pytest.mark.parametrize("experiment", groups()["experiment"])
def test_every_experiment(experiment: str) -> None:
    check(compose([f"experiment={experiment}"]))


@pytest.mark.parametrize("folder", ["conf", "sweeps"])
def test_every_key_has_a_comment_and_every_preset_its_command(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.yaml"):
        lines = path.read_text().splitlines()
        if path.name != "train.yaml" and path.parent.name not in ("hydra", "paths", "callbacks"):
            assert any(line.startswith("# python train.py") for line in lines[:3]), path
        in_defaults = False
        for number, line in enumerate(lines):
            if not line.strip() or line.lstrip().startswith(("#", "- ")):
                continue
            key = re.match(r"^(\s*)([\w.]+):(.*)$", line)
            in_defaults = line.startswith("defaults:") or (in_defaults and line.startswith(" "))
            if key is None or in_defaults or key[2] in ("_target_", "name"):
                continue
            holds_more = not key[3].strip() or key[3].strip() == "|"
            commented = "#" in key[3] or lines[number - 1].lstrip().startswith("#")
            assert holds_more or commented or path.parent.name == "hydra", f"{path.name}: {line}"
