"""Pipelined backpropagation by moving samples through stages, one clock at a time.

Kosson et al., "Pipelined Backpropagation at Scale", arXiv 2003.11666. Whoever simulates it cheaply
counts in samples: step i lends every layer weights of its own age. That shortcut is only right if
the counting is, so this file takes none: stages are separate objects which hold nothing but their
own weights, velocity and samples in flight, and which hear of each other only through tensors that
arrive one clock after they were sent. Nothing here looks up an old weight by its age; how many
updates a pass saw is counted when it happens and compared with the paper's formula.

Clock and numbering
    Samples i = 0, 1, ..., stages s = 1 .. S, clocks c = 0, 1, .... One sample (or micro-batch)
    enters per clock. What a stage sends in clock c is received in clock c + 1, so that

        forward of sample i at stage s    clock i + s - 1
        backward of sample i at stage s   clock i + 2S - 1 - s

    and the last stage does both passes of one sample in one clock: N samples take N + 2S - 2.
    These clocks are not scheduled but come about; the simulation asserts them.

Order within a clock
    A stage does its forward first, then its backward, then the update. The last stage has no choice
    (its backward needs its forward), and the same order everywhere gives the paper's delay: the
    forward of sample i and the backward of sample i - 2(S-s) share a clock, and the forward must
    not see that update yet. Then the forward sees max(0, i - D) updates with D = 2(S-s), and the
    backward of sample i sees i. In what order the stages take their turns does not matter, since
    none hears within a clock what another sends in it (``Pipe.turns`` is there to be shuffled).

Which weights a backward uses
    "inconsistent" (the paper): those at the time of the backward, with the activations that were
    saved at the forward. By autograd: it saves references to the parameters, not copies, and every
    change here is written into the same storage through ``.data``, which does not count as a change
    of the tensor, so that the backward reads what the parameter holds by then. The gradient of the
    input thus uses the weights of the backward and the gradient of the weights uses the activations
    of the forward. With ``by="formula"`` Linear, Conv2d and GroupNorm are differentiated by hand
    instead and no graph outlives a layer's forward; the tests hold the two against each other.
    "stash" (PipeDream): those of the forward, predicted or not, kept by the stage for each sample
    in flight; the update goes to the current ones.

Out of scope
    Modules that compute something from their weights and save that for the backward, such as weight
    standardisation, a parametrisation or a cast by autocast: the backward would see the old
    product. They are refused where the weights of the two passes differ, unless the product was
    made where autograd does not look. Modules that draw random numbers, as the order of the draws
    would be the clock's. Parameters shared by stages, which are refused.

More than one sample per update
    With ``update_size`` N the gradients of N consecutive backward passes are averaged into one
    update: the last stage divides each loss by N, and every stage sums what arrives. The forward of sample i then sees floor(max(0, i - D) / N) updates and the backward
    floor(i / N). Counted in updates the delay depends on i mod N; its mean over a group is exactly
    D / N once the pipe is full, and that (maybe fractional) number is what compensation and
    prediction take for the stage's delay. SpecTrain's horizons are divided by N likewise.
    Filling and draining for every update is ``run`` with N samples at a time: a run ends drained.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

Activation = Tensor | tuple[Tensor, ...]
Gradient = Tensor | tuple[Tensor | None, ...] | None
Sample = tuple[Activation, Tensor]
Loss = Callable[..., Tensor]  # of what the last stage returns and the target
Rate = float | Callable[[int], float]


def spike(delay: float, momentum: float) -> tuple[float, float]:
    """Return Spike Compensation's a and b: what a late gradient has missed, paid at once."""
    a = momentum**delay
    return a, (1 - a) / (1 - momentum)


