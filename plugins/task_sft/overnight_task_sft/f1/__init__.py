"""Task `sft_f1`: a text classifier of two classes, selected and reported by F1."""
