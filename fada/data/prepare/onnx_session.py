"""Networks that are ONNX files, on the CPU by onnxruntime."""

from __future__ import annotations

from typing import Any

from fada.media.threads import thread_limit


def open_session(content: bytes) -> Any:
    """An ``InferenceSession`` with as many threads as this process may have.

    Raises:
        ImportError: onnxruntime is not installed.
        ValueError: the content is no ONNX that it can run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Beside other work its threads would spin while they wait for one another.
    options.intra_op_num_threads = thread_limit()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise ValueError(f"not readable as ONNX ({error})") from error


def port_shapes(session: Any) -> list[list[Any]]:
    """Shapes of a network's inputs, then of its outputs."""
    return [list(port.shape) for port in (*session.get_inputs(), *session.get_outputs())]
