"""Which preset of `configs/` is made for a GPU."""

PRESETS = (8, 11, 16, 24, 48, 80)
"""GB of the cards that there is a preset for."""
_SEEN_SHARE = 0.95
"""Of what a card is sold with, torch sees as little as this: the driver and ECC take the rest."""


def card_bytes(card: int) -> int:
    """Return what is surely there of a card that is sold with so many GB."""
    return int(_SEEN_SHARE * card * 1e9)


def find_preset(total: int) -> str | None:
    """Return the largest preset made for a GPU of so many bytes; None where all are too large."""
    fitting = [card for card in PRESETS if card_bytes(card) <= total]
    return f"configs/gpu-{fitting[-1]}gb.yaml" if fitting else None
