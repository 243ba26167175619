"""Attention to memory on a GPU: values of 256 or 64 channels, each kernel, in TFLOP/s.

`python -m benchmarks.attention`: forward and backward of one head with keys of 256 channels, as
memory attention has it. "narrow" values are memory itself, 64 channels, before its projection.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import flex_attention

from benchmarks.step.flops import measure_matmul

KEY_WIDTH = 256
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def kernels() -> dict[str, Attend]:
    """Return what is compared; flex attention is only fast when compiled."""

    def with_backend(backend: SDPBackend) -> Attend:
        def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(query, key, value)

        return attend

    def flex(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attended = flex_attention(query, key, value)
        assert isinstance(attended, Tensor)
        return attended

    found: dict[str, Attend] = {name: with_backend(one) for name, one in BACKENDS.items()}
    return found | {
        "chosen by PyTorch": F.scaled_dot_product_attention,
        "flex": torch.compile(flex),
    }


def milliseconds(run: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call on the GPU, after three that do not count."""
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def measure(
    attend: Attend, objects: int, queries: int, keys: int, width: int, dtype: torch.dtype, n: int
) -> float:
    """Return the milliseconds of forward and backward."""
    shapes = (queries, KEY_WIDTH), (keys, KEY_WIDTH), (keys, width)
    inputs = [
        torch.randn(objects, 1, *shape, device="cuda", dtype=dtype, requires_grad=True)
        for shape in shapes
    ]
    gradient = torch.randn(objects, 1, queries, width, device="cuda", dtype=dtype)
    return milliseconds(lambda: torch.autograd.grad(attend(*inputs), inputs, gradient), n)


def main() -> None:
    """Measure all kernels at one size and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024, help="of the frames, in pixels")
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--frames", type=int, default=7, help="in memory")
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    dtype = getattr(torch, options.dtype)
    queries = (options.side // 16) ** 2
    keys = queries * options.frames + 4 * options.frames
    peak = measure_matmul(torch.device("cuda"), dtype)
    rows = []
    for name, attend in kernels().items():
        for width in (KEY_WIDTH, 64):
            row: dict[str, object] = {"kernel": name, "value width": width}
            try:
                ms = measure(attend, options.objects, queries, keys, width, dtype, options.repeats)
            except RuntimeError as error:
                row["refused"] = str(error).splitlines()[0]
            else:
                # two products forward; backward computes the scores again, and four gradients
                widths = 2 * (KEY_WIDTH + width) + 2 * (3 * KEY_WIDTH + 2 * width)
                rate = options.objects * queries * keys * widths / ms / 1e9
                row |= {"ms": ms, "TFLOP/s": rate, "share of matmul": rate / peak}
            rows.append(row)
            print(json.dumps(row))
    result = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "setting": {k: v for k, v in vars(options).items() if k != "out"},
        "matmul TFLOP/s": peak,
        "rows": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
