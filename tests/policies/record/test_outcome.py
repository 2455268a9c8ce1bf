import pytest

from mantlet.core import refusal as r
from mantlet.core.record import Trail
from mantlet.policies.record import outcome

LIMITED = r.RateLimited(name="client", limit=1, window_s=1, remaining=0, reset_s=2, retry_after_s=1, is_global=False)


def trail(era: str = "modern") -> Trail:
    return Trail("r", "http", "192.0.2.1", 1.0, era=era)


@pytest.mark.parametrize(
    ("refusal", "verdict", "status", "severity"),
    [
        (r.Denied(), "deny", 403, "notice"),
        (r.InvalidCredential(), "deny", 401, "warning"),
        (r.Blocked(), "deny", 403, "warning"),
        (LIMITED, "deny", 429, "notice"),
        (r.UpstreamUnavailable(), "error", 503, "error"),
        (r.DeadlineExceeded(), "error", 504, "error"),
        (r.Refusal(), "error", 500, "error"),
    ],
)
def test_refusals_in_the_words_of_the_record(refusal: r.Refusal, verdict: str, status: int, severity: str) -> None:
    """AUD-01"""
    record = outcome.refused(trail(), refusal, 0.5, "production")
    assert (record.verdict, record.status, record.severity) == (verdict, status, severity)
    assert (record.reason, record.why, record.duration_s) == (refusal.reason, refusal.why, 0.5)


@pytest.mark.parametrize(
    ("era", "rpc_id", "status"), [("modern", b"1", 404), ("legacy", b"1", 200), ("legacy", None, 400)]
)
def test_the_status_is_the_one_the_answer_has(era: str, rpc_id: bytes | None, status: int) -> None:
    noted = trail(era)
    noted.rpc_id = rpc_id
    assert outcome.status_of(r.MethodNotFound(), noted) == status


def test_a_refusal_without_a_row_has_its_ancestors_status() -> None:
    class Peculiar(r.Denied):
        reason = "peculiar"

    assert outcome.status_of(Peculiar(), trail()) == 403


def test_denials_matter_less_in_development() -> None:
    assert outcome.severity_of("deny", "invalid_credential", "development") == "info"
    assert outcome.severity_of("error", "internal", "development") == "error"


@pytest.mark.parametrize(("status", "verdict"), [(200, "allow"), (404, "allow"), (500, "error"), (502, "error")])
def test_replies_from_500_on_are_errors(status: int, verdict: str) -> None:
    assert outcome.answered(trail(), status, 0.1).verdict == verdict


def test_the_text_of_an_unexpected_error_is_not_written() -> None:
    """AUD-06"""
    record = outcome.failed(trail(), ValueError("canary-4f1c9b72"), 0.1)
    assert (record.why, record.reason, record.status) == ("ValueError", "internal", 500)
