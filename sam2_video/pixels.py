"""Frames as the network sees them: resized and normalised, on the device where they lie."""

from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

# Mean and standard deviation of ImageNet's RGB values, with which SAM 2 was trained.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


def prepare_frames(
    frames: UInt8[Tensor, "frames 3 height width"], image_size: tuple[int, int]
) -> Float[Tensor, "frames 3 new_height new_width"]:
    """Resize RGB frames to (height, width), bilinear and antialiased, and normalise them."""
    pixels = frames.float()
    if tuple(pixels.shape[-2:]) != image_size:
        pixels = F.interpolate(pixels, size=image_size, mode="bilinear", antialias=True)
    mean = pixels.new_tensor(PIXEL_MEAN)[:, None, None]
    std = pixels.new_tensor(PIXEL_STD)[:, None, None]
    return (pixels / 255 - mean) / std
