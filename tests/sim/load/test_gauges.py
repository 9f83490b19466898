from __future__ import annotations

from voicebot.sim.load.gauges import Gauges, gauges, values

PAGE = """# HELP voicebot_event_loop_lag_seconds By how much the event loop is late now.
# TYPE voicebot_event_loop_lag_seconds gauge
voicebot_event_loop_lag_seconds{worker="1"} 0.0012
voicebot_event_loop_lag_seconds{worker="2"} 0.0042 1700000000000
# TYPE voicebot_tasks gauge
voicebot_tasks{worker="1"} 12
voicebot_tasks{worker="2"} 1.3e1
voicebot_tasks_total 99
voicebot_calls_active 3
"""


def test_workers_gauges_are_put_together() -> None:
    assert gauges(PAGE) == Gauges(loop_lag_s=0.0042, tasks=25, calls_active=3)


def test_page_without_them_tells_nothing() -> None:
    assert gauges("") == Gauges()
    assert gauges("<html>404</html>") == Gauges()


def test_metric_is_known_by_its_whole_name() -> None:
    assert values(PAGE, "voicebot_tasks") == [12.0, 13.0]
    assert values(PAGE, "voicebot_task") == []
