"""The data sets: sizes, splits, fingerprints, normalisation, and what is missing in one sentence."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from zoo.data import cifar10, cifar100, digits, imagenet
from zoo.data.images import fingerprint, stratified
from zoo.errors import UserError

OPTIONS: dict[str, Any] = {"seed": 0, "batch_size": 64, "eval_batch_size": 100}


def test_digits_are_scikit_learns_split_without_overlap() -> None:
    data = digits(**OPTIONS)
    assert data.sizes == {"train": 1257, "validation": 180, "test": 360}
    stored = load_digits()
    ours = torch.cat([s.images for s in data.splits.values()]).flatten(1).float() / 255 * 16
    theirs = torch.from_numpy(stored.images).flatten(1).float()
    assert sorted(map(tuple, ours.round().tolist())) == sorted(map(tuple, theirs.tolist()))
    for split in data.splits.values():
        share = torch.bincount(split.labels) / len(split)
        whole = torch.bincount(torch.from_numpy(stored.target)) / len(stored.target)
        assert (share - whole).abs().max() < 1.01 / len(split)


def test_the_split_does_not_depend_on_the_seed_and_the_order_does() -> None:
    a, b = digits(**OPTIONS), digits(**{**OPTIONS, "seed": 1})
    for name in a.splits:
        assert torch.equal(a.splits[name].images, b.splits[name].images)
    assert a.sha256 == b.sha256
    a.total_batches = b.total_batches = 1
    assert not torch.equal(next(iter(a.train_dataloader()))[1], next(iter(b.train_dataloader()))[1])


def test_the_fingerprint_is_of_the_samples() -> None:
    split = digits(**OPTIONS).splits["train"]
    before = fingerprint(split)
    changed = split.take(torch.arange(len(split)))
    assert fingerprint(changed) == before
    changed.images[5, 0, 3, 3] ^= 1
    assert fingerprint(changed) != before
    relabelled = split.take(torch.arange(len(split)))
    relabelled.labels[5] += 1
    assert fingerprint(relabelled) != before


def test_training_batches_have_mean_zero_and_deviation_one() -> None:
    data = digits(**OPTIONS, crop_padding=0)
    pixels = data.normalise(data.splits["train"].images)
    assert float(pixels.mean()) == pytest.approx(0, abs=1e-4)
    assert float(pixels.std()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("first", [1, 7, 8, 13, 20])
def test_the_stream_is_the_same_from_any_batch(first: int) -> None:
    whole, later = digits(**OPTIONS, flip=True), digits(**OPTIONS, flip=True)
    whole.total_batches = later.total_batches = 25
    stream = later.train_dataloader()
    stream.load_state_dict({"batch": first})
    expected = list(whole.train_dataloader())[first:]
    for (x, y), (x0, y0) in zip(stream, expected, strict=True):
        assert torch.equal(x, x0)
        assert torch.equal(y, y0)
        assert x.shape == (64, 1, 8, 8)


def test_ranks_share_the_batches_that_one_would_train_on() -> None:
    from types import SimpleNamespace

    data = digits(**OPTIONS, flip=True, crop_padding=1)
    data.total_batches = 10
    whole = list(data.train_dataloader())
    for rank in range(2):
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2)
        for (x, y), (x0, y0) in zip(data.train_dataloader(), whole, strict=True):
            assert torch.equal(x, x0[rank::2])
            assert torch.equal(y, y0[rank::2])


def test_evaluation_reads_every_sample_once_in_order_whatever_the_ranks() -> None:
    data = digits(**OPTIONS)
    labels = torch.cat([y for _, y in data.test_dataloader()])
    assert torch.equal(labels, data.splits["test"].labels)
    from zoo.data.images import EvalLoader

    parts = [
        torch.cat([y for _, y in EvalLoader(data, data.splits["test"], r, 3)]) for r in range(3)
    ]
    assert sorted(torch.cat(parts).tolist()) == sorted(labels.tolist())


def test_digits_in_another_size() -> None:
    data = digits(**OPTIONS, image_size=32)
    assert data.splits["train"].images.shape[1:] == (1, 32, 32)
    assert data.image_size == 32


def test_a_stratified_choice_keeps_the_classes_shares() -> None:
    labels = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)
    chosen, rest = stratified(labels, 10)
    assert torch.bincount(labels[chosen]).tolist() == [7, 2, 1]
    assert sorted(torch.cat([chosen, rest]).tolist()) == list(range(100))
    odd, _ = stratified(labels, 33)
    assert len(odd) == 33


def write_cifar(root: Path, name: str, label: str, train: int = 6000, test: int = 50) -> None:
    rng = np.random.default_rng(0)
    picture = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(picture, "png")
    (root / "images" / name).mkdir(parents=True)
    for split, n in (("train", train), ("test", test)):
        rows = [{"bytes": picture.getvalue(), "path": None}] * n
        labels = (np.arange(n) % (10 if name == "cifar10" else 100)).astype(np.int64)
        table = pl.DataFrame({"img": rows, label: labels})
        table.write_parquet(root / "images" / name / f"{split}-00000-of-00001.parquet")


@pytest.mark.parametrize(("make", "name", "label", "classes"), [
    (cifar10, "cifar10", "label", 10), (cifar100, "cifar100", "fine_label", 100),
])  # fmt: skip
def test_cifar_in_the_hub_layout_and_from_its_cache(
    tmp_path: Path, make: Any, name: str, label: str, classes: int
) -> None:
    write_cifar(tmp_path, name, label)
    options = {**OPTIONS, "root": str(tmp_path), "cache_dir": str(tmp_path / "cache")}
    first = make(**options)
    assert first.sizes == {"train": 1000, "validation": 5000, "test": 50}
    assert first.num_classes == classes
    assert len(list((tmp_path / "cache").glob(f"{name}-*.npz"))) == 1
    again = make(**options)
    assert again.sha256 == first.sha256
    cache = next((tmp_path / "cache").glob("*.npz"))
    cache.write_bytes(cache.read_bytes()[:1000])
    assert make(**options).sha256 == first.sha256  # a damaged cache is made again
    few = make(**options, train_samples=200)
    assert few.sizes["train"] == 200
    assert torch.bincount(few.splits["train"].labels).min() >= 200 // classes
    with pytest.raises(UserError, match="data.train_samples=1001: there are only 1000"):
        make(**options, train_samples=1001)


def test_cifar_that_is_not_there_says_what_to_download_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    with pytest.raises(UserError) as caught:
        cifar10(**OPTIONS, root=str(tmp_path), cache_dir=str(tmp_path / "cache"))
    sentence = str(caught.value)
    for part in (
        "data=cifar10",
        "uoft-cs/cifar10",
        str(tmp_path / "images" / "cifar10"),
        "data.root=FOLDER",
    ):
        assert part in sentence
    assert "\n" not in sentence


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    for split in ("train", "test"):
        (tmp_path / "cifar10" / f"{split}.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match="train.parquet is no parquet file"):
        cifar10(**OPTIONS, root=str(tmp_path), cache_dir=str(tmp_path / "cache"))


@pytest.mark.data
@pytest.mark.xdist_group("cifar10")
def test_the_real_cifar10(data_root: Path, cifar10_cache: Path) -> None:
    data = cifar10(**OPTIONS, root=str(data_root), cache_dir=str(cifar10_cache))
    assert data.sizes == {"train": 45_000, "validation": 5_000, "test": 10_000}
    pixels = data.splits["train"].images.float() / 255
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx([0.491, 0.482, 0.447], abs=2e-3)
    assert torch.bincount(data.splits["validation"].labels).tolist() == [500] * 10


def write_imagenet(root: Path, per_class: int = 12) -> None:
    rng = np.random.default_rng(0)
    for split, n in (("train", per_class), ("val", 3)):
        for label in ("n01", "n02", "n03"):
            folder = root / "imagenet" / split / label
            folder.mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.jpg")


@pytest.mark.parametrize("workers", [0, 2])
def test_imagenet_from_folders_is_the_same_from_any_batch_and_with_any_workers(
    tmp_path: Path, workers: int
) -> None:
    write_imagenet(tmp_path)
    options = {
        "seed": 0, "batch_size": 4, "eval_batch_size": 2, "image_size": 32,
        "root": str(tmp_path), "cache_dir": str(tmp_path / "cache"),
    }  # fmt: skip
    plain = imagenet(**options, num_workers=0)
    assert plain.sizes == {"train": 33, "validation": 3, "test": 9}
    assert plain.num_classes == 3
    plain.total_batches = 12
    whole = list(plain.train_dataloader())
    assert len(whole) == 12
    assert whole[0][0].shape == (4, 3, 32, 32)

    data = imagenet(**options, num_workers=workers)
    data.total_batches = 12
    stream = data.train_dataloader()
    stream.load_state_dict({"batch": 9})
    for (x, y), (x0, y0) in zip(stream, whole[9:], strict=True):
        assert torch.equal(x, x0)
        assert torch.equal(y, y0)
    assert sum(len(y) for _, y in data.test_dataloader()) == 9
    assert data.sha256 == plain.sha256


def test_imagenet_with_other_classes_in_val_is_refused(tmp_path: Path) -> None:
    write_imagenet(tmp_path)
    (tmp_path / "imagenet" / "val" / "n03").rename(tmp_path / "imagenet" / "val" / "n04")
    with pytest.raises(UserError, match="sort val into the same folders"):
        imagenet(
            seed=0, batch_size=4, eval_batch_size=2, root=str(tmp_path), cache_dir=str(tmp_path)
        )
