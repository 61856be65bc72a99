"""Claims of papers as tests over groups of seeds: read, measured, judged."""
