"""``skgaussad export``: write a model as ONNX."""

from ._arguments import add_command, add_model

_EXAMPLES = """
  skgaussad export model.skgaussad --onnx model.onnx
  skgaussad export model.skgaussad --onnx model.onnx --with-maps
"""


def add_parser(commands):
    """Add the command to those of the command line."""
    parser = add_command(
        commands,
        "export",
        run,
        summary="write a model as ONNX",
        description="Write a model as an ONNX graph, from images to distances, labels "
        "and p-values, that runs without this package. Its outputs are compared with "
        "those of the model before it is written.",
        examples=_EXAMPLES,
    )
    add_model(parser)
    parser.add_argument(
        "--onnx", metavar="FILE", required=True, help="the ONNX file to write"
    )
    parser.add_argument(
        "--with-maps", action="store_true", help="with anomaly maps as an output"
    )


def run(arguments):
    """Run the command."""
    from ..export import to_onnx
    from ..persistence import Scorer
    from ._outputs import check_output

    check_output(arguments.onnx, inputs=[arguments.model])
    model = Scorer(arguments.model).model
    metadata = to_onnx(model, arguments.onnx, with_maps=arguments.with_maps)
    print(f"{'file':<14}{arguments.onnx}")
    print(f"{'outputs':<14}{', '.join(metadata['outputs'])}")
    print(f"{'difference':<14}{metadata['parity']:.1g} of a distance at most")
