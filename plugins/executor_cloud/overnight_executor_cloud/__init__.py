"""Runs each trial on a fresh rented GPU machine."""
