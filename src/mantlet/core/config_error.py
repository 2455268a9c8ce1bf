"""Why a configuration cannot be served, said so that the reader knows the next step."""


class ConfigError(Exception):
    """One fault of the configuration: `where` (key or file), `what` was found, and a `hint` how to mend it.

    Never holds the value of a secret.
    """

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        super().__init__(f"{where}: {what}" + (f" ({hint})" if hint else ""))
        self.where = where
        self.what = what
        self.hint = hint
