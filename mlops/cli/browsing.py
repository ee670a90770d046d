"""How a page is opened for the one who ran a command."""

from __future__ import annotations

from pathlib import Path


def open_page(url: str, page: Path, title: str) -> None:
    """Open `url` in the browser by way of a private page that leads on to it: every user of the machine
    can read a browser's arguments, and whoever holds the ticket is let in."""
    import html
    import webbrowser

    from mlops.installation import write_private

    target = html.escape(url)
    lines = (
        f'<!doctype html><meta charset="utf-8"><title>{title}</title>',
        '<meta name="referrer" content="no-referrer">',
        f'<meta http-equiv="refresh" content="0;url={target}"><a href="{target}">{title}</a>',
    )
    write_private(page, "\n".join(lines), durable=False)
    webbrowser.open(page.as_uri())
