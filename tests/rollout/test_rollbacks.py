"""Rollbacks by steps, known revisions, lost endpoints, silence."""

from dataclasses import replace

from proxy.model.judging import Requests, SloJudgement
from proxy.model.vocabulary import Phase, Reason, Verdict
from proxy.rollout import Bake, OnNoTraffic, Rollback, Strategy, Tripped
from proxy.rollout.clocks import NO_TRAFFIC_ALERT_S, TICK_S_MAX
from tests.support.rollouts import (
    FAIL,
    PASS,
    PLAN,
    STEPS,
    End,
    Story,
    begun,
    idle,
    waiting,
)

GENTLE = replace(PLAN, rollback=Rollback(gradual=True, interval_s=2.0))


def high() -> Story:
    """Return a story at its second step of a plan that rolls back by steps."""
    story = begun(GENTLE)
    story.tick(PASS)
    return story


def test_a_gradual_rollback_goes_down_the_steps() -> None:
    """50, 20, 0: one step each interval, and never up."""
    story = high()
    story.tick(FAIL)
    assert story.seen() == (Phase.ROLLING_BACK, Reason.SLO_VIOLATED, 20.0)
    story.tick(PASS)
    assert story.weight == 20.0
    story.tick(PASS)
    assert story.seen() == (Phase.ROLLED_BACK, Reason.SLO_VIOLATED, 0.0)


def test_fail_fast_and_abort_never_go_by_steps() -> None:
    """They set 0 now, also in the middle of a gradual rollback."""
    ends: tuple[End, ...] = (
        lambda s: s.send(Tripped("failing")),
        lambda s: s.order("abort"),
    )
    for end in ends:
        for falling in (False, True):
            story = high()
            if falling:
                story.tick(FAIL)
            end(story)
            assert (story.state.phase, story.weight) == (Phase.ROLLED_BACK, 0.0)


def test_a_gradual_rollback_holds_while_stable_is_down() -> None:
    """Nothing moves onto a stable without endpoints; then it goes on."""
    story = high()
    story.tick(FAIL)
    for _ in range(9):
        story.tick(stable_healthy=False)
    assert story.seen() == (Phase.ROLLING_BACK, Reason.STABLE_UNHEALTHY, 20.0)
    story.tick()
    assert story.seen() == (Phase.ROLLED_BACK, Reason.SLO_VIOLATED, 0.0)


def test_a_new_revision_waits_until_a_gradual_rollback_is_at_0() -> None:
    """During RollingBack it is only noted."""
    story = high()
    story.tick(FAIL)
    story.revision("canary", "3")
    assert story.weight == 20.0
    for _ in range(2):
        story.tick()
    assert story.state.phase is Phase.ROLLED_BACK
    story.tick(None)
    assert (story.run.revision, story.weight) == ("3", 20.0)


def known() -> Story:
    """Return a story where revision 1, stable before, is deployed as canary again."""
    story = begun(replace(PLAN, rollback_window=2))
    story.tick(PASS)
    story.tick(PASS)
    assert story.state.stable == "canary"
    story.revision("stable", "0")
    story.order("start", full=False)
    story.order("abort")
    story.revision("stable", "1")
    return story


def test_a_recent_stable_skips_the_steps() -> None:
    """A person's start of it is promotion at once; that it was known is recorded."""
    story = known()
    outcome = story.order("start")
    assert story.state.phase is Phase.SUCCEEDED
    assert outcome.decision is not None
    assert outcome.decision.rule == "start-known"


def test_without_a_window_it_takes_every_step() -> None:
    """``rollback_window: 0`` is the default."""
    story = known()
    story.plan = replace(PLAN, rollback_window=0)
    story.order("start")
    assert story.state.split["stable"] == 20.0


def test_weight_follows_the_healthy_endpoints() -> None:
    """Down at once, up again to what the step grants and no further."""
    story = begun()
    story.order("promote")
    story.tick(canary_capacity=0.25)
    assert story.seen() == (Phase.PROGRESSING, Reason.CAPACITY_LIMITED, 25.0)
    story.tick(canary_healthy=False, canary_capacity=0.0)
    assert story.weight == 0.0
    assert "no healthy endpoint" in story.state.message
    story.tick(None)
    assert story.weight == 50.0


def test_capacity_is_not_restored_while_paused_or_frozen() -> None:
    """Neither is a moment in which anything rises."""
    for verb in ("pause", "freeze"):
        story = begun()
        story.tick(canary_capacity=0.1)
        story.order(verb)
        story.tick()
        assert story.weight == 10.0


def test_capacity_comes_back_while_waiting_for_a_person() -> None:
    """The step has passed with that weight; nobody has to be asked for it again."""
    story = waiting()
    story.tick(canary_capacity=0.1)
    assert story.weight == 10.0
    story.tick()
    assert story.weight == 20.0


def test_a_lowered_weight_comes_back_with_resume_and_capacity() -> None:
    """Resumed while endpoints are gone, the step gets its weight when they return."""
    story = begun()
    story.by_hand(canary=5.0)
    story.tick(canary_capacity=0.05)
    story.order("resume")
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 5.0)
    story.tick()
    assert story.weight == 20.0


