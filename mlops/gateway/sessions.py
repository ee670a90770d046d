"""Browser sessions without a table: signed cookies, and the CSRF tokens of forms."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from urllib.parse import urlsplit

from starlette.responses import Response

from mlops.store.tokens import Principal, Role

LIFETIME_S = 12 * 3600
_SESSION = "session 2"
"""What is signed; another number where cookies hold something else than before."""


class Sessions:
    """Issues and reads session cookies. Cookies ignore ports, so the name carries ours: two
    installations on one host keep their sessions apart."""

    def __init__(self, key: str, gateway_url: str) -> None:
        parts = urlsplit(gateway_url)
        self.cookie = f"mlops_session_{parts.port or 0}"
        self.login_cookie = f"mlops_login_{parts.port or 0}"
        self._secure = parts.scheme == "https"
        self._key = key.encode()

    def issue(self, principal: Principal) -> str:
        """A cookie's value, good for 12 hours."""
        until, nonce = int(time.time()) + LIFETIME_S, secrets.token_hex(8)
        claims = [until, nonce, principal.role.value, principal.project, principal.holder, principal.token]
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
        return f"{payload}.{self._sign(_SESSION, payload)}"

    def read(self, value: str) -> Principal | None:
        """Who the cookie says calls; None when it is forged or has run out."""
        payload, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(_SESSION, payload).encode()):
            return None
        until, _, role, *who = json.loads(base64.urlsafe_b64decode(payload))
        return Principal(Role(role), *who) if time.time() < until else None

    def left_s(self, value: str) -> float:
        """For how many s more a cookie that `read` knows is good."""
        claims = json.loads(base64.urlsafe_b64decode(value.partition(".")[0]))
        return float(claims[0]) - time.time()

    def csrf(self, binding: str) -> str:
        """The token a form must send back; `binding` is the cookie it belongs to."""
        return self._sign("csrf", binding)

    def check_csrf(self, binding: str, token: str) -> bool:
        """Whether a form's token belongs to the cookie it came with."""
        return bool(binding) and hmac.compare_digest(token.encode(), self.csrf(binding).encode())

    def set_cookie(self, response: Response, name: str, value: str, *, max_age: int = LIFETIME_S) -> None:
        """Set a cookie no script and no other site can use."""
        response.set_cookie(
            name, value, max_age=max_age, path="/", httponly=True, samesite="strict", secure=self._secure
        )

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()
