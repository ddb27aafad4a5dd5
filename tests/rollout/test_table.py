"""The table is total, and what must hold over all paths holds."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import HeadgateError
from proxy.model.vocabulary import Phase
from proxy.rollout import (
    After,
    Answer,
    Bake,
    CalendarSeen,
    Command,
    ConfigSeen,
    Event,
    Gate,
    GateAnswered,
    GateType,
    OnTimeout,
    OnUndecided,
    RevisionSeen,
    Rollback,
    RolloutState,
    SetWeights,
    SplitOrdered,
    Tick,
    Tripped,
    Verb,
    from_json,
    to_json,
    weights_of,
)
from proxy.rollout.state import ACTIVE_PHASES
from proxy.rollout.table import COLUMNS, TABLE, Kind, kind_of, rule_for
from tests.support.rollouts import FAIL, MORE, PASS, PLAN, STORIES, Story, begun

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        Tick,
        dt_s=st.just(1.0),
        canary_routed=st.sampled_from([0, 10]),
        stable_routed=st.sampled_from([0, 40]),
        canary_healthy=st.booleans(),
        stable_healthy=st.booleans(),
        canary_capacity=st.sampled_from([1.0, 1.0, 0.5]),
        judgement=st.sampled_from([PASS, PASS, FAIL, MORE, None]),
    ),
    st.builds(CalendarSeen, st.sampled_from(["", "", "fri 16:00"])),
    st.builds(
        GateAnswered,
        st.sampled_from(["shop-1", "shop-2"]),
        st.sampled_from([0, 1, 9]),
        st.sampled_from([0, 1]),
        st.sampled_from(Answer),
        stable_healthy=st.booleans(),
    ),
    st.builds(Tripped, st.just("failing"), stable_healthy=st.booleans()),
    st.builds(
        RevisionSeen, st.sampled_from(["stable", "canary"]), st.sampled_from("123")
    ),
    st.builds(
        ConfigSeen,
        st.sampled_from([0.0, 10.0, 60.0]).map(
            lambda weight: {"stable": 100.0 - weight, "canary": weight}
        ),
    ),
    st.builds(
        Command,
        st.sampled_from(list(Verb)),
        st.just("ann"),
        st.sampled_from(["", "because"]),
        full=st.booleans(),
        override=st.sampled_from(["", "", "hotfix"]),
    ),
    st.builds(
        SplitOrdered,
        st.sampled_from([0.0, 5.0, 30.0, 100.0]).map(lambda w: {"canary": w}),
        st.just("ann"),
        force=st.booleans(),
    ),
)
PLANS = st.builds(
    lambda after, undecided, bake, rollback, gates, window: replace(
        PLAN,
        after=after,
        on_undecided=undecided,
        bake=bake,
        rollback=rollback,
        gates=gates,
        rollback_window=window,
    ),
    st.sampled_from(After),
    st.sampled_from(OnUndecided),
    st.sampled_from([None, Bake(3.0, 1.0)]),
    st.sampled_from([Rollback(), Rollback(gradual=True, interval_s=2.0)]),
    st.sampled_from(
        [
            (),
            (Gate(GateType.CONFIRM_ROLLOUT, "http://a/"),),
            (
                Gate(GateType.PRE_ROLLOUT, "http://a/", on_timeout=OnTimeout.ROLLBACK),
                Gate(GateType.CONFIRM_PROMOTION, "http://b/"),
                Gate(GateType.ROLLBACK, "http://c/"),
            ),
        ]
    ),
    st.sampled_from([0, 2]),
)


def offer(story: Story, event: Event) -> bool:
    """Send an event; a refusal changes nothing and is no failure."""
    before = story.state
    try:
        story.send(event)
    except HeadgateError as refusal:
        return bool(str(refusal)) and story.state is not before
    return True


def test_every_pair_has_a_rule() -> None:
    """Phases times events, nothing missing."""
    assert set(TABLE) == set(Kind)
    assert {len(rules) for rules in TABLE.values()} == {len(COLUMNS)}
    assert set(COLUMNS) == set(Phase)
    for rules in TABLE.values():
        assert all(rule.__doc__ for rule in rules)


def test_every_phase_is_reached_by_its_story() -> None:
    """The support's stories are what they say."""
    assert {phase: tell().state.phase for phase, tell in STORIES.items()} == {
        phase: phase for phase in COLUMNS
    }


@pytest.mark.parametrize("phase", COLUMNS)
@given(event=EVENTS)
@settings(max_examples=40, deadline=None)
def test_every_pair_ends_in_a_known_phase(phase: Phase, event: Event) -> None:
    """No event in no phase raises anything but a sentence."""
    story = STORIES[phase]()
    assert rule_for(phase, event) is TABLE[kind_of(event)][COLUMNS.index(phase)]

    offer(story, event)

    assert story.state.phase in COLUMNS


