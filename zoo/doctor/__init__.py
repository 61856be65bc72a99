"""What is here to run with, and what is missing: the checks of `zoo doctor`."""
