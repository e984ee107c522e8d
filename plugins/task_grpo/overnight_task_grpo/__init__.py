"""GRPO tasks on TRL: arithmetic on any machine."""
