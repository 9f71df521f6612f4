"""Round numbers for the axes of drawings."""

import math


def nice(value: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below `value`; 1 where that is not above 0."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value * (1 - 1e-9))


def round_steps(low: float, high: float, steps: int = 8) -> list[float]:
    """Return round numbers between two ends, about as many as asked for."""
    step = nice((high - low) / steps)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
