"""The Pluggy markers of the project: light to import, so that declaring a plugin is too."""

import pluggy

PROJECT = "overnight"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
