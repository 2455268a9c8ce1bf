"""How a grant comes about: a code flow at the upstream's authorization server, whose tokens are kept."""

from collections.abc import Mapping, Sequence

from mantlet.upstreams.identity.user.book import GrantBook
from mantlet.upstreams.oauth import Tokens
from mantlet.upstreams.oauth.flow import CodeFlow


class GrantFlow(CodeFlow):
    """`policies.grants.port.GrantFlow`, for the upstream of `book`, which is at `host`."""

    def __init__(
        self, book: GrantBook, redirect_uri: str, scope: Sequence[str], parameters: Mapping[str, str], host: str
    ) -> None:
        super().__init__(
            book.upstream, book.server, redirect_uri, scope=scope, resource=book.resource, parameters=parameters
        )
        self._book, self.host = book, host

    async def keep(self, caller_key: tuple[str, str, str], tokens: Tokens) -> None:
        """From now on these tokens are the caller's."""
        await self._book.keep(caller_key, tokens)
