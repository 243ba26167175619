"""Masks as PNG: palette, grey, 16 bits, RGB, transparent."""

from fuzz.data import SIDE, picture
from fuzz.harness import Target, fuzz, read_each
from fuzz.mutators import mutate_png
from sam2_video.masks import read_mask_areas, read_mask_image
from sam2_video.prediction.prompt_masks import read_prompt_masks


def _seeds():
    return [
        picture(mode="P"),
        picture(mode="L"),
        picture(mode="1"),
        picture(mode="I;16"),
        picture(),
        picture(mode="RGBA"),
        picture(mode="P", transparency=0),
        picture(mode="P", bits=2),
        picture("TIFF", "L"),
        picture("BMP", "P"),
    ]


def _read(path):
    palette = [[3, 4, 5], [255, 0, 0]]
    read_each(
        path,
        lambda: read_mask_image(path, (SIDE, SIDE)),
        lambda: read_mask_image(path, (SIDE, SIDE), palette),
        lambda: read_mask_areas(path, (SIDE, SIDE)),
        lambda: read_prompt_masks(path, None, (SIDE, SIDE)),
    )


if __name__ == "__main__":
    fuzz("mask_png", Target(_read, _seeds, "mask.png", mutator=mutate_png))
