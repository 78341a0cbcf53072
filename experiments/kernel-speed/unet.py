"""The project's U-Net in PyTorch, with the same parameter names and the same arithmetic."""

import json
import struct

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

NORM_EPS = 1e-5
FREQUENCIES = 16


def read_safetensors(path):
    """Metadata and arrays of a safetensors file."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        body = file.read()
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            dtype = {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]
            array = np.frombuffer(body[start:end], dtype=dtype).astype("<f4").reshape(entry["shape"])
            arrays[name] = array.copy()
    return header.get("__metadata__", {}), arrays


class Conv(nn.Module):
    def __init__(self, inputs, outputs, side):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class Linear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


class NormAct(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(channels))
        self.beta = nn.Parameter(torch.empty(channels))
        fits = [g for g in range(1, 17) if channels % g == 0 and channels // g >= 4]
        self.groups = max(fits, default=1)

    def forward(self, x, film=None):
        h = F.group_norm(x, self.groups, self.gamma, self.beta, NORM_EPS)
        if film is not None:
            scale, shift = film
            h = h * (scale[:, :, None, None] + 1) + shift[:, :, None, None]
        return F.silu(h)


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs, embedding):
        super().__init__()
        self.norm_in = NormAct(inputs)
        self.conv_in = Conv(inputs, outputs, 3)
        self.film = Linear(embedding, 2 * outputs)
        self.norm_out = NormAct(outputs)
        self.conv_out = Conv(outputs, outputs, 3)
        self.skip = Conv(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x, embedding):
        h = self.conv_in(self.norm_in(x))
        h = self.conv_out(self.norm_out(h, self.film(embedding).chunk(2, 1)))
        return (x if self.skip is None else self.skip(x)) + h


class Stage(nn.Module):
    def __init__(self, inputs, outputs, embedding):
        super().__init__()
        self.block = ResBlock(inputs, outputs, embedding)

    def forward(self, x, embedding):
        return self.block(x, embedding)


class Level(nn.Module):
    def __init__(self, width, coarser, blocks, embedding):
        super().__init__()
        self.down = nn.ModuleList(
            Stage(width, width, embedding) for _ in range(blocks)
        )
        self.to_coarser = Conv(4 * width, coarser, 1) if coarser else None
        self.from_coarser = Conv(coarser, 4 * width, 1) if coarser else None
        self.up = nn.ModuleList(
            Stage(2 * width if b == 0 else width, width, embedding)
            for b in range(blocks)
        )


class UNet(nn.Module):
    """`config` is the `[net]` table."""

    def __init__(self, config, inputs, outputs):
        super().__init__()
        width, patch, blocks = config["width"], config["patch"], config["blocks"]
        widths = [width * m for m in config["multipliers"]]
        embedding, area = 4 * width, patch * patch
        self.embed_in = Linear(2 * FREQUENCIES, embedding)
        self.embed_out = Linear(embedding, embedding)
        self.stem = Conv((inputs + 2) * area, width * config["multipliers"][0], 3)
        self.levels = nn.ModuleList(
            Level(w, c, blocks, embedding)
            for w, c in zip(widths, widths[1:] + [None])
        )
        self.middle = Stage(widths[-1], widths[-1], embedding)
        self.norm = NormAct(widths[0])
        self.head = Conv(widths[0], outputs * area, 3)
        self.patch = patch
        self.register_buffer("frequencies", 0.5 * 1.5 ** torch.arange(FREQUENCIES))

    def forward(self, x, c_noise):
        angles = c_noise[:, None] * self.frequencies[None, :]
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        embedding = F.silu(self.embed_out(F.silu(self.embed_in(waves))))
        x = torch.cat([x, self.positions(x)], 1)
        h = self.stem(F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x)
        skips = []
        for level in self.levels:
            for stage in level.down:
                h = stage(h, embedding)
            skips.append(h)
            if level.to_coarser is not None:
                h = level.to_coarser(F.pixel_unshuffle(h, 2))
        h = self.middle(h, embedding)
        for level, skip in zip(reversed(self.levels), reversed(skips)):
            if level.from_coarser is not None:
                h = F.pixel_shuffle(level.from_coarser(h), 2)
            h = torch.cat([h, skip], 1)
            for stage in level.up:
                h = stage(h, embedding)
        h = self.head(self.norm(h))
        return F.pixel_shuffle(h, self.patch) if self.patch > 1 else h

    @staticmethod
    def positions(x):
        batch, _, height, width = x.shape
        line = lambda n: (2 * torch.arange(n, dtype=x.dtype, device=x.device) + 1) / n - 1
        y = line(height)[None, None, :, None].expand(batch, 1, height, width)
        return torch.cat([y, line(width)[None, None, None, :].expand(batch, 1, height, width)], 1)

    def load(self, arrays, prefix):
        """Parameters from arrays named as the project names them."""
        state = {n: torch.from_numpy(arrays[prefix + n]) for n, _ in self.named_parameters()}
        self.load_state_dict({**state, "frequencies": self.frequencies})
        return self
