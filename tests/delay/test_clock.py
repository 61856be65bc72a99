"""The oracle of pipelined backpropagation, against torch, arithmetic by hand and itself."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.delay.clock import Event, Pipe, Rules, Sample, Stage, simulate, spike


def mse(y, target) -> Tensor:
    return F.mse_loss(y, target)


def half_square(y, target) -> Tensor:
    return 0.5 * (y - target).square().sum()


def mlp(count: int, width: int = 4, dtype: torch.dtype = torch.float64) -> list[nn.Module]:
    """Stages in the paper's grain: every second one has no weights."""
    torch.manual_seed(1)
    return [(nn.Linear(width, width) if s % 2 == 0 else nn.Tanh()).to(dtype) for s in range(count)]


def vectors(count: int, width: int = 4, dtype: torch.dtype = torch.float64) -> list[Sample]:
    torch.manual_seed(2)
    return [
        (torch.randn(1, width, dtype=dtype), torch.randn(1, width, dtype=dtype))
        for _ in range(count)
    ]


def convolutions(dtype: torch.dtype) -> list[nn.Module]:
    torch.manual_seed(3)
    stages = [
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.Sequential(nn.GroupNorm(4, 8), nn.ReLU(inplace=True)),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2),
        nn.GroupNorm(2, 8),
        nn.Sequential(nn.Conv2d(8, 12, 3, dilation=2, padding=2), nn.Tanh(), nn.GroupNorm(3, 12)),
        nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        nn.Sequential(nn.Linear(48, 16), nn.ReLU(), nn.Linear(16, 5, bias=False)),
    ]
    for stage in stages:
        for part in stage.modules():
            if isinstance(part, nn.GroupNorm):  # not ones and zeros, which hide a lost factor
                nn.init.normal_(part.weight, 1.0, 0.3)
                nn.init.normal_(part.bias, 0.0, 0.3)
    return [stage.to(dtype) for stage in stages]


def images(count: int, dtype: torch.dtype) -> list[Sample]:
    torch.manual_seed(4)
    return [
        (torch.randn(2, 3, 8, 8, dtype=dtype), torch.randint(5, (2,)))  # a micro-batch of two
        for _ in range(count)
    ]


def flat(states) -> Tensor:
    return torch.cat(
        [
            part.flatten()
            for state in states
            for part in [*state.parameters.values(), *state.velocities.values()]
        ]
    )


def distance(one, other) -> float:
    """The largest difference of any weight or velocity, over the largest of all."""
    a, b = flat(one.states), flat(other.states)
    return ((a - b).abs().max() / b.abs().max()).item()


# --- the schedule


@pytest.mark.parametrize("count", [1, 3, 5, 16])
def test_a_forward_misses_the_papers_updates_and_a_backward_none(count: int) -> None:
    samples = 2 * count + 5
    outcome = simulate(mlp(count), vectors(samples), mse, Rules(lr=0.01, momentum=0.9))
    updates = dict.fromkeys(range(1, count + 1), 0)
    for event in outcome.events:
        s, i = event.stage, event.sample
        assert event.version == updates[s]
        if event.kind == "forward":
            assert event.version == max(0, i - 2 * (count - s))
            assert event.clock == i + s - 1
        else:
            assert event.version == i
            assert event.clock == i + 2 * count - 1 - s
            updates[s] += 1
    assert set(updates.values()) == {samples}
    passes = {(e.stage, e.sample, e.kind) for e in outcome.events}
    assert len(passes) == len(outcome.events) == 2 * count * samples
    assert len(outcome.losses) == samples


def test_a_pass_computes_with_the_weights_of_its_version() -> None:
    count = 5
    outcome = simulate(mlp(count), vectors(20), mse, Rules(0.05, 0.9), remember=True)
    made = {(e.stage, e.version): e.weights for e in outcome.events if e.kind == "backward"}
    distinct = set()
    for event in outcome.events:
        assert event.weights is not None
        expected = made[event.stage, event.version]
        assert all(map(torch.equal, event.weights, expected))
        distinct |= {(event.stage, w.sum().item()) for w in event.weights}
    assert len(distinct) == 3 * 2 * 20  # three stages with two tensors each, new at every update


