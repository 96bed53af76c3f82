"""How a method refuses a request."""

from __future__ import annotations


class RpcRefused(Exception):
    """Answered to the client as rpc_error CODE TEXT."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


def bad(text: str) -> RpcRefused:
    """A 400."""
    return RpcRefused(400, text)
