"""V-Express as a family: released weights, or trained here; shown where eyes and nose are in every frame."""

from __future__ import annotations

from fada.family import Family, Guidance
from fada.teacher.v_express.settings import Pipeline

V_EXPRESS = Family(
    name="v_express",
    title="V-Express",
    pipeline="VExpressPipeline",
    guidance=Guidance(
        ("nothing", "reference", "audio"),
        {"reference": 3.5, "audio": 3.5},
        {"reference": (1.0, 4.0), "audio": (1.0, 9.0)},
    ),
    module="fada.teacher.v_express.networks",
    settings=Pipeline,
    conditions=frozenset({"keypoints"}),
    options=("reference_weight", "audio_weight", "frames", "overlap"),
)
