"""What a token was held to, as one word: streams and connections outlive a configuration, and are held to the next."""

import hashlib

import msgspec


def terms_of(*held_to: object, keys: str = "") -> str:
    """A digest of dataclasses and structs, the same in every process. `keys` names the key that verified, if any."""
    text = msgspec.json.encode(held_to, enc_hook=str, order="deterministic")
    return hashlib.sha256(text + keys.encode()).hexdigest()[:32]
