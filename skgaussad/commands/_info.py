"""``skgaussad info``: describe a model file."""

from .._utils.printable import printable
from ._arguments import add_command, add_model

_EXAMPLES = """
  skgaussad info model.skgaussad
  skgaussad info model.skgaussad --json
"""


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "info",
        run,
        summary="describe a model file",
        description="Print the metadata of a model file. The model is not loaded.",
        examples=_EXAMPLES,
    )
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def run(arguments):
    """Run the command."""
    import json

    from ..exceptions import ModelFileError
    from ..persistence import model_info

    facts = model_info(arguments.model)
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return
    try:
        lines = list(_as_lines(facts))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(
            f"{arguments.model!r} does not describe its model as skgaussad does "
            f"({type(error).__name__}: {error}). With --json all it says is printed."
        ) from error
    for name, value in lines:
        print(f"{name:<14}{printable(str(value))}")


def _as_lines(facts):
    """Yield the names and values of the main facts."""
    yield "estimator", facts["estimator"]
    for network in facts["networks"]:
        preprocessing = network["preprocessing"]
        height, width = preprocessing["image_size"]
        # Files of before these settings do not have them.
        is_standardized = preprocessing.get("standardize_intensity", False)
        max_value = preprocessing.get("max_value")
        is_reduced = preprocessing.get("reduce_jpeg", False)
        levels = ", ".join(map(str, network["levels"]))
        yield (
            "network",
            f"{network['backbone']}, {width} x {height} pixels, level {levels}, "
            f"{network['n_features']} features, {network['precision']}"
            + ", standardized intensity" * is_standardized
            + (f", white is {max_value} in 16 bits" if max_value else "")
            + ", JPEG files reduced while decoded" * is_reduced,
        )
        where = "in the file" if network["weights_in_file"] else "not in the file"
        yield "weights", f"{where}, from {network['weights_source']}"
        yield "SHA-256", network["weights_sha256"]
    detector = facts["detector"]
    if detector is not None:
        rule = detector.get("threshold")
        distance = detector["threshold_distance"]
        yield "threshold", f"{distance:.4g}" + (f", by {rule}" if rule else "")
        if "fpr" in detector:
            yield "false alarms", f"{100 * detector['fpr']:g} % asked for"
        if "n_calibration_units" in detector:
            yield "calibrated on", f"{detector['n_calibration_units']} images or groups"
    samples = facts.get("training_samples")
    if samples is not None:
        lots = "" if samples["n_groups"] is None else f" of {samples['n_groups']} lots"
        yield "kept images", f"{samples['n_samples']}{lots}, for updates"
        if samples["n_updates"]:
            yield "last update", f"{samples['changed']}, {samples['n_updates']} in all"
    packages = [f"{name} {version}" for name, version in facts["packages"].items()]
    yield "saved with", ", ".join([f"Python {facts['python']}", *packages])
