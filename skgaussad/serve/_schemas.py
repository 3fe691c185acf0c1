"""What the service takes and returns, for its OpenAPI description."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

# One in a million takes as many training images.
Rate = Annotated[float, Field(ge=1e-6, lt=1)]
Lot = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"\S",
        description="The lot of the images, for a model that was fitted with lots.",
    ),
]


class Problem(BaseModel):
    """Why a request was refused: the one form of all errors."""

    status: int
    error: str


class Result(BaseModel):
    """The decision on an image, or what is wrong with the image."""

    name: str = Field(description="The name of the uploaded file.")
    error: str | None = Field(
        description="Why the image cannot be used; all below is then null."
    )
    id: str | None = Field(None, description="For feedback, pictures and updates.")
    distance: float | None = Field(
        None, description="How unlike the normal images it is."
    )
    threshold: float | None = Field(None, description="Anomalous above this distance.")
    threshold_ratio: float | None = Field(
        None, description="Distance over threshold: anomalous above 1."
    )
    p_value: float | None = Field(
        None,
        description="Fraction of normal images expected to be at least as anomalous.",
    )
    label: Literal[1, -1] | None = Field(
        None, description="1 for normal, -1 for anomalous."
    )
    decision: Literal["normal", "anomalous"] | None = None
    map: str | None = Field(
        None, description="PNG of the anomaly map over the image, in Base64."
    )


class Scores(BaseModel):
    """Decisions, in the order of the uploaded images."""

    model: str = Field(description="Version of the model that scored.")
    results: list[Result]


class WorkingPoint(BaseModel):
    """What a false-alarm rate comes to."""

    fpr: float | None = Field(description="False-alarm rate, between 0 and 1.")
    threshold: float
    bound: float | None = Field(
        description="With 95 % confidence the true rate is at most this, for images "
        "like those of the fit."
    )
    supported: bool = Field(description="Whether there are enough training images.")


class WorkingPoints(BaseModel):
    """The rate in use, and others to choose from."""

    current: WorkingPoint
    own: WorkingPoint = Field(description="That of the model file.")
    rates: list[WorkingPoint]


class ChosenRate(BaseModel):
    """The false-alarm rate to decide by; null for that of the model file."""

    fpr: Rate | None


class Facts(BaseModel):
    """What is known of the model."""

    version: str = Field(description="The beginning of the SHA-256 of its file.")
    file: str
    fpr: float | None
    fpr_bound: float | None
    threshold: float
    n_training_images: int | None
    n_updates: int
    can_update: bool = Field(description="Whether it keeps what an update needs.")
    lots: bool = Field(description="Whether it was fitted with lots.")
    adapts: bool = Field(description="Whether the threshold follows the feedback.")
    summary: list[str] = Field(description="What was learned, and what to do about it.")
    has_onnx: bool = Field(description="Whether the model can be had as ONNX here.")
    max_size: float = Field(description="Megabytes of an image at most.")
    max_images: int = Field(description="Images of a request at most.")
    model_info: dict


class Feedback(BaseModel):
    """What inspection found of an image, named by the id or else its file name."""

    id: str | None = None
    name: str | None = Field(None, description="The newest image of this name counts.")
    verdict: Literal["good", "defect"] | None = Field(
        description="null takes an earlier one back."
    )


class Accepted(BaseModel):
    """Feedback that is on the disk."""

    id: str
    name: str
    verdict: Literal["good", "defect"] | None


class Update(BaseModel):
    """Images to add to those that the model is fitted to, and some to leave out."""

    ids: list[str] | None = Field(
        None,
        description="Of images confirmed good. null adds all that are not in yet.",
    )
    forget: list[str] = Field(
        [], description="Names of training images to leave out, as /training has them."
    )
    lot: Lot | None = None


class Updated(BaseModel):
    """The model before and after an update."""

    model: str
    n_before: int
    n_after: int
    threshold_before: float = Field(description="By the rate of the model file.")
    threshold_after: float
    warnings: list[str]


class TrainingImage(BaseModel):
    """An image that the model is fitted to."""

    row: int
    name: str = Field(description="Its path as it was given, or empty.")
    shown: str = Field(description="A short name.")
    lot: str | None
    distance: float = Field(description="Held out: to a model fitted without it.")
    threshold_ratio: float | None
    above: bool = Field(description="Whether it would be flagged.")
    has_picture: bool


class Training(BaseModel):
    """Training images, the farthest out first."""

    n_images: int
    n_above: int
    images: list[TrainingImage]


class Decision(BaseModel):
    """A decision of before."""

    id: str
    time: str
    name: str
    lot: str | None
    distance: float
    p_value: float | None
    threshold: float
    label: Literal[1, -1]
    model: str
    verdict: Literal["good", "defect"] | None
    has_picture: bool
    in_model: bool


class Monitor(BaseModel):
    """Whether production has changed since the fit."""

    alarm: bool
    diagnosis: Literal["drift", "burst"] | None
    by: Literal["image", "lot"] = Field(description="What it watches.")
    n_seen: int
    log_martingale: float


class Adaptive(BaseModel):
    """The threshold that follows the feedback."""

    rate: float | None
    excess: float | None
    threshold: float
    shift: float
    n_pending: float


class History(BaseModel):
    """Counts of all decisions, and the last ones, the newest first."""

    n_decided: int
    n_flagged: int
    n_false_alarms: int = Field(description="Flagged, and then found good.")
    n_missed: int = Field(description="Passed, and then found defective.")
    n_waiting: int = Field(description="Confirmed good, and not in the model yet.")
    monitor: Monitor | None
    adaptive: Adaptive | None
    decisions: list[Decision]


class State(BaseModel):
    """That the service runs."""

    status: Literal["ok", "stopping"]
