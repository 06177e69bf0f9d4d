"""How good speech sounds, by DNSMOS P.835: what listeners would say of voice, background and the whole, from 1 to 5.

The network is an ONNX file that the user names (`fada weights get speech`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from fada.data.prepare.onnx_session import open_session, port_shapes
from fada.media.sample_rate import SAMPLE_RATE

LENGTH = 144_160
"""Samples that the network hears at once: 9.01 seconds at 16 kHz."""
PUBLISHED = "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd"
_TO_OPINION = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)
"""Quadratic, linear and constant coefficients from the network's answers to opinions: voice, background, whole."""
_WHERE = "give sig_bak_ovr.onnx of speechmos 0.0.1.1 (fada weights get speech --list)"


class SpeechQualityError(ValueError):
    """The network cannot be had; the message says why and what to do."""


class SpeechQuality:
    """DNSMOS P.835 with its network, on the CPU.

    Args:
        weights: `sig_bak_ovr.onnx`.

    Raises:
        SpeechQualityError: there is no such file, it is another one, or onnxruntime is not installed.

    Source: Reddy, Gopal, Cutler 2022 (arXiv:2110.01763); windows and coefficients as in Microsoft's package speechmos.
    """

    def __init__(self, weights: Path) -> None:
        check_weights(weights)
        try:
            self._session = open_session(weights.read_bytes())
        except ImportError as error:
            raise SpeechQualityError(
                f"--dnsmos needs onnxruntime ({error}); install the extra `metrics`: pip install 'fada[metrics]'"
            ) from error
        except ValueError as error:
            raise SpeechQualityError(f"--dnsmos {weights}: {error}; {_WHERE}") from error
        shapes = port_shapes(self._session)
        if [shape[1:] for shape in shapes] != [[LENGTH], [3]]:
            raise SpeechQualityError(f"--dnsmos {weights}: not DNSMOS, its ports are {shapes}; {_WHERE}")

    def __call__(self, audio: np.ndarray) -> tuple[float, float, float] | None:
        """Opinions of voice, background and the whole: the mean over windows that begin a second apart.

        Args:
            audio: float32 (N,) mono at 16 kHz in [-1, 1]; a sound that is too short is repeated.

        Returns:
            None for no sound at all.
        """
        if len(audio) == 0:
            return None
        heard = audio
        while len(heard) < LENGTH:
            heard = np.concatenate([heard, heard])
        # As the public code counts them: what is over a whole second at the end is not heard.
        windows = int(len(heard) // SAMPLE_RATE - LENGTH / SAMPLE_RATE) + 1
        answers = [self._answer(heard[second * SAMPLE_RATE :][:LENGTH]) for second in range(windows)]
        found = [
            np.polyval(to_opinion, column)
            for to_opinion, column in zip(_TO_OPINION, np.transpose(answers), strict=True)
        ]
        voice, background, whole = (float(opinions.mean()) for opinions in found)
        return voice, background, whole

    def _answer(self, window: np.ndarray) -> np.ndarray:
        name = self._session.get_inputs()[0].name
        (answers,) = self._session.run(None, {name: np.ascontiguousarray(window, np.float32)[None]})
        return answers[0]


def check_weights(weights: Path) -> str:
    """SHA-256 of DNSMOS's file.

    Raises:
        SpeechQualityError: there is none, or another: DNSMOS for a known speaker looks alike and has its own scales.
    """
    if not weights.is_file():
        raise SpeechQualityError(f"--dnsmos {weights}: no such file; {_WHERE}")
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if found != PUBLISHED:
        raise SpeechQualityError(
            f"--dnsmos {weights}: its SHA-256 begins {found[:12]}, the published one {PUBLISHED[:12]}; {_WHERE}"
        )
    return found
