"""mlops:evidently without a stack; with one it is tried in tests/stack."""

from __future__ import annotations

from mlops.installation import Installation


def test_without_a_stack_it_says_what_to_start(invoke, installation: Installation) -> None:
    result = invoke("mlops:evidently", "--no-open")
    assert result.code == 7
    assert "mlops:start" in result.err
    assert not (installation.run_dir / "evidently.wanted").exists(), "nobody is kept waiting for it"


def test_an_error_in_json_is_an_object(invoke, installation: Installation) -> None:
    result = invoke("mlops:evidently", "--json")
    assert (result.code, result.json["error"]["type"]) == (7, "ServiceUnavailable")


def test_stopping_what_does_not_run_is_no_error(invoke, installation: Installation) -> None:
    result = invoke("mlops:evidently", "--stop")
    assert (result.code, result.out) == (0, "It was not running.\n")
    assert invoke("mlops:evidently", "--stop", "--json").json == {"stopped": False}