@pytest.mark.parametrize("count", [1, 4, 7])
def test_a_stage_holds_one_activation_more_than_its_delay(count: int) -> None:
    outcome = simulate(mlp(count), vectors(3 * count), mse, Rules(lr=0.01))
    assert outcome.in_flight == [2 * (count - s) + 1 for s in range(1, count + 1)]
    assert sum(outcome.in_flight) == count**2


def test_who_goes_first_within_a_clock_does_not_matter() -> None:
    rules = Rules(0.05, 0.9, compensate=True, predict="difference")
    outcomes = [
        Pipe(mlp(5), mse, rules, turns=turns).run(vectors(20))
        for turns in ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 1, 5, 2, 4])
    ]
    assert outcomes[0].losses == outcomes[1].losses == outcomes[2].losses
    assert torch.equal(flat(outcomes[0].states), flat(outcomes[1].states))
    assert torch.equal(flat(outcomes[0].states), flat(outcomes[2].states))


@pytest.mark.parametrize(("count", "samples"), [(1, 3), (3, 5), (5, 2), (16, 20)])
def test_filling_and_draining_takes_the_papers_share(count: int, samples: int) -> None:
    pipe = Pipe(mlp(count), mse, Rules(lr=0.01, update_size=samples))
    for _ in range(3):
        outcome = pipe.run(vectors(samples))
        assert outcome.clocks == samples + 2 * (count - 1)
        assert outcome.utilisation == pytest.approx(samples / (samples + 2 * (count - 1)))
    assert pipe.clock == 3 * (samples + 2 * (count - 1))


def test_a_full_pipe_is_busy() -> None:
    outcome = simulate(mlp(4), vectors(20), mse, Rules(lr=0.01))
    assert all(share == 1 for share in outcome.busy[6:20])
    assert all(share < 1 for share in [*outcome.busy[:6], *outcome.busy[20:]])


# --- without a delay it is torch's SGD


