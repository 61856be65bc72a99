"""What seeds allow one to say: intervals, paired comparisons, frontiers and speed-ups with doubt.

Everything here is on arrays of numbers, vectorised, and seeded; boards and claims bring the records.
numpy and scipy are imported where they are used first: `zoo --help` needs neither.
"""
