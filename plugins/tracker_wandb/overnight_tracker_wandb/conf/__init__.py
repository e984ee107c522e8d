"""Hydra configuration that this plugin brings."""
