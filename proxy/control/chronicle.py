"""
What is remembered of the seconds of each run: its recording and its windows.

Every tick of a run under way is noted once, with what was judged in it. Nothing
is decided by it.
"""

from proxy.control.clock import Clock
from proxy.control.judging import Judged
from proxy.control.recordings import CHUNK_LINES, Recorder, second_of, seconds_in
from proxy.control.steward import Steward
from proxy.control.windows import Rates, Windows
from proxy.rollout.events import Tick
from proxy.rollout.state import Run


class Chronicle:
    """Notes the seconds of all runs."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self.recorder = recorder
        self._clock = clock
        self._windows: dict[str, Windows] = {}

    def forget(self, service: str) -> None:
        """Let go of a service; what was recorded stays."""
        self.recorder.flush(service)
        self._windows.pop(service, None)

    def note(self, steward: Steward, tick: Tick, judged: Judged | None) -> None:
        """Note a tick, before it changes the state."""
        run = steward.state.run
        if run is None or not steward.state.active:
            return
        now_s = self._clock.unix_s()
        windows = self._windows_of(steward.name, run)
        if judged is not None and windows is not None:
            windows.note(judged.evidence, now_s)
        second = second_of(steward.state, tick, judged, now_s)
        self.recorder.note(steward.name, run.id, second)

    def rates(self, steward: Steward) -> dict[str, list[Rates]]:
        """Return the present run's business metrics over its windows, by event."""
        run = steward.state.run
        windows = None if run is None else self._windows_of(steward.name, run)
        return {} if windows is None else windows.rates(self._clock.unix_s())

    def _windows_of(self, service: str, run: Run) -> Windows | None:
        """Return a run's windows, filled from its recording where they are new."""
        if not run.plan.windows:
            return None
        known = self._windows.get(service)
        if known is not None and known.run_id == run.id:
            return known
        windows = self._windows[service] = Windows(run)
        longest_s = max(one_s for row in run.plan.windows.values() for one_s in row)
        since_s = self._clock.unix_s() - longest_s - CHUNK_LINES
        lines = self.recorder.lines(service, run.id, since_s=since_s)
        for second in seconds_in(lines):
            if second.evidence is not None:
                windows.note(second.evidence, second.at_s)
        return windows
