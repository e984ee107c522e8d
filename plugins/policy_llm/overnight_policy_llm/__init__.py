"""Policies that ask a language model for parameters or for a change of the program."""
