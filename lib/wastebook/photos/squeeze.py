"""Photos squeezed exactly as torch squeezes them for training, without torch, whose import takes seconds."""

import numpy as np


def squeeze(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The photo, (H, W, 3) uint8, at `size` (height, width) by antialiased bilinear interpolation: bit for
    bit what `torch.nn.functional.interpolate` gives for uint8 (weights of 16 bits, columns first, both
    rounded)."""
    columns = _squeezed(np.ascontiguousarray(photo.swapaxes(0, 1)), size[1])
    return _squeezed(np.ascontiguousarray(columns.swapaxes(0, 1)), size[0])


def _squeezed(values: np.ndarray, size: int) -> np.ndarray:
    """Uint8 values with their first axis brought to `size`."""
    count = len(values)
    if count == size:
        return values
    reach = max(count / size, 1.0)
    centres = (np.arange(size) + 0.5) * (count / size)
    first = np.maximum((centres - reach + 0.5).astype(int), 0)
    places = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 1)
    weights = np.maximum(1 - np.abs(places + 0.5 - centres[:, None]) / reach, 0)
    weights[places >= count] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    bits = next((bits for bits in range(22) if int(0.5 + weights.max() * 2 ** (bits + 1)) >= 2**15), 22)
    whole = np.floor(weights * 2**bits + 0.5).astype(np.int32)
    sums = np.full((size, *values.shape[1:]), 2 ** (bits - 1), np.int32)
    for place, weight in zip(np.minimum(places, count - 1).T, whole.T, strict=True):
        sums += weight.reshape(-1, *[1] * (values.ndim - 1)) * values[place]
    return np.clip(sums >> bits, 0, 255).astype(np.uint8)
