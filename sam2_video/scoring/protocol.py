"""What the public evaluators agree on, and where they differ."""

from dataclasses import dataclass
from typing import Literal

ProtocolName = Literal["vos", "sav", "davis", "davis-unsupervised"]


@dataclass(frozen=True)
class Protocol:
    """How an evaluator chooses objects and frames.

    `starts_when_seen`: an object's frames count from the first scored one on which truth or
    prediction shows it, and every object counts that the truth shows on a scored frame; else all
    frames count, of the objects 1 to the highest of the first annotated frame, and a prediction
    of any other object is an error. `matches_proposals`: predicted labels have no identity;
    the best assignment counts, and pixels of 255 count nowhere (elsewhere they are background).
    """

    evaluator: str
    starts_when_seen: bool
    leaves_out_first_and_last: bool = True
    matches_proposals: bool = False


PROTOCOLS: dict[str, Protocol] = {
    "vos": Protocol("vos-benchmark", starts_when_seen=True),
    "sav": Protocol("sav_evaluator", starts_when_seen=True),
    "davis": Protocol("davis2017-evaluation, semi-supervised", starts_when_seen=False),
    "davis-unsupervised": Protocol(
        "davis2017-evaluation, unsupervised",
        starts_when_seen=False,
        leaves_out_first_and_last=False,
        matches_proposals=True,
    ),
}
MAX_PROPOSALS = 20
"""How many proposals davis2017-evaluation takes."""
