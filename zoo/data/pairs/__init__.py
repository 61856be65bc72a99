"""Sources with targets: texts and their summaries, for a language model that learns to write these."""