@dataclass(frozen=True)
class Rules:
    """What all stages do alike, given each stage's own delay D (in updates).

    ``lr`` may be a function of the number of updates that the stage has made. Predictions multiply
    the velocity by the rate of the stage's next update, the only one it knows to come.
    Weight decay is added to the gradient, with the weights that the update changes; both the
    velocity and the spike get the sum.
    """

    lr: Rate
    momentum: float = 0.0
    weight_decay: float = 0.0
    backward: Literal["inconsistent", "stash"] = "inconsistent"
    by: Literal["autograd", "formula"] = "autograd"
    # w <- w - lr (a v + b g): True for the paper's a and b, or the two, or a function of D.
    compensate: bool | tuple[float, float] | Callable[[float], tuple[float, float]] = False
    # "velocity": w - lr T v; "difference": w + T (w - w before the last update), both for the
    # forward only. "spectrain": by velocity, for both passes to the clock in which the sample's
    # backward reaches stage 1, T = 2S-1-s and s-1 (Chen et al., 2018).
    predict: Literal["velocity", "difference", "spectrain"] | None = None
    # T: D by default, or a number, or a function of D such as lambda d: 2 * d.
    horizon: float | Callable[[float], float] | None = None
    # PipeMare's K: lr / D^(1 - min(updates / K, 1)), and no rise where D < 1.
    pipemare: int | None = None
    # PipeMare's second technique: the backward sees w - D delta, delta averaging the stage's last
    # moves, of which D updates later this share is left.
    correct: float | None = None
    update_size: int = 1

    def __post_init__(self) -> None:
        if self.predict == "spectrain" and (self.backward == "stash" or self.horizon is not None):
            raise ValueError("SpecTrain has its own horizons and predicts for the backward too")
        if self.correct is not None and (self.predict is not None or self.backward == "stash"):
            raise ValueError(
                "a correction is of backward weights that are not those of the forward"
            )
        if self.predict is None and self.horizon is not None:
            raise ValueError("a horizon needs a prediction")
        if self.backward not in ("inconsistent", "stash") or self.by not in ("autograd", "formula"):
            raise ValueError(f"no such way back: {self.backward} by {self.by}")
        if self.predict not in (None, "velocity", "difference", "spectrain"):
            raise ValueError(f"no such prediction: {self.predict}")
        if self.update_size < 1:
            raise ValueError("an update needs a gradient")


@dataclass(frozen=True)
class Event:
    """One pass of one sample at one stage (from 1)."""

    clock: int
    stage: int
    sample: int
    kind: Literal["forward", "backward"]
    version: int  # how many updates the stage had made
    horizon: float  # how many more were predicted for this pass
    weights: tuple[Tensor, ...] | None  # what the pass computed with, if it was to be remembered


