"""The app's own read-only addresses: X-ray pictures, heat maps, and Plotly's script. A route checks by itself.

    /img/{run}/{sample_id}.{t|f}.webp           thumbnail (160 px) or full picture (up to 1024 px)
    /cam/{run}/{sample_id}.{class}.{t|f}.webp   heat map of that class index; ?s=image: on its own scale
    /vendor/plotly.min.js

Pictures are asked for with `?v=<content key>`, so the browser may keep them for ever. Whatever can't be shown is a 404.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from covidviz.errors import CovidvizError
from covidviz.ui import pictures

__all__ = ["ROUTES"]

SAMPLE_ID = r"[A-Za-z0-9_-]{1,64}"
IMAGE_NAME = re.compile(rf"(?P<sample>{SAMPLE_ID})\.(?P<kind>[tf])\.webp")
HEAT_NAME = re.compile(rf"(?P<sample>{SAMPLE_ID})\.(?P<label>\d{{1,3}})\.(?P<kind>[tf])\.webp")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",  # no other web page may show a patient's X-ray
}
FOR_EVER = {**HEADERS, "Cache-Control": "private, max-age=31536000, immutable"}

log = logging.getLogger(__name__)


def _missing(status: int = 404) -> Response:
    return Response(status_code=status, headers={**HEADERS, "Cache-Control": "no-store"})


def _host_allowed(request: Request) -> bool:
    """Streamlit checks `server.allowedHosts` for its websocket only; without this, DNS rebinding reads the pictures."""
    allowed = st.get_option("server.allowedHosts")
    return not allowed or "*" in allowed or (request.url.hostname or "").lower().rstrip(".") in allowed


def _served(draw: Callable[[Request], bytes | None]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        if not _host_allowed(request):
            return _missing(403)
        try:
            content = draw(request)
        except (CovidvizError, OSError, ValueError) as error:
            log.info("%s: %s", request.url.path, error)
            content = None
        return _missing() if content is None else Response(content, media_type="image/webp", headers=FOR_EVER)

    return endpoint


@_served
def image(request: Request) -> bytes | None:
    """One X-ray."""
    run, name = pictures.find(request.path_params["run"]), IMAGE_NAME.fullmatch(request.path_params["name"])
    return None if run is None or name is None else pictures.picture(run, name["sample"], name["kind"])


@_served
def heat(request: Request) -> bytes | None:
    """One heat map."""
    run, name = pictures.find(request.path_params["run"]), HEAT_NAME.fullmatch(request.path_params["name"])
    if run is None or name is None:
        return None
    per_image = request.query_params.get("s") == "image"
    return pictures.heat_map(run, name["sample"], int(name["label"]), name["kind"], per_image=per_image)


@lru_cache(maxsize=1)
def _plotly() -> Path | None:
    found = importlib.util.find_spec("plotly")  # importing it would cost a second
    if found is None or not found.submodule_search_locations:
        return None
    script = Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"
    return script if script.is_file() else None


def plotly(request: Request) -> Response:
    """Plotly's script from the installed package."""
    script = _plotly()
    if script is None or not _host_allowed(request):
        return _missing()
    # "identity" keeps Streamlit's middleware from compressing 5 MB anew for each browser.
    return FileResponse(script, media_type="text/javascript", headers={**FOR_EVER, "Content-Encoding": "identity"})


ROUTES = [
    Route("/img/{run}/{name}", image),
    Route("/cam/{run}/{name}", heat),
    Route("/vendor/plotly.min.js", plotly),
]
