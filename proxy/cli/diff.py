"""
``diff``: how the candidate's answers differ, for people and for CI.

Decides how a report reads; what it says was decided when the pairs were compared.
"""

import json
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree as ET

from proxy.cli.client import AdminClient
from proxy.cli.figures import word
from proxy.cli.screen import Line, Table, Tone, say, show_table, show_trees
from proxy.cli.view import Document
from proxy.errors import AdminError

DIVERGING: Final = "diverging"
TONES: Final = {
    "equivalent": Tone.GOOD,
    "diverging": Tone.BAD,
    "inconclusive": Tone.HELD,
    "regression": Tone.BAD,
    "noise": Tone.QUIET,
    "undecided": Tone.HELD,
}
TITLES: Final = (
    *("ENDPOINT", "PATH", "KIND", "RAW", "CANDIDATE", "NOISE", "E-VALUE"),
    "VERDICT",
)


def diff(client: AdminClient, service: str, output: str) -> int:
    """Print the report of a parallel run; return 1 if the candidate diverges."""
    report = client.get("services", service, "parallel")
    if not isinstance(report, dict):
        raise AdminError("the admin API answered without a report")
    match output:
        case "json":
            say(json.dumps(report, indent=2, ensure_ascii=False))
        case "junit":
            say(junit(report))
        case "markdown":
            say("\n".join(markdown(report)))
        case _:
            show_trees([summary(report)])
            table = fields_table(report)
            if table.rows:
                say("")
                show_table(table)
    return int(report.get("verdict") == DIVERGING)


def summary(report: Document) -> Line:
    """Return the run in a few lines."""
    below = [
        Line("message", word(report.get("message"))),
        Line("pairs", _pairs(report)),
        Line("rate", _rate(report.get("mismatch_rate") or {})),
        Line("latency", _latency(report.get("latency_ratio") or {})),
        Line("copies", _copies(report.get("mirror") or {})),
    ]
    for endpoint, field in _fields(report):
        if field.get("verdict") == "regression":
            below.append(_regression(endpoint, field))
    verdict = str(report.get("verdict"))
    title = f"{verdict}  {word(report.get('candidate'))} against "
    title += f"{word(report.get('stable'))}, run {word(report.get('run'))}"
    return Line(
        str(report.get("service")), title, TONES.get(verdict, Tone.PLAIN), tuple(below)
    )


def _regression(endpoint: str, field: Document) -> Line:
    """Return one proven regression, with the way to see it again."""
    below = []
    if field.get("rule_hint"):
        below.append(Line("hint", str(field["rule_hint"])))
    examples = field.get("examples") or []
    if examples:
        below.append(Line("try", word(examples[-1].get("curl"))))
    text = f"{field.get('path')} ({field.get('kind')}) of {endpoint}"
    return Line("regression", text, Tone.BAD, tuple(below))


def fields_table(report: Document) -> Table:
    """Return every field that differs, regressions first."""
    rows, tones = [], []
    for endpoint, field in _fields(report):
        verdict = str(field.get("verdict"))
        rows.append((endpoint, *_figures(field), verdict))
        tones.append(TONES.get(verdict, Tone.PLAIN))
    return Table(TITLES, tuple(rows), tuple(tones))


def markdown(report: Document) -> Iterator[str]:
    """Yield the report as a comment on a merge request reads."""
    verdict = report.get("verdict")
    yield f"### Parallel run of {report.get('service')}: **{verdict}**"
    yield ""
    yield f"{_cell(report.get('message'))}. {_pairs(report)}."
    rows = fields_table(report).rows
    if not rows:
        return
    yield ""
    yield "| " + " | ".join(title.lower() for title in TITLES) + " |"
    yield "|" + "---|" * len(TITLES)
    for row in rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"


def junit(report: Document) -> str:
    """Return the report as JUnit's XML: an endpoint is a test."""
    endpoints = report.get("endpoints") or []
    suite = ET.Element("testsuite", name=f"headgate diff {report.get('service')}")
    failures = skipped = 0
    for endpoint in endpoints:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=str(report.get("service")),
            name=endpoint["endpoint"],
        )
        broken = [
            field for field in endpoint["fields"] if field["verdict"] == "regression"
        ]
        if broken:
            failures += 1
            text = "; ".join(f"{one['path']} ({one['kind']})" for one in broken)
            ET.SubElement(case, "failure", message=text).text = json.dumps(broken)
    case = ET.SubElement(
        suite, "testcase", classname=str(report.get("service")), name="verdict"
    )
    message = str(report.get("message"))
    if report.get("verdict") == DIVERGING:
        failures += 1
        ET.SubElement(case, "failure", message=message)
    elif report.get("verdict") != "equivalent":
        skipped += 1
        ET.SubElement(case, "skipped", message=message)
    suite.set("tests", str(len(endpoints) + 1))
    suite.set("failures", str(failures))
    suite.set("skipped", str(skipped))
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)


def _fields(report: Document) -> Iterator[tuple[str, Document]]:
    for endpoint in report.get("endpoints") or []:
        for key in ("fields", "unsampled_fields"):
            for field in endpoint.get(key) or []:
                yield str(endpoint["endpoint"]), field


def _figures(field: Document) -> tuple[str, ...]:
    return (
        str(field.get("path")),
        str(field.get("kind")),
        str(field.get("raw")),
        str(field.get("candidate_only")),
        str(field.get("noise_only")),
        f"{field.get('e_value') or 0:.3g}",
    )


def _pairs(report: Document) -> str:
    return f"{report.get('pairs')} pairs, {report.get('triples')} with a second answer"


def _rate(rate: Document) -> str:
    if rate.get("rate") is None:
        return "-"
    missing = rate.get("missing")
    more = f", {missing} more pairs needed" if missing else ""
    return (
        f"{rate['rate'] * 100:.3g} % of {rate['judged']} pairs differ, at most "
        f"{rate['upper95'] * 100:.3g} % (allowed {rate['limit'] * 100:g} %){more}"
    )


def _latency(ratio: Document) -> str:
    if ratio.get("median") is None:
        return "-"
    return (
        f"{ratio['median']:.2f} x stable's (median of {ratio['pairs']} pairs, "
        f"slower in {ratio['slower']}, faster in {ratio['faster']})"
    )


def _copies(mirror: Document) -> str:
    skipped = mirror.get("skipped") or {}
    why = ", ".join(f"{name} {count}" for name, count in sorted(skipped.items()))
    text = f"{mirror.get('compared')} of {mirror.get('offered')} compared"
    return text + (f"; skipped: {why}" if why else "")


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