@dataclass(frozen=True)
class State:
    """A stage's parameters and velocities by name, as copies."""

    parameters: dict[str, Tensor]
    velocities: dict[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """What a run did and left behind; ``busy`` is the share of passes done in each clock."""

    states: list[State]
    losses: list[float]
    events: list[Event]
    busy: list[float]
    in_flight: list[int]  # the most samples that each stage held at once

    @property
    def clocks(self) -> int:
        return len(self.busy)

    @property
    def utilisation(self) -> float:
        """Passes done, of two per stage and clock."""
        return sum(self.busy) / len(self.busy)


@dataclass
class _InFlight:
    sample: int
    back: Callable[[Gradient], Gradient]
    stash: list[Tensor] | None


class Stage:
    """A module that trains itself on what arrives; it does not know its neighbours."""

    def __init__(self, module: nn.Module, number: int, of: int, rules: Rules) -> None:
        self.module = copy.deepcopy(module)
        self.rules = rules
        trained = [(n, p) for n, p in self.module.named_parameters() if p.requires_grad]
        self.names = [n for n, _ in trained]
        self.parameters = [p for _, p in trained]
        self.velocities = [torch.zeros_like(p) for p in self.parameters]
        self.previous: list[Tensor] | None = None
        self.drift = [torch.zeros_like(p) for p in self.parameters]
        self.updates = 0
        self.gradients = 0
        self.queue: deque[_InFlight] = deque()
        self.most_in_flight = 0
        self.delay = 2 * (of - number) / rules.update_size
        self.spike = self._spike()
        self.horizons = self._horizons(number, of)
        self._differ = rules.backward == "inconsistent" and any((self.delay, *self.horizons))

    def _spike(self) -> tuple[float, float]:
        wanted = self.rules.compensate
        if callable(wanted):
            return wanted(self.delay)
        if isinstance(wanted, tuple):
            return wanted
        return spike(self.delay, self.rules.momentum) if wanted else (1.0, 0.0)

    def _horizons(self, number: int, of: int) -> tuple[float, float]:
        rules = self.rules
        if rules.predict is None:
            return 0.0, 0.0
        if rules.predict == "spectrain":
            return (2 * of - 1 - number) / rules.update_size, (number - 1) / rules.update_size
        if callable(rules.horizon):
            return rules.horizon(self.delay), 0.0
        return self.delay if rules.horizon is None else rules.horizon, 0.0

    def rate(self) -> float:
        """Return the learning rate of the next update."""
        rules = self.rules
        rate = rules.lr(self.updates) if callable(rules.lr) else rules.lr
        if rules.pipemare is not None:
            rate /= max(1.0, self.delay) ** (1 - min(self.updates / rules.pipemare, 1))
        return rate

    def weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.parameters]

    def predicted(self, horizon: float) -> list[Tensor]:
        """Return the weights expected after so many more updates."""
        current = self.weights()
        if horizon == 0:
            return current
        if self.rules.predict == "difference":
            before = current if self.previous is None else self.previous
            return [w + horizon * (w - b) for w, b in zip(current, before, strict=True)]
        ahead = self.rate() * horizon
        return [w - ahead * v for w, v in zip(current, self.velocities, strict=True)]

    @contextmanager
    def _lent(self, weights: list[Tensor]) -> Iterator[None]:
        """Compute with other weights, in the parameters' own storage."""
        own = self.weights()
        self._write(weights)
        yield
        self._write(own)

    def _write(self, weights: list[Tensor]) -> None:
        for p, w in zip(self.parameters, weights, strict=True):
            p.data.copy_(w)

    def forward(self, sample: int, x: Activation) -> tuple[Activation, list[Tensor]]:
        """Return what the next stage gets, and the weights that made it."""
        lent = self.predicted(self.horizons[0])
        with self._lent(lent):
            if self.rules.by == "formula":
                y, back = _formula(self.module, x)
            else:
                y, back = _autograd(self.module, x, refuse=self._differ and not self.updates)
        stash = lent if self.rules.backward == "stash" else None
        self.queue.append(_InFlight(sample, back, stash))
        self.most_in_flight = max(self.most_in_flight, len(self.queue))
        return y, lent

    def backward(self, sample: int, gradient: Gradient) -> tuple[Gradient, list[Tensor]]:
        """Return what the stage before gets and the weights that made it, and update."""
        item = self.queue.popleft()
        assert item.sample == sample, "samples come back in the order in which they left"
        lent = item.stash
        if lent is None and self.rules.correct is not None and self.delay:
            lent = [w - self.delay * d for w, d in zip(self.weights(), self.drift, strict=True)]
        if lent is None:
            lent = self.predicted(self.horizons[1])
        with self._lent(lent):
            gradient = item.back(gradient)
        self.gradients += 1
        if self.gradients == self.rules.update_size:
            self._update()
            self.gradients = 0
        return gradient, lent

    @torch.no_grad()
    def _update(self) -> None:
        rate, (a, b) = self.rate(), self.spike
        self.previous = self.weights()
        for p, v in zip(self.parameters, self.velocities, strict=True):
            if p.grad is None:  # torch's SGD leaves such a parameter alone, decay included
                continue
            g = p.grad
            if self.rules.weight_decay:
                g = g.add(p.data, alpha=self.rules.weight_decay)
            v.mul_(self.rules.momentum).add_(g)
            p.data.add_((b * g).add_(v, alpha=a), alpha=-rate)
            p.grad = None
        self.updates += 1
        if self.rules.correct is not None and self.delay:
            left = self.rules.correct ** (1 / self.delay)
            for d, p, before in zip(self.drift, self.parameters, self.previous, strict=True):
                d.mul_(left).add_((p.detach() - before).mul_(1 - left))

    def state(self) -> State:
        return State(
            dict(zip(self.names, self.weights(), strict=True)),
            {n: v.clone() for n, v in zip(self.names, self.velocities, strict=True)},
        )


