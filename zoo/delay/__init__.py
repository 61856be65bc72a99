"""Gradient delay. This version has `delay=none` alone: each gradient is applied at once."""
