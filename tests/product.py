"""The product of all groups, known without composing each of its members.

Hydra turns the options that are chosen into a list of files, group by group in the order of
conf/train.yaml, and merges the files in the order of the list. Where every group is chosen, a
group's share of the list is the same whatever the others' options are (`lists`), and a file writes
into the sections that it names and into no other (`writers`). So a section of a configuration is
decided by the options of the groups that write into it, `trainer` for example by `trainer`,
`experiment` and `sweeps`. `Product` lays what Hydra reads of each file over another for all options of
a section's writers, and puts any configuration together from these sections. That this is what Hydra
merges is shown for every pair of options, and at random (tests/test_conf.py): all of it would take
Hydra a minute.
"""

import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

import yaml
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from zoo.config import compose, session
from zoo.overrides import CONF, groups

Choice = dict[str, str]
Plain = dict[str, Any]
File = tuple[str, str]  # a configuration file and where it is put: ("model/resnet", "model")

ORDER = [
    name
    for entry in yaml.safe_load((CONF / "train.yaml").read_text())["defaults"]
    if isinstance(entry, dict)
    for name in entry
]


def shape(content: Any) -> Any:
    """Return what a file overrides and the keys that it sets, without their values."""
    if not isinstance(content, dict):
        return type(content).__name__
    return {k: v if k == "defaults" else shape(v) for k, v in content.items()}


def of_different_shapes(group: str) -> list[str]:
    """Return a group's options, of those that differ in values only the first."""
    shapes: dict[str, str] = {}
    for option in groups()[group]:
        content = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
        shapes.setdefault(json.dumps(shape(content), sort_keys=True), option)
    return list(shapes.values())


# Every group that a user chooses from, in the order in which Hydra merges them. Recipes come in
# families that set the same keys: one stands for its family, and each is composed and checked alone.
AXES = {
    name: of_different_shapes(name) if name == "experiment" else groups()[name]
    for name in ORDER
    if name in groups() and name != "hydra"
}


def words(choice: Choice) -> list[str]:
    """Return a choice as it is typed."""
    return [f"{group}={option}" for group, option in choice.items()]


def listed(overrides: list[str]) -> tuple[list[ResultDefault], Any]:
    """Return the files that Hydra lists, and where it reads them; inside of `session`.

    Hydra's own files and its notes on them are left out, which `compose` drops in the end: they
    take it more than half of its time.
    """
    loader: Any = GlobalHydra.instance().config_loader()
    parsed, repo = loader._parse_overrides_and_create_caching_repo("train", overrides)
    found = create_defaults_list(repo, "train", parsed, prepend_hydra=True, skip_missing=False)
    return [d for d in found.defaults if str(d.package).split(".")[0] != "hydra"], repo


def merged(files: list[ResultDefault], repo: Any) -> Plain:
    """Return what Hydra merges these files into."""
    loader: Any = GlobalHydra.instance().config_loader()
    found: Any = OmegaConf.to_container(loader._compose_config_from_defaults_list(files, repo))
    found.pop("hydra", None)
    return found  # type: ignore[no-any-return]


