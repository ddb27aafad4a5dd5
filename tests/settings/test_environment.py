"""Variables in scalars: the shell's two forms, and nothing by accident."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings.environment import VariableError, substitute

ENVIRON = {"HOST": "shop", "EMPTY": "", "PORT_1": "80"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("$HOST", "shop"),
        ("http://$HOST:${PORT_1}/", "http://shop:80/"),
        ("${NONE:-fallback}", "fallback"),
        ("${NONE:-}", ""),
        ("${EMPTY:-full}", "full"),
        ("$EMPTY", ""),
        ("${HOST:-other}", "shop"),
        ("$$HOST", "$HOST"),
        ("$.total costs 5$", "$.total costs 5$"),
        ("${NONE:-$HOST}", "$HOST"),
    ],
)
def test_references_are_followed(text: str, result: str) -> None:
    """Set variables and defaults are put in; other dollars stay."""
    assert substitute(text, ENVIRON) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$NONE", "the variable NONE is not set and has no default"),
        ("${NONE}", "the variable NONE is not set and has no default"),
        ("${HOST", "contains a ${ that is neither ${VAR} nor ${VAR:-default}"),
        ("${HOST:+x}", "contains a ${ that is neither ${VAR} nor ${VAR:-default}"),
    ],
)
def test_what_cannot_be_followed_is_a_mistake(text: str, message: str) -> None:
    """An unset variable never becomes an empty text by itself."""
    with pytest.raises(VariableError) as caught:
        substitute(text, ENVIRON)

    assert str(caught.value) == message


def test_a_value_is_bounded() -> None:
    """References cannot blow a scalar up."""
    big = {"A": "x" * 1000}
    assert len(substitute("$A" * 65, big)) == 65_000
    with pytest.raises(VariableError, match="longer than 65536"):
        substitute("$A" * 66, big)


@given(st.text())
def test_escaped_text_is_itself(text: str) -> None:
    """Doubling every dollar gives any text back, whatever is set."""
    assert substitute(text.replace("$", "$$"), ENVIRON) == text


@given(st.text(), st.text())
def test_values_are_not_read_again(value: str, default: str) -> None:
    """What a variable holds is data: a dollar in it refers to nothing."""
    default = default.replace("}", "")
    assert substitute("${V:-" + default + "}", {"V": value}) == (value or default)
