"""ONNX graphs, built by operators on values."""

import itertools
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

# The first in which all reductions take axes as inputs and ScatterElements can add.
OPSET = 18
# The first with these operations, for runtimes as old as possible.
_IR_VERSION = 8


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor in a graph; operators on it add nodes.

    Attributes
    ----------
    graph : Graph
    name : str
    """

    graph: "Graph"
    name: str

    def __add__(self, other):
        return self.graph.op("Add", self, other)

    def __sub__(self, other):
        return self.graph.op("Sub", self, other)

    def __mul__(self, other):
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other):
        """Divide; integers are truncated."""
        return self.graph.op("Div", self, other)

    def __matmul__(self, other):
        return self.graph.op("MatMul", self, other)

    def times_transposed(self, matrix):
        """Multiply by the transpose of a matrix, as one node.

        Runtimes up to 1.22 fuse two nodes to one that they lack in double precision.
        """
        return self.graph.op("Einsum", self, matrix, equation="...ij,kj->...ik")

    def __neg__(self):
        return self.graph.op("Neg", self)

    def __lt__(self, other):
        return self.graph.op("Less", self, other)

    def __le__(self, other):
        return self.graph.op("LessOrEqual", self, other)

    def __gt__(self, other):
        return self.graph.op("Greater", self, other)

    def __ge__(self, other):
        return self.graph.op("GreaterOrEqual", self, other)

    def __and__(self, other):
        return self.graph.op("And", self, other)

    def cast(self, dtype):
        """Convert to a NumPy type."""
        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.graph.op("Cast", self, to=to)

    def sum(self, *axes):
        """Sum over axes, which are dropped."""
        return self.graph.op("ReduceSum", self, np.array(axes), keepdims=0)

    def reshape(self, *shape):
        """Reshape; 0 keeps the size of an axis, -1 is inferred."""
        return self.graph.op("Reshape", self, np.array(shape))

    def expand_dims(self, *axes):
        """Insert axes of size 1."""
        return self.graph.op("Unsqueeze", self, np.array(axes))

    def take(self, indices, axis):
        """Take entries along an axis; a single index drops the axis."""
        return self.graph.op("Gather", self, indices, axis=axis)

    def transpose(self, *order):
        """Bring the axes into another order."""
        return self.graph.op("Transpose", self, perm=order)


class Graph:
    """A graph under construction.

    Inputs of nodes are values of the graph, or arrays and numbers, which become
    constants: Python floats as float64, integers as int64.
    """

    def __init__(self):
        self._nodes = []
        self._numbers = itertools.count()
        self._constants = {}
        self._spliced = []
        self._inputs = []
        self._outputs = []

    @property
    def output_names(self):
        """Names of the outputs declared so far."""
        return [output.name for output in self._outputs]

    def input(self, name, dtype, shape):
        """Declare an input.

        Parameters
        ----------
        name : str
        dtype : NumPy type
        shape : sequence of int or str
            A string names an axis of any size.

        Returns
        -------
        value : Value
        """
        self._inputs.append(_describe(name, dtype, shape))
        return Value(self, name)

    def output(self, name, value, dtype, shape):
        """Declare an output; arguments as for `input`."""
        self._nodes.append(helper.make_node("Identity", [value.name], [name]))
        self._outputs.append(_describe(name, dtype, shape))

    def op(self, kind, *inputs, n_outputs=1, **attributes):
        """Add a node.

        Parameters
        ----------
        kind : str
            The operation, as the ONNX specification calls it.
        *inputs : Value, ndarray or number
        n_outputs : int, default=1
        **attributes
            Of the operation.

        Returns
        -------
        value : Value, or list of n_outputs of them
        """
        names = [self._name_of(value) for value in inputs]
        outputs = [f"{kind}_{next(self._numbers)}" for _ in range(n_outputs)]
        self._nodes.append(helper.make_node(kind, names, outputs, **attributes))
        values = [Value(self, name) for name in outputs]
        return values[0] if n_outputs == 1 else values

    def choose(self, condition, then, otherwise, dtype):
        """Compute one of two values, depending on a condition at run time.

        Parameters
        ----------
        condition : Value
            A single boolean.
        then, otherwise : callable
            Without arguments; add the nodes of a branch and return its value.
        dtype : NumPy type
            Of both.

        Returns
        -------
        value : Value
        """
        before, branches = self._nodes, []
        for compute in (then, otherwise):
            self._nodes = []
            value = _describe(compute().name, dtype, None)
            branches.append(helper.make_graph(self._nodes, "branch", [], [value]))
        self._nodes = before
        then_branch, else_branch = branches
        return self.op(
            "If", condition, then_branch=then_branch, else_branch=else_branch
        )

    def constant(self, array):
        """Return an array or number as a value; equal ones are stored only once."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = numpy_helper.from_array(array, name)
        return Value(self, self._constants[key].name)

    def splice(self, model, value):
        """Insert a model of one input.

        Parameters
        ----------
        model : onnx.ModelProto
            Of the same version of the operations.
        value : Value
            Its input.

        Returns
        -------
        outputs : list of Value
        """
        graph = onnx.compose.add_prefix(model, "network/").graph
        for node in graph.node:
            # The origin of the node in torch's source, with paths of this machine.
            node.ClearField("metadata_props")
        (taken,) = graph.input
        self._nodes.append(helper.make_node("Identity", [value.name], [taken.name]))
        self._nodes.extend(graph.node)
        self._spliced.extend(graph.initializer)
        return [Value(self, output.name) for output in graph.output]

    def model(self, metadata):
        """Return the model with this graph.

        Parameters
        ----------
        metadata : dict of {str: str}

        Returns
        -------
        model : onnx.ModelProto
        """
        graph = helper.make_graph(
            self._nodes,
            "skgaussad",
            self._inputs,
            self._outputs,
            [*self._constants.values(), *self._spliced],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="skgaussad",
        )
        helper.set_model_props(model, metadata)
        return model

    def _name_of(self, value):
        return (value if isinstance(value, Value) else self.constant(value)).name


def _describe(name, dtype, shape):
    to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, to, shape)
