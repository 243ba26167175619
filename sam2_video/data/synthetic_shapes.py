"""Draw what synthetic videos are made of: outlines, patterns, colours, backgrounds, paths."""

import cv2
import numpy as np

CONTOUR_POINTS = 64
TEXTURE_SIZE = 80
FIXED_POINT_BITS = 4  # fillPoly takes integers: this many of their bits are a fraction


def draw_swing(rng: np.random.Generator, num_frames: int, amplitude: float) -> np.ndarray:
    """Draw a slow oscillation within +-`amplitude`, one value a frame."""
    rate = rng.uniform(0.05, 0.3)
    return amplitude * np.sin(rate * np.arange(num_frames) + rng.uniform(0, 2 * np.pi))


def draw_outlines(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """Draw a shape of area 1 (on frame 0) around the origin: [frames, points, 2]."""
    angles = np.linspace(0, 2 * np.pi, CONTOUR_POINTS, endpoint=False)
    corners = int(rng.integers(3, 8))
    sector = 2 * np.pi / corners
    kind = rng.choice(["blob", "ellipse", "polygon", "star"])
    if kind == "polygon":
        radii = 1 / np.cos(angles % sector - sector / 2)
    elif kind == "star":
        spike = np.abs(angles % sector / sector * 2 - 1)
        radii = 1 + rng.uniform(0.6, 1.4) * spike ** rng.uniform(0.8, 1.6)
    else:
        radii = np.ones(CONTOUR_POINTS)
    wobbles = [(k, draw_swing(rng, num_frames, rng.uniform(0.02, 0.2) / k**0.5)) for k in (2, 3, 5)]
    deformation = np.ones((num_frames, CONTOUR_POINTS))
    for waves, wobble in wobbles:
        still = rng.uniform(0.1, 0.3) if kind == "blob" else 0.0
        phase = rng.uniform(0, 2 * np.pi)
        deformation += (still + wobble)[:, None] * np.cos(waves * angles + phase)
    radii = radii * np.maximum(deformation, 0.25)
    stretch = rng.uniform(1, 1.9 if kind == "ellipse" else 1.35) * np.exp(
        draw_swing(rng, num_frames, 0.1)
    )
    x = radii * np.cos(angles) * stretch[:, None]
    y = radii * np.sin(angles) / stretch[:, None]
    bend = rng.uniform(-0.3, 0.3) + draw_swing(rng, num_frames, 0.1)
    points = np.stack([x, y + bend[:, None] * (x**2 - 0.5)], axis=-1)
    points -= points.mean(axis=1, keepdims=True)
    area = cv2.contourArea(points[0].astype(np.float32))
    return points / np.sqrt(area)


def _smooth_noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Draw noise in 0..1 whose spots are about 1 / `cells` of the image wide."""
    grid = rng.random((cells, cells), dtype=np.float32)
    return cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)


def _blend(weight: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Mix two colours by a weight a pixel: [rows, columns, 3]."""
    dark, light = colours.astype(np.float32)
    return dark + weight.astype(np.float32)[..., None] * (light - dark)


def draw_texture(rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Draw a pattern between two colours: [rows, columns, 3], 0..255."""
    axis = np.linspace(-1, 1, TEXTURE_SIZE, dtype=np.float32)
    angle = np.float32(rng.uniform(0, np.pi))
    along = np.cos(angle) * axis[None] + np.sin(angle) * axis[:, None]
    across = np.cos(angle) * axis[:, None] - np.sin(angle) * axis[None]
    frequency = np.float32(rng.uniform(9, 30))
    kind = rng.choice(["stripes", "checker", "noise", "gradient", "dots"])
    if kind == "stripes":
        weight = 0.5 + 0.5 * np.tanh(3 * np.sin(frequency * along))
    elif kind == "checker":
        weight = 0.5 + 0.5 * np.tanh(5 * np.sin(frequency * along) * np.sin(frequency * across))
    elif kind == "dots":
        weight = 0.5 + 0.5 * np.tanh(
            3 * (np.sin(frequency * along) + np.sin(frequency * across) - 0.7)
        )
    elif kind == "gradient":
        weight = (0.5 + along).clip(0, 1)
    else:
        weight = _smooth_noise(rng, (TEXTURE_SIZE, TEXTURE_SIZE), int(rng.integers(6, 16)))
    return _blend(weight, colours)


def draw_palettes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw pairs of colours, most of them far from one another: [count, 2, 3], 0..255."""
    palettes = [rng.uniform(20, 235, (2, 3))]
    for _ in range(count - 1):
        if len(palettes) > 1 and rng.random() < 0.15:
            # a look-alike: colour alone does not tell the two objects apart
            twin = palettes[int(rng.integers(1, len(palettes)))]
            palettes.append((twin + rng.normal(0, 12, (2, 3))).clip(0, 255))
            continue
        candidates = rng.uniform(10, 245, (8, 2, 3))
        earlier = np.stack(palettes).mean(axis=1)
        means = candidates.mean(axis=1)
        distances = np.linalg.norm(means[:, None] - earlier[None], axis=-1).min(axis=1)
        contrast = np.linalg.norm(candidates[:, 0] - candidates[:, 1], axis=-1)
        palettes.append(candidates[int(np.argmax(distances + 0.3 * contrast))])
    return np.stack(palettes)


def draw_background(
    rng: np.random.Generator, size: tuple[int, int], colours: np.ndarray, margin: int
) -> np.ndarray:
    """Draw a larger picture for the camera to look at: smooth colours and still clutter."""
    whole = (size[0] + 2 * margin, size[1] + 2 * margin)
    weight = _smooth_noise(rng, whole, int(rng.integers(2, 7)))
    if rng.random() < 0.5:
        weight = 0.75 * weight + 0.25 * _smooth_noise(rng, whole, int(rng.integers(14, 30)))
    picture = _blend(weight, colours).astype(np.uint8)
    for _ in range(int(rng.integers(0, 7))):
        outline = draw_outlines(rng, 1)[0] * min(size) * rng.uniform(0.05, 0.25)
        outline += rng.uniform(0, 1, 2) * whole[::-1]
        near = colours[int(rng.integers(2))] + rng.normal(0, 35, 3)
        fixed = (outline * 2**FIXED_POINT_BITS).round().astype(np.int32)
        colour = tuple(float(value) for value in near.clip(0, 255))
        cv2.fillPoly(picture, [fixed], colour, cv2.LINE_AA, FIXED_POINT_BITS)
    return picture.astype(np.float32)


def _roaming_path(
    rng: np.random.Generator, num_frames: int, start: np.ndarray, target: np.ndarray, meeting: float
) -> np.ndarray:
    """Swing from `start` (on frame 0) through `target` (on frame `meeting`), beyond it and back."""
    reach = 1.35 * (target - start)
    phase = np.arcsin(1 / 1.35) * np.arange(num_frames) / max(meeting, 1)
    sideways = reach[::-1] * (-1, 1) * rng.uniform(-0.3, 0.3)
    # the second sine is zero at the target, so that the way bends and still meets it
    bend = np.sin(phase * np.pi / np.arcsin(1 / 1.35))
    return start + np.sin(phase)[:, None] * reach + bend[:, None] * sideways


def _leaving_path(
    rng: np.random.Generator, num_frames: int, radius: float, is_late: bool
) -> np.ndarray:
    """Leave over one side of the image and come back, or (`is_late`) come in from outside."""
    duration = max(num_frames - 1, 1) * rng.uniform(0.75, 1.0)
    begin = (num_frames - 1 - duration) * rng.uniform(0, 1)
    outside = -1.3 * radius
    depth = np.clip(0.06 * duration / np.pi + outside, 0.3 * radius, 0.35)
    phase = ((np.arange(num_frames) - begin) / duration).clip(0, 1)
    share_out = np.cos(np.pi * phase / 2) ** 2 if is_late else np.sin(np.pi * phase) ** 2
    inward = depth + (outside - depth) * share_out
    along = rng.uniform(0.25, 0.75) + draw_swing(rng, num_frames, 0.1)
    path = np.stack([inward, along], axis=-1)
    if rng.random() < 0.5:
        path[:, 0] = 1 - path[:, 0]
    return path[:, ::-1] if rng.random() < 0.5 else path


def draw_paths(rng: np.random.Generator, num_frames: int, radii: np.ndarray) -> np.ndarray:
    """Draw where the centre of each shape is, farthest shape first: [shapes, frames, 2], 0..1.

    The nearest shape is in view on frame 0, so that every video has something to prompt.
    """
    paths: list[np.ndarray] = []
    for index, radius in enumerate(radii):
        is_nearest = index == len(radii) - 1
        fate = rng.random()
        if num_frames > 1 and fate < 0.3 and not is_nearest:
            paths.append(_leaving_path(rng, num_frames, float(radius), is_late=bool(fate < 0.06)))
            continue
        target = rng.uniform(0.1, 0.9, 2)
        meeting = rng.uniform(0.4, 1.0) * (num_frames - 1)
        if paths and rng.random() < 0.6:
            other = paths[int(rng.integers(len(paths)))]
            target = other[int(meeting)].clip(0.1, 0.9)
        furthest = max(0.3, rng.uniform(0.02, 0.06) * meeting)
        start = _start(rng, [path[0] for path in paths], target, furthest)
        slower = min(1, 1.3 * furthest / max(float(np.linalg.norm(target - start)), 1e-6))
        target = start + (target - start) * slower
        paths.append(_roaming_path(rng, num_frames, start, target, meeting))
    return np.stack(paths)


def _start(
    rng: np.random.Generator, others: list[np.ndarray], target: np.ndarray, furthest: float
) -> np.ndarray:
    """Choose a place away from where `others` start and, if it can be, not too far to go."""
    candidates = rng.uniform(0.12, 0.88, (16, 2))
    score = -2 * np.maximum(np.linalg.norm(candidates - target, axis=-1) - furthest, 0)
    if others:
        score += np.linalg.norm(candidates[:, None] - np.stack(others), axis=-1).min(axis=1)
    return candidates[int(np.argmax(score))]
