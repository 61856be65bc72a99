"""The figures of `zoo analyse`, as SVG documents."""

import numpy as np

from zoo.delay.analysis.chart import STYLE, Axis, Curve, panel
from zoo.delay.analysis.polynomials import METHODS, of_method, roots
from zoo.delay.analysis.rates import Search, stable_rates
from zoo.delay.analysis.stability import largest_rate
from zoo.delay.analysis.studies import DelayStudy, PipelineStudy
from zoo.leaderboard.page.labels import Box
from zoo.leaderboard.page.svg import picture, text_at

WIDTH = 800
CURVE_DELAYS = (0, 1, 2, 4, 8, 16, 32, 64)
REGION_DELAYS = (0, 8, 32)
REGION_MOMENTA = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
LOCI_DELAY, LOCI_MOMENTUM = 4, 0.9

_RATE = "largest stable learning rate × λmax"


def _delay_axis(last: int) -> Axis:
    """Return an axis of delays that has a place for 0: log(D + 1)."""
    shown = [0, *(2**k for k in range(12))]
    ticks = [(d + 1, str(d)) for d in shown if d <= last]
    return Axis("delay D (steps)", 0.93, 1.07 * (last + 1), ticks)


def stability_svg(study: DelayStudy) -> str:
    """Draw the largest stable learning rate against delay, a curve for each rho."""
    known = dict(zip(study.delays, range(len(study.delays)), strict=True))
    rhos = list(study.braking)
    safe: dict[float, list[tuple[float, float]]] = {rho: [] for rho in rhos}
    for delay in CURVE_DELAYS:
        if delay in known:
            found = [study.braking[rho][known[delay]] for rho in rhos]
        else:
            found = stable_rates([study.momentum] * len(rhos), rhos, delay)
        for rho, rates in zip(rhos, found, strict=True):
            safe[rho].append((delay + 1, rates.safe))
    exact = [(d + 1, largest_rate(study.momentum, d)) for d in CURVE_DELAYS]
    curves = [Curve(f"ρ = {rho:g}", safe[rho], i % 7) for i, rho in enumerate(rhos)]
    curves.append(Curve("exact, ρ = 0", exact, 0, dashed=True))
    about = (
        "Curves of the largest learning rate up to which every tried rate keeps the loss below ten "
        f"times its start for 1,500 steps, against delay; momentum {study.momentum:g}."
    )
    up = Axis(_RATE, *_bounds([y for c in curves for _, y in c.points]))
    area = Box(84, 72, WIDTH - 112, 420)
    parts = panel(area, _delay_axis(CURVE_DELAYS[-1]), up, curves, named=True)
    title = f"Largest stable learning rate with Adaptive Braking, momentum {study.momentum:g}"
    return picture(WIDTH, 480, title, about, STYLE, parts)


def regions_svg(study: DelayStudy) -> str:
    """Draw the stable learning rates over momentum: a panel for each delay, a curve for each rho."""
    rhos = list(study.braking)
    how = Search(coarse=48, fine=16)
    ticks = [(1 / (1 - m), f"{m:g}") for m in (0.0, 0.5, 0.9, 0.99)]
    across = Axis("momentum m", 0.93, 107.0, ticks)
    panels: list[tuple[int, list[Curve]]] = []
    for delay in REGION_DELAYS:
        momenta = [m for m in REGION_MOMENTA for _ in rhos]
        found = [r.safe for r in stable_rates(momenta, rhos * len(REGION_MOMENTA), delay, how)]
        curves = []
        for i, rho in enumerate(rhos):
            points = [
                (1 / (1 - m), rate)
                for m, rate in zip(REGION_MOMENTA, found[i :: len(rhos)], strict=True)
            ]
            curves.append(Curve(f"ρ = {rho:g}", points, i % 7))
        exact = [(1 / (1 - m), largest_rate(m, delay)) for m in REGION_MOMENTA]
        curves.append(Curve("exact, ρ = 0", exact, 0, dashed=True))
        panels.append((delay, curves))
    up = Axis(_RATE, *_bounds([y for _, curves in panels for c in curves for _, y in c.points]))
    parts = []
    for index, (delay, curves) in enumerate(panels):
        left = 76 + 214 * index
        # The names stand beside the last panel, for all three.
        last = index == len(panels) - 1
        unlabelled = Axis("", up.low, up.high, [(value, "") for value, _ in up.marks()])
        area = Box(left, 90, left + 178, 380)
        vertical = unlabelled if index else up
        parts += panel(area, across, vertical, curves, title=f"delay {delay}", named=last)
    about = "Three panels: below a curve, a learning rate is stable at this momentum and delay."
    return picture(WIDTH, 440, "Stable below the curves", about, STYLE, parts)


