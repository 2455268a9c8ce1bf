"""Where the tree begins, and what every refusal can say of itself."""

from typing import Any, ClassVar, Literal

Fault = Literal["caller", "node", "upstream"]


class Refusal(Exception):
    """The root. Raised as itself it means: something here failed, and the answer is no."""

    reason: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    fault: ClassVar[Fault] = "node"
    retryable: ClassVar[bool] = False
    holds: bool = False
    """Whether the connection that brought it is made to wait: so are guessers and floods slowed (AUTHN-07)."""

    def __init__(self, detail: str = "", *, why: str = "") -> None:
        super().__init__(detail or why or self.title)
        self.detail = detail or self.title
        self.why = why or detail or self.title

    @property
    def retry_after_s(self) -> float | None:
        """After how many seconds trying again may help; None when nothing is known."""
        return None

    @property
    def data(self) -> Any:
        """`error.data` of a JSON-RPC answer, or None."""
        return None