@pytest.mark.parametrize("by", ["autograd", "formula"])
@pytest.mark.parametrize("kind", ["momentum", "nesterov", "plain"])
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("lr", [0.05, lambda t: 0.1 / (1 + t)])
def test_one_stage_is_torchs_sgd_to_the_bit(by, kind, decay, lr) -> None:
    """The spike of a delay of one, a = m and b = 1, is Nesterov's momentum as torch writes it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 4))
    samples = vectors(30, dtype=torch.float32)
    momentum = 0.0 if kind == "plain" else 0.9
    rules = Rules(
        lr, momentum, decay, by=by, compensate=spike(1, 0.9) if kind == "nesterov" else False
    )
    outcome = simulate([net], samples, mse, rules)

    rate = lr if callable(lr) else lambda t: lr
    optimizer = torch.optim.SGD(
        net.parameters(), rate(0), momentum, weight_decay=decay, nesterov=kind == "nesterov"
    )
    losses = []
    for t, (x, y) in enumerate(samples):
        optimizer.param_groups[0]["lr"] = rate(t)
        optimizer.zero_grad()
        loss = mse(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if by == "autograd":
        assert outcome.losses == losses
    for name, p in net.named_parameters():
        ours = outcome.states[0].parameters[name]
        if by == "autograd":
            assert torch.equal(ours, p)
        torch.testing.assert_close(ours, p.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stages", [1, 5])
def test_draining_for_every_update_is_training_on_batches(stages: int) -> None:
    modules = mlp(5) if stages == 5 else [nn.Sequential(*mlp(5))]
    samples = vectors(24)
    pipe = Pipe(modules, mse, Rules(0.05, 0.9, 0.01, update_size=4))
    net = nn.Sequential(*mlp(5))
    optimizer = torch.optim.SGD(net.parameters(), 0.05, 0.9, weight_decay=0.01)
    for start in range(0, 24, 4):
        batch = samples[start : start + 4]
        outcome = pipe.run(batch)
        optimizer.zero_grad()
        mse(net(torch.cat([x for x, _ in batch])), torch.cat([y for _, y in batch])).backward()
        optimizer.step()
    theirs = torch.cat([p.detach().flatten() for p in net.parameters()])
    ours = torch.cat([p.flatten() for s in outcome.states for p in s.parameters.values()])
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


# --- with a delay


def recurrence(weights, samples, rules: Rules, spikes, horizons):
    """Train y = w_S ... w_1 x in plain numbers, counting in samples; return weights and losses.

    Stages are counted from 0; the one before the last has a delay of two.
    """
    count = len(weights)
    W = [[w] for w in weights]
    V = [[0.0] for _ in weights]
    losses = []
    rate = rules.lr if callable(rules.lr) else lambda k: rules.lr

    def slowed(k, s):
        tau = max(1, 2 * (count - 1 - s))
        return rate(k) / (tau ** (1 - min(k / rules.pipemare, 1)) if rules.pipemare else 1)

    def ahead(s, k, horizon):
        if rules.predict == "difference":
            return W[s][k] + horizon * (W[s][k] - W[s][max(0, k - 1)])
        return W[s][k] - slowed(k, s) * horizon * V[s][k]

    for i, (x, target) in enumerate(samples):
        a = [x]
        used = []
        for s in range(count):
            used.append(ahead(s, max(0, i - 2 * (count - 1 - s)), horizons[s][0]))
            a.append(used[s] * a[s])
        d = a[count] - target
        losses.append(0.5 * d * d)
        for s in reversed(range(count)):
            w, v = W[s][i], V[s][i]
            g = d * a[s] + rules.weight_decay * w
            if rules.correct is not None and s < count - 1:
                # The average of the moves so far, from its definition.
                late = 2 * (count - 1 - s)
                g_s = rules.correct ** (1 / late)
                moves = [W[s][k + 1] - W[s][k] for k in range(i)]
                drift = sum((1 - g_s) * g_s ** (i - 1 - k) * x for k, x in enumerate(moves))
                d *= w - late * drift
            else:
                d *= used[s] if rules.backward == "stash" else ahead(s, i, horizons[s][1])
            v = rules.momentum * v + g
            W[s].append(w - slowed(i, s) * (spikes[s][0] * v + spikes[s][1] * g))
            V[s].append(v)
    return [w[-1] for w in W], [v[-1] for v in V], losses


def chain(weights, pairs) -> tuple[list[nn.Module], list[Sample]]:
    stages: list[nn.Module] = []
    for w in weights:
        stage = nn.Linear(1, 1, bias=False).double()
        nn.init.constant_(stage.weight, w)
        stages.append(stage)
    xs, ys = torch.tensor(pairs, dtype=torch.float64).T.reshape(2, -1, 1, 1)
    return stages, list(zip(xs, ys, strict=True))


COUNT = 4
DELAYS = [6, 4, 2, 0]
M = 0.8
NO_SPIKES = [(1.0, 0.0)] * COUNT
SPIKES = [(M**d, sum(M**k for k in range(d))) for d in DELAYS]
NO_HORIZONS = [(0, 0)] * COUNT
HORIZONS = [(d, 0) for d in DELAYS]
CASES = {
    "paper's plain": (Rules(0.03, M), NO_SPIKES, NO_HORIZONS),
    "no momentum": (Rules(0.03), NO_SPIKES, NO_HORIZONS),
    "decay": (Rules(0.03, M, 0.1), NO_SPIKES, NO_HORIZONS),
    "schedule": (Rules(lambda t: 0.05 / (1 + t / 5), M), NO_SPIKES, NO_HORIZONS),
    "stash": (Rules(0.03, M, 0.1, backward="stash"), NO_SPIKES, NO_HORIZONS),
    "spike": (Rules(0.03, M, 0.1, compensate=True), SPIKES, NO_HORIZONS),
    "given spike": (Rules(0.03, M, compensate=(0.3, 2)), [(0.3, 2)] * COUNT, NO_HORIZONS),
    "spike for 2D": (
        Rules(0.01, M, compensate=lambda d: spike(2 * d, M)),
        [(M ** (2 * d), sum(M**k for k in range(2 * d))) for d in DELAYS],
        NO_HORIZONS,
    ),
    "velocity": (Rules(0.03, M, 0.1, predict="velocity"), NO_SPIKES, HORIZONS),
    "difference": (
        Rules(lambda t: 0.05 / (1 + t / 5), M, 0.1, predict="difference"),
        NO_SPIKES,
        HORIZONS,
    ),
    "velocity and spike": (
        Rules(lambda t: 0.02 / (1 + t / 5), M, 0.1, predict="velocity", compensate=True),
        SPIKES,
        HORIZONS,
    ),
    "difference and spike": (
        Rules(lambda t: 0.02 / (1 + t / 5), M, 0.1, predict="difference", compensate=True),
        SPIKES,
        HORIZONS,
    ),
    "velocity, stashed": (
        Rules(0.03, M, predict="velocity", backward="stash"),
        NO_SPIKES,
        HORIZONS,
    ),
    "horizon of 3": (Rules(0.03, M, predict="velocity", horizon=3), NO_SPIKES, [(3, 0)] * COUNT),
    "twice as far": (
        Rules(0.01, M, predict="velocity", horizon=lambda d: 2 * d),
        NO_SPIKES,
        [(2 * d, 0) for d in DELAYS],
    ),
    "spectrain": (
        Rules(lambda t: 0.02 / (1 + t / 5), M, predict="spectrain"),
        NO_SPIKES,
        [(6, 0), (5, 1), (4, 2), (3, 3)],
    ),
    "pipemare": (Rules(0.05, M, pipemare=20), NO_SPIKES, NO_HORIZONS),
    "pipemare's correction": (Rules(0.05, M, 0.1, correct=0.135), NO_SPIKES, NO_HORIZONS),
    "both of pipemare's": (Rules(0.05, M, pipemare=20, correct=0.3), NO_SPIKES, NO_HORIZONS),
}


@pytest.mark.parametrize("case", CASES)
def test_a_chain_of_numbers_follows_the_recurrence(case: str) -> None:
    rules, spikes, horizons = CASES[case]
    start = [0.9, 1.2, -0.8, 1.1]
    torch.manual_seed(0)
    pairs = [(x, 0.7 * x + 0.1) for x in torch.randn(40, dtype=torch.float64).tolist()]
    weights, velocities, losses = recurrence(start, pairs, rules, spikes, horizons)

    stages, samples = chain(start, pairs)
    for by in ("autograd", "formula"):
        outcome = simulate(stages, samples, half_square, replace(rules, by=by))
        assert outcome.losses == pytest.approx(losses, rel=1e-10)
        ends = [s.parameters["weight"].item() for s in outcome.states]
        assert ends == pytest.approx(weights, rel=1e-10)
        ends = [s.velocities["weight"].item() for s in outcome.states]
        assert ends == pytest.approx(velocities, rel=1e-10)


def test_the_cases_of_the_recurrence_differ() -> None:
    """Otherwise their agreement says nothing."""
    pairs = [(x, 0.7 * x + 0.1) for x in torch.linspace(-1, 2, 40).tolist()]
    ends = [recurrence([0.9, 1.2, -0.8, 1.1], pairs, *case)[0] for case in CASES.values()]
    for one, other in itertools.combinations(ends, 2):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 1e-4


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"backward": "stash"},
        {"predict": "velocity", "compensate": True},
        {"predict": "spectrain"},
        {"update_size": 2, "predict": "difference"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_autograd_with_swapped_weights_is_the_derivative_by_hand(options, dtype, tolerance) -> None:
    one, other = (
        simulate(
            convolutions(dtype),
            images(24, dtype),
            F.cross_entropy,
            Rules(0.02, 0.8, 1e-3, by=by, **options),
        )
        for by in ("autograd", "formula")
    )
    assert distance(one, other) < tolerance
    assert one.losses == pytest.approx(other.losses, rel=10 * tolerance)


def test_inconsistency_is_not_stashing() -> None:
    """The difference that the comparison with the formulas would have to see is a large one."""
    samples = images(24, torch.float64)
    one, other = (
        simulate(
            convolutions(torch.float64), samples, F.cross_entropy, Rules(0.02, 0.8, backward=b)
        )
        for b in ("inconsistent", "stash")
    )
    assert distance(one, other) > 1e-3


@pytest.mark.parametrize("backward", ["inconsistent", "stash"])
def test_at_a_rate_of_zero_all_gradients_are_exact(backward) -> None:
    samples = images(16, torch.float64)
    net = nn.Sequential(*convolutions(torch.float64))
    for part in net.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
    outcome = simulate(
        convolutions(torch.float64), samples, F.cross_entropy, Rules(0.0, 0.5, backward=backward)
    )
    velocity = [torch.zeros_like(p) for p in net.parameters()]
    for x, y in samples:
        grads = torch.autograd.grad(F.cross_entropy(net(x), y), list(net.parameters()))
        velocity = [0.5 * v + g for v, g in zip(velocity, grads, strict=True)]
    ours = [v for s in outcome.states for v in s.velocities.values()]
    for v, expected in zip(ours, velocity, strict=True):
        torch.testing.assert_close(v, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("predict", [None, "velocity"])
def test_stashing_differentiates_the_network_that_made_the_loss(predict) -> None:
    """Each sample's gradient is that of one network, put together from weights of several ages."""
    samples = vectors(20)
    rules = Rules(0.05, 0.9, backward="stash", predict=predict)
    outcome = simulate(mlp(5), samples, mse, rules, remember=True)
    net = mlp(5)
    velocity = [[torch.zeros_like(p) for p in stage.parameters()] for stage in net]
    forwards = {(e.stage, e.sample): e.weights for e in outcome.events if e.kind == "forward"}
    for i, (x, y) in enumerate(samples):
        for s, stage in enumerate(net, 1):
            for p, w in zip(stage.parameters(), forwards[s, i] or (), strict=True):
                p.data = w.clone()
        loss = mse(nn.Sequential(*net)(x), y)
        assert loss.item() == outcome.losses[i]
        for stage, velocities in zip(net, velocity, strict=True):
            parameters = list(stage.parameters())
            if parameters:
                for v, g in zip(
                    velocities,
                    torch.autograd.grad(loss, parameters, retain_graph=True),
                    strict=True,
                ):
                    v.mul_(0.9).add_(g)
    for state, velocities in zip(outcome.states, velocity, strict=True):
        for ours, expected in zip(state.velocities.values(), velocities, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-14)


