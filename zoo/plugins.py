"""What the zoo adds to Hydra: the folder sweeps/ at the top is a config group of its own.

A search path entry is a folder of groups, so naming the top folder would make a group of every
folder there, .venv included. `SweepsSource` shows `sweeps` alone, and lets a sweep file say
`precision: 169,fp32` although Hydra reads a number there.
"""

import builtins

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from zoo.overrides import ROOT, canonical, config_folders
from zoo.sweeps.sweeper import ResumableSweeper
from zoo.usage import options


class SweepsSource(FileConfigSource):
    """The folder sweeps/ below a path, and nothing else of it: sweeps://PATH."""

    @staticmethod
    def scheme() -> str:
        return "sweeps"

    @staticmethod
    def _is_ours(config_path: str) -> bool:
        return config_path == "sweeps" or config_path.startswith("sweeps/")

    def load_config(self, config_path: str) -> ConfigResult:
        if not self._is_ours(config_path):
            raise ConfigLoadError(f"Config not found : {config_path}")
        result = super().load_config(config_path)
        params = OmegaConf.select(result.config, "hydra.sweeper.params")
        for axis in params or {}:
            params[axis] = canonical(f"{axis}={params[axis]}").partition("=")[2]
        return result

    def is_group(self, config_path: str) -> bool:
        return config_path == "" or (self._is_ours(config_path) and super().is_group(config_path))

    def is_config(self, config_path: str) -> bool:
        return self._is_ours(config_path) and super().is_config(config_path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> builtins.list[str]:
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else ["sweeps"]
        return super().list(config_path, results_filter) if self._is_ours(config_path) else []


class SweepsFolder(SearchPathPlugin):
    """Puts sweeps/ on the search path, and the groups from outside."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("zoo", f"sweeps://{ROOT}")
        for folder in config_folders()[1:]:
            if folder.is_dir():
                search_path.append("extension", f"file://{folder}")


def register() -> None:
    """Tell Hydra, which looks for plugins in packages of its own name only."""
    for plugin in (SweepsSource, SweepsFolder):
        Plugins.instance().register(plugin)
    # It picks sweepers by the names of such packages: ours answers to the basic one's.
    basic = f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"
    Plugins.instance().class_name_to_class[basic] = ResumableSweeper
    OmegaConf.register_new_resolver("zoo.options", options, replace=True)  # of --help
