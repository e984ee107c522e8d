"""Supervised fine-tuning of text classifiers, scored by F1."""
