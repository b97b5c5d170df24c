"""The arithmetic of steps on many GPUs: known values, limits, and one GPU is what was timed."""

import math

import pytest

from benchmarks.scaling import Training, cost, timed
from benchmarks.scaling_check import check, foretold
from benchmarks.scaling_model import (
    FLAT_PASSES,
    Cluster,
    Link,
    Method,
    Range,
    added,
    all_reduce,
    binds_first,
    computing,
    exchange,
    hours,
    throughput,
)

FAST, SLOW = Link("fast", 100e9, 0.0), Link("slow", 1e9, 0.0)
CLUSTER = Cluster(FAST, SLOW, per_node=8)
MEMORY = 1e15
GAN = Method("gan", 16, 0.1, (1_000_000, 3_000_000))


def test_a_ring_moves_twice_the_bytes_less_one_part() -> None:
    # 8 GPUs: 2 * 7/8 of 100 GB at 100 GB/s.
    assert all_reduce(100e9, 8, CLUSTER) == pytest.approx(1.75)
    assert all_reduce(100e9, 2, CLUSTER) == pytest.approx(1.0)
    assert all_reduce(100e9, 1, CLUSTER) == 0.0


def test_between_nodes_all_bytes_go_over_the_one_link_of_a_node() -> None:
    # 8 nodes: 2 * 7/8 of 4 MB at 1 GB/s, after 2 * 7/8 of it at 100 GB/s.
    assert all_reduce(4e6, 64, CLUSTER) == pytest.approx(7e-3 + 7e-5)
    # However many nodes: never more than twice the bytes.
    assert all_reduce(4e6, 8 * 4096, CLUSTER) < 8e-3 + 8e-5


def test_every_step_of_a_ring_waits_once() -> None:
    cluster = Cluster(Link("", math.inf, 1e-5), Link("", math.inf, 1e-4), per_node=4)
    assert all_reduce(1e9, 4, cluster) == pytest.approx(6e-5)
    assert all_reduce(1e9, 12, cluster) == pytest.approx(6e-5 + 4e-4)


def test_gpus_that_fill_no_nodes_are_refused() -> None:
    assert all_reduce(1e6, 5, CLUSTER) > 0  # a part of one node
    with pytest.raises(ValueError, match="12 GPUs are no whole nodes of 8"):
        all_reduce(1e6, 12, CLUSTER)


@pytest.mark.parametrize("keep_global", [False, True])
def test_one_gpu_is_what_was_timed(keep_global: bool) -> None:
    found = throughput(GAN, 1, CLUSTER, MEMORY, keep_global)
    assert found.images == Range(160.0, 160.0)
    assert found.share == 0.0


def test_links_without_limit_scale_in_proportion() -> None:
    free = Cluster(Link("", math.inf, 0.0), Link("", math.inf, 0.0))
    found = throughput(GAN, 64, free, math.inf, keep_global=False)
    assert found.images.low == pytest.approx(64 * 160)
    assert found.images.high == pytest.approx(64 * 160)


def test_each_network_is_sent_once_and_scalars_wait() -> None:
    alone = exchange(GAN, 64, CLUSTER, math.inf)
    assert alone == pytest.approx(all_reduce(1e6, 64, CLUSTER) + all_reduce(3e6, 64, CLUSTER))
    copies = exchange(GAN, 64, CLUSTER, 1e9) - alone
    assert copies == pytest.approx(FLAT_PASSES * 4e6 / 1e9)
    waits = Cluster(Link("", math.inf, 1e-5), Link("", math.inf, 0.0))
    with_means = Method("gan", 16, 0.1, (0,), scalars=3)
    assert exchange(with_means, 8, waits, math.inf) == pytest.approx(4 * 14e-5)
    with_buffers = Method("gan", 16, 0.1, (0,), buffers=16)
    assert exchange(with_buffers, 8, waits, math.inf) == pytest.approx(2 * 14e-5)


def test_a_smaller_share_takes_between_its_part_and_the_whole_time() -> None:
    assert computing(GAN, 4) == Range(0.025, 0.1)
    assert computing(GAN, 32) == Range(0.1, 0.2)
    assert computing(GAN, 16) == Range(0.1, 0.1)
    found = throughput(GAN, 8, Cluster(FAST, SLOW), math.inf, keep_global=True)
    assert found.images.low == pytest.approx(160, rel=0.01)  # no faster than one GPU
    assert found.images.high == pytest.approx(8 * 160, rel=0.01)


def test_a_batch_is_not_shared_by_more_gpus_than_it_has_images() -> None:
    with pytest.raises(ValueError, match="16 images cannot be shared by 64 GPUs"):
        throughput(GAN, 64, CLUSTER, MEMORY, keep_global=True)


def test_what_binds_first() -> None:
    large = Method("large", 16, 0.1, (2_000_000_000,))
    free = Cluster(Link("", 1e15, 0.0), Link("", 1e15, 0.0))
    assert binds_first(GAN, 8, free, MEMORY, False, 1e9) == "arithmetic"
    assert binds_first(GAN, 8, free, MEMORY, False, 100) == "loader"
    assert binds_first(GAN, 8, free, MEMORY, True, 1e9) == "launching"
    assert binds_first(large, 64, CLUSTER, MEMORY, False, 1e9) == "link between nodes"
    assert binds_first(large, 8, CLUSTER, MEMORY, False, 1e9) == "link in the node"


def test_hours_add_up() -> None:
    assert hours(3600, Range(1, 2)) == Range(1, 2)
    assert added([Range(1, 2), Range(3, 5)]) == Range(4, 7)
    with pytest.raises(ValueError, match="no range"):
        Range(2, 1)


def test_the_steps_that_were_timed_and_what_their_networks_send() -> None:
    found = timed()
    # Pix2Pix as its authors have it: 54.41 million parameters in the generator, 2.77 in the other.
    assert found["pix2pix"].gradients == (4 * 2_766_657, 4 * 54_410_433)
    assert 16 / found["pix2pix"].seconds == pytest.approx(472.4, abs=0.1)
    assert found["unet_light"].gradients == (4 * 1_942_323,)
    # Four scalars of a GAN in float32; this U-Net and Pix2Pix keep no running statistics.
    assert (found["se_msg_pggan"].scalars, found["se_msg_pggan"].buffers) == (7, 16)
    assert found["unet_light"].buffers == found["pix2pix"].buffers == 0
    assert "stylegan2" not in found  # its row took too long, and no time is made up for it


def test_hours_of_a_study_are_its_steps() -> None:
    found = {"one": Method("one", 16, 0.036, ())}
    for larger, low, high in ((2.0, 1.0, 2.0), (0.5, 0.5, 1.0)):
        hours_of = cost(Training("", "one", 1e5, larger), found)
        assert (hours_of.low, hours_of.high) == (pytest.approx(low), pytest.approx(high))


def test_all_reduces_are_foretold_by_a_line() -> None:
    by_size = {count: 1e-4 + 4 * count / 1e9 for count in (1000, 100_000, 1_000_000)}
    assert foretold(by_size, [4_000_000, 8]) == pytest.approx(2e-4 + 4_000_008 / 1e9, rel=1e-6)


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_send_each_networks_gradients_once() -> None:
    """A step's all-reduces hold the parameters of both networks, and the model's parts add up."""
    found = check("Pix2Pix, 64 px", 2, rounds=1)
    assert (found.sent, found.small) == (4 * found.parameters, 0)
    assert found.foretold == found.alone + found.exchange > found.exchange > 0
    assert found.measured > 0
