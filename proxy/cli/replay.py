"""
``replay``: what another configuration would have decided in a recorded rollout.

Decides where the recording comes from and how the answer reads; deciding anew
is ``control.replay``.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy import settings
from proxy.analysis.recording import Second, read
from proxy.cli.client import AdminClient
from proxy.cli.plan import duration_text
from proxy.cli.screen import Line, Table, Tone, say, show_table, show_trees
from proxy.control.plans import rollout_plan
from proxy.control.recordings import FORMAT
from proxy.control.replay import Decided, Replayed, replayed
from proxy.errors import RecordingError, SettingsError
from proxy.rollout.plan import RolloutPlan

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recording:
    """A rollout as it was recorded."""

    service: str
    run: Document
    """The rollout as the API's history shows it."""
    decisions: list[Document]
    """What was decided then."""
    seconds: list[Second]


def replay_recording(
    client: AdminClient,
    source: str,
    config: Path,
    save: Path | None,
    output: str,
) -> int:
    """Print what ``config`` would have decided, and what was decided then."""
    lines = _lines(client, source)
    if save is not None:
        save.write_text("".join(f"{line}\n" for line in lines))
    recording = recording_of(lines, source)
    plan = _plan(config, recording.service)
    found = replayed(
        plan,
        recording.seconds,
        service=recording.service,
        revision=recording.run.get("revision"),
    )
    if output == "json":
        say(json.dumps(_json(recording, found), indent=2, ensure_ascii=False))
        return 0
    show_trees([_then(recording)])
    show_table(_table(found))
    show_trees([_outcome(found)])
    return 0


def recording_of(lines: list[str], source: str) -> Recording:
    """
    Return the recording that lines hold.

    Raises:
        RecordingError: they hold none.
    """
    try:
        head = json.loads(lines[0])
        version = head["headgate_recording"]
        seconds = [read(line) for line in lines[1:] if line]
        found = Recording(head["service"], head["run"], head["decisions"], seconds)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise RecordingError(f"{source} is no recording: {error}") from error
    if version != FORMAT:
        raise RecordingError(f"{source} has format {version}, this reads {FORMAT}")
    return found


def _lines(client: AdminClient, source: str) -> list[str]:
    """Return a recording's lines, of a file or of a rollout of a running Headgate."""
    path = Path(source)
    if path.exists():
        try:
            return path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RecordingError(f"{source} cannot be read: {error}") from error
    service, dash, number = source.rpartition("-")
    if not dash or not number.isdigit():
        raise RecordingError(f"{source} is no file, and no rollout such as checkout-7")
    return client.lines("rollouts", service, "recording", rollout=source)


def _plan(config: Path, service: str) -> RolloutPlan:
    """
    Return the plan of a file for the recorded service.

    Raises:
        SettingsError: the file has mistakes, or no rollout of the service.
    """
    services = settings.load(config, os.environ).settings.services
    plan = rollout_plan(services[service]) if service in services else None
    if plan is None:
        raise SettingsError((f"{config}: has no rollout of the service {service}",))
    return plan


def _then(recording: Recording) -> Line:
    """Return what was decided when it was recorded."""
    run = recording.run
    began_s = recording.seconds[0].at_s if recording.seconds else 0.0
    ended_s = recording.seconds[-1].at_s if recording.seconds else 0.0
    text = (
        f"recorded: {run.get('outcome') or run.get('phase')} "
        f"{run.get('reason') or ''}".rstrip()
        + f", {len(recording.seconds)} seconds over {duration_text(ended_s - began_s)}"
    )
    below = tuple(
        Line(str(one.get("at")), f"{one.get('rule')}: {one.get('message')}")
        for one in recording.decisions
    )
    return Line(str(run.get("id") or recording.service), text, below=below)


def _table(found: Replayed) -> Table:
    return Table(
        titles=("AFTER", "RULE", "WEIGHT", "RECORDED", "WHY"),
        rows=tuple(
            (
                duration_text(one.after_s),
                one.decision.rule,
                _weight(one, found),
                f"{one.weight_then:g}%",
                one.decision.message,
            )
            for one in found.decisions
        ),
        tones=tuple(Tone.PLAIN for _ in found.decisions),
    )


def _weight(one: Decided, found: Replayed) -> str:
    run = found.state.run
    name = found.state.canary if run is None else run.canary
    return f"{one.decision.weights_after.get(name, 0.0):g}%"


def _outcome(found: Replayed) -> Line:
    """Return how it would have ended, and what that stands on."""
    state = found.state
    if found.ended:
        tone = Tone.GOOD if state.phase.value == "Succeeded" else Tone.BAD
        text = f"{state.phase} {state.reason} after {duration_text(found.lasted_s)}"
    else:
        step = 0 if state.run is None else state.run.step
        tone = Tone.HELD
        text = f"still {state.phase} in step {step} when the recording ends"
    notes = [
        Line("why", state.message),
        Line("·", "the evidence is of the weights as they were recorded"),
        Line("·", "gates, pauses and freezes are open; fail-fast is not replayed"),
    ]
    notes += [Line("!", f"not recorded, left out: {one}") for one in found.unrecorded]
    return Line("replayed:", text, tone, tuple(notes))


def _json(recording: Recording, found: Replayed) -> Document:
    return {
        "recorded": {"run": recording.run, "decisions": recording.decisions},
        "replayed": {
            "phase": found.state.phase.value,
            "reason": found.state.reason.value,
            "message": found.state.message,
            "ended": found.ended,
            "after_s": round(found.lasted_s, 1),
            "seconds": found.seconds,
            "unrecorded": list(found.unrecorded),
            "decisions": [
                {
                    "after_s": round(one.after_s, 1),
                    "rule": one.decision.rule,
                    "reason": one.decision.reason.value,
                    "message": one.decision.message,
                    "phase": one.decision.phase_after.value,
                    "step": one.decision.step_after,
                    "weights": one.decision.weights_after,
                    "weight_recorded": one.weight_then,
                }
                for one in found.decisions
            ],
        },
    }