# --- predictions and peers


def test_the_two_predictions_agree_under_plain_momentum_only() -> None:
    samples = vectors(40)

    def apart(**options) -> float:
        one, other = (
            simulate(mlp(7), samples, mse, Rules(0.01, 0.9, predict=how, **options))
            for how in ("velocity", "difference")
        )
        return distance(one, other)

    assert apart() < 1e-12
    assert apart(weight_decay=0.1) < 1e-12  # decay is part of the velocity
    assert apart(update_size=2) < 1e-12
    assert apart(compensate=True) > 1e-4
    predicted = simulate(mlp(7), samples, mse, Rules(0.01, 0.9, predict="velocity"))
    assert distance(predicted, simulate(mlp(7), samples, mse, Rules(0.01, 0.9))) > 1e-4


def test_a_late_spike_moves_the_weights_as_far_as_the_punctual_gradients_would_have() -> None:
    """D steps after a gradient comes late, everything is where it would be without the delay."""
    for delay in (1, 2, 6):
        a, b = spike(delay, 0.9)
        v = punctual = 0.0
        for t in range(delay + 1):
            v = 0.9 * v + (t == 0)
            punctual += v
        assert a * 1.0 + b == pytest.approx(punctual)  # the first step after the delay
    assert spike(0, 0.9) == (1.0, 0.0)
    assert spike(1, 0.9) == pytest.approx((0.9, 1.0))


