"""What is wrong with a standard stream, in words. Pure. Loaded when something is wrong."""

from cni.errors import IO_FAILURE, CNIError

_EBADF = 9


def of_stdin(failure: BaseException) -> CNIError:
    """Return the error for a stdin that cannot be read (code 5)."""
    return CNIError(IO_FAILURE, "cannot read the network configuration from stdin", _reason(failure))


def of_stdout(failure: BaseException) -> CNIError:
    """Return the error for a stdout that cannot be written (code 5)."""
    return CNIError(IO_FAILURE, "cannot write the result to stdout", _reason(failure))


def _reason(failure: BaseException) -> str:
    if isinstance(failure, KeyboardInterrupt):
        return f"stopped by {failure}"
    if isinstance(failure, TimeoutError):
        return "the other side did nothing until the deadline"
    if getattr(failure, "errno", 0) == _EBADF:
        return "it is closed, or a folder"  # the launcher makes a folder look like a closed stream
    return getattr(failure, "strerror", None) or str(failure)
