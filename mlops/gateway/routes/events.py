"""What changed, as it changes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from mlops.gateway.auth import Caller
from mlops.gateway.sessions import Sessions
from mlops.gateway.streams import LONGEST_S, Streams


def event_routes(streams: Streams, sessions: Sessions) -> APIRouter:
    """GET /events."""
    routes = APIRouter(tags=["events"])

    @routes.get("/events", response_class=StreamingResponse)
    async def events(request: Request, caller: Caller) -> StreamingResponse:
        """Follow what changes within the caller's reach: server-sent events `change`, whose data is JSON of
        topics (`status`, `alerts`, `silences`, `runs`, `deployments`, `drift`), each with the projects of
        which something changed. A stream ends with its session, and after five minutes: connect again."""
        streams.check_room()
        session: str = request.state.csrf
        left_s = sessions.left_s(request.cookies.get(sessions.cookie, "")) if session else LONGEST_S
        return StreamingResponse(
            streams.stream(caller, session=session, longest_s=left_s),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    return routes