def test_spectrain_looks_at_one_moment_from_everywhere() -> None:
    outcome = simulate(mlp(5), vectors(20), mse, Rules(0.01, 0.9, predict="spectrain"))
    for event in outcome.events:
        if event.sample < 8:  # while the pipe fills there is nothing to look from
            continue
        update = event.version + event.horizon  # ... is current at this stage from its next clock
        clock = update + 2 * 5 - 1 - event.stage
        assert clock == event.sample + 2 * 5 - 2


# --- more than one sample per update


@pytest.mark.parametrize(("count", "size"), [(1, 4), (3, 2), (4, 3), (5, 8)])
def test_an_update_of_several_samples_has_a_delay_of_d_over_n_on_average(count, size) -> None:
    outcome = simulate(mlp(count), vectors(6 * size), mse, Rules(0.01, 0.9, update_size=size))
    passes = {(e.stage, e.sample, e.kind): e.version for e in outcome.events}
    for s in range(1, count + 1):
        delay = 2 * (count - s)
        late = [
            passes[s, i, "backward"] - passes[s, i, "forward"] for i in range(3 * size, 6 * size)
        ]
        assert sum(late) / len(late) == pytest.approx(delay / size)
        assert passes[s, 6 * size - 1, "backward"] == 5
        stage = Stage(nn.Linear(1, 1), s, count, Rules(0.1, 0.9, update_size=size))
        assert stage.delay == delay / size


