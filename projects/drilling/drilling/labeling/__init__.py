"""Key points of a hole: automatic methods, people's labels, and which holes a person should look at."""

from drilling.labeling.combined import estimate_keypoints
from drilling.labeling.keypoints import KEY_POINTS, KeyPoints

__all__ = ["KEY_POINTS", "KeyPoints", "estimate_keypoints"]
