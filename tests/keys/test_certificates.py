"""A private authority and what it signs: judged by OpenSSL's own path building and by `cryptography`'s verifier."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from mantlet.keys.certificates import Made, make_authority, make_client, make_server

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = make_authority("Test CA", 30, NOW)


def loaded(made: Made) -> x509.Certificate:
    return x509.load_pem_x509_certificate(made.certificate.encode())


def builder() -> PolicyBuilder:
    return PolicyBuilder().store(Store([loaded(ROOT)])).time(NOW + timedelta(hours=1))


def test_a_server_certificate_is_good_for_its_names() -> None:
    made = loaded(make_server(ROOT, ["mcp.example", "127.0.0.1", "[::1]"], 5, NOW))
    builder().build_server_verifier(x509.DNSName("mcp.example")).verify(made, [])
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    with pytest.raises(x509.verification.VerificationError):
        builder().build_server_verifier(x509.DNSName("other.example")).verify(made, [])
    with pytest.raises(x509.verification.VerificationError):
        builder().build_client_verifier().verify(made, [])


def test_a_client_certificate_is_good_for_clients_alone() -> None:
    made = loaded(make_client(ROOT, ["spiffe://example/a"], ["a.example"], 5, NOW))
    verified = builder().build_client_verifier().verify(made, [])
    assert len(verified.chain) == 2
    with pytest.raises(x509.verification.VerificationError):
        builder().build_server_verifier(x509.DNSName("a.example")).verify(made, [])
    assert isinstance(made.public_key(), ec.EllipticCurvePublicKey)
    assert list(made.subject) == []


def test_the_authority_signs_leaves_only() -> None:
    constraints = loaded(ROOT).extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    ssl.create_default_context().load_verify_locations(cadata=ROOT.certificate)


def test_lives_are_bounded_and_end_before_the_authoritys() -> None:
    made = loaded(make_server(ROOT, ["a"], 5, NOW))
    assert made.not_valid_after_utc - NOW == timedelta(days=5)
    for days in (0, -1, 3651):
        with pytest.raises(ValueError, match="days"):
            make_authority("x", days, NOW)
    with pytest.raises(ValueError, match="ends first"):
        make_server(ROOT, ["a"], 31, NOW)


def test_a_leaf_needs_a_name_and_its_own_authority() -> None:
    with pytest.raises(ValueError, match="needs"):
        make_server(ROOT, [], 1, NOW)
    with pytest.raises(ValueError, match="needs"):
        make_client(ROOT, [], [], 1, NOW)
    other = make_authority("Other", 30, NOW)
    with pytest.raises(ValueError, match="not its certificate's"):
        make_server(Made(ROOT.certificate, other.key, "", ""), ["a"], 1, NOW)


def test_a_key_is_not_in_what_is_shown() -> None:
    assert "PRIVATE" not in repr(ROOT)
