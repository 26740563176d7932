"""A feed-forward inpainter: a smooth first fill, a small U-Net on it, and attention that copies detail from known pixels.

- First fill: a membrane, Laplace's equation over the hole (Perez, Gangnet, Blake, SIGGRAPH 2003), by nested multigrid: weighted
  averages of what is known go down a pyramid (pull-push: Gortler et al., SIGGRAPH 1996) and come back up into the hole, relaxed
  at every level (Briggs, Henson, McCormick, "A Multigrid Tutorial", 2000, section 3).
- U-Net (Ronneberger et al., MICCAI 2015) at 1/4, 1/8 and 1/16 of the size, with dilated residual blocks (Yu and Koltun,
  ICLR 2016) for wide context; pixel-unshuffle instead of a full-resolution stem.
- Contextual attention (Yu et al., CVPR 2018) at 1/8: each cell of the hole asks which known cells are like it, and gets
  their *detail*, the pixels less their smooth part, as in contextual residual aggregation (Yi et al., CVPR 2020). Patches
  of two cells a side overlap by half under a Hann window, so that they join without a seam.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 5  # of the membrane's pyramid
RELAXATIONS = 12  # at each of them
MULTIPLE_PX = 2**LEVELS  # of both sides of a window
CELL_PX = 8  # what attention copies
WIDTHS = (128, 192, 192)  # channels at 1/4, 1/8, 1/16
DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8)  # of the blocks at 1/16
KEY_CHANNELS = 32
FEATURE_CHANNELS = 32  # of the features that attention copies beside the detail


def _enlarged(planes: Tensor, times: int, mode: str) -> Tensor:
    return functional.interpolate(planes, scale_factor=float(times), mode=mode)


class Block(nn.Module):
    """Residual block: each pixel's channels scaled to unit power, then two 3x3 convolutions; starts near identity."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        scaled = features * (self.gain * torch.rsqrt(features.pow(2).mean(1, keepdim=True) + 1e-4))
        return features + self.second(functional.silu(self.first(scaled)))


