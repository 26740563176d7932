"""Values as Grafana writes them, by the unit that a panel names."""

import math

_SI = ((1e9, " G"), (1e6, " M"), (1e3, " k"))
_BINARY = ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"))
_DECIMAL = ((1e9, " GB"), (1e6, " MB"), (1e3, " kB"))


def written(value: float, unit: str, decimals: int | None = None) -> str:
    """
    >>> written(0.25, "s"), written(75, "s"), written(0.995, "percentunit"), written(3 * 2**20, "bytes"), written(1.5, "ops")
    ('250 ms', '1.25 min', '99.5%', '3 MiB', '1.5 /s')
    """
    if math.isnan(value):
        return "–"
    match unit:
        case "percentunit":
            return f"{value * 100:.{decimals}f}%" if decimals is not None else f"{_short(value * 100)}%"
        case "s":
            return _seconds(value)
        case "bytes":
            return _scaled(value, _BINARY, " B")
        case "Bps":
            return _scaled(value, _DECIMAL, " B") + "/s"
        case "ops" | "reqps":
            return f"{_scaled(value, _SI, '')} /s"
        case _:
            return f"{value:.{decimals}f}" if decimals is not None else _scaled(value, _SI, "")


def _seconds(value: float) -> str:
    size = abs(value)
    if size >= 60:
        return f"{_short(value / 60)} min"
    if size >= 1 or not size:
        return f"{_short(value)} s"
    return f"{_short(value * 1e3)} ms" if size >= 1e-3 else f"{_short(value * 1e6)} µs"


def _scaled(value: float, steps: tuple[tuple[float, str], ...], rest: str) -> str:
    for size, name in steps:
        if abs(value) >= size:
            return _short(value / size) + name
    return _short(value) + rest


def _short(value: float) -> str:
    """Three digits, and no zeros at the end."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
