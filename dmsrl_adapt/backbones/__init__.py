"""Feature extractors: global and local features, several depths, stored maps, face alignment."""

from .bottleneck import FEATURE_DIM, Bottleneck, signal_network
from .face_landmarks import align_faces, face_landmarks
from .frozen_maps import FrozenMaps, frozen_maps
from .local_windows import LocalWindows
from .map_pool import MapPool, generalised_mean
from .map_trunk import NamedLayers
from .multi_level_backbone import MultiLevelBackbone
from .stored_maps import StoredMaps

__all__ = [
    "FEATURE_DIM",
    "Bottleneck",
    "FrozenMaps",
    "LocalWindows",
    "MapPool",
    "MultiLevelBackbone",
    "NamedLayers",
    "StoredMaps",
    "align_faces",
    "face_landmarks",
    "frozen_maps",
    "generalised_mean",
    "signal_network",
]
