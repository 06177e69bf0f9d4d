"""A network of ArcFace's form without weights: its embedding is the aligned face in means over 7 x 7 pixels."""

from pathlib import Path

import numpy as np


def write_arcface_stub(path: Path, side: int = 112, width: int = 512) -> Path:
    """Write the ONNX; the embedding is the first `width` of 3 x 16 x 16 means over 7 x 7 pixels."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    limits = [numpy_helper.from_array(np.array(value), name) for name, value in (("from", [0]), ("to", [width]))]
    axis = numpy_helper.from_array(np.array([1]), "axis")
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["face"], ["means"], kernel_shape=[7, 7], strides=[7, 7]),
            helper.make_node("Flatten", ["means"], ["flat"]),
            helper.make_node("Slice", ["flat", "from", "to", "axis"], ["embedding"]),
        ],
        "arcface_stub",
        [helper.make_tensor_value_info("face", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, width])],
        [*limits, axis],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