@dataclass
class Pipe:
    """Stages that hand each other tensors from one clock to the next.

    The modules are copied. A module takes and returns a tensor, or a tuple of tensors where a
    residual has to travel beside the activation. ``loss`` belongs to the last stage.
    """

    modules: Sequence[nn.Module]
    loss: Loss
    rules: Rules
    remember: bool = False
    turns: list[int] = field(default_factory=list)  # who goes first within a clock; any order

    def __post_init__(self) -> None:
        owners = [id(p) for module in self.modules for p in set(module.parameters())]
        if len(set(owners)) < len(owners):
            raise ValueError("stages share a parameter")
        count = len(self.modules)
        self.stages = [Stage(m, s, count, self.rules) for s, m in enumerate(self.modules, 1)]
        self.turns = self.turns or list(range(1, count + 1))
        self.clock = 0
        self.entered = 0

    def run(self, samples: Sequence[Sample]) -> Outcome:
        """Send samples in, one per clock, and go on until the pipe is empty.

        A further run goes on with the same weights, velocities, clock and numbering.
        """
        if not samples or len(samples) % self.rules.update_size:
            raise ValueError(
                f"{len(samples)} samples do not make updates of {self.rules.update_size}"
            )
        last = len(self.stages)
        clock_0, sample_0, version_0 = self.clock, self.entered, self.stages[0].updates
        assert all(stage.updates == version_0 and not stage.queue for stage in self.stages)
        losses: list[float] = []
        events: list[Event] = []
        busy: list[float] = []

        def note(
            s: int, i: int, kind: Literal["forward", "backward"], version: int, used: list[Tensor]
        ) -> None:
            delay = 2 * (last - s)
            if kind == "forward":
                seen, clock = max(0, i - delay), i + s - 1
            else:
                seen, clock = i, i + 2 * last - 1 - s
            assert version == version_0 + seen // self.rules.update_size, (s, i, kind)
            assert self.clock == clock_0 + clock, (s, i, kind)
            horizon = self.stages[s - 1].horizons[kind == "backward"]
            weights = tuple(w.clone() for w in used) if self.remember else None
            events.append(Event(self.clock, s, sample_0 + i, kind, version, horizon, weights))

        activations: dict[int, tuple[int, Activation]] = {}
        gradients: dict[int, tuple[int, Gradient]] = {}
        done = 0
        while done < len(samples):
            arriving, returning = activations, gradients
            activations, gradients = {}, {}
            if self.entered - sample_0 < len(samples):
                arriving[1] = (self.entered - sample_0, samples[self.entered - sample_0][0])
                self.entered += 1
            before = len(events)
            for s in self.turns:
                stage = self.stages[s - 1]
                if s in arriving:
                    i, x = arriving[s]
                    y, used = stage.forward(i, x)
                    note(s, i, "forward", stage.updates, used)
                    if s < last:
                        activations[s + 1] = (i, y)
                    else:
                        size = self.rules.update_size
                        value, gradient = _loss(self.loss, y, samples[i][1], size)
                        losses.append(value)
                        returning[s] = (i, gradient)
                if s in returning:
                    i, gradient = returning[s]
                    version = stage.updates
                    gradient, used = stage.backward(i, gradient)
                    note(s, i, "backward", version, used)
                    if s > 1:
                        gradients[s - 1] = (i, gradient)
                    else:
                        done += 1
            busy.append((len(events) - before) / (2 * last))
            self.clock += 1

        return Outcome(
            [stage.state() for stage in self.stages],
            losses,
            events,
            busy,
            [stage.most_in_flight for stage in self.stages],
        )


def simulate(
    modules: Sequence[nn.Module],
    samples: Sequence[Sample],
    loss: Loss,
    rules: Rules,
    remember: bool = False,
) -> Outcome:
    """Train the stages on the samples, each once and in order, and drain."""
    return Pipe(modules, loss, rules, remember).run(samples)


def _leaf(x: Tensor, wanted: bool = True) -> Tensor:
    return x.detach().requires_grad_(wanted and x.is_floating_point())


def _loss(loss: Loss, y: Activation, target: Tensor, size: int) -> tuple[float, Gradient]:
    leaves = tuple(_leaf(part) for part in y) if isinstance(y, tuple) else _leaf(y)
    value = loss(leaves, target)
    (value / size).backward()  # type: ignore[no-untyped-call]
    if isinstance(leaves, tuple):
        return value.item(), tuple(leaf.grad for leaf in leaves)
    return value.item(), leaves.grad


def _autograd(
    module: nn.Module, x: Activation, refuse: bool = False
) -> tuple[Activation, Callable[[Gradient], Gradient]]:
    """Run a stage and return how to go back, with the weights that it holds by then.

    ``refuse`` modules for which that is not so.
    """
    many = isinstance(x, tuple)
    leaves = tuple(_leaf(part) for part in (x if isinstance(x, tuple) else (x,)))
    # Copies, so that a module that works in place neither meets a leaf nor changes what was sent.
    inputs = tuple(leaf.clone() for leaf in leaves)
    output = module(inputs if many else inputs[0])
    outputs = output if isinstance(output, tuple) else (output,)
    if refuse:
        _refuse_products_of_weights(module, leaves, outputs)

    def back(gradient: Gradient) -> Gradient:
        arrived = gradient if isinstance(gradient, tuple) else (gradient,)
        pairs = [
            (y, g)
            for y, g in zip(outputs, arrived, strict=True)
            if g is not None and y.requires_grad
        ]
        if pairs:
            torch.autograd.backward([y for y, _ in pairs], [g for _, g in pairs])
        sent = tuple(leaf.grad for leaf in leaves)
        return sent if many else sent[0]

    detached = tuple(y.detach() for y in outputs)
    return (detached if isinstance(output, tuple) else detached[0]), back


