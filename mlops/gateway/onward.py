"""A page that leads on by itself, where a redirect would not do."""

from __future__ import annotations

import html

from starlette.responses import HTMLResponse


class Onward(HTMLResponse):
    """Leads on to `url`.

    A link may be followed from a file or from another site. Browsers send no SameSite=Strict cookie along
    a redirect that began there, not even the one just set; from a page of ours they do. And a redirect that
    began with a form may not lead to another origin, as our policy says of forms.
    """

    def __init__(self, url: str) -> None:
        super().__init__(
            '<!doctype html><title>Go on</title><link rel="icon" href="/static/icon.svg">'
            f'<a href="{html.escape(url)}">Go on</a>',
            headers={"Refresh": f"0; url={url}"},
        )
