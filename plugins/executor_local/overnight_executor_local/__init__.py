"""Runs trials as isolated process trees on this machine."""
