"""Numbers as a reader wants them: three digits, thousands and seconds in words, a factor with its direction."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"


def number(value: float | int, digits: int = 3) -> str:
    """Write a number with `digits` significant digits, small and large ones as 1.2e-05; infinity as ∞."""
    if math.isnan(value):
        return "\N{EN DASH}"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if not -4 <= exponent < 6:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(digits - 1 - exponent, 0)}f}".replace("-", MINUS)


def interval(low: float, high: float, digits: int = 3) -> str:
    """Write [low, high]; a line is not broken inside."""
    return f"[{number(low, digits)},\N{NO-BREAK SPACE}{number(high, digits)}]"


def percent(fraction: float) -> str:
    """Write a fraction in per cent: whole numbers, one decimal below 10 % and two below 1 %."""
    if not math.isfinite(fraction):
        return number(fraction)
    value = 100 * fraction
    decimals = 0 if abs(value) >= 10 else 1 if abs(value) >= 1 else 2
    return f"{value:.{decimals}f} %".replace("-", MINUS)


def signed(fraction: float) -> str:
    """Write a change in per cent with its sign."""
    return f"+{percent(fraction)}" if fraction > 0.0 else percent(fraction)


def count(value: float | int) -> str:
    """Write a count with its thousands: 179 k, 1.25 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def duration(seconds: float | int) -> str:
    """Write a time: 0.45 s, 12 s, 4 min 10 s, 2 h 5 min."""
    if seconds < 60:
        return f"{number(seconds, 2)} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def in_brackets(unit: str) -> str:
    """Write a unit behind the name of an axis; nothing where there is none."""
    return f" ({unit})" if unit not in ("", "1") else ""


def metric_name(metric: str) -> str:
    """Write the name of a metric as papers do: nRMSE, relative L2, fair CRPS, correlation time."""
    return " ".join(_PARTS.get(part, part) for part in metric.split("_"))


_PARTS = {"l2": "L2", "crps": "CRPS"} | {
    f"{letter}rmse": f"{letter}RMSE" for letter in ("", "n", "v", "c", "b", "f")
}
