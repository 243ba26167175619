"""Training against Meta's in float64, where rounding is gone: any clip, prompt and network."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sam2_video.model.architecture import MICRO
from tests.model.double import in_double
from tests.model.gaps import compare
from tests.model.parity import BOTH_LOSSES, Case, build_both, draw_user, meta_says, ours_says

# six orders below what fp32 can tell
TOLERANCE = 1e-11
NETWORKS = [
    MICRO,
    # pointers wider than memory, which are split into tokens, and more layers
    replace(MICRO, name="wide", hidden_size=128, fuser_size=512, memory_layers=3),
    replace(MICRO, name="micro-2.0", has_pointer_time=False, has_occlusion_embedding=False),
]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    num_frames = draw(st.integers(2, 10))
    return Case(
        architecture=draw(st.sampled_from(NETWORKS)),
        side=draw(st.sampled_from([64, 96])),
        prompt=draw(st.sampled_from(["mask", "point", "box"])),
        num_conditioning=draw(st.integers(1, min(4, num_frames - 1))),
        object_clip=tuple(draw(st.permutations([0, 0, 1, 2])))[: draw(st.integers(1, 4))],
        num_frames=num_frames,
        seed=draw(st.integers(0, 2**16)),
    )


@pytest.mark.parametrize("is_absent", [False, True])
@settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)
@given(case=cases())
@example(case=Case(NETWORKS[1], 64, "point", 2, (0, 0), num_frames=20))
def test_training_equals_metas_to_the_rounding_of_double_precision(is_absent, case):
    case = replace(case, is_absent=is_absent)
    with in_double():
        model, meta = build_both(case)
        ours = ours_says(model, case, draw_user(meta, case), BOTH_LOSSES)
        gap = compare(ours, meta_says(meta, case, BOTH_LOSSES))
    found = dict(gap.outputs) | {f"loss {name}": error for name, error in gap.terms.items()}
    for name, gradient in gap.gradients.items():
        found[f"total gradient, {name} loss"] = gradient.total
        found[f"gradient of {gradient.worst}, {name} loss"] = gradient.tensor
        # and here, what softmax is blind to has no gradient at all
        found[f"gradient of what softmax is blind to, {name} loss"] = gradient.blind
    assert {what: error for what, error in found.items() if not error <= TOLERANCE} == {}
