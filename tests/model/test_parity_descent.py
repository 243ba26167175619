"""Ten steps of AdamW on the same batches leave ours and Meta's with the same network."""

from tests.model.descent import batches, descend
from tests.model.parity import Case

CASE = Case("sam2.1-tiny", 64, object_clip=(0,), num_frames=3)


def test_ten_adamw_steps_give_the_same_losses_and_parameters():
    descent = descend(CASE, num_steps=10, lr=1e-4)
    assert len(descent.losses) == 10
    assert len(set(descent.our_losses)) == 10
    assert max(descent.losses) < 1e-4
    assert descent.parameters.total < 1e-3
    assert descent.parameters.tensor < 1e-3, descent.parameters.worst
    # Adam divides by the gradient's size: where that is rounding noise, so is the step
    assert descent.parameters.blind < 1e-4
    # parameters that had not moved at all would be as near
    assert descent.moved.total < 1e-2


def test_the_batches_of_a_descent_hold_every_prompt_on_one_and_two_frames():
    found = {(batch.prompt, batch.num_conditioning) for batch in batches(CASE, 10)}
    assert found == {(prompt, n) for prompt in ("mask", "point", "box") for n in (1, 2)}
