"""Runs trials as jobs of a Ray cluster."""