def over(below: Any, above: Any) -> Any:
    """Return one content laid over another: dictionaries key by key, all else replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{k: over(below.get(k), v) for k, v in above.items()}}
    return above


def named(files: list[ResultDefault]) -> list[File]:
    """Return the files by name, without the one in which all begins."""
    return [(str(d.config_path), str(d.package)) for d in files if not d.primary]


def sections_of(file: File) -> set[str]:
    """Return the sections that a file writes into; inside of `session`."""
    path, package = file
    if package:
        return {package.split(".")[0]}
    loader: Any = GlobalHydra.instance().config_loader()
    return {str(key) for key in loader.repository.load_config(path).config}


def covering(axes: dict[str, list[str]], strength: int) -> list[Choice]:
    """Return rows in which every combination of `strength` options of different axes occurs."""
    rng = random.Random(0)
    names = list(axes)
    open_sets = {
        (chosen, options)
        for chosen in itertools.combinations(names, strength)
        for options in itertools.product(*(axes[n] for n in chosen))
    }
    rows = []
    while open_sets:
        best: tuple[int, Choice] = (-1, {})
        seeds = sorted(open_sets)
        for _ in range(6):
            chosen, options = rng.choice(seeds)
            row = dict(zip(chosen, options, strict=True))
            for name in names:
                row.setdefault(name, rng.choice(axes[name]))
            row = {name: row[name] for name in names}
            gain = sum(
                (c, tuple(row[n] for n in c)) in open_sets
                for c in itertools.combinations(names, strength)
            )
            best = max(best, (gain, row), key=lambda pair: pair[0])
        rows.append(best[1])
        for c in itertools.combinations(names, strength):
            open_sets.discard((c, tuple(best[1][n] for n in c)))
    return rows


def combinations(axes: dict[str, list[str]]) -> Iterator[Choice]:
    """Yield every choice of one option of each axis, the last axis fastest."""
    for options in itertools.product(*axes.values()):
        yield dict(zip(axes, options, strict=True))


class Product:
    """All combinations of the options of all groups."""

    def __init__(self, axes: dict[str, list[str]] = AXES) -> None:
        self.axes = axes
        hydra = compose(with_hydra=True).hydra
        self.base: Choice = {group: hydra.runtime.choices[group] for group in axes}
        self._defaults: dict[tuple[str, str], list[ResultDefault]] = {}
        with session():
            self.files = {
                (group, option): files
                for group in axes
                for option, files in self._shares(group).items()
            }
            every = {f for files in self.files.values() for f in files}
            self._writes = {file: sections_of(file) for file in every}
            self.writers = {section: self._writers(section) for section in self._names()}
            base, repo = listed(words(self.base))
            self._primary = merged([d for d in base if d.primary], repo)
            self._read = {
                named([d])[0]: merged([d], repo) for files in self._defaults.values() for d in files
            }
            self._paths = merged(base, repo)["paths"]
            self.sections: dict[str, dict[tuple[str, ...], Any]] = {}
            self.resolved: dict[str, dict[tuple[str, ...], Any]] = {}
            for section, writers in self.writers.items():
                self.sections[section], self.resolved[section] = {}, {}
                options = {g: sorted(set(w.values())) for g, w in writers.items()}
                for chosen in combinations(options):
                    self._put(section, chosen)

    def _shares(self, group: str) -> dict[str, list[File]]:
        """Return each option's share of the list: what the list has not without the group."""
        others = words({g: option for g, option in self.base.items() if g != group})
        without = named(listed([*others, f"~{group}"])[0])
        shares = {}
        for option in self.axes[group]:
            found = [d for d in listed([*others, f"{group}={option}"])[0] if not d.primary]
            files = named(found)
            first = next(
                i for i, (a, b) in enumerate(zip(files, [*without, None], strict=False)) if a != b
            )
            share = slice(first, len(files) - len(without) + first)
            shares[option], self._defaults[group, option] = files[share], found[share]
            assert files[:first] + files[first + len(shares[option]) :] == without
        return shares

    def _names(self) -> list[str]:
        of_options: set[str] = set().union(*self._writes.values())
        return sorted(of_options.union(merged(*listed(words(self.base)))) - {"hydra"})

    def _writers(self, section: str) -> dict[str, dict[str, str]]:
        """Return the groups that write into a section, with their options.

        Each option is mapped to itself where it writes, and else to one that stands for all that
        do not.
        """
        writers = {}
        for group, options in self.axes.items():
            writes = {
                o: any(section in self._writes[f] for f in self.files[group, o]) for o in options
            }
            if any(writes.values()):
                other = next((o for o in options if not writes[o]), "")
                writers[group] = {o: o if writes[o] else other for o in options}
        return writers

    def _put(self, section: str, chosen: Choice) -> None:
        """Lay over one another the files that write into a section, in the order of Hydra's list."""
        content = self._primary.get(section)
        for file in self.lists({**self.base, **chosen}):
            if section in self._writes[file]:
                content = over(content, self._read[file].get(section))
        if content is None:
            return
        key = tuple(chosen.values())
        self.sections[section][key] = self.resolved[section][key] = content
        if "${" in repr(content):  # it refers to itself and to paths (tests/test_conf.py)
            place = OmegaConf.create({"paths": self._paths, section: content})
            resolved: Any = OmegaConf.to_container(place, resolve=True)
            self.resolved[section][key] = resolved[section]

    def lists(self, choice: Choice) -> list[File]:
        """Return the files of a choice: those of its options, group by group."""
        return [file for group in self.axes for file in self.files[group, choice[group]]]

    def compose(self, choice: Choice, *, resolve: bool = False) -> Plain:
        """Put a configuration together from the sections that its options decide."""
        sections = self.resolved if resolve else self.sections
        config = {}
        for section, writers in self.writers.items():
            decided = tuple(alike[choice[group]] for group, alike in writers.items())
            if decided in sections[section]:
                config[section] = sections[section][decided]
        return config

    def variants(self, section: str) -> list[Any]:
        """Return the different contents that a section has in the product, resolved."""
        by_content = {json.dumps(v, sort_keys=True): v for v in self.resolved[section].values()}
        return list(by_content.values())
