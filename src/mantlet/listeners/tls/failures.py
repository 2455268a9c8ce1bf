"""Why a handshake failed, in one of few words: they become labels of a metric."""

import ssl
from typing import Final

_BY_REASON: Final = {
    "HTTP_REQUEST": "plaintext",
    "WRONG_VERSION_NUMBER": "plaintext",
    "UNSUPPORTED_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "NO_SHARED_CIPHER": "cipher",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "cipher",
    "NO_SUITABLE_KEY_SHARE": "cipher",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "CERTIFICATE_VERIFY_FAILED": "bad_certificate",
}
# X509_verify_cert's codes (openssl/x509_vfy.h).
_BY_CODE: Final = {
    3: "no_revocation_list",
    **dict.fromkeys((8, 11, 13, 14, 15, 16, 33, 35, 44), "bad_revocation_list"),
    9: "not_yet_valid",
    10: "expired",
    12: "ended_revocation_list",
    23: "revoked",
    26: "purpose",
    **dict.fromkeys((2, 18, 19, 20, 21), "unknown_authority"),
}


def reason_of(error: BaseException) -> str:
    """Why a handshake ended with `error`."""
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if "ALERT" in reason:
            return "refused_by_client"  # our certificate, most often: it does not trust it
        return _BY_REASON.get(reason, "eof" if isinstance(error, ssl.SSLEOFError) else "other")
    # A handshake that takes too long ends, in asyncio and uvloop, as an aborted connection.
    if isinstance(error, TimeoutError | ConnectionAbortedError):
        return "timeout"
    return "reset" if isinstance(error, OSError) else "bad_certificate"


def certificate_reason_of(error: BaseException) -> str:
    """Why a client's certificate did not verify, or empty when that is not what `error` says."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _BY_CODE.get(error.verify_code, "other")
    return "" if isinstance(error, OSError) else "malformed"
