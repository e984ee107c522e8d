"""Runs trials on a list of hosts over SSH."""
