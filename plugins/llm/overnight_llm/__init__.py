"""What policies that ask a language model share: calls within the budget, answers that are checked."""