class Membrane(nn.Module):
    """pixels [N, 3, H, W], weights [N, 1, H, W] in [0, 1] -> [N, 3, H, W]: pixels where the weight is 1, smooth elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        x = torch.arange(-7, 8).float()
        bell = torch.exp(-(x**2) / (2 * 2.0**2))
        self.register_buffer("wide", torch.outer(bell, bell).div(bell.sum() ** 2).expand(4, 1, 15, 15).contiguous(), False)
        around = torch.tensor([[1.0, 4.0, 1.0], [4.0, 0.0, 4.0], [1.0, 4.0, 1.0]]) / 20  # the nine-point Laplacian's
        self.register_buffer("around", around.expand(3, 1, 3, 3).contiguous(), False)

    def forward(self, pixels: Tensor, weights: Tensor) -> Tensor:
        levels = [torch.cat([pixels * weights, weights], 1)]
        for _ in range(LEVELS):
            levels.append(functional.avg_pool2d(levels[-1], 2))
        # Where even the wide kernel sees nothing, the window's mean; where nothing is known at all, mid-grey.
        last = levels[-1]
        whole = last.mean((2, 3), keepdim=True)
        wide = functional.conv2d(last, self.wide, padding=7, groups=4) + 1e-4 * whole
        fill = (wide[:, :3] + 0.5e-7) / (wide[:, 3:] + 1e-7)
        for level in reversed(levels):
            if level is not last:
                fill = _enlarged(fill, 2, "bilinear")
            known, keep = level[:, :3], level[:, 3:]
            if level is not levels[0]:
                # A cell that is known for the better part counts as known: what it lacks, finer levels say.
                known, keep = known / keep.clamp(min=0.5) * (keep > 0.5), (keep > 0.5).float()
            for _ in range(RELAXATIONS):
                fill = known + (1 - keep) * fill
                fill = functional.conv2d(functional.pad(fill, (1, 1, 1, 1), mode="replicate"), self.around, groups=3)
            fill = known + (1 - keep) * fill
        return fill


class Copy(nn.Module):
    """Attention from every cell to the cells around which all is known; the values are those cells' detail and features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, KEY_CHANNELS, 1)
        self.key = nn.Conv2d(channels, KEY_CHANNELS, 1)
        self.value = nn.Conv2d(channels, FEATURE_CHANNELS, 1)
        # Tenths of logs, so that they move at the pace of the weights beside them.
        self.sharpness = nn.Parameter(torch.tensor(0.35))  # the factor on a cosine in [-1, 1]
        self.locality = nn.Parameter(torch.tensor(-0.5))  # the penalty on a squared distance in cells
        ramp = (torch.arange(2 * CELL_PX) + 0.5) * (torch.pi / (2 * CELL_PX))
        window = torch.outer(ramp.sin() ** 2, ramp.sin() ** 2)  # its four overlapping shifts sum to 1
        self.register_buffer("window", functional.pixel_unshuffle(window[None, None], CELL_PX), False)  # [1, 64, 2, 2]

    def forward(self, features: Tensor, detail: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """features [N, C, h, w] at 1/8, detail [N, 3, H, W], hole [N, 1, H, W] -> detail and features copied.

        The result's shapes are [N, 3, H, W] and [N, FEATURE_CHANNELS, h, w].
        """
        patch = 2 * CELL_PX
        is_blocked = functional.max_pool2d(hole, patch, CELL_PX, CELL_PX // 2)
        ones = torch.ones_like(is_blocked)
        y, x = torch.cumsum(ones, 2), torch.cumsum(ones, 3)
        near = (10 * self.locality).exp()
        # -near |p - q|^2 up to what is the same for all keys: near (2 p q - q^2).
        query = torch.cat([_unit(self.query(features)) * (10 * self.sharpness).exp(), 2 * near * y, 2 * near * x, ones], 1)
        bias = -near * (y * y + x * x) - 1e4 * is_blocked
        key = torch.cat([_unit(self.key(features)), y, x, bias], 1)
        scores = query.flatten(2).transpose(1, 2) @ key.flatten(2)
        values = torch.cat([_patches(detail), self.value(features)], 1)
        copied = torch.softmax(scores, 2).to(values.dtype) @ values.flatten(2).transpose(1, 2)
        copied = copied.transpose(1, 2).reshape(values.shape)
        return self._joined(copied[:, :-FEATURE_CHANNELS]), copied[:, -FEATURE_CHANNELS:]

    def _joined(self, patches: Tensor) -> Tensor:
        """The patches of all cells, windowed and added where they overlap: [N, 4 * 3 * 64, h, w] -> [N, 3, H, W]."""
        half = CELL_PX // 2
        total = 0.0
        for index, part in enumerate(patches.chunk(4, 1)):
            row, column = divmod(index, 2)
            weight = self.window[:, :, row : row + 1, column : column + 1].repeat(1, 3, 1, 1)
            plane = functional.pixel_shuffle(part * weight, CELL_PX)
            total = total + functional.pad(plane, _shift(row, column))
        return total[:, :, half:-half, half:-half]


def _shift(row: int, column: int) -> tuple[int, int, int, int]:
    """Padding that brings a quarter of each patch to its place on a plane half a cell larger on every side."""
    left, top = column * CELL_PX, row * CELL_PX
    return left, CELL_PX - left, top, CELL_PX - top


def _patches(detail: Tensor) -> Tensor:
    """For each cell the 16 x 16 pixels around it, as four quarters: [N, 3, H, W] -> [N, 4 * 3 * 64, H / 8, W / 8]."""
    half = CELL_PX // 2
    padded = functional.pad(detail, (half, half, half, half))
    height, width = detail.shape[2:]
    quarters = []
    for index in range(4):
        top, left = (CELL_PX * offset for offset in divmod(index, 2))
        quarters.append(functional.pixel_unshuffle(padded[:, :, top : top + height, left : left + width], CELL_PX))
    return torch.cat(quarters, 1)


def _unit(vectors: Tensor) -> Tensor:
    """Less their mean over the window, then of length 1 along the channels; in float32."""
    vectors = vectors.float()
    vectors = vectors - vectors.mean((2, 3), keepdim=True)
    return vectors / torch.sqrt((vectors * vectors).sum(1, keepdim=True) + 1e-6)


class Inpainter(nn.Module):
    """Floats in [0, 1]; H and W multiples of MULTIPLE_PX.

    image [N, 3, H, W], hole [N, 1, H, W] in {0, 1}, guide [N, 4, H, W] (RGB, confidence) -> [N, 3, H, W], not clipped;
    the image's pixels in the hole are not looked at, and the result outside the hole is not meant to be used.
    """

    def __init__(self, widths: tuple[int, int, int] = WIDTHS) -> None:
        super().__init__()
        quarter, eighth, sixteenth = widths
        half = quarter // 2
        self.fill = Membrane()
        self.stem = nn.Conv2d(16 * 5, quarter, 3, padding=1)
        self.encode4 = Block(quarter)
        self.down8 = nn.Conv2d(quarter, eighth, 3, 2, 1)
        self.encode8 = Block(eighth)
        self.down16 = nn.Conv2d(eighth, sixteenth, 3, 2, 1)
        self.context = nn.Sequential(*(Block(sixteenth, dilation) for dilation in DILATIONS))
        self.up8 = nn.Conv2d(sixteenth, eighth, 1)
        self.decode8 = Block(eighth)
        self.copy = Copy(eighth)
        self.merge8 = nn.Conv2d(eighth + FEATURE_CHANNELS, eighth, 1)
        self.up4 = nn.Conv2d(eighth, quarter, 1)
        self.detail4 = nn.Conv2d(3 * 16, quarter, 1)
        self.decode4 = nn.Sequential(Block(quarter), Block(quarter))
        self.up2 = nn.Conv2d(quarter, 4 * half, 3, padding=1)
        self.merge2 = nn.Conv2d(half + 12 + 12 + 4, half, 3, padding=1)
        self.decode2 = Block(half)
        self.tail = nn.Conv2d(half, 12 + 1, 3, padding=1)
        self._initialise()

    def _initialise(self) -> None:
        """Unit gain everywhere, blocks near identity, queries equal to keys: from the start, like finds like."""
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
                    nn.init.zeros_(layer.bias)
            for layer in self.modules():
                if isinstance(layer, Block):
                    layer.second.weight.mul_(0.3)
            self.tail.weight.mul_(0.05)
            self.copy.query.load_state_dict(self.copy.key.state_dict())

    def forward(self, image: Tensor, hole: Tensor, guide: Tensor) -> Tensor:
        sure = guide[:, 3:] * hole
        known = 1 - hole
        fill = self.fill(image * known + guide[:, :3] * hole, known + sure)
        smooth = _enlarged(functional.avg_pool2d(fill, CELL_PX), CELL_PX, "bilinear")

        seen = torch.cat([4 * (fill - 0.5), hole, sure], 1)
        skip4 = self.encode4(self.stem(functional.pixel_unshuffle(seen, 4)))
        skip8 = self.encode8(self.down8(skip4))
        wide = self.up8(self.context(self.down16(skip8)))
        features = self.decode8(skip8 + _enlarged(wide, 2, "nearest"))
        texture, copied = self.copy(features, 4 * (fill - smooth) * known, hole)
        features = self.merge8(torch.cat([features, copied], 1))
        features = skip4 + _enlarged(self.up4(features), 2, "nearest")
        features = self.decode4(features + self.detail4(functional.pixel_unshuffle(texture, 4)))
        half = [functional.pixel_shuffle(self.up2(features), 2)]
        half += [functional.pixel_unshuffle(plane, 2) for plane in (texture, seen[:, :4])]
        made = self.tail(self.decode2(functional.silu(self.merge2(torch.cat(half, 1))))).float()
        share = torch.sigmoid(made[:, 12:])
        return fill + 0.25 * functional.pixel_shuffle(made[:, :12] + share * half[1].float(), 2)


def restored(weights: dict[str, Tensor]) -> Inpainter:
    """The network that the weights were saved from, whatever its widths."""
    widths = (weights["stem.bias"].numel(), weights["down8.bias"].numel(), weights["down16.bias"].numel())
    model = Inpainter(widths)
    model.load_state_dict(weights)
    return model


def macs_per_pixel(widths: tuple[int, int, int] = WIDTHS, window_px: int = 512) -> int:
    """Multiply-accumulates of convolutions and attention for one pixel of a square window."""
    meter = _Meter()
    model = Inpainter(widths).eval()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(meter)
    planes = [torch.zeros(1, channels, window_px, window_px) for channels in (3, 1, 4)]
    with torch.no_grad():
        model(*planes)
    cells = (window_px // CELL_PX) ** 2
    attention = cells**2 * (KEY_CHANNELS + 3 + 12 * CELL_PX**2 + FEATURE_CHANNELS)
    return round((meter.total + attention) / window_px**2)


class _Meter:
    """Sums what each convolution costs."""

    def __init__(self) -> None:
        self.total = 0

    def __call__(self, layer: nn.Conv2d, _inputs: object, output: Tensor) -> None:
        self.total += output.shape[2] * output.shape[3] * layer.weight.numel()
