"""Hydra's search path: core's own conf package plus what plugins bring."""

from collections.abc import Sequence

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

PRIMARY = "pkg://conf"
NAME = "config"


def add_search_path(config_dirs: Sequence[str]) -> None:
    """Make Hydra look into these places too, in this process, from now on."""

    class OvernightSearchPath(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for place in config_dirs:
                search_path.append("overnight", place)

    Plugins.instance().register(OvernightSearchPath)
