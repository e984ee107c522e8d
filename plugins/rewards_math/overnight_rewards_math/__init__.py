"""Rewards for mathematics: exact match, format, length penalty, mathematical equivalence."""
