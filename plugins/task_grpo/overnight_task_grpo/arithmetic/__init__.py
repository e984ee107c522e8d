"""Task `grpo_arithmetic`: a tiny language model learns to add, by GRPO, on any machine."""
