"""Data sets. Each builder returns a Lightning data module with the attributes of `ImageData`."""

from zoo.data.cifar import cifar10, cifar100
from zoo.data.digits import digits
from zoo.data.glue import glue
from zoo.data.imagenet import imagenet
from zoo.data.pairs.builder import pairs
from zoo.data.questions.builder import questions
from zoo.data.text import text

__all__ = ["cifar10", "cifar100", "digits", "glue", "imagenet", "pairs", "questions", "text"]
