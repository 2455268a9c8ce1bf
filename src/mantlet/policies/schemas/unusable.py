"""Why a schema is not used."""


class Unusable(ValueError):
    """In words fit for the record and for the caller: nothing of the schema stands in them."""