def _refuse_products_of_weights(
    module: nn.Module, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> None:
    """Raise if the backward needs a tensor made of weights alone, which new weights do not reach."""
    if not any(x.requires_grad for x in inputs):
        return  # what an embedding returns is made of weights alone, too
    nodes: set[torch.autograd.graph.Node] = set()
    users: dict[torch.autograd.graph.Node, list[torch.autograd.graph.Node]] = {}
    todo = [y.grad_fn for y in outputs if y.grad_fn is not None]
    while todo:
        node = todo.pop()
        if node not in nodes:
            nodes.add(node)
            for source, _ in node.next_functions:
                if source is not None:
                    users.setdefault(source, []).append(node)
                    todo.append(source)
    todo = [n for n in nodes if any(getattr(n, "variable", None) is x for x in inputs)]
    activations: set[torch.autograd.graph.Node] = set()
    while todo:
        node = todo.pop()
        if node not in activations:
            activations.add(node)
            todo += users.get(node, [])
    products = nodes - activations
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    for node in nodes:
        saved = [getattr(node, name) for name in dir(node) if name.startswith("_saved_")]
        for entry in (*saved, getattr(node, "saved_tensors", ())):
            for t in entry if isinstance(entry, tuple) else (entry,):
                if (
                    isinstance(t, Tensor)
                    and t.grad_fn in products
                    and t.untyped_storage().data_ptr() not in own
                ):
                    raise ValueError(f"{type(module).__name__} computes with products of weights")


def _formula(module: nn.Module, x: Activation) -> tuple[Activation, Callable[[Gradient], Gradient]]:
    """Do as _autograd does, with the derivatives of layers with weights written out.

    ``back`` reads the parameters when it is called; from the forward it has activations only.
    """
    if isinstance(module, nn.Sequential):
        backs = []
        for part in module:
            x, back = _formula(part, x)
            backs.append(back)

        def all_back(gradient: Gradient) -> Gradient:
            for back in reversed(backs):
                gradient = back(gradient)
            return gradient

        return x, all_back
    if not list(module.parameters()):
        return _autograd(module, x)
    assert isinstance(x, Tensor)
    with torch.no_grad():
        if isinstance(module, nn.Linear):
            return _linear(module, x)
        if isinstance(module, nn.Conv2d) and module.padding_mode == "zeros":
            return _convolution(module, x)
        if isinstance(module, nn.GroupNorm):
            return _group_norm(module, x)
    raise ValueError(f"no formula for {type(module).__name__}")


def _add(parameter: Tensor | None, gradient: Tensor) -> None:
    if parameter is not None:
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _linear(module: nn.Linear, x: Tensor) -> tuple[Tensor, Callable[[Gradient], Gradient]]:
    @torch.no_grad()
    def back(g: Gradient) -> Gradient:
        assert isinstance(g, Tensor)
        rows = g.reshape(-1, module.out_features)
        _add(module.weight, rows.T @ x.reshape(-1, module.in_features))
        _add(module.bias, rows.sum(0))
        return g @ module.weight

    return F.linear(x, module.weight, module.bias), back


def _convolution(module: nn.Conv2d, x: Tensor) -> tuple[Tensor, Callable[[Gradient], Gradient]]:
    assert not isinstance(module.padding, str)
    how = (module.stride, module.padding, module.dilation, module.groups)

    @torch.no_grad()
    def back(g: Gradient) -> Gradient:
        assert isinstance(g, Tensor)
        weight = module.weight
        _add(weight, conv2d_weight(x, weight.shape, g, *how))  # type: ignore[no-untyped-call]
        _add(module.bias, g.sum((0, 2, 3)))
        sent: Tensor = conv2d_input(x.shape, weight, g, *how)  # type: ignore[no-untyped-call]
        return sent

    return F.conv2d(x, module.weight, module.bias, *how), back


def _group_norm(module: nn.GroupNorm, x: Tensor) -> tuple[Tensor, Callable[[Gradient], Gradient]]:
    grouped = x.reshape(len(x), module.num_groups, -1)
    variance, mean = torch.var_mean(grouped, -1, correction=0, keepdim=True)
    scale = (variance + module.eps).rsqrt()
    normal = (grouped - mean) * scale
    others = [d for d in range(x.dim()) if d != 1]
    per_channel = (-1, *[1] * (x.dim() - 2))

    @torch.no_grad()
    def back(g: Gradient) -> Gradient:
        assert isinstance(g, Tensor)
        _add(module.weight, (g * normal.view_as(x)).sum(others))
        _add(module.bias, g.sum(others))
        h = (g * module.weight.view(per_channel)).reshape(grouped.shape)
        h = h - h.mean(-1, keepdim=True) - normal * (h * normal).mean(-1, keepdim=True)
        return (h * scale).view_as(x)

    y = normal.view_as(x) * module.weight.view(per_channel) + module.bias.view(per_channel)
    return y, back
