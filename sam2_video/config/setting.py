"""`setting`, which declares one key: its only default, its comment in YAML and its limits."""

# ruff: noqa: ANN401 (`setting` stands for `field`: any type)

from copy import copy
from dataclasses import field
from typing import Any


def setting(
    default: Any,
    comment: str,
    *,
    ge: int | float | None = None,
    gt: int | float | None = None,
    le: int | float | None = None,
    lt: int | float | None = None,
) -> Any:
    """Declare a configuration key: its only default, its comment in YAML and its numeric limits."""
    limits = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    metadata = {"comment": comment, "limits": limits}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)
