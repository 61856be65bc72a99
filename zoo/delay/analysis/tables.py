"""The tables of `zoo analyse`: each fits 80 columns."""

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from zoo.delay.analysis.polynomials import METHODS
from zoo.delay.analysis.rates import Rates
from zoo.delay.analysis.studies import BLOCK_RHO, SAMPLES, DelayStudy, PipelineStudy


def print_delay(study: DelayStudy) -> None:
    """Print the stable rates: exact, braking by rho, by granularity, and the least losses."""
    console = Console()
    rows = [
        [str(d), *(number(study.limits[name][i]) for name in ("sgdm", "nesterov"))]
        for i, d in enumerate(study.delays)
    ]
    m = f"momentum {study.momentum:g}"
    title = f"Largest stable learning rate × λmax, {m}: exact, without braking"
    _print(console, title, ["delay", "heavy ball", "Nesterov"], rows)

    header = ["delay", *(f"ρ={rho:g}" for rho in study.braking)]
    rows = [
        [str(d), *(stable(found[i]) for found in study.braking.values())]
        for i, d in enumerate(study.delays)
    ]
    title = f"The same with Adaptive Braking: bounded for 1,500 steps, {m}"
    _print(console, title, header, rows)

    header = ["delay", "whole vector", "of neighbours", "at random"]
    rows = []
    whole = study.braking.get(BLOCK_RHO)
    for i, d in enumerate(study.delays):
        random = [found[i].largest for found in study.random]
        rows.append(
            [
                str(d),
                stable(whole[i]) if whole else "",
                stable(study.neighbours[i]),
                f"{number(min(random))} to {number(max(random))}",
            ]
        )
    title = f"By granularity: {study.blocks} blocks, ρ={BLOCK_RHO:g}, {m}"
    _print(console, title, header, rows)

    header = ["delay", *(f"ρ={rho:g}" for rho in study.braking)]
    rows = [
        [str(d), *(small(found[i].loss) for found in study.braking.values())]
        for i, d in enumerate(study.delays)
    ]
    title = f"Least loss after 1,500 steps at the best tried rate, start = 1, {m}"
    _print(console, title, header, rows)
    console.print(
        "a (b): every tried rate up to a is stable, the largest one that is stable is b.\n",
        style="dim",
        highlight=False,
    )


def print_pipeline(study: PipelineStudy) -> None:
    """Print the least half-lives by delay and by condition number, and the pipeline's costs."""
    console = Console()
    heads = ["SGDM", "Nesterov", "SC_D", "LWP_D", "LWP_2D", "LWPv+SC", "LWPw+SC"]
    rows = [
        [str(d), *(number(study.by_delay[name][i].half_life) for name in METHODS)]
        for i, d in enumerate(study.delays)
    ]
    title = f"Least half-life of the error in steps, κ = {study.kappa:,.7g}"
    _print(console, title, ["delay", *heads], rows)

    rows = [
        [str(d), *(f"{study.by_delay[name][i].momentum:.4f}" for name in METHODS)]
        for i, d in enumerate(study.delays)
    ]
    _print(console, "The momentum that has it", ["delay", *heads], rows)

    rows = [
        [f"{k:,.7g}", *(number(study.by_kappa[name][i].half_life) for name in METHODS)]
        for i, k in enumerate(study.kappas)
    ]
    title = f"Least half-life at delay {study.kappa_delay}, by condition number"
    _print(console, title, ["κ", *heads], rows)

    header = ["S", "D_1", *(f"N={n:,}" for n in SAMPLES), "activations", "predicted", "stashed"]
    rows = [
        [
            *(f"{row[key]:,}" for key in ("stages", "longest_delay")),
            *(f"{100 * share:.1f}%" for share in row["utilisation"].values()),
            *(f"{row[key]:,}" for key in ("activations", "weights_predicted", "weights_stashed")),
        ]
        for row in study.pipelines
    ]
    title = "Pipelines of S stages: utilisation of fill and drain, and memory"
    _print(console, title, header, rows)
    console.print(
        "N: samples of an update. Never drained, a filled pipeline is 100% busy.\n"
        "Kept: activations of so many stages; weights of so many, predicted or stashed.\n",
        style="dim",
        highlight=False,
    )


def number(value: float) -> str:
    """Write three digits, as a table of learning rates or steps needs them.

    >>> number(0.0044583), number(3.8), number(7355.2), number(math.nan)
    ('0.00446', '3.80', '7,355', 'none')
    """
    if not math.isfinite(value):
        return "none" if math.isnan(value) else "∞"
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(0, digits)}f}"


def stable(rates: Rates) -> str:
    """Write the safe rate, and the largest in brackets where it is another.

    >>> stable(Rates(0.150, 0.153, 0.0, 0.0)), stable(Rates(2.0, 2.0, 0.0, 0.0))
    ('0.150 (0.153)', '2.00')
    """
    safe, largest = number(rates.safe), number(rates.largest)
    return safe if safe == largest else f"{safe} ({largest})"


def small(value: float) -> str:
    """Write two digits of what may be very small.

    >>> small(0.0123), small(3e-70)
    ('0.012', '<1e-9')
    """
    if math.isnan(value):
        return "none"
    return "<1e-9" if value < 1e-9 else f"{value:.2g}"


def _print(
    console: Console, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in header:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(title, style="italic", highlight=False)
    console.print(table)