def half_life_svg(study: PipelineStudy) -> str:
    """Draw the least half-life of each method against delay."""
    curves = [
        Curve(
            METHODS[name].label,
            [(d + 1, o.half_life) for d, o in zip(study.delays, optima, strict=True)],
            i,
            dashed=name == "lwp_2d",  # lies on LWPv_D+SC_D
        )
        for i, (name, optima) in enumerate(study.by_delay.items())
    ]
    curves.sort(key=lambda curve: curve.dashed)
    up = Axis("least half-life (steps)", *_bounds([y for c in curves for _, y in c.points]))
    area = Box(84, 72, WIDTH - 140, 420)
    parts = panel(area, _delay_axis(max(*study.delays, 1)), up, curves, named=True)
    title = f"Steps that halve the error at best, condition number {study.kappa:,.7g}"
    about = "Curves of each method's least half-life over momentum and learning rate against delay."
    return picture(WIDTH, 480, title, about, STYLE, parts)


def loci_svg() -> str:
    """Draw the roots of each method in the complex plane as the learning rate grows."""
    side, gap = 236, 22
    parts = [
        text_at(
            24, 58, "blue: h from 10⁻⁴ to the stability limit; orange: up to twice that", "quiet"
        )
    ]
    methods = [m for name, m in METHODS.items() if name != "lwp"]
    for index, method in enumerate(methods):
        left = 24 + index % 3 * (side + gap)
        top = 100 + index // 3 * (side + gap + 16)
        limit = largest_rate(LOCI_MOMENTUM, LOCI_DELAY, method)
        parts.append(f'<g class="loci" transform="translate({left} {top})">')
        parts.append(text_at(0, -8, f"{method.label}: stable to h = {limit:.3g}", ""))
        parts += _plane(side)
        fixed, slope = of_method(method, LOCI_MOMENTUM, LOCI_DELAY)
        inner, outer = np.geomspace(1e-4, limit, 100), np.geomspace(limit, 2 * limit, 25)[1:]
        for css, h in (("c1", inner), ("c2", outer)):
            z = roots(fixed[:, None] + slope[:, None] * h).ravel()
            z = z[np.abs(z.real) < _EXTENT]
            z = z[np.abs(z.imag) < _EXTENT]
            at = (f"M{_pixel(p.real, side):.1f} {_pixel(-p.imag, side):.1f}h0" for p in z)
            parts.append(f'<path class="dots {css}" d="{"".join(dict.fromkeys(at))}"/>')
        parts.append("</g>")
    title = f"Roots as the learning rate grows: delay {LOCI_DELAY}, momentum {LOCI_MOMENTUM:g}"
    about = "A complex plane for each method, with the unit circle and the roots at growing h."
    return picture(WIDTH, 632, title, about, STYLE + _LOCI_STYLE, parts)


_EXTENT = 1.3  # of the planes, on each side of 0
_LOCI_STYLE = ".dots { fill: none; stroke-width: 2.6; stroke-linecap: round; }\n"
_LOCI_STYLE += ".circle { fill: none; stroke: #8b949e; }\n"


def _pixel(value: float, side: float) -> float:
    return (value / _EXTENT + 1) * side / 2


def _plane(side: float) -> list[str]:
    half, unit = side / 2, side / 2 / _EXTENT
    return [
        f'<path class="grid" d="M0 {half}H{side}M{half} 0V{side}"/>',
        f'<circle class="circle" cx="{half}" cy="{half}" r="{unit:.1f}"/>',
    ]


def _bounds(values: list[float]) -> tuple[float, float]:
    finite = [v for v in values if np.isfinite(v) and v > 0] or [0.1, 1.0]
    return min(finite) / 1.3, max(finite) * 1.3
