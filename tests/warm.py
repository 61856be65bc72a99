"""Hydra with a memory: the same configurations, five times as fast.

Hydra begins every composition from nothing, and 0.1 s pass: a third in maps for interpolated
defaults lists, which we have none of, a third in merging the same files (most of them its own
settings), the rest in reading YAML and in parsing overrides and interpolations that it has seen
before. `warm` lets it remember these, and nothing of what a composition is: what `cold` composes
is the same, which tests/test_config.py shows.
"""

import contextlib
import copy
import functools
import pickle
from collections.abc import Iterator
from typing import Any
from unittest import mock

import omegaconf._utils
import omegaconf.base
from hydra import version
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.config_source import ConfigResult

PATCHED = {
    (CachingConfigRepository, "__init__"),
    (ConfigRepository, "load_config"),
    (ConfigLoaderImpl, "_embed_result_config"),
    (ConfigLoaderImpl, "_load_single_config"),
    (ConfigLoaderImpl, "_compose_config_from_defaults_list"),
    (OverridesParser, "parse_rule"),
    (defaults_list, "_create_interpolation_map"),
    (version, "_get_version"),
    (omegaconf.base, "parse"),
    (omegaconf._utils, "parse"),
}
HYDRAS: dict[tuple[Any, str], Any] = {(owner, name): vars(owner)[name] for owner, name in PATCHED}


class Beginning:
    """The first files of a defaults list, merged; stands for them in the list."""

    def __init__(self, length: int, merged: Any) -> None:
        self.length = length
        self.pickled = pickle.dumps(merged)


class Memory:
    """What Hydra's functions do, from memory where that is the same."""

    def __init__(self) -> None:
        self.files: dict[tuple[Any, ...], Any] = {}
        self.overrides: dict[tuple[str, str], Any] = {}
        self.last_list: list[tuple[Any, ...]] = []
        self.beginnings: list[Beginning] = []  # of the last list, shortest first

    def replacements(self) -> dict[tuple[Any, str], Any]:
        """Return a function for each of Hydra's."""
        memory = self

        def init(self: CachingConfigRepository, delegate: ConfigRepository) -> None:
            self.delegate = copy.copy(
                delegate
            )  # Hydra's is deep; sources are replaced, not changed
            self.cache = {}

        def load_config(self: ConfigRepository, config_path: str) -> Any:
            key = (*(source.path for source in self.sources), config_path)
            if key not in memory.files:
                memory.files[key] = HYDRAS[ConfigRepository, "load_config"](self, config_path)
            return memory.files[key]

        def embed(ret: ConfigResult, package_override: str | None) -> ConfigResult:
            embedded = HYDRAS[ConfigLoaderImpl, "_embed_result_config"](ret, package_override)
            if embedded is ret:  # merging moves nodes: out of a copy, not out of the memory
                embedded = copy.copy(ret)
                embedded.config = copy.deepcopy(ret.config)
            return embedded

        def load_single(self: ConfigLoaderImpl, default: Any, repo: Any) -> ConfigResult:
            if isinstance(default, Beginning):
                merged = pickle.loads(default.pickled)
                return ConfigResult(provider="memory", path="", config=merged, header={})
            return HYDRAS[ConfigLoaderImpl, "_load_single_config"](self, default, repo)

        def merge(self: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> Any:
            return memory.merge(self, defaults, repo)

        def parse_rule(self: OverridesParser, s: str, rule_name: str) -> Any:
            key = (s, rule_name)
            if key not in memory.overrides:
                parsed = HYDRAS[OverridesParser, "parse_rule"](self, s, rule_name)
                memory.overrides[key] = parsed
            return copy.copy(memory.overrides[key])

        def interpolation_map(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
            if not any("${" in f"{vars(d)}" for d in defaults):
                return None  # is asked for interpolations alone
            original = HYDRAS[defaults_list, "_create_interpolation_map"]
            return original(overrides, defaults, self_added)

        remembered = functools.lru_cache(maxsize=10_000)
        return {
            (CachingConfigRepository, "__init__"): init,
            (ConfigRepository, "load_config"): load_config,
            (ConfigLoaderImpl, "_embed_result_config"): staticmethod(embed),
            (ConfigLoaderImpl, "_load_single_config"): load_single,
            (ConfigLoaderImpl, "_compose_config_from_defaults_list"): merge,
            (OverridesParser, "parse_rule"): parse_rule,
            (defaults_list, "_create_interpolation_map"): interpolation_map,
            **{
                (owner, name): remembered(HYDRAS[owner, name])
                for owner, name in PATCHED
                if name in ("parse", "_get_version")
            },
        }

    def merge(self, loader: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> Any:
        """Merge the files of a defaults list, from where it differs from the last one on."""
        original = HYDRAS[ConfigLoaderImpl, "_compose_config_from_defaults_list"]
        sources = tuple(source.path for source in repo.get_sources())
        files = [(sources, d.config_path, d.package, d.primary) for d in defaults]
        pairs = zip(files, self.last_list, strict=False)
        common = next(
            (i for i, (a, b) in enumerate(pairs) if a != b), min(len(files), len(self.last_list))
        )
        self.beginnings = [b for b in self.beginnings if b.length <= common]
        self.last_list = files

        def rest(end: int | None) -> list[Any]:
            begun = self.beginnings[-1:]
            return [*begun, *defaults[begun[0].length if begun else 0 : end]]

        if common and (not self.beginnings or self.beginnings[-1].length < common):
            self.beginnings.append(Beginning(common, original(loader, rest(common), repo)))
        return original(loader, rest(None), repo)


@contextlib.contextmanager
def _replaced(functions: dict[tuple[Any, str], Any]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for (owner, name), function in functions.items():
            stack.enter_context(mock.patch.object(owner, name, function))
        yield


def warm() -> contextlib.AbstractContextManager[None]:
    """Let Hydra remember, as long as the block lasts."""
    return _replaced(Memory().replacements())


def cold() -> contextlib.AbstractContextManager[None]:
    """Have Hydra as it is, inside of `warm` too."""
    return _replaced(HYDRAS)
