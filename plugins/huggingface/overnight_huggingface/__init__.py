"""A library for tasks that train Hugging Face models; registers no plugin."""
