"""Whether something that could be a Ray cluster answers at an address: where nothing does, Ray waits for minutes."""

from __future__ import annotations

import os
import socket
import time

from mixvel_core.errors import RecipeError

SECONDS = 15.0
"""How long an answer may take. Clusters answer within a second, across continents too."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How a client of HTTP/2, which gRPC speaks, begins: RFC 9113, section 3.4, with empty settings."""
_HEADER = 9
_KIND = 3
_SETTINGS = 4


def check_answers(address: str) -> None:
    """Raises RecipeError where no cluster answers at ``address``."""
    if reason := silence_at(address):
        raise no_cluster(address, reason)


def no_cluster(address: str | None, reason: str) -> RecipeError:
    """What to do where there is none at ``address``, or on this machine if None."""
    if address is None:
        return RecipeError(f"launcher ray: no cluster on this machine ({reason}); take `launcher: local` instead")
    return RecipeError(
        f"launcher ray: no cluster at {address} ({reason}); start one with `ray start --head`, or leave out "
        "launcher.address and RAY_ADDRESS"
    )


def silence_at(address: str, seconds: float = SECONDS) -> str:
    """Why no cluster answers at ``address``, HOST:PORT or ray://HOST:PORT; empty where one does, or Ray is to say.

    ``seconds``: how long is waited in all.
    """
    place = _place(address)
    if place is None:
        return ""
    until = time.monotonic() + seconds
    try:
        with socket.create_connection(place, timeout=seconds) as link:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return ""  # the rest is encrypted
            link.sendall(_PREFACE)
            answer = b""
            while len(answer) < _HEADER:
                link.settimeout(max(until - time.monotonic(), 0.01))
                if not (more := link.recv(_HEADER - len(answer))):
                    break
                answer += more
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return "" if answer[_KIND : _KIND + 1] == bytes([_SETTINGS]) else "what answers there is no cluster"


def _place(address: str) -> tuple[str, int] | None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        return None  # `auto`, or not an address: Ray says so at once
    return host.strip("[]"), int(port)