@given(plan=PLANS, events=st.lists(EVENTS, max_size=40))
@settings(max_examples=200, deadline=None)
def test_what_holds_on_every_path(plan: object, events: list[Event]) -> None:
    """Weights sum to 100, are what is applied, and survive JSON; abort is one step."""
    assert isinstance(plan, type(PLAN))
    story = Story(plan)
    story.config()
    for event in events:
        before = story.state
        try:
            outcome = story.send(event)
        except HeadgateError:
            continue
        assert sum(story.state.split.values()) == pytest.approx(100.0)
        assert min(story.state.split.values()) >= 0.0
        assert from_json(to_json(story.state)) == story.state
        applied = [a.weights for a in outcome.actions if isinstance(a, SetWeights)]
        if story.state.split != before.split:
            assert applied == [weights_of(story.state)]
            assert outcome.decision is not None
        if story.state.phase is not before.phase:
            assert outcome.decision is not None
        if story.state.active:
            aborted = Story(plan, state=story.state)
            aborted.order("abort")
            assert aborted.state.phase is Phase.ROLLED_BACK
            assert aborted.state.canary_weight == 0.0


def canary_live(state: RolloutState) -> float:
    """Return the live weight of the version that failed in these stories."""
    return state.split["canary"]


@given(plan=PLANS, events=st.lists(EVENTS, max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_weight_rises_after_a_failure_without_a_person(
    plan: object, events: list[Event]
) -> None:
    """The failed revision gains nothing from ticks, files or its own reports."""
    assert isinstance(plan, type(PLAN))
    story = begun(plan)
    story.tick(FAIL, stable_healthy=False)
    for event in events:
        if isinstance(event, Command | SplitOrdered):
            continue
        if isinstance(event, RevisionSeen):
            event = replace(event, revision="2")  # noqa: PLW2901 - the failed one
        before = canary_live(story.state)

        offer(story, event)

        assert canary_live(story.state) <= before


@given(plan=PLANS, events=st.lists(EVENTS, max_size=40))
@settings(max_examples=200, deadline=None)
def test_the_controller_raises_on_pass_only(plan: object, events: list[Event]) -> None:
    """
    During a run nothing but a pass or a person takes the canary above its grant.

    A gate that opens and a thaw let a pass through that was there before. The
    canary is the version that has the role then: after a swap it is the other.
    """
    assert isinstance(plan, type(PLAN))
    plan = replace(plan, on_undecided=OnUndecided.HOLD)
    story = begun(plan)
    for event in events:
        before = story.state
        if not offer(story, event) or not before.active or before.run is None:
            continue
        tried = before.canary
        if story.state.split[tried] <= before.split[tried]:
            continue
        restored = story.state.split[tried] <= before.run.granted
        passed = isinstance(event, Tick) and event.judgement == PASS
        baked = before.phase is Phase.BAKING
        let_through = before.phase is Phase.WAITING and before.run.then > 0
        by_person = isinstance(event, Command)
        assert by_person or passed or restored or baked or let_through


@given(plan=PLANS, events=st.lists(EVENTS, max_size=40))
@settings(max_examples=200, deadline=None)
def test_nothing_rises_while_frozen(plan: object, events: list[Event]) -> None:
    """A freeze blocks raises, starts and promotions, unless a person overrides it."""
    assert isinstance(plan, type(PLAN))
    story = begun(plan)
    for event in events:
        before = story.state
        if not offer(story, event) or not before.frozen:
            continue
        if isinstance(event, CalendarSeen):
            continue
        said = isinstance(event, Command | SplitOrdered) and event.override
        thaws = isinstance(event, Command) and event.verb is Verb.UNFREEZE
        if said or thaws:
            continue
        tried = before.canary
        assert story.state.split[tried] <= before.split[tried]
        assert before.active or not story.state.active


@given(plan=PLANS, events=st.lists(EVENTS, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_gradual_rollback_never_goes_up(plan: object, events: list[Event]) -> None:
    """From the first step down to 0 nothing gives the canary more, not even people."""
    assert isinstance(plan, type(PLAN))
    story = begun(replace(plan, rollback=Rollback(gradual=True, interval_s=2.0)))
    story.order("promote", override="now")
    story.tick(FAIL)
    for event in events:
        if story.state.phase is not Phase.ROLLING_BACK:
            break
        before = story.weight

        offer(story, event)

        if story.state.phase is Phase.ROLLING_BACK:
            assert story.weight <= before


@pytest.mark.parametrize("phase", sorted(ACTIVE_PHASES))
def test_every_active_phase_has_an_exit_without_a_person(phase: Phase) -> None:
    """A failure on a healthy stable, or stable's recovery, ends each of them."""
    story = STORIES[phase]()
    story.tick(FAIL)

    assert not story.state.active


@pytest.mark.parametrize("phase", sorted(set(COLUMNS) - ACTIVE_PHASES))
def test_every_phase_of_rest_has_an_exit(phase: Phase) -> None:
    """A new revision of what is the canary then starts a run."""
    story = STORIES[phase]()
    story.revision(story.state.canary, "9a")
    story.revision(story.state.canary, "9b")
    story.tick(None)

    assert story.state.phase is Phase.PROGRESSING
