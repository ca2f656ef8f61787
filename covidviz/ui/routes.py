"""The app's own addresses; none of them writes. A route checks by itself: it does not pass through the main script.

    GET  /img/{run}/{sample_id}.{t|f}.webp   thumbnail (160 px) or full picture (up to 1024 px)
    GET  /cam/{run}/{sample_id,...}.bin      raw heat maps of up to 64 images (see `pictures.heat_maps`)
    GET  /look/{run}/{sample_id}.json        measures, masks and other maps of one image (see `heat_measures`)
    GET  /list/{run}?split=...&page=K        one page of the images of a query (see `album`), as JSON; ids=1: all ids
    GET  /replay/{run}                       all epochs of a run's validation images (see `replays.binary`)
    GET  /scores/{run}/{split}               probabilities and labels of a split (see `thresholds_data.binary`)
    GET  /map/{run}?epoch=...                its validation images in two dimensions (see `places.points`), as JSON
    POST /export/{run}/{csv|png}             JSON {ids, heat, title}: table or contact sheet of these images
    GET  /dataset/{word}/{sample_id}.webp    thumbnail of a dataset without a run, if a page offered it; .f.webp: larger
    POST /lab                                a question to the compute worker (see `lab_answers`); JSON lines
    POST /predicting/{run}/{what}            images to look at with a run (see `predict_answers`); JSON lines
    POST /what_if/{run}                      a run judged with a mistake (see `focal.answers`); JSON lines
    GET  /vendor/plotly.min.js

Pictures and maps are asked for with `?v=<content key>`, so the browser may keep them for ever. Whatever can't be shown
is a 404.

The answers are imported when they are asked for: pandas alone would delay the start of the server by half a second.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from covidviz.errors import CovidvizError, InputError

__all__ = ["ROUTES"]

SAMPLE_ID = r"[A-Za-z0-9_-]{1,64}"
IMAGE_NAME = re.compile(rf"(?P<sample>{SAMPLE_ID})\.(?P<kind>[tf])\.webp")
LOOK_NAME = re.compile(rf"(?P<sample>{SAMPLE_ID})\.json")
HEAT_NAMES = re.compile(rf"{SAMPLE_ID}(?:,{SAMPLE_ID}){{0,63}}\.bin")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",  # no other web page may show a patient's X-ray
}
NO_STORE = {**HEADERS, "Cache-Control": "no-store"}
FOR_EVER = {**HEADERS, "Cache-Control": "private, max-age=31536000, immutable"}

EXPORTS = {"csv": "text/csv; charset=utf-8", "png": "image/png"}
MAX_BODY = 8_000_000  # bytes; ids of some 100,000 images

log = logging.getLogger(__name__)


def _missing(status: int = 404) -> Response:
    return Response(status_code=status, headers=NO_STORE)


def _host_allowed(request: Request) -> bool:
    """Streamlit checks `server.allowedHosts` for its websocket only; without this, DNS rebinding reads the pictures."""
    allowed = st.get_option("server.allowedHosts")
    return not allowed or "*" in allowed or (request.url.hostname or "").lower().rstrip(".") in allowed


def _served(
    kind: str, headers: Mapping[str, str]
) -> Callable[[Callable[[Request], bytes | None]], Callable[[Request], Response]]:
    def decorate(draw: Callable[[Request], bytes | None]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            if not _host_allowed(request):
                return _missing(403)
            try:
                content = draw(request)
            except (CovidvizError, OSError, ValueError, KeyError) as error:
                log.info("%s: %s", request.url.path, error)
                content = None
            return _missing() if content is None else Response(content, media_type=kind, headers=dict(headers))

        return endpoint

    return decorate


@_served("image/webp", FOR_EVER)
def image(request: Request) -> bytes | None:
    """One X-ray."""
    from covidviz.ui import pictures

    run, name = pictures.find(request.path_params["run"]), IMAGE_NAME.fullmatch(request.path_params["name"])
    return None if run is None or name is None else pictures.picture(run, name["sample"], name["kind"])


@_served("application/octet-stream", FOR_EVER)
def heat(request: Request) -> bytes | None:
    """The raw heat maps of some images."""
    from covidviz.ui import pictures

    run, name = pictures.find(request.path_params["run"]), request.path_params["name"]
    if run is None or HEAT_NAMES.fullmatch(name) is None:
        return None
    return pictures.heat_maps(run, name.removesuffix(".bin").split(","))


@_served("application/json", NO_STORE)
def look(request: Request) -> bytes | None:
    """What is known about the heat maps of one image."""
    from covidviz.ui import heat_measures, heat_tasks, pictures

    run, name = pictures.find(request.path_params["run"]), LOOK_NAME.fullmatch(request.path_params["name"])
    return None if run is None or name is None else heat_measures.looked(run, name["sample"], heat_tasks.work(run))


@_served("application/json", NO_STORE)
def listed(request: Request) -> bytes | None:
    """One page of a query, or the ids of all its images."""
    from covidviz.ui import image_answers, pictures

    run = pictures.find(request.path_params["run"])
    return None if run is None else image_answers.listed(run, request.query_params.get)


@_served("application/octet-stream", FOR_EVER)
def replay(request: Request) -> bytes | None:
    """All epochs of a run."""
    from covidviz.ui import pictures, replays

    run = pictures.find(request.path_params["run"])
    return None if run is None else replays.binary(run)


@_served("application/octet-stream", FOR_EVER)
def scores(request: Request) -> bytes | None:
    """What a threshold is moved over."""
    from covidviz.ui import pictures, thresholds_data

    run = pictures.find(request.path_params["run"])
    return None if run is None else thresholds_data.binary(run, request.path_params["split"])


@_served("application/json", FOR_EVER)
def map_points(request: Request) -> bytes | None:
    """The validation images of a run on its map, judged in one epoch."""
    from covidviz.ui import pictures, places

    run, epoch = pictures.find(request.path_params["run"]), request.query_params.get("epoch") or ""
    if run is None or (epoch and not (epoch.isascii() and epoch.isdigit() and len(epoch) < 8)):
        return None
    return places.points(run, int(epoch) if epoch else None)


async def export(request: Request) -> Response:
    """A table or a contact sheet of chosen images, as a file to keep."""
    kind = request.path_params["kind"]
    if not _host_allowed(request):
        return _missing(403)
    size = request.headers.get("content-length", "")
    if kind not in EXPORTS or not size.isdigit() or int(size) > MAX_BODY:
        return _missing(400)
    try:
        asked = json.loads(await request.body())
    except (ValueError, RecursionError):
        return _missing(400)
    if not isinstance(asked, dict) or not isinstance(asked.get("ids"), list):
        return _missing(400)
    # Drawing takes a second or two, in which the server has other things to do.
    content = await run_in_threadpool(_export, request.path_params["run"], kind, asked)
    if content is None:
        return _missing()
    name = f"{request.path_params['run']}-images.{kind}"
    return Response(
        content, media_type=EXPORTS[kind], headers={**NO_STORE, "Content-Disposition": f'attachment; filename="{name}"'}
    )


def _export(run_id: str, kind: str, asked: dict[str, Any]) -> bytes | None:
    from covidviz.ui import image_answers, pictures

    run = pictures.find(run_id)
    try:
        return None if run is None else image_answers.exported(run, kind, asked)
    except (CovidvizError, OSError, ValueError) as error:
        log.info("export of %s: %s", run_id, error)
        return None


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


@_served("image/webp", FOR_EVER)
def dataset_image(request: Request) -> bytes | None:
    """One X-ray of a dataset that no run has used yet."""
    from covidviz.ui import dataset_pictures

    return dataset_pictures.draw(request)


async def lab(request: Request) -> Response:
    """The live lab: one answer of the compute worker, as it comes."""
    # Imported in a thread: it brings pandas.
    answers = await run_in_threadpool(importlib.import_module, "covidviz.ui.lab_answers")
    size = request.headers.get("content-length", "")
    if not _host_allowed(request):
        return _missing(403)
    if not size.isdigit() or int(size) > answers.MAX_BODY:
        return _missing(400)
    try:
        question = answers.understood(await request.body())
    except InputError as error:
        return Response(str(error), 400, headers=NO_STORE)
    if question is None:
        return _missing(403)
    lines = answers.stream(question, request.is_disconnected)
    # "identity" keeps Streamlit's middleware from holding lines back to compress them together.
    headers = {**NO_STORE, "Content-Encoding": "identity"}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


async def predicting(request: Request) -> Response:
    """The Predict page: an image, the training images near it, or its table."""
    # Imported in a thread: it brings pandas.
    answers = await run_in_threadpool(importlib.import_module, "covidviz.ui.predict_answers")
    session, what = answers.allowed(request.headers), request.path_params["what"]
    if not _host_allowed(request) or session is None:
        return _missing(403)
    run = await run_in_threadpool(_run, request.path_params["run"])
    if run is None:
        return Response("this run is gone", 404, headers=NO_STORE)
    limit = st.get_option("server.maxUploadSize") * 1_000_000 if what == "image" else answers.MAX_BODY
    size = request.headers.get("content-length", "")
    if not size.isdigit() or int(size) > limit or what not in ("image", "near", "csv"):
        return _missing(413 if size.isdigit() and int(size) > limit else 400)
    headers = {**NO_STORE, "Content-Encoding": "identity"}  # as in `lab`
    try:
        if what == "image":
            dicom = request.query_params.get("dicom") == "1"
            upload = await answers.received(request.stream(), dicom=dicom, limit=limit)
            lines = answers.look(run, upload, session, request.is_disconnected)
        elif what == "near":
            lines = answers.near(run, await request.body(), session, request.is_disconnected)
        else:
            content = await run_in_threadpool(answers.table, run, await request.body())
            return Response(content, media_type=EXPORTS["csv"], headers=NO_STORE)
    except CovidvizError as error:
        return Response(str(error), 400, headers=NO_STORE)
    except ClientDisconnect:
        return _missing(400)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


async def what_if(request: Request) -> Response:
    """The sandbox: what the score would have been with a mistake."""
    answers = await run_in_threadpool(importlib.import_module, "covidviz.ui.focal.answers")
    session = answers.allowed(request.headers)
    if not _host_allowed(request) or session is None:
        return _missing(403)
    run = await run_in_threadpool(_run, request.path_params["run"])
    if run is None:
        return Response("this run is gone", 404, headers=NO_STORE)
    size = request.headers.get("content-length", "")
    if not size.isdigit() or int(size) > answers.MAX_BODY:
        return _missing(400)
    lines = answers.stream(run, await request.body(), session, request.is_disconnected)
    headers = {**NO_STORE, "Content-Encoding": "identity"}  # as in `lab`
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


def _run(run_id: str) -> Any:
    from covidviz.ui import pictures

    return pictures.find(run_id)


ROUTES = [
    Route("/img/{run}/{name}", image),
    Route("/cam/{run}/{name}", heat),
    Route("/look/{run}/{name}", look),
    Route("/list/{run}", listed),
    Route("/replay/{run}", replay),
    Route("/scores/{run}/{split}", scores),
    Route("/map/{run}", map_points),
    Route("/export/{run}/{kind}", export, methods=["POST"]),
    Route("/dataset/{word}/{name}", dataset_image),
    Route("/lab", lab, methods=["POST"]),
    Route("/predicting/{run}/{what}", predicting, methods=["POST"]),
    Route("/what_if/{run}", what_if, methods=["POST"]),
    Route("/vendor/plotly.min.js", plotly),
]
