"""Lanes: programs side by side, each lane's in order."""

import threading

from jacdb.ingest.recording.lanes import Lanes


def test_users_28_lanes_call_side_by_side():
    lanes, both = Lanes(2), threading.Barrier(2)
    calls = [lanes.call(number, both.wait, 20) for number in range(2)]  # each waits until the other is there
    assert sorted(call.result() for call in calls) == [0, 1]
    lanes.close()


def test_what_a_lane_calls_is_done_in_order():
    lanes, done = Lanes(2), []
    go = threading.Event()
    first = lanes.call(1, go.wait, 20)
    calls = [lanes.call(number, done.append, number) for number in (3, 5, 7)]
    assert not done
    go.set()
    assert first.result()
    assert [call.result() for call in calls] == [None] * 3
    assert done == [3, 5, 7]
    lanes.close()
