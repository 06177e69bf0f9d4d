"""Which container formats are read, and opening one so that nothing but its own bytes is read.

FFmpeg also knows formats that are lists of other files (concat, HLS, DASH, SDP, image sequences, references to external
tracks) and takes a name with a colon for a protocol. A video from elsewhere must not reach a neighbour's file or the
network that way, whatever its name or content: the file is opened here and handed over as an open file without a name,
only formats that hold their pictures and sounds themselves are read, and no protocol is allowed.
"""

from __future__ import annotations

import threading
from typing import Any, BinaryIO

import av
import av.logging
from av.container import InputContainer

from fada.media.error import MediaError

READ_FORMATS = (
    "3dostr", "aac", "ac3", "ac4", "aiff", "amr", "amrnb", "amrwb", "ape", "apng", "asf", "au", "av1", "avi", "avs2",
    "avs3", "caf", "cavsvideo", "dirac", "dnxhd", "dts", "dtshd", "dv", "eac3", "evc", "flac", "flv", "gif", "gxf",
    "h261", "h263", "h264", "hevc", "ivf", "live_flv", "loas", "m4v", "matroska", "mjpeg", "mlp", "mov", "mp3", "mpc",
    "mpc8", "mpeg", "mpegts", "mpegvideo", "mxf", "nsv", "nut", "obu", "ogg", "qcp", "rm", "smjpeg", "tak", "truehd",
    "tta", "vc1", "voc", "vvc", "w64", "wav", "wv", "xwma", "yuv4mpegpipe",
)  # fmt: skip
"""FFmpeg's names; those of several names (mov is mp4 too, matroska is webm) by one of them."""
_BUFFER_BYTES = 1 << 16
_OPTIONS = {
    "format_whitelist": ",".join(READ_FORMATS),
    # No name of a protocol: with an empty list FFmpeg would allow all.
    "protocol_whitelist": "none",
    # Off by default; the lists above must not be all that stands before them.
    "enable_drefs": "0",
    "use_absolute_path": "0",
}
# From 19 on PyAV keeps a tag's foreign bytes as they are, and knows no such option.
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
# FFmpeg says which format it refuses in its log alone, and the log is one for the whole process.
_log_lock = threading.Lock()


class InputFile:
    """A binary file as FFmpeg may see it: without a name, and with errors that say which file it is.

    FFmpeg would guess by a name's extension, and take "10:30.wav" for a protocol.

    Args:
        file: open, binary, seekable.
        name: for messages.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        """At most so many bytes.

        Raises:
            MediaError: the medium fails.
        """
        try:
            return self._file.read(size)
        except OSError as error:
            raise MediaError(f"{self._name}: cannot be read ({error.strerror})") from error

    def seek(self, offset: int, whence: int = 0) -> int:
        """The place in the file; -1 where a damaged header asks for one that cannot be."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


def open_input(file: InputFile, options: dict[str, str]) -> InputContainer:
    """The container in an open binary file, if its format is one of ``READ_FORMATS``.

    Args:
        file: at its beginning.
        options: further ones of FFmpeg.

    Raises:
        av.error.FFmpegError: it is of another format, damaged or not media; see :func:`refused_format`.
    """
    return av.open(file, mode="r", buffer_size=_BUFFER_BYTES, options={**options, **_OPTIONS}, **_TAGS)


def refused_format(file: InputFile) -> str | None:
    """FFmpeg's name of the format that a file was refused for; None where it was refused for something else."""
    file.seek(0)
    with _log_lock:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        try:
            # The capture keeps the log from the terminal; what it said last comes with the error.
            with av.logging.Capture():
                open_input(file, {}).close()
        except av.error.FFmpegError as error:
            log: Any = error.log or (0, "", "")
        except ValueError:
            return None
        else:
            return None
        finally:
            av.logging.set_level(level)
    _, name, message = log
    if message.startswith("Not detecting m3u8/hls"):
        return "hls"
    return str(name) if message.startswith("Format not on whitelist") else None
