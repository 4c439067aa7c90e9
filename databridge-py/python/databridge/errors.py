"""One tree of exceptions: a class for each kind of failure, a stable code in each."""

from __future__ import annotations


class DatabridgeError(Exception):
    """Anything that DataBridge refuses or fails at.

    `str(error)` says what happened, to whom, and why.
    """

    kind: str = "internal"
    """What the failure means; one for each class."""

    def __init__(
        self,
        message: str,
        code: str = "",
        hint: str | None = None,
        required_roles: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        """Stable, `module.reason`."""
        self.hint = hint
        """What to do next, in one sentence."""
        self.required_roles = required_roles
        """Roles that would have been allowed, for `PermissionDenied`."""

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.code, self.hint, self.required_roles)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r}, code={self.code!r}, hint={self.hint!r})"


class InvalidError(DatabridgeError):
    """The input is wrong and will stay wrong."""

    kind = "invalid"


class WrongType(InvalidError, TypeError):
    """An argument, which the message names, is of another type."""


class NotSignedInError(DatabridgeError):
    """Nobody is signed in, or the token is not accepted."""

    kind = "unauthenticated"


class PermissionDenied(DatabridgeError):
    """Known, but not allowed; `required_roles` says who would be."""

    kind = "forbidden"


class NotFound(DatabridgeError):
    """There is no such thing, or none that the caller may see."""

    kind = "not_found"


class ConflictError(DatabridgeError):
    """Somebody else was first, or something already stands there."""

    kind = "conflict"


class Outdated(ConflictError):
    """The subject was changed since the version that the caller names."""

    kind = "outdated"


class Unconditional(InvalidError):
    """The caller must name the version that they looked at."""

    kind = "unconditional"


class IllegalState(DatabridgeError):
    """The subject is in a state that does not allow this."""

    kind = "illegal_state"


class CheckFailed(DatabridgeError):
    """A check ran and failed: mismatch, infected, tampered, missing."""

    kind = "check_failed"


class Undecided(DatabridgeError):
    """A check could not come to a verdict: not scanned, unprovable."""

    kind = "undecided"


class RateLimited(DatabridgeError):
    """Too many requests."""

    kind = "rate_limited"


class Unavailable(DatabridgeError):
    """A service or host that is needed does not answer now."""

    kind = "unavailable"


class IoError(DatabridgeError):
    """Reading or writing failed."""

    kind = "io"


class Cancelled(DatabridgeError):
    """Somebody asked to stop."""

    kind = "cancelled"


class WaitTimeout(Cancelled, TimeoutError):
    """`wait` ended before what it waits for did; the work goes on."""


class InternalError(DatabridgeError):
    """A defect of DataBridge."""

    kind = "internal"


_KINDS: dict[str, type[DatabridgeError]] = {
    cls.kind: cls
    for cls in (
        InvalidError,
        NotSignedInError,
        PermissionDenied,
        NotFound,
        ConflictError,
        Outdated,
        Unconditional,
        IllegalState,
        CheckFailed,
        Undecided,
        RateLimited,
        Unavailable,
        IoError,
        Cancelled,
        InternalError,
    )
}


def from_kind(
    kind: str, code: str, message: str, hint: str | None, required_roles: list[str]
) -> DatabridgeError:
    """The exception for a kind of failure; `DatabridgeError` itself for a new one."""
    if code == "python.type":
        return WrongType(message, code, hint)
    return _KINDS.get(kind, DatabridgeError)(message, code, hint, tuple(required_roles))
