"""The version of the plugin contract, raised when a change breaks existing plugins."""

CONTRACT_VERSION = 1
