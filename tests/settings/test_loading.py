"""From a file to settings: every mistake at its place, all of them at once."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import SettingsError
from proxy.settings import (
    Loaded,
    document_of,
    from_document,
    hash_of,
    load,
    loads,
    read_secret,
    redacted,
)

MINIMAL = """
services:
  web:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary: {endpoints: [http://127.0.0.1:9002]}
"""

MISTAKEN = """\
listen: 8080
wrokers: auto
admin: {listen: 0.0.0.0:9901}
limits: {head: 32, fields: 1}
services:
  web:
    versions:
      stable: {endpoints: [https://a:1]}
      canary: {endpoint: [http://b:2]}
    split: {stable: 90, cannary: 5}
    split: {stable: 100}
    timeouts: {connect: $NOPE, request: }
    rollout:
      strategy: parallel
      steps: [20, 100, 40, {weight: x}, 30]
      slos:
        - {metric: latency, quantile: 0.99, max: 5%}
        - {metric: error_rate, max: 100%}
"""


def read(text: str, **environ: str) -> Loaded:
    """Return what ``text`` means."""
    return loads(text.encode(), "a.yaml", environ)


def problems(text: str, **environ: str) -> list[str]:
    """Return the mistakes of ``text``, without the file's name."""
    with pytest.raises(SettingsError) as caught:
        read(text, **environ)
    return [line.removeprefix("a.yaml:") for line in caught.value.problems]


def test_the_smallest_file_has_every_default() -> None:
    """What is left out has the contract's value."""
    found = read(MINIMAL).settings

    assert found.listen == ("0.0.0.0:8080",)
    assert found.workers is None
    assert found.limits.head == 32_768
    assert found.limits.body is None
    assert found.drain.timeout == 30.0
    web = found.services["web"]
    assert web.split == {"stable": 100.0, "canary": 0.0}
    assert web.timeouts.tunnel == 3600.0
    assert web.retries.budget == 0.2
    assert web.rollout is None
    assert web.roles == ("stable", "canary")


def test_a_rollout_has_every_default() -> None:
    """An empty rollout is the contract's, with roles by name."""
    rollout = (
        read(MINIMAL + "    rollout: {start: manual}\n")
        .settings.services["web"]
        .rollout
    )

    assert rollout is not None
    assert (rollout.stable, rollout.canary) == ("stable", "canary")
    assert [step.weight for step in rollout.steps] == [20, 40, 60, 80, 100]
    assert (rollout.min_duration, rollout.max_duration) == (60.0, 1800.0)
    assert (rollout.alpha, rollout.alpha_tolerance, rollout.warmup) == (0.01, 0.1, 20)
    assert rollout.fail_fast is not None
    assert rollout.fail_fast.error_rate == 0.5
    assert rollout.guards.client_error_rate is not None
    assert rollout.guards.client_error_rate.max_delta == 0.02
    assert [(slo.metric, slo.max, slo.max_ratio) for slo in rollout.slos] == [
        ("latency", None, 1.1),
        ("error_rate", 0.01, None),
    ]


def test_all_mistakes_are_reported_at_once_each_at_its_place() -> None:
    """Syntax of values, relations and unknown keys do not hide one another."""
    assert problems(MISTAKEN) == [
        '1:9: listen: "8080" is not an address such as 0.0.0.0:8080 or unix:/path',
        '2:1: wrokers: unknown key; did you mean "workers"?',
        (
            "3:17: admin.listen: 0.0.0.0:9901 can be reached from elsewhere, so "
            "`token_file` is needed"
        ),
        (
            "4:16: limits.head: 32 has no unit, expected a size such as 512B, 64KiB or "
            "1MiB"
        ),
        '4:28: limits.fields: "1" is too small, expected at least 8',
        (
            '8:28: services.web.versions.stable.endpoints[0]: "https://a:1": https:// '
            "is "
            "not supported by this version"
        ),
        "9:15: services.web.versions.canary.endpoints: is missing",
        (
            "9:16: services.web.versions.canary.endpoint: unknown key; did you mean "
            '"endpoints"?'
        ),
        "10:12: services.web.split: weights sum to 95, expected 100",
        (
            '10:25: services.web.split.cannary: no version is named "cannary"; did you '
            'mean "canary"?'
        ),
        "11:5: services.web.split: duplicate key, first on line 10",
        (
            "12:25: services.web.timeouts.connect: the variable NOPE is not set and "
            "has "
            "no default"
        ),
        "12:41: services.web.timeouts.request: has no value; give one or remove it",
        (
            "14:17: services.web.rollout.strategy: `parallel` needs a `mirror` with"
            " `compare`"
        ),
        (
            "15:19: services.web.rollout.steps[1]: 100 means promotion and must be the "
            "last step"
        ),
        (
            '15:37: services.web.rollout.steps[3].weight: "x" is not a percentage '
            "such as "
            "5%"
        ),
        "15:41: services.web.rollout.steps[4]: 30 is not more than the step before, 40",
        (
            '17:50: services.web.rollout.slos[0].max: "5%" is not a duration such as '
            "250ms, 60s or 30m"
        ),
        (
            "18:37: services.web.rollout.slos[1].max: can never be decided: 100%, and "
            "no "
            "rate is above it"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "1:1: is empty, expected at least `services`"),
        ("# only words", "1:1: is empty, expected at least `services`"),
        ("- a", "1:1: expected a mapping with `services`"),
        ("services: 5", '1:11: services: expected a mapping, got "5"'),
        ("services: {}", "1:11: services: has 0 entries, expected at least 1"),
        ("listen: [unix:/a]", "1:1: services: is missing"),
        (
            "a: [",
            (
                "1:5: not valid YAML: did not find expected node content while "
                "parsing a flow node that starts on line 1"
            ),
        ),
        (
            "services: {a: {versions: 3}}",
            '1:26: services.a.versions: expected a mapping, got "3"',
        ),
    ],
)
def test_files_that_are_no_configuration_say_so(text: str, line: str) -> None:
    """Empty, foreign and broken files are refused in one sentence."""
    assert problems(text)[0] == line


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (
            "access_log: {format: jsn}",
            '"jsn" is not one of off, json, text; did you mean "json"?',
        ),
        ("limits: {fields: many}", '"many" is not a whole number'),
        ("limits: []", "expected a mapping"),
        (
            "trusted_proxies: [10.0.0.1/8]",
            '"10.0.0.1/8" has bits beyond its prefix; did you mean "10.0.0.0/8"?',
        ),
        ("workers: 49", '"49" is too large, expected at most 48'),
        ("workers: {a: b}", "a mapping is not a whole number"),
        ("drain: {delay: [1s]}", "expected a duration such as 250ms, 60s or 30m"),
        ("listen: []", "has 0 entries, expected at least 1"),
        ("state_dir: ''", "is empty"),
        ("access_log: {sample: 2}", '"2" is not a share from 0.0 to 1.0'),
        ("limits: {body: none}", '"none" is not a size such as 512B, 64KiB or 1MiB'),
    ],
)
def test_wrong_values_are_told_in_the_projects_words(key: str, line: str) -> None:
    """The message names the value and what was expected."""
    found = problems(f"{key}\n{MINIMAL}")

    assert len(found) == 1
    assert found[0].endswith(f": {line}")
    assert found[0].startswith("1:")


def test_variables_are_put_in_before_a_value_is_read() -> None:
    """A number, a duration and a part of a URL may come from the environment."""
    text = MINIMAL.replace("[http://127.0.0.1:9001]", '["http://127.0.0.1:${P:-9009}"]')
    found = read(f"drain: {{timeout: $T}}\nworkers: $N{text}", T="5s", N="3").settings

    assert (found.drain.timeout, found.workers) == (5.0, 3)
    endpoints = found.services["web"].versions["stable"].endpoints
    assert endpoints == ("http://127.0.0.1:9009",)


def test_a_document_is_read_back_and_means_the_same() -> None:
    """What is saved as last good makes the same settings after a restart."""
    loaded = load("config/headgate.yaml", {})
    stored = json.loads(json.dumps(loaded.document))

    again = from_document(stored)

    assert again == loaded.settings
    assert document_of(again) == loaded.document
    assert hash_of(stored) == loaded.hash


def test_the_hash_follows_the_meaning_and_not_the_spelling() -> None:
    """A default that is written out changes nothing; another value does."""
    plain = read(MINIMAL).hash

    assert read(MINIMAL + "drain: {timeout: 30000ms} # same\n").hash == plain
    assert read(MINIMAL + "drain: {timeout: 31s}\n").hash != plain


def test_a_foreign_document_is_refused() -> None:
    """A document of another version is no reason for a traceback."""
    with pytest.raises(SettingsError, match="document: services: is missing"):
        from_document({"listen": ["unix:/a"]})
    document = read(MINIMAL).document
    document["services"]["web"]["split"] = {"stable": 1, "canary": 1}
    with pytest.raises(SettingsError, match="weights sum to 2, expected 100"):
        from_document(document)


def test_secrets_are_masked_and_the_rest_is_not() -> None:
    """Values of fields that carry credentials are not shown."""
    override = """
    overrides:
      - {when: {header: {authorization: abc, x-env: eu}}, version: canary}
      - {when: {cookie: {session_token: abc}}, version: canary}
"""
    shown = redacted(read(MINIMAL + override).document)

    first, second = shown["services"]["web"]["overrides"]
    assert first["when"]["header"] == {"authorization": "(redacted)", "x-env": "eu"}
    assert second["when"]["cookie"] == {"session_token": "(redacted)"}
    assert "abc" not in json.dumps(shown)


def test_a_secret_file_holds_one_line(tmp_path: Path) -> None:
    """The white space around a token is not part of it."""
    path = tmp_path / "token"
    path.write_text(" s3cret\n")
    assert read_secret(path) == "s3cret"

    for content, reason in (
        (b"\n", "is empty"),
        (b"a b", "one line of visible ASCII"),
        (b"x" * 4097, "longer than 4096 bytes"),
    ):
        path.write_bytes(content)
        with pytest.raises(SettingsError, match=reason):
            read_secret(path)
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_secret(tmp_path / "none")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing files, directories and odd names end in one sentence."""
    for path in (tmp_path / "none.yaml", tmp_path, "a\0b"):
        with pytest.raises(SettingsError, match="cannot be read"):
            load(path, {})


def test_a_large_or_binary_file_is_refused() -> None:
    """1 MiB is read; a byte more, or bytes that are no UTF-8, are not."""
    with pytest.raises(SettingsError, match="larger than 1048576 bytes"):
        loads(b"#" * 1_048_577, "a", {})
    with pytest.raises(SettingsError, match="a:2:3: is not UTF-8"):
        loads(b"a: 1\nb:\xff", "a", {})
    assert loads(b"\xef\xbb\xbf" + MINIMAL.encode(), "a", {}).settings.services


def test_no_more_mistakes_are_printed_than_anyone_reads() -> None:
    """The rest is counted."""
    found = problems("".join(f"key{n}: 1\n" for n in range(150)) + MINIMAL)

    assert len(found) == 101
    assert found[-1] == " and 50 more mistakes"


def test_aliases_share_values() -> None:
    """An anchor may be used for a whole value."""
    text = MINIMAL + "    timeouts: &t {connect: 2s}\n"
    text += "  api:\n    match: [{path_prefix: /api}]\n    timeouts: *t\n"
    text += "    versions: {one: {endpoints: [http://c]}}\n"

    services = read(text).settings.services
    assert services["web"].timeouts == services["api"].timeouts
    assert services["api"].split == {"one": 100.0}


words = st.one_of(
    st.sampled_from(
        [
            "services",
            "versions",
            "endpoints",
            "stable",
            "canary",
            "split",
            "rollout",
            "steps",
            "slos",
            "metric",
            "max",
            "latency",
            "error_rate",
            "quantile",
            "listen",
            "unit",
            "cookie",
            "match",
            "http://a",
            "auto",
            "off",
            "100",
            "5%",
            "1s",
            "mirror",
            "to",
            "when",
            "header",
            "revision",
            "fail_fast",
            "guards",
            "overrides",
            "weight",
            "routes",
            "client_error_rate",
            "retries",
        ]
    ),
    st.text(max_size=5),
)
values = st.recursive(
    st.one_of(words, st.none(), st.booleans(), st.integers(), st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=5)
    ),
    max_leaves=30,
)
service_like = st.fixed_dictionaries(
    {"versions": st.dictionaries(words, values, max_size=3) | values},
    optional=dict.fromkeys(
        ("split", "rollout", "unit", "overrides", "mirror", "match"), values
    ),
)


def outcome(content: str) -> tuple[Loaded | None, tuple[str, ...]]:
    """Return what a file means, or its mistakes."""
    try:
        return read(content.encode("utf-8", "replace").decode()), ()
    except SettingsError as error:
        return None, error.problems


def in_one_line(line: str) -> bool:
    """Return whether nothing in ``line`` ends it early."""
    return len(line.splitlines()) == 1


@given(st.text() | values.map(yaml.safe_dump))
def test_any_text_is_settings_or_mistakes(text: str) -> None:
    """Whatever the file holds, there is no other exception."""
    loaded, mistakes = outcome(text)

    assert (loaded is None) == bool(mistakes)
    assert all(map(in_one_line, mistakes))


@given(st.dictionaries(words, service_like, min_size=1, max_size=3))
def test_anything_below_services_is_settings_or_mistakes(services: object) -> None:
    """The deeper stages hold too: what they report has a place and one line."""
    loaded, mistakes = outcome(yaml.safe_dump({"services": services}))

    assert (loaded is None) == bool(mistakes)
    assert all(map(in_one_line, mistakes))
    if loaded is not None:
        assert from_document(loaded.document) == loaded.settings
