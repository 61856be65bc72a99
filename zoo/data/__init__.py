"""Data sets. Each builder returns a Lightning data module with the attributes of `ImageData`."""

from zoo.data.cifar import cifar10, cifar100
from zoo.data.digits import digits
from zoo.data.imagenet import imagenet
from zoo.data.text import text

__all__ = ["cifar10", "cifar100", "digits", "imagenet", "text"]
