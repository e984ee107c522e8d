"""Rewards for mathematics: exact match and format."""
