"""`torch.nn.BatchNorm1d`, `BatchNorm2d` and `BatchNorm3d`."""

from collections.abc import Callable

from gradtx.core import Transformation
from gradtx.inputs import batch_norm
from gradtx.interop._arguments import NumberAboveZero, Share, drop_in, refuse_unsupported


def _layer(name: str, shapes: str) -> Callable[..., Transformation]:
    def make(
        num_features: int | None = None,
        eps: NumberAboveZero = 1e-5,
        momentum: Share | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: object = None,
        dtype: object = None,
    ) -> Transformation:
        if not track_running_stats:
            refuse_unsupported(name, "track_running_stats=False", "give update train=True in evaluation too")
        weight_of_old = None if momentum is None else 1.0 - momentum
        return batch_norm(axis=1, momentum=weight_of_old, eps=eps, unbiased=True, scale=affine, bias=affine)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""Batch normalisation as PyTorch's `{name}`, for inputs of shape {shapes}.

    See `gradtx.inputs.batch_norm` for the equation.

    Args:
        num_features: Decides nothing: the inputs decide the number of features. PyTorch requires this argument.
        eps: A number > 0.
        momentum: The weight of the new batch in the running statistics, in [0, 1]. None for the mean of all batches.
        affine: Have a scale and a bias.
        track_running_stats: Must be True.
        device: Decides nothing: the inputs decide the device.
        dtype: Decides nothing: the inputs decide the dtypes.

    Raises:
        ValueError: An argument is out of its range.
        NotImplementedError: `track_running_stats` is False.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167.

    >>> from gradtx.interop import torch
    >>> torch.{name}(64)
    batch_norm(axis=1, momentum=0.9, unbiased=True)
    """
    return drop_in()(make)


BatchNorm1d = _layer("BatchNorm1d", "(n, features) or (n, features, length)")
BatchNorm2d = _layer("BatchNorm2d", "(n, features, height, width)")
BatchNorm3d = _layer("BatchNorm3d", "(n, features, depth, height, width)")
