"""Lightning callbacks: the clock and the curve, checkpoints, random streams, the progress bar."""

from zoo.callbacks.checkpoint import Checkpoint
from zoo.callbacks.progress import Progress
from zoo.callbacks.recorder import Recorder
from zoo.callbacks.seeding import SeedEachStep

__all__ = ["Checkpoint", "Progress", "Recorder", "SeedEachStep"]
