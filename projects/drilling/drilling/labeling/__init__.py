"""Key points of a hole: automatic methods, people's labels, and which holes a person should look at."""

from drilling.labeling.batch import Estimate, estimate_all
from drilling.labeling.combined import Method, estimate_keypoints
from drilling.labeling.keypoints import KEY_POINTS, KeyPoints
from drilling.labeling.label import Label, label_of
from drilling.labeling.label_store import LabelStore
from drilling.labeling.queue import Candidate, annotation_queue

__all__ = [
    "KEY_POINTS",
    "Candidate",
    "Estimate",
    "KeyPoints",
    "Label",
    "LabelStore",
    "Method",
    "annotation_queue",
    "estimate_all",
    "estimate_keypoints",
    "label_of",
]
