"""GRPO tasks on TRL: arithmetic on any machine, GSM8K with instruct models."""
