"""The routes of the service."""

import base64
import importlib.resources
import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from typing import Annotated

from fastapi import (
    Depends,
    FastAPI,
    File,
    HTTPException,
    Path,
    Query,
    Response,
    UploadFile,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as StarletteHTTPException

from ..exceptions import InvalidImageError
from ..persistence import save
from ..reporting import fit_summary
from . import _schemas as schemas
from ._guard import RequestGuard, problem_response
from ._pictures import draw_image
from ._service import Service, name_of

_DESCRIPTION = """
Scores images by a model of normal ones, and learns which decisions were right.
All errors have one form, `{"status": 422, "error": "what is wrong"}`.
"""
_PROBLEMS = {"4XX": {"model": schemas.Problem, "description": "What is wrong"}}
# What swagger needs that other pages do not: styles in elements.
_DOCS_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"
)
_HIDDEN = {"include_in_schema": False}
_MAX_REPORT = 200

Identity = Annotated[str, Path(pattern=r"^(\w{1,40}-)?[0-9a-f]{16}(\.[a-z0-9]{1,8})?$")]
Upload = Annotated[UploadFile, File(description="An image file.")]
Uploads = Annotated[list[UploadFile], File(description="Image files.")]


class _PngResponse(Response):
    media_type = "image/png"


def _returns(kind):
    """Return what a route says that answers with a file."""
    answer = {"content": {kind: {}}, "description": "A file"}
    return {"response_class": Response, "responses": {200: answer}}


_PNG = _returns("image/png")


@contextmanager
def _refusing():
    """Refuse what the model cannot do."""
    try:
        yield
    except InvalidImageError:
        raise
    except ValueError as error:
        raise HTTPException(409, str(error)) from error


