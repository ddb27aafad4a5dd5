"""
``explain``: what was seen, which rule fired, and which weights came of it.

Decides which decision is meant and how its record reads; the record itself was
made when the decision was.
"""

import json
from dataclasses import replace

from proxy.cli.client import AdminClient
from proxy.cli.figures import number, word
from proxy.cli.screen import Line, printable, say, show_trees
from proxy.cli.view import Document, slo_line, split_text, tone_of
from proxy.errors import AdminError

PAGES_MAX = 1000
"""Pages of 500 decisions: far more than a rollout of a year makes."""
DEPTH_MAX = 6
"""Evidence is nested by route, arm and figure."""


def explain(
    client: AdminClient, service: str, decision: int | None, output: str
) -> int:
    """Print one decision, the latest if no number is given."""
    found = (
        _numbered(client, service, decision) if decision else _latest(client, service)
    )
    if output == "json":
        say(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show_trees([decision_tree(service, found)])
    return 0


def decision_tree(service: str, decision: Document) -> Line:
    """Return the record of one decision as a tree."""
    before, after = decision.get("weights_before"), decision.get("weights")
    below = [
        Line("when", f"{word(decision.get('at'))} by {word(decision.get('who'))}"),
        Line("rule", _rule(decision)),
        Line("why", word(decision.get("message"))),
        *([Line("note", decision["note"])] if decision.get("note") else ()),
        Line("phase", _change(decision.get("phase_before"), decision.get("phase"))),
        Line(
            "weights",
            _change(before and split_text(before), after and split_text(after)),
        ),
        Line("step", word(decision.get("step"))),
        Line("verdict", word(decision.get("verdict"))),
        *_keys(decision),
    ]
    slos = tuple(_slo(slo) for slo in decision.get("slos") or ())
    if slos:
        below.append(Line("slos", below=slos))
    evidence = tuple(_branches(decision.get("evidence") or {}, DEPTH_MAX))
    if evidence:
        below.append(Line("evidence", below=evidence))
    below.append(Line("plan", word(decision.get("plan_hash"))))
    if decision.get("config_hash"):
        below.append(Line("config", str(decision["config_hash"])[:16]))
    title = f"decision {decision['number']} of rollout {word(decision.get('rollout'))}"
    return Line(service, title, tone_of(decision), tuple(below))


def _keys(decision: Document) -> list[Line]:
    """Return how far both keys were open, which together mean ``fail``."""
    evidence = decision.get("evidence") or {}
    levels = decision.get("levels") or {}
    names = {"worse": "worse than stable", "beyond": "beyond the limits"}
    told = [
        _key(name, evidence[key], levels.get(key))
        for key, name in names.items()
        if evidence.get(key) is not None
    ]
    return [Line("keys", ", ".join(told))] if told else []


def _key(name: str, evidence: float, level: float | None) -> str:
    """Return one key: its e-value, and where it opens."""
    text = f"{name} {number(evidence)}"
    if not level:
        return text
    opens = 1.0 / level
    return f"{text} ({'open' if evidence >= opens else 'opens'} at {number(opens)})"


def _slo(slo: Document) -> Line:
    """Return one objective with its part of the keys and its ratio's bounds."""
    line = slo_line(slo)
    below = list(line.below)
    if slo.get("worse") is not None and slo.get("beyond") is not None:
        parts = f"worse {number(slo['worse'])}, beyond {number(slo['beyond'])}"
        below.append(Line("evidence", parts))
    if slo.get("ratio"):
        low, high = slo["ratio"]
        bounds = f"canary's rate is {number(low)} to {number(high)} times stable's"
        below.append(Line("sequence", bounds))
    return replace(line, below=tuple(below))


def _numbered(client: AdminClient, service: str, number: int) -> Document:
    page = client.get("rollouts", service, "decisions", after=number - 1)
    if not page or page[0]["number"] != number:
        raise AdminError(f"{service} has no decision {number}")
    found: Document = page[0]
    return found


def _latest(client: AdminClient, service: str) -> Document:
    """Page through to the last decision; pages come oldest first."""
    last: Document | None = None
    for _ in range(PAGES_MAX):
        after = last["number"] if last else 0
        page = client.get("rollouts", service, "decisions", after=after)
        if not page:
            break
        last = page[-1]
    if last is None:
        raise AdminError(f"nothing was decided about {service} yet")
    return last


def _rule(decision: Document) -> str:
    rule, reason = word(decision.get("rule")), decision.get("reason")
    return f"{rule} ({reason})" if reason else rule


def _change(before: object, after: object) -> str:
    return word(after) if before == after else f"{word(before)} → {word(after)}"


def _branches(document: Document, depth: int) -> list[Line]:
    """Return nested figures as lines: leaves of one object share a line."""
    leaves = {name: value for name, value in document.items() if _is_leaf(value)}
    lines = []
    if leaves:
        text = "  ".join(f"{name} {_leaf(value)}" for name, value in leaves.items())
        lines.append(Line("·", text))
    for name, value in document.items():
        if name in leaves:
            continue
        if depth <= 1 or not isinstance(value, dict):
            lines.append(Line(name, printable(json.dumps(value, ensure_ascii=False))))
        else:
            lines.append(_branch(name, _branches(value, depth - 1)))
    return lines


def _branch(name: str, lines: list[Line]) -> Line:
    """Put a branch that is a single line of leaves on its own line."""
    if len(lines) == 1 and lines[0].label == "·":
        return Line(name or "all routes", lines[0].text)
    return Line(name or "all routes", below=tuple(lines))


def _is_leaf(value: object) -> bool:
    return not isinstance(value, dict | list)


def _leaf(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else word(value)
