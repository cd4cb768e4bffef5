"""Whose updates count: judged before they are aggregated, from what may be seen."""

from __future__ import annotations

from wardround.screen.alignins import AlignIns
from wardround.screen.base import Case, Harm, Judgement, Probe, Samples, Screen, Verdict
from wardround.screen.clipping import CentredClipping, ClipNorms
from wardround.screen.e_detector import EDetector
from wardround.screen.feddetect import CalibratedFedDetect, FedDetect
from wardround.screen.flame import Flame
from wardround.screen.fltrust import FlTrust
from wardround.screen.foolsgold import FoolsGold
from wardround.screen.generator_e_detector import GeneratorEDetector
from wardround.screen.group_evidence import GroupEvidence
from wardround.screen.mixing import NearestNeighbourMixing
from wardround.screen.norms import Norms

SCREENS: dict[str, type[Screen]] = {
    "norms": Norms,
    "clip_norms": ClipNorms,
    "centred_clipping": CentredClipping,
    "nearest_neighbour_mixing": NearestNeighbourMixing,
    "foolsgold": FoolsGold,
    "fltrust": FlTrust,
    "flame": Flame,
    "alignins": AlignIns,
    "feddetect": FedDetect,
    "calibrated_feddetect": CalibratedFedDetect,
    "e_detector": EDetector,
    "generator_e_detector": GeneratorEDetector,
    "group_evidence": GroupEvidence,
}
"""Names a plan may use in ``[[screen]] name = …``."""

__all__ = [
    "SCREENS",
    "AlignIns",
    "CalibratedFedDetect",
    "Case",
    "CentredClipping",
    "ClipNorms",
    "EDetector",
    "FedDetect",
    "FlTrust",
    "Flame",
    "FoolsGold",
    "GeneratorEDetector",
    "GroupEvidence",
    "Harm",
    "Judgement",
    "NearestNeighbourMixing",
    "Norms",
    "Probe",
    "Samples",
    "Screen",
    "Verdict",
]
