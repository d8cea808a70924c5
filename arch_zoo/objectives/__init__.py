"""What is learnt, one file each: corruption, targets, loss weights, loss, and how a trained model is scored."""

from arch_zoo.objectives.base import Objective, Undefined

__all__ = ["Objective", "Undefined"]
