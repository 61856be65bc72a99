"""Questions with options: public sets of medical ones, your own, and how a model is asked them."""

from zoo.data.questions.question import LETTERS, Question

__all__ = ["LETTERS", "Question"]
