"""The jobs of a sweep file, without running them."""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from zoo.config import compose


def job_overrides(sweep: str) -> list[list[str]]:
    """Return the overrides of each job."""
    config = compose([f"sweeps={sweep}"], with_hydra=True)
    assert str(config.hydra.mode) == "RunMode.MULTIRUN"
    params = OmegaConf.to_container(config.hydra.sweeper.params)
    assert isinstance(params, dict)
    parser = OverridesParser.create()
    parsed = parser.parse_overrides([f"{k}={v}" for k, v in params.items()])
    return BasicSweeper.split_arguments(parsed, None)[0]
