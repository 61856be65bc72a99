"""Streams of random numbers that are named, not consumed in turn.

Everything random derives from the run's seed and from where training stands (epoch, step), so a
run that was cut off goes on with the same numbers without any generator's state being saved.
"""

import functools
import hashlib
import random
import struct

import numpy as np
import torch

# The first word of every name, so that no two purposes share a stream.
ORDER, AUGMENT, STEP, SPLIT, INIT, MASK = 1, 2, 3, 4, 5, 6


def mix(*words: int) -> int:
    """Return a 63-bit seed for a stream named by integers: a hash of them.

    >>> mix(STEP, 0, 7) == mix(STEP, 0, 7) != mix(STEP, 7, 0)
    True
    >>> mix(STEP) == mix(STEP, 0)
    False
    """
    name = struct.pack(f"<{len(words)}q", *words)
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") >> 1


def generator(*words: int) -> torch.Generator:
    """Return a torch generator on the CPU for the stream named by integers."""
    return torch.Generator().manual_seed(mix(*words))


@functools.cache
def _has_accelerator() -> bool:
    return torch.accelerator.is_available()


def seed_everything(*words: int) -> None:
    """Seed torch (every device), numpy and random for the stream named by integers."""
    seed = mix(*words)
    if _has_accelerator():
        torch.manual_seed(seed)
    else:
        # The same for the CPU. Besides, torch would note a stack trace for each kind of device that
        # may be in use later: a seventh of a millisecond, which a batch of one image would notice.
        torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
