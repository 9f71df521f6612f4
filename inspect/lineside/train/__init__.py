"""The training run: from a recipe to a bundle."""

from lineside.train.progress import Progress, SilentProgress
from lineside.train.record import Evaluation, ScoredImage, TrainingRecord
from lineside.train.run import train

__all__ = ["Evaluation", "Progress", "ScoredImage", "SilentProgress", "TrainingRecord", "train"]
