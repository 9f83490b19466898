"""Random flows: a lying model gets nothing past the engine, and clean flows never come to a standstill."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conversations import Anyone, Liar, PlainCaller, PlainModel, wrongs
from tests.flow.random_flows import clean_random_flows
from voicebot.flow.loader import load_flow
from voicebot.flow.model import Flow
from voicebot.sim.table import play
from voicebot.sim.table_chance import TableFaults

EXAMPLES = settings(
    deadline=None,
    max_examples=120,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@given(clean_random_flows(), st.integers(1, 10**6))
@EXAMPLES
def test_lying_model_gets_nothing_past_the_engine(flow: Flow, seed: int) -> None:
    read = play(load_flow("random", flow), Liar(flow, seed), Anyone(seed), seed=seed, limit_s=1500)
    assert wrongs(read) == []


@given(clean_random_flows(), st.integers(1, 10**6))
@EXAMPLES
def test_clean_flow_is_talked_through_to_its_end(flow: Flow, seed: int) -> None:
    caller = PlainCaller(flow, seed)
    read = play(load_flow("random", flow), PlainModel(), caller, seed=seed, limit_s=1500)
    assert wrongs(read) == []
    assert read.report["ended_reason"] in ("completed", "caller_finished")


@given(clean_random_flows(), st.integers(1, 10**6))
@EXAMPLES
def test_transcripts_that_never_come_let_nothing_past_and_stop_nobody(flow: Flow, seed: int) -> None:
    faults = TableFaults(transcript_loss=0.2)
    lied_to = play(load_flow("random", flow), Liar(flow, seed), Anyone(seed), seed=seed, faults=faults, limit_s=1500)
    assert wrongs(lied_to) == []
    caller = PlainCaller(flow, seed)
    read = play(load_flow("random", flow), PlainModel(), caller, seed=seed, faults=faults, limit_s=1500)
    assert wrongs(read) == []
    assert read.report["ended_reason"] in ("completed", "caller_finished")