def test_a_step_that_endpoints_cannot_carry_is_not_entered() -> None:
    """A pass waits for capacity and says so."""
    story = begun()
    story.tick(PASS, canary_capacity=0.4)
    assert story.seen() == (Phase.PROGRESSING, Reason.CAPACITY_LIMITED, 20.0)
    assert "step 2 needs 50 %" in story.state.message
    story.tick(PASS)
    assert story.weight == 50.0


def test_a_canary_that_stays_away_is_rolled_back() -> None:
    """After ``progress_deadline`` without an endpoint, as DeadlineExceeded."""
    story = begun(replace(PLAN, progress_deadline_s=10.0))
    for _ in range(9):
        story.tick(None, canary_healthy=False)
    assert story.state.active
    story.tick(None, canary_healthy=False)
    assert (story.state.phase, story.state.reason) == (
        Phase.ROLLED_BACK,
        Reason.DEADLINE_EXCEEDED,
    )


def test_a_start_that_waits_too_long_for_health_is_told_once() -> None:
    """It goes on waiting: there is nothing to roll back."""
    story = idle()
    story.plan = replace(PLAN, progress_deadline_s=3.0)
    story.revision("canary", "2")
    rules = [story.tick(None, canary_healthy=False).decision for _ in range(9)]
    assert [one.rule for one in rules if one] == ["start-late"]
    story.tick(None)
    assert story.state.phase is Phase.PROGRESSING


def silence(story: Story) -> list[str]:
    """Return the rules that fire in more than five minutes without requests."""
    seconds = int(NO_TRAFFIC_ALERT_S / TICK_S_MAX) + 5
    found = [
        story.tick(None, dt_s=TICK_S_MAX, canary_routed=0, stable_routed=0).decision
        for _ in range(seconds)
    ]
    return [one.rule for one in found if one]


def test_minutes_without_traffic_are_told_once() -> None:
    """``on_no_traffic: hold`` keeps the weight; traffic goes on by itself."""
    story = begun()
    assert silence(story) == ["no-traffic"]
    assert story.seen() == (Phase.PROGRESSING, Reason.NO_TRAFFIC, 20.0)
    story.tick(PASS)
    assert story.weight == 50.0


def test_minutes_without_traffic_may_mean_a_rollback() -> None:
    """``on_no_traffic: rollback``."""
    story = begun(replace(PLAN, on_no_traffic=OnNoTraffic.ROLLBACK))
    assert silence(story) == ["no-traffic"]
    assert story.seen() == (Phase.ROLLED_BACK, Reason.NO_TRAFFIC, 0.0)


def test_an_unfit_stable_does_not_block_the_fix() -> None:
    """Stable breaks an absolute limit that the canary keeps: it goes on."""
    slo = SloJudgement(
        id="error_rate-max",
        verdict=Verdict.PASS,
        stable=0.4,
        canary=0.0,
        value=0.0,
        limit=0.01,
        interval=None,
        requests=Requests(100, 100),
    )
    story = begun()
    outcome = story.tick(replace(PASS, slos=(slo,)))
    assert story.weight == 50.0
    assert outcome.decision is not None
    assert outcome.decision.note == "stable itself breaks error_rate-max"


PREVIEW = replace(
    PLAN,
    strategy=Strategy.BLUE_GREEN,
    steps=(replace(STEPS[0], weight=0.0, min_duration_s=3.0), STEPS[2]),
)


def test_blue_green_previews_and_switches_at_once() -> None:
    """Healthy for its time without live traffic, then everything."""
    story = begun(PREVIEW)
    assert story.seen() == (Phase.PROGRESSING, Reason.NONE, 0.0)
    story.tick(None, canary_healthy=False)
    story.tick(None)
    story.tick(None, canary_routed=0)
    assert "needs 1 s more" in story.state.message
    story.tick(None)
    assert story.seen() == (Phase.SUCCEEDED, Reason.NONE, 100.0)


def test_a_preview_needs_its_mirrored_answers() -> None:
    """And ends the run when the copies fail."""
    story = begun(replace(PREVIEW, mirrored=50))
    for _ in range(4):
        story.tick(None, mirrored=10)
    assert "10 more mirrored answers" in story.state.message
    story.tick(None, mirrored=10)
    assert story.state.phase is Phase.SUCCEEDED

    story = begun(replace(PREVIEW, mirrored=50))
    story.tick(None, mirrored=5, mirror_failed=30)
    assert story.seen() == (Phase.ROLLED_BACK, Reason.FAIL_FAST, 0.0)


def test_blue_green_switches_back_at_once() -> None:
    """While the old version is kept by the bake, abort is one step."""
    story = begun(replace(PREVIEW, bake=Bake(30.0, 1.0)))
    for _ in range(3):
        story.tick(None)
    assert story.seen() == (Phase.BAKING, Reason.NONE, 99.0)
    story.tick()
    story.order("abort")
    assert story.weight == 0.0
