"""Which shared secrets are refused everywhere, because the world already knows them (TOK-12).

Length alone does not tell: jwt.io's sample secret is 38 characters long, and FastAPI's tutorial prints 256 random bits
that run in production somewhere. So: a floor of length, a floor of variety, the published ones, and the words that only
placeholders contain. A random secret of 43 base64 characters holds one of these words about once in 10^6 draws.
"""

import base64
import binascii
from typing import Final

MIN_BYTES: Final = 32
"""256 bits: RFC 7518 section 3.2 for HS256, RFC 8725 section 3.5."""
MIN_DISTINCT: Final = 8
"""Distinct bytes. 32 random hex digits show fewer than 8 of the 16 about once in 10^9."""
MIN_PASSWORD_CHARACTERS: Final = 12
"""Of a password that is tried over a connection, not at a hash: a store answers some thousand tries a second."""

PUBLISHED: Final = frozenset(
    {
        # Tutorials and samples that print a key of good length.
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # FastAPI, OAuth2 with JWT
        "a-string-secret-at-least-256-bits-long",  # jwt.io since 2025
        "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",  # jwt.io, HS512
        "your-256-bit-secret",  # jwt.io until 2025
        "your-384-bit-secret",
        "your-512-bit-secret",
        "my-test-key-but-now-longer-than-32-bytes",  # ContextForge
        "my-test-salt",
        "404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970",  # Spring Boot JWT tutorials
        "413f4428472b4b6250655368566d5970337336763979244226452948404d6351",
        "3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b",
        "aym1sysppbydfgzld3umj1qzkobwvmkoqq-estjqlr_t-1qs0gzh75aktmn3yj0ips4hcguutwjazzr1z9caow",  # RFC 7515 A.1
        "0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "abcdefghijklmnopqrstuvwxyz123456",
        "abcdefghijklmnopqrstuvwxyz012345",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "12345678901234567890123456789012",
        "keyboard cat",
        "shhhhh",
    }
)

MARKERS: Final = (
    "secret",
    "changeme",
    "change-me",
    "change_me",
    "change this",
    "changethis",
    "change-this",
    "change_this",
    "changeit",
    "replaceme",
    "replace-me",
    "replace_me",
    "placeholder",
    "password",
    "passw0rd",
    "insecure",
    "example",
    "sample",
    "default",
    "my-test",
    "test-key",
    "test_key",
    "testkey",
    "dev-key",
    "development",
    "not-for-prod",
    "qwerty",
    "123456789",
    "your-",
    "your_",
)

_PEM: Final = ("-----begin", "ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-")


def why_weak(secret: str) -> str:
    """Why `secret` may not be used to authenticate anything; empty when it may."""
    if why := _why(secret):
        return why
    # The same secret in base64 is no better known for being wrapped.
    try:
        inner = base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return _why(inner) if _is_known(inner) else ""


def why_guessable(password: str) -> str:
    """Why `password`, which another party may have chosen, keeps nobody out; empty when it may."""
    if _is_known(password):
        return "it is a published or placeholder secret"
    return f"it has fewer than {MIN_PASSWORD_CHARACTERS} characters" if len(password) < MIN_PASSWORD_CHARACTERS else ""


def _why(secret: str) -> str:
    raw = secret.encode()
    if any(secret.lower().startswith(prefix) for prefix in _PEM):
        return "it is a key file's text, and public keys are no secrets"  # the HS/RS confusion, in the config
    if _is_known(secret):
        return "it is a published or placeholder secret"
    if len(raw) < MIN_BYTES:
        return f"it has {len(raw)} bytes, at least {MIN_BYTES} are needed"
    if len(set(raw)) < MIN_DISTINCT:
        return "it repeats too few characters to be random"
    half = len(raw) // 2
    if raw[:half] == raw[half : 2 * half] and half < MIN_BYTES:
        return "it repeats a shorter secret"
    return ""


def _is_known(secret: str) -> bool:
    folded = secret.strip().lower()
    return folded in PUBLISHED or any(marker in folded for marker in MARKERS)
