"""The study: ask, submit, watch, evaluate, decide, record; resume is the same loop."""
