"""Task `grpo_gsm8k`: an instruct model learns to solve word problems, by GRPO."""
