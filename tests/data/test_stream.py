"""The order of a run: every sample once an epoch, the same from any starting point."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.stream import BucketOrder, EpochOrder, TrainStream, eval_batches
from zoo.errors import UserError


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5))
def test_no_sample_twice_in_an_epoch_and_no_epoch_like_another(samples, batch_size, seed) -> None:
    if batch_size > samples:
        with pytest.raises(UserError, match=f"data.batch_size={batch_size}"):
            EpochOrder(samples, batch_size, seed)
        return
    order = EpochOrder(samples, batch_size, seed)
    epochs = []
    for epoch in range(3):
        first = epoch * order.batches_per_epoch
        parts = [order[first + i] for i in range(order.batches_per_epoch)]
        assert all(len(p) == batch_size for p in parts)
        whole = torch.cat(parts)
        assert len(whole.unique()) == len(whole) > samples - batch_size
        epochs.append(whole)
    if samples >= 20:
        assert not torch.equal(epochs[0], epochs[1])


def test_a_batch_is_the_same_whatever_was_read_before() -> None:
    a, b = EpochOrder(50, 8, 0), EpochOrder(50, 8, 0)
    walked = [a[i] for i in range(20)]
    assert all(torch.equal(walked[i], b[i]) for i in (19, 3, 12, 0))
    assert not torch.equal(EpochOrder(50, 8, 1)[0], walked[0])


def test_every_sample_is_seen_over_a_few_epochs_although_batches_are_whole() -> None:
    order = EpochOrder(10, 4, 0)
    seen = torch.cat([order[i] for i in range(2 * 20)]).unique()
    assert len(seen) == 10


def test_a_stream_goes_on_from_its_state() -> None:
    def start(first):
        yield from range(first, 10**9)

    whole = list(TrainStream(start, 7))
    cut = TrainStream(start, 7)
    it = iter(cut)
    head = [next(it) for _ in range(3)]
    state = cut.state_dict()
    resumed = TrainStream(start, 7)
    resumed.load_state_dict(state)
    assert head + list(resumed) == whole == list(range(7))
    assert len(resumed) == 7


@given(st.integers(1, 80), st.integers(1, 9), st.integers(0, 3))
def test_bucketed_batches_are_the_epochs_own_samples_in_another_order(samples, batch_size, seed):
    if batch_size > samples:
        return
    lengths = torch.randint(1, 9, (samples,), generator=torch.Generator().manual_seed(samples))
    plain, bucket = EpochOrder(samples, batch_size, seed), BucketOrder(lengths, batch_size, seed)
    walked = [bucket[i] for i in range(2 * plain.batches_per_epoch)]
    for epoch in range(2):
        numbers = range(epoch * plain.batches_per_epoch, (epoch + 1) * plain.batches_per_epoch)
        ours = torch.cat([bucket[i] for i in numbers])
        assert sorted(ours.tolist()) == sorted(torch.cat([plain[i] for i in numbers]).tolist())
    assert all(torch.equal(batch, bucket[i]) for i, batch in reversed(list(enumerate(walked))))


def test_buckets_are_sorted_within_pools_and_shuffled_among_batches(monkeypatch) -> None:
    monkeypatch.setattr(BucketOrder, "POOL", 10)
    lengths = torch.arange(200) % 97
    order = BucketOrder(lengths, 4, 0)
    spreads = [int(lengths[order[i]].max() - lengths[order[i]].min()) for i in range(50)]
    assert sum(spreads) / 50 < 12  # a random batch of four spreads over some 58
    firsts = [int(lengths[order[i]].min()) for i in range(50)]
    assert firsts != sorted(firsts)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
def test_ranks_evaluate_every_row_once_in_equally_many_batches(
    rows: int, size: int, world: int
) -> None:
    if rows < world:
        with pytest.raises(UserError, match=f"devices={world}: a split .* {rows} samples; type"):
            eval_batches(rows, size, 0, world)
        return
    ranks = [eval_batches(rows, size, rank, world) for rank in range(world)]
    assert len({len(batches) for batches in ranks}) == 1
    sizes = [len(batch) for batches in ranks for batch in batches]
    assert min(sizes) > 0
    assert max(sizes) <= (size if world == 1 else max(size, 2))
    assert sorted(r for batches in ranks for b in batches for r in b.tolist()) == [*range(rows)]
    for rank, batches in enumerate(ranks):
        assert [r for b in batches for r in b.tolist()] == [*range(rank, rows, world)]