def build_app(settings):
    """Make the application.

    Parameters
    ----------
    settings : ServeSettings

    Returns
    -------
    app : fastapi.FastAPI
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app):
        service.start()
        yield
        service.stop()

    app = FastAPI(
        title="skgaussad serve",
        version=metadata.version("skgaussad"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=_PROBLEMS,
        dependencies=[Depends(HTTPBearer(auto_error=False))] if settings.token else [],
    )
    app.add_middleware(RequestGuard, settings=settings, metrics=service.metrics)
    _add_problems(app)
    _add_page(app)
    _add_scores(app, service)
    _add_feedback(app, service)
    _add_updates(app, service)
    _add_facts(app, service)
    _add_downloads(app, service)
    _add_operation(app, service)
    return app


def _add_problems(app):
    """Give all errors one form."""

    @app.exception_handler(StarletteHTTPException)
    async def refuse(request, error):
        return problem_response(error.status_code, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_request(request, error):
        problems = (
            f"{'.'.join(map(str, e['loc']))}: {_explain(e)}" for e in error.errors()
        )
        return problem_response(422, "; ".join(problems))

    @app.exception_handler(InvalidImageError)
    async def refuse_image(request, error):
        return problem_response(422, f"The image cannot be used: {error.problem}")

    @app.exception_handler(OSError)
    async def fail_to_store(request, error):
        return problem_response(507, f"It could not be stored: {error}")

    @app.exception_handler(Exception)
    async def fail(request, error):
        return problem_response(500, "Something went wrong; the log has more.")


def _explain(problem):
    """Say what is wrong with a field."""
    if "UploadFile" in problem["msg"]:
        # Of curl, what lacks its @ is a text.
        return "expected the content of a file, as of curl -F files=@a.png; got text"
    return problem["msg"]


def _add_page(app):
    """Add the page and what it loads, all of it from here."""
    swagger = importlib.resources.files("fastapi_offline") / "static"
    own = importlib.resources.files(__package__) / "static"
    app.mount("/static/swagger", StaticFiles(directory=str(swagger)))
    app.mount("/static", StaticFiles(directory=str(own)))
    environment = Environment(loader=PackageLoader(__package__), autoescape=True)
    page = environment.get_template("page.html").render(version=app.version)
    docs = environment.get_template("docs.html").render()

    @app.get("/", response_class=HTMLResponse, **_HIDDEN)
    async def show_page():
        return page

    @app.get("/docs", **_HIDDEN)
    async def show_docs():
        return HTMLResponse(docs, headers={"Content-Security-Policy": _DOCS_POLICY})


def _add_scores(app, service):
    settings = service.settings

    def check_sizes(files):
        if len(files) > settings.max_images:
            raise HTTPException(
                422,
                f"{len(files)} images were sent, and at most {settings.max_images} are "
                "taken at once.",
            )
        for file in files:
            if file.size > settings.max_bytes:
                raise HTTPException(
                    413,
                    f"{name_of(file)} has {file.size / 1e6:.1f} MB, and at most "
                    f"{settings.max_size:g} MB are taken.",
                )

    @app.post("/score", tags=["Score"])
    def score(
        files: Uploads, maps: bool = False, lot: schemas.Lot | None = None
    ) -> schemas.Scores:
        """Decide one or many images; one that cannot be used has an error."""
        check_sizes(files)
        with _refusing():
            results = service.score(files, lot, maps)
        for result in results:
            if result.get("map") is not None:
                result["map"] = base64.b64encode(result["map"]).decode()
        models = [result["model"] for result in results if "model" in result]
        version = models[0] if models else service.served.version
        return schemas.Scores(model=version, results=results)

    @app.post("/maps", tags=["Score"], **_PNG)
    def draw_map(file: Upload):
        """Draw the anomaly map of an image over it, and decide nothing."""
        check_sizes([file])
        with service.temporary(file) as path, _refusing():
            return _PngResponse(service.draw_map(path))

    def find(identity):
        if not service.ledger.has_image(identity):
            raise HTTPException(404, f"There is no image {identity!r} any more.")
        return service.ledger.image_of(identity)

    @app.get("/images/{id}", tags=["Score"], **_PNG)
    def get_image(id: Identity):
        """Return the picture of an image that was decided."""
        return _PngResponse(draw_image(service.served.model, find(id)))

    @app.get("/images/{id}/map", tags=["Score"], **_PNG)
    def get_map(id: Identity):
        """Draw the anomaly map of an image that was decided over it."""
        with _refusing():
            return _PngResponse(service.draw_map(find(id)))


def _add_feedback(app, service):
    @app.post("/feedback", tags=["Feedback"])
    def give_feedback(feedback: schemas.Feedback) -> schemas.Accepted:
        """Say that an image is good or a defect; the answer means it is on the disk."""
        if (feedback.id is None) == (feedback.name is None):
            raise HTTPException(422, "Name the image by its id or else by its name.")
        decision = service.ledger.give_feedback(
            feedback.id, feedback.name, feedback.verdict
        )
        if decision is None:
            raise HTTPException(
                404,
                f"No image {feedback.id or feedback.name!r} was decided, or it is too "
                "long ago.",
            )
        service.metrics.feedback.labels(
            "normal" if decision["label"] == 1 else "anomalous",
            feedback.verdict or "taken back",
        ).inc()
        return schemas.Accepted(
            id=decision["id"], name=decision["name"], verdict=feedback.verdict
        )

    @app.get("/history", tags=["Feedback"])
    def get_history(
        limit: Annotated[int, Query(ge=0, le=10_000)] = 100,
    ) -> schemas.History:
        """Return counts and the last decisions, with what inspection found."""
        ledger, in_model = service.ledger, service.ids_in_model()
        with ledger.held():
            decisions, summary = ledger.last(), ledger.summary()
        return schemas.History(
            **summary,
            n_waiting=len(service.waiting(decisions)),
            decisions=[
                {
                    **decision,
                    "has_picture": ledger.has_image(decision["id"]),
                    "in_model": decision["id"] in in_model,
                }
                for decision in decisions[:limit]
            ],
        )

    @app.post("/monitor/reset", tags=["Feedback"], status_code=204)
    def reset_monitor() -> None:
        """Clear the alarm of a change, after its cause was found."""
        service.ledger.add("reset")


def _add_updates(app, service):
    @app.post("/update", tags=["Model"])
    def update(body: schemas.Update) -> schemas.Updated:
        """Add images confirmed good to the model, and leave training images out."""
        waiting = {
            decision["id"]: decision
            for decision in service.waiting(service.ledger.last())
        }
        ids = waiting if body.ids is None else dict.fromkeys(body.ids)
        others = [identity for identity in ids if identity not in waiting]
        if others:
            raise HTTPException(
                409,
                f"{others[0]!r} was not confirmed good, is in the model already, or is "
                "not kept any more.",
            )
        unknown = set(body.forget).difference(service.names_in_model())
        if unknown or "" in body.forget:
            raise HTTPException(
                404, f"The model has no image {sorted(unknown | {''})[-1]!r}."
            )
        if not ids and not body.forget:
            raise HTTPException(
                409,
                "There is nothing to update: first say of some images that they are "
                "good, or name training images to leave out.",
            )
        decisions = [waiting[identity] for identity in ids]
        with _refusing():
            done = service.update(decisions, body.forget, body.lot if ids else None)
        return schemas.Updated(**done)

    @app.post("/undo", tags=["Model"])
    def undo() -> schemas.Updated:
        """Undo the last update of the model."""
        with _refusing():
            done = service.undo()
        return schemas.Updated(**done)

    @app.post("/rate", tags=["Model"])
    def choose_rate(chosen: schemas.ChosenRate) -> schemas.WorkingPoint:
        """Choose the false-alarm rate to decide by from now on."""
        served = service.served
        if served.held_out is None:
            raise HTTPException(
                409, "This model has no held-out distances to set a rate by."
            )
        service.ledger.add("rate", fpr=chosen.fpr)
        return schemas.WorkingPoint(**served.working_point(chosen.fpr))


def _add_facts(app, service):
    @app.get("/model", tags=["Model"])
    def get_model() -> schemas.Facts:
        """Return what is known of the model in use."""
        served, settings = service.served, service.settings
        point = served.working_point(service.ledger.rate)
        samples = served.samples
        kept = served.facts["training_samples"] or {}
        distances = served.held_out_distances
        learned = fit_summary(
            served.at_rate(service.ledger.rate), names=service.training_names()
        )
        return schemas.Facts(
            version=served.version,
            file=os.path.basename(settings.model),
            fpr=point["fpr"],
            fpr_bound=point["bound"],
            threshold=service.ledger.threshold,
            n_training_images=None if distances is None else len(distances),
            n_updates=kept.get("n_updates", 0),
            can_update=samples is not None,
            lots=served.has_lots,
            adapts=settings.adapt,
            summary=replace(learned, warnings=()).sentences(),
            has_onnx=find_spec("onnxscript") is not None,
            max_size=settings.max_size,
            max_images=settings.max_images,
            model_info=served.facts,
        )

    @app.get("/rates", tags=["Model"])
    def get_rates(
        fpr: Annotated[
            schemas.Rate | None, Query(description="One more rate to tell of.")
        ] = None,
    ) -> schemas.WorkingPoints:
        """Return thresholds and bounds of false-alarm rates."""
        served, rate = service.served, service.ledger.rate
        return schemas.WorkingPoints(
            current=served.working_point(rate),
            own=served.working_point(None),
            rates=served.working_points(rate, fpr),
        )

    @app.get("/training", tags=["Model"])
    def get_training(
        limit: Annotated[int, Query(ge=0, le=10_000)] = 50,
    ) -> schemas.Training:
        """Return the training images, those farthest out first, to look at again."""
        training = service.training_images(limit)
        if training is None:
            raise HTTPException(409, "This model does not tell its training images.")
        return schemas.Training(**training)

    @app.get("/training/{row}/image", tags=["Model"], **_PNG)
    def get_training_image(row: Annotated[int, Path(ge=0, le=10**9)]):
        """Return the picture of a training image that is still where it was."""
        served = service.served
        samples = served.samples
        if samples is None or row >= len(samples["name"]):
            raise HTTPException(404, f"The model has no training image {row}.")
        path = str(samples["name"][row])
        if not os.path.isfile(path):
            raise HTTPException(404, f"{path!r} is not there any more.")
        return _PngResponse(draw_image(served.model, path))


def _add_downloads(app, service):
    def download(content, name, kind):
        return Response(
            content,
            media_type=kind,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    octets = "application/octet-stream"

    @app.get("/model/file", tags=["Download"], **_returns(octets))
    def get_file():
        """Return the model file as it is now, with the rate in use."""
        rate = service.ledger.rate
        with service.temporary(name="model.skgaussad") as path:
            if rate is None:
                path = service.settings.model
            else:
                save(service.served.at_rate(rate), path)
            with open(path, "rb") as file:
                return download(file.read(), "model.skgaussad", octets)

    @app.get("/model/onnx", tags=["Download"], **_returns(octets))
    def get_onnx():
        """Return the model as ONNX, which takes some seconds to make."""
        from ..export import to_onnx

        with service.temporary(name="model.onnx") as path:
            try:
                to_onnx(service.served.at_rate(service.ledger.rate), path)
            except (ImportError, ValueError, TypeError) as error:
                raise HTTPException(409, str(error)) from error
            with open(path, "rb") as file:
                return download(file.read(), "model.onnx", octets)

    @app.get("/report", tags=["Download"], **_returns("text/html"))
    def get_report():
        """Return an HTML report on the model and the last images that are not in it.

        They are judged anew, by the model and the rate in use. Verdicts count where all
        of them have one.
        """
        from ..reporting import write_report

        ledger, learned = service.ledger, service.ids_in_model()
        decisions = [
            decision
            for decision in ledger.last(_MAX_REPORT)
            if ledger.has_image(decision["id"]) and decision["id"] not in learned
        ]
        if not decisions:
            raise HTTPException(409, "No new images have been scored to report on.")
        verdicts = [decision["verdict"] for decision in decisions]
        y = None
        if all(verdicts):
            y = [1 if verdict == "good" else -1 for verdict in verdicts]
        with service.temporary(name="report.html") as path:
            write_report(
                service.served.at_rate(ledger.rate),
                [ledger.image_of(decision["id"]) for decision in decisions],
                path,
                y=y,
                names=[decision["name"] for decision in decisions],
                title="The last images, by the model and rate of now",
            )
            with open(path, "rb") as file:
                return download(file.read(), "report.html", "text/html")


def _add_operation(app, service):
    @app.get("/health", tags=["Operation"])
    async def get_health() -> schemas.State:
        """Tell that the process runs."""
        return schemas.State(status="ok")

    @app.get("/ready", tags=["Operation"])
    async def get_ready(response: Response) -> schemas.State:
        """Tell whether images are taken; 503 while the service stops."""
        if service.is_stopping:
            response.status_code = 503
            return schemas.State(status="stopping")
        return schemas.State(status="ok")

    @app.get("/metrics", tags=["Operation"], **_returns("text/plain"))
    def get_metrics():
        """Return metrics for Prometheus."""
        return Response(service.render_metrics(), media_type=CONTENT_TYPE_LATEST)
