"""Low-rank adapters (LoRA): put beside linear layers by peft, and added into them again."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

ADAPTER = "default"
"""peft's name of a network's only set of adapters."""
_LAYER = ".base_layer."
_DOWN, _UP = f".lora_A.{ADAPTER}.weight", f".lora_B.{ADAPTER}.weight"


def is_adapter(name: str) -> bool:
    """Say whether a parameter is of an adapter."""
    return name.endswith((_DOWN, _UP))


def is_adapted(name: str) -> bool:
    """Say whether a parameter is of a layer beside which an adapter stands."""
    return _LAYER in name


def plain_name(name: str) -> str:
    """Return the name that a parameter has where there are no adapters.

    >>> plain_name("mask_decoder.conv_s0.base_layer.weight")
    'mask_decoder.conv_s0.weight'
    """
    return name.replace(_LAYER, ".")


def linear_layers(network: nn.Module) -> list[str]:
    """Return the names of the layers that can have an adapter: linear ones, 1 x 1 convolutions."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1)
    ]


def add_adapters(
    network: nn.Module,
    layers: Sequence[str],
    *,
    rank: int,
    alpha: float,
    dropout: float,
    seed: int,
) -> None:
    """Put an adapter beside each of the layers; it learns, and the layer no longer does.

    The network says the same as before: the second matrix of a new adapter is zero, the first one
    follows from the seed.
    """
    # imported late: peft brings much along that only this needs
    from peft import LoraConfig, inject_adapter_in_model

    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    settings = LoraConfig(
        r=rank,
        # peft only divides it
        lora_alpha=alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=dropout,
        target_modules=list(layers),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(settings, network, adapter_name=ADAPTER)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_adapter(name) or name in learning)


def find_alpha(network: nn.Module) -> float | None:
    """Return what the adapters' output is scaled by, times their rank; None = no adapters."""
    adapters = getattr(network, "peft_config", None)
    return None if adapters is None else float(adapters[ADAPTER].lora_alpha)


def merged_state(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's weights, with its adapters added into the layers beside which they stand.

    The network stays as it is.
    """
    state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    alpha = find_alpha(network)
    return state if alpha is None else merge(state, alpha)


def merge(state: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Return a state dict without adapters whose network says what the adapted one says.

    Args:
        state: with or without adapters.
        alpha: of the adapters.

    Raises:
        ValueError: an adapter is not whole, or does not fit its layer; names it.
    """
    merged = {plain_name(name): x for name, x in state.items() if not is_adapter(name)}
    for name, down in state.items():
        if not name.endswith(_DOWN):
            continue
        layer = name.removesuffix(_DOWN)
        up, weight = state.get(f"{layer}{_UP}"), merged.get(f"{layer}.weight")
        if up is None or weight is None or not _fits(weight, down, up):
            raise ValueError(f"the adapter of {layer} is not whole, or does not fit its layer")
        product = up.float().flatten(1) @ down.float().flatten(1)
        change = product.view_as(weight) * (alpha / down.shape[0])
        merged[f"{layer}.weight"] = (weight.float() + change).to(weight.dtype)
    return merged


def _fits(weight: Tensor, down: Tensor, up: Tensor) -> bool:
    is_chain = down.ndim > 1 and up.shape[1:2] == down.shape[:1]
    return is_chain and (*up.shape[:1], *down.shape[1:]) == tuple(weight.shape)


def has_adapters(state: Mapping[str, Tensor]) -> bool:
    """Say whether a state dict holds adapters."""
    return any(is_adapter(name) for name in state)
