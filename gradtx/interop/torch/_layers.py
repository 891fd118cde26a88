"""`torch.nn.BatchNorm1d`, `BatchNorm2d` and `BatchNorm3d`."""

from collections.abc import Callable
from typing import Any

from gradtx.core import Interval, Transformation
from gradtx.inputs import batch_norm
from gradtx.interop._arguments import checked

_MOMENTUM = Interval(0.0, 1.0, closed=True, hyper=False)


def _layer(name: str, shapes: str) -> Callable[..., Transformation]:
    def make(
        num_features: Any = None,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> Transformation:
        if not track_running_stats:
            raise NotImplementedError(
                f"{name}: track_running_stats=False is not supported; give update train=True in evaluation too"
            )
        if momentum is not None:
            momentum = 1.0 - _MOMENTUM.check(f"{name}: momentum", momentum)
        return batch_norm(1, momentum, eps, unbiased=True, scale=affine, bias=affine)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""PyTorch's `{name}`, for inputs of shape {shapes}.

    `momentum` is the weight of the new batch; None is for the mean of all. The inputs decide the number of features,
    the device and the dtypes. See `gradtx.inputs.batch_norm`.

    >>> from gradtx.interop import torch
    >>> torch.{name}(64)
    batch_norm(axis=1, momentum=0.9, unbiased=True)
    """
    return checked({"eps": Interval(0.0, above=True, hyper=False)})(make)


BatchNorm1d = _layer("BatchNorm1d", "(n, features) or (n, features, length)")
BatchNorm2d = _layer("BatchNorm2d", "(n, features, height, width)")
BatchNorm3d = _layer("BatchNorm3d", "(n, features, depth, height, width)")
