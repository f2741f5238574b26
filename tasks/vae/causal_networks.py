"""Causal networks over a sequence of sites: the output at each site depends on the inputs before it alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, relu


class CausalConvolutions(nn.Module):
    """Masked convolutions over a square of sites in raster order (PixelCNN), [batch, side², C] -> the same shape.

    The kernel of the first is 2 side - 1 wide, so that it reaches every site before a site and no blind spot is left;
    `layers` more, 3 wide and residual, follow. van den Oord et al. 2016, Pixel recurrent neural networks, section 3.4.
    """

    def __init__(self, side: int, channels: int, layers: int) -> None:
        super().__init__()
        self.side = side
        self.first = MaskedConvolution(channels, 2 * side - 1, own=False)
        self.residual = nn.ModuleList(MaskedConvolution(channels, 3, own=True) for _ in range(layers))

    def forward(self, inputs: Tensor) -> Tensor:
        square = self.first(inputs.movedim(-1, 1).unflatten(-1, (self.side, self.side)))
        for layer in self.residual:
            square = square + layer(relu(square))
        return relu(square).flatten(-2).movedim(1, -1)


class MaskedConvolution(nn.Conv2d):
    """[batch, C, side, side] -> the same shape: each site sees those before it in raster order, and with `own` itself.

    kernel: its width, an odd number.
    """

    mask: Tensor

    def __init__(self, channels: int, kernel: int, own: bool) -> None:
        super().__init__(channels, channels, kernel, padding="same")
        before = torch.arange(kernel**2) < kernel**2 // 2 + own
        self.register_buffer("mask", before.view(kernel, kernel).float())

    def forward(self, input: Tensor) -> Tensor:
        return conv2d(input, self.weight * self.mask, self.bias, padding="same")


class CausalGru(nn.Module):
    """A GRU that reads the inputs one site late, [batch, N, C] -> the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        states, _ = self.gru(pad(inputs[:, :-1], (0, 0, 1, 0)))
        return states
