"""Give each object one prediction so that the sum of their scores is greatest."""

import numpy as np
from jaxtyping import Float


def best_assignment(scores: Float[np.ndarray, "objects predictions"]) -> list[int]:
    """Return a prediction for each object, all different, of the greatest total score.

    The Hungarian method with potentials (Kuhn 1955, in the form of Jonker and Volgenant): one
    shortest augmenting path an object. There must be at least as many predictions as objects.

    >>> best_assignment(np.array([[0.9, 0.8], [0.7, 0.1]]))
    [1, 0]
    """
    num_objects, num_predictions = scores.shape
    assert num_objects <= num_predictions
    # place 0 of the predictions is the root from which each path starts
    owner = np.zeros(num_predictions + 1, dtype=np.int64)
    object_price = np.zeros(num_objects + 1)
    price = np.zeros(num_predictions + 1)
    for new in range(1, num_objects + 1):
        owner[0] = new
        place = 0
        distance = np.full(num_predictions + 1, np.inf)
        origin = np.zeros(num_predictions + 1, dtype=np.int64)
        is_done = np.zeros(num_predictions + 1, dtype=bool)
        while owner[place]:
            is_done[place] = True
            current = owner[place]
            reduced = -scores[current - 1] - object_price[current] - price[1:]
            closer = ~is_done[1:] & (reduced < distance[1:])
            distance[1:][closer] = reduced[closer]
            origin[1:][closer] = place
            open_distance = np.where(is_done[1:], np.inf, distance[1:])
            following = int(open_distance.argmin()) + 1
            step = distance[following]
            object_price[owner[is_done]] += step
            price[is_done] -= step
            distance[~is_done] -= step
            place = following
        while place:
            owner[place] = owner[origin[place]]
            place = origin[place]
    chosen = {int(owner[place]): place - 1 for place in range(1, num_predictions + 1)}
    return [chosen[number] for number in range(1, num_objects + 1)]