def test_several_samples_per_update_follow_the_recurrence() -> None:
    """One number per stage again, with the groups written out."""
    size, lr, m = 3, 0.05, 0.8
    start = [0.9, 1.2, -0.8]
    torch.manual_seed(0)
    pairs = [(x, 0.7 * x + 0.1) for x in torch.randn(30, dtype=torch.float64).tolist()]
    W, V = [[w] for w in start], [0.0] * 3
    sums = [0.0] * 3
    for i, (x, target) in enumerate(pairs):
        seen = [max(0, i - 4) // size, max(0, i - 2) // size, i // size]
        a = [x]
        for s in range(3):
            a.append(W[s][seen[s]] * a[s])
        d = a[3] - target
        for s in (2, 1, 0):
            sums[s] += d * a[s]
            d *= W[s][i // size]
            if i % size == size - 1:
                a_s, b_s = spike((4, 2, 0)[s] / size, m)
                V[s] = m * V[s] + sums[s] / size
                W[s].append(W[s][-1] - lr * (a_s * V[s] + b_s * sums[s] / size))
                sums[s] = 0.0
    stages, samples = chain(start, pairs)
    outcome = simulate(
        stages, samples, half_square, Rules(lr, m, compensate=True, update_size=size)
    )
    ends = [s.parameters["weight"].item() for s in outcome.states]
    assert ends == pytest.approx([w[-1] for w in W], rel=1e-10)


# --- what travels


class Branch(nn.Module):
    def forward(self, x):
        return x, x


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, pair):
        kept, x = pair
        return kept, torch.tanh(self.layer(x))


class Join(nn.Module):
    def forward(self, pair):
        return pair[0] + pair[1]


def test_a_residual_travels_beside_the_activation() -> None:
    torch.manual_seed(0)
    first = nn.Linear(4, 4).double()
    inner = [Inner().double(), Inner().double()]
    stages = [first, Branch(), *inner, Join()]
    samples = vectors(12)
    outcome = simulate(stages, samples, mse, Rules(0.0, 0.5))
    velocity = [torch.zeros_like(p) for p in nn.ModuleList(stages).parameters()]
    for x, y in samples:
        h = first(x)
        r = torch.tanh(inner[1].layer(torch.tanh(inner[0].layer(h))))
        parameters = list(nn.ModuleList(stages).parameters())
        grads = torch.autograd.grad(mse(h + r, y), parameters)
        velocity = [0.5 * v + g for v, g in zip(velocity, grads, strict=True)]
    ours = [v for s in outcome.states for v in s.velocities.values()]
    for v, expected in zip(ours, velocity, strict=True):
        torch.testing.assert_close(v, expected, rtol=1e-12, atol=1e-14)


def test_whole_numbers_may_enter_and_frozen_weights_stay() -> None:
    torch.manual_seed(0)
    frozen = nn.Linear(4, 4)
    frozen.weight.requires_grad_(False)
    stages = [nn.Embedding(10, 4), frozen, nn.Linear(4, 3)]
    samples = [(torch.tensor([i % 10]), torch.tensor([i % 3])) for i in range(12)]
    outcome = simulate(stages, samples, F.cross_entropy, Rules(0.1, 0.9, 0.1))
    assert list(outcome.states[1].parameters) == ["bias"]
    assert not torch.equal(outcome.states[0].parameters["weight"], stages[0].weight)


def test_the_callers_modules_and_samples_stay_as_they_were() -> None:
    stages = [nn.ReLU(inplace=True), *mlp(3)]
    samples = vectors(8)
    before = copy.deepcopy((stages, samples))
    simulate(stages, samples, mse, Rules(0.1, 0.9))
    for stage, old in zip(stages, before[0], strict=True):
        assert all(map(torch.equal, stage.parameters(), old.parameters()))
        assert all(p.grad is None for p in stage.parameters())
    for (x, _), (old_x, _) in zip(samples, before[1], strict=True):
        assert torch.equal(x, old_x)
        assert not x.requires_grad


def test_a_second_run_goes_on_where_the_first_ended() -> None:
    pipe = Pipe(mlp(3), mse, Rules(lambda t: 0.1 / (1 + t), 0.9))
    first, second = pipe.run(vectors(5)), pipe.run(vectors(4))
    assert [e.version for e in second.events if e.kind == "backward" and e.stage == 1] == [
        5,
        6,
        7,
        8,
    ]
    event: Event = second.events[0]
    assert (event.clock, event.sample, event.version) == (first.clocks, 5, 5)


def test_what_it_cannot_do_it_refuses() -> None:
    tied = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="share a parameter"):
        Pipe([tied, nn.Sequential(tied)], mse, Rules(0.1))
    with pytest.raises(ValueError, match="updates of 2"):
        simulate(mlp(3), vectors(5), mse, Rules(0.1, update_size=2))
    with pytest.raises(ValueError, match="no formula for LayerNorm"):
        simulate([nn.LayerNorm(4).double()], vectors(1), mse, Rules(0.1, by="formula"))
    with pytest.raises(ValueError, match="SpecTrain"):
        Rules(0.1, predict="spectrain", backward="stash")
    with pytest.raises(ValueError, match="a correction is of backward weights"):
        Rules(0.1, correct=0.1, backward="stash")
    with pytest.raises(ValueError, match="needs a prediction"):
        Rules(0.1, horizon=2)


