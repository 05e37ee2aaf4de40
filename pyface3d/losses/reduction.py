"""Means over the elements that count."""

from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of ``values`` where ``mask`` (broadcast from the left: (B,) selects samples) is True; 0 where nothing is.

    Values that do not count may be infinite or NaN; neither they nor their gradients enter.
    """
    if mask is None:
        return values.mean()
    mask = mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)).expand_as(values)
    return values.masked_fill(~mask, 0).sum() / mask.sum().clamp(min=1)
