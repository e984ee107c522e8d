"""What the real commands of Slurm 22.05 printed, read."""

import pytest

from overnight_executor_slurm import listing

# squeue, from a cluster on which each of these happened; the comment's and the folder's bars are made up.
_QUEUE = """\
CLUSTER: overnighttest
2|PREEMPTED|ov2|0:02|gres:gpu:h100:2|overnight-0123456789ab-s_2-1a2b3c4d|overnight s/2/train/a1|None|/w/s_2-1a2b3c4d
1|COMPLETING|ov1|0:16|gres:gpu:a100:2|wrap|(null)|None|/tmp/ovslurm/w
3|PENDING||0:00|gres:gpu:a100:2|wrap|(null)|Nodes required for job are DOWN, DRAINED or reserved for jobs in higher \
priority partitions|/tmp/w
4|PENDING||0:00|N/A|wrap|(null)|ReqNodeNotAvail, UnavailableNodes:ov[1-2]|/tmp/a|b
5|RUNNING|ov1|1-02:03:04|N/A|wrap|(null)|None|/tmp/w
slurm_load_jobs error: Unable to contact slurm controller (connect failure)
"""
# sinfo; the cloud nodes are made up.
_NODES = """\
ov1|spot*|mixed|4|4000|1:00:00|REQUEUE|(null)|gpu:a100:2
ov1|urgent|mixed|4|4000|1:00:00|OFF|(null)|gpu:a100:2
ov2|spot*|inval|4|4000|infinite|REQUEUE|nvlink,ib|gpu:h100:2(S:0-1),gpu:1,license:3
c1|cloud|idle~|96|1024000+|7-00:00:00|off|(null)|(null)
c2|cloud|idle*|96|1024000|7-00:00:00|off|(null)|(null)
"""


def test_a_queue_is_read_with_what_each_job_waits_for() -> None:
    found = {record.id: record for record in listing.records(_QUEUE)}
    assert list(found) == ["2", "1", "3", "4", "5"]
    assert found["2"] == listing.Record(
        id="2",
        state="PREEMPTED",
        node="ov2",
        seconds=2.0,
        gres="gres:gpu:h100:2",
        name="overnight-0123456789ab-s_2-1a2b3c4d",
        comment="overnight s/2/train/a1",
        folder="/w/s_2-1a2b3c4d",
    )
    assert found["2"].over
    assert not found["1"].over
    assert found["3"].reason.startswith("Nodes required for job are DOWN")
    assert (found["4"].reason, found["4"].folder) == ("ReqNodeNotAvail, UnavailableNodes:ov[1-2]", "/tmp/a|b")
    assert found["5"].seconds == 93784.0


def test_a_state_that_nobody_has_heard_of_is_no_end() -> None:
    assert not listing.Record("1", "QUANTUM_SUPERPOSED").over


def test_nodes_are_read_with_gpus_limits_and_whether_they_work() -> None:
    ov1, urgent, ov2, cold, silent = listing.nodes(_NODES, "gpu")
    assert (ov1.partition, ov1.default, ov1.usable, ov1.preempted) == ("spot", True, True, True)
    assert (ov1.cpus, ov1.memory_mb, ov1.limit_s, ov1.gpus) == (4, 4000, 3600.0, {"a100": 2})
    assert (urgent.default, urgent.preempted) == (False, False)
    assert (ov2.usable, ov2.limit_s) == (False, None)
    assert (ov2.features, ov2.gpus) == ({"nvlink", "ib"}, {"h100": 2, "": 1})
    assert (cold.usable, cold.memory_mb, cold.gpus, cold.features) == (True, 1024000, {}, frozenset())
    assert not silent.usable


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0:02", 2), ("4:00", 240), ("1:00:00", 3600), ("2-00:00:00", 172800), ("1-02", 93600), ("30", 1800),
     ("infinite", None), ("UNLIMITED", None), ("INVALID", None), ("", None)],
)  # fmt: skip
def test_times_are_seconds(text: str, expected: float | None) -> None:
    assert listing.seconds(text) == expected
