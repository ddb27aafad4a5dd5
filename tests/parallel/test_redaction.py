"""What may be kept of a request and its answers."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.parallel.redaction import Redactor, clean_target, shell_word

KEY = b"k" * 32


def test_values_are_hashed_unless_asked_otherwise() -> None:
    """Equal values show as equal, and nothing else of them is kept."""
    redactor = Redactor("hashed", (), KEY)
    ann = redactor.value("$.name", "ann@example.com")

    assert ann == redactor.value("$.name", "ann@example.com")
    assert ann != redactor.value("$.name", "bob@example.com")
    assert "ann" not in str(ann)
    assert ann["type"] == "string"
    assert ann["length"] == 15
    assert ann != Redactor("hashed", (), b"other").value("$.name", "ann@example.com")


def test_modes() -> None:
    """``off`` keeps types, ``plain`` single values, and neither a whole object."""
    assert Redactor("off", (), KEY).value("$.a", 7) == {"type": "number"}
    plain = Redactor("plain", (), KEY)
    assert plain.value("$.a", 7) == {"type": "number", "value": 7}
    assert "ann" not in str(plain.value("$.user", {"name": "ann"}))
    assert plain.value("status", 404) == {"value": 404}


@pytest.mark.parametrize(
    ("pattern", "path", "hidden"),
    [
        ("$.user", "$.user.email", True),
        ("$..email", "$.users[].email", True),
        ("$.user.email", "$.user", False),
        ("$", "$.anything", True),
    ],
)
def test_named_paths_are_never_kept(pattern: str, path: str, *, hidden: bool) -> None:
    """A path to redact hides what is below it, in plain mode too."""
    kept = Redactor("plain", (pattern,), KEY).value(path, "ann")

    assert ("value" in kept) is not hidden
    assert ("hash" in kept) is False


@pytest.mark.parametrize("mode", ["plain", "hashed", "off"])
def test_credentials_are_never_stored(mode: str) -> None:
    """Neither fields that carry credentials nor secret parameters are kept."""
    redactor = Redactor(mode, (), KEY)
    line = redactor.curl(
        "http://127.0.0.1:9002",
        "GET",
        "/orders/7?access_token=s3cret&page=2",
        [
            ("host", "shop.example.com"),
            ("Authorization".lower(), "Bearer s3cret"),
            ("cookie", "id=s3cret"),
            ("x-api-key", "s3cret"),
            ("x-session-id", "s3cret"),
            ("accept", "application/json"),
        ],
        b"s3cret" if mode != "plain" else b"",
    )

    assert "s3cret" not in line
    assert "page=2" in line
    assert "host: shop.example.com" in line
    assert line.startswith("curl ")
    assert "s3cret" not in str(redactor.value("header:set-cookie", "s3cret"))


def test_a_curl_line_is_one_command() -> None:
    """The line is split by a shell into what was meant."""
    line = Redactor("plain", (), KEY).curl(
        "http://127.0.0.1:9002", "POST", "/a b'c", [("accept", "it's")], b"{'a': 1}"
    )

    words = shlex.split(line)
    assert words[:3] == ["curl", "-sS", "-i"]
    assert words[-1] == "http://127.0.0.1:9002/a b'c"
    assert words[words.index("-H") + 1] == "accept: it's"
    assert words[words.index("--data-binary") + 1] == "{'a': 1}"


@given(st.text(min_size=1).filter(lambda text: "\x00" not in text))
def test_a_word_is_one_word(text: str) -> None:
    """Any text is quoted so that a shell gives it back."""
    assert shlex.split(shell_word(text)) == [text]


@given(st.text())
def test_targets_never_break(target: str) -> None:
    """Any target is cleaned without an error."""
    assert "hunter2" not in clean_target(target.replace("?", "") + "?token=hunter2")
