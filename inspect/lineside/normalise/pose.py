"""The pose of the part: what the rest of the house takes from this room."""

from lineside.normalise.pose_auto import PoseDecision, choose_pose
from lineside.normalise.pose_fit import PoseFit, fit_pose
from lineside.normalise.pose_search import POSE_NUMBERS, PoseSearch
from lineside.normalise.pose_settings import PoseSettings

__all__ = ["POSE_NUMBERS", "PoseDecision", "PoseFit", "PoseSearch", "PoseSettings", "choose_pose", "fit_pose"]