class Standardised(nn.Conv2d):
    def forward(self, x):
        w = self.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / w.std((1, 2, 3), keepdim=True)
        return self._conv_forward(x, w, self.bias)


@pytest.mark.parametrize(
    "layer", [Standardised(3, 3, 1), nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 1))]
)
def test_products_of_weights_are_refused_where_the_weights_change(layer: nn.Module) -> None:
    samples = [(torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)) for _ in range(6)]
    for rules in (Rules(0.1), Rules(0.1, predict="spectrain")):
        with pytest.raises(ValueError, match="products of weights"):
            simulate([layer, nn.Tanh()], samples, mse, rules)
    with pytest.raises(ValueError, match="products of weights"):
        simulate([nn.Tanh(), layer], samples, mse, Rules(0.1, predict="velocity", horizon=1))
    simulate([nn.Tanh(), layer], samples, mse, Rules(0.1))
    simulate([layer, nn.Tanh()], samples, mse, Rules(0.1, backward="stash"))


def test_views_of_weights_and_plain_layers_are_not_refused() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(3))
            self.layers = nn.Sequential(
                nn.Conv2d(3, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.PReLU(),
                nn.Conv2d(4, 3, 1),
                nn.LayerNorm([3, 4, 4]),
                nn.MaxPool2d(3, 1, 1),
            )

        def forward(self, x):
            return x + self.gain.view(3, 1, 1) * self.layers(x)

    samples = [(torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)) for _ in range(6)]
    simulate([Scaled(), nn.Tanh(), nn.Tanh()], samples, mse, Rules(0.01, predict="velocity"))
