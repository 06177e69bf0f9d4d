"""What came of every video: clips kept, stretches rejected and why; as JSON and as tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fada.data.prepare.reasons import EXPLANATIONS, Reason, Rejection
from fada.data.stages import add_up, throughput
from fada.files.whole import write_json

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class PreparedClip:
    """The short story of one clip; its own JSON has the long one."""

    key: str
    start_seconds: float
    end_seconds: float
    quality: str
    flaws: tuple[str, ...]
    offset: int
    """Measured frames between lips and sound (positive: the sound is early), before any correction."""
    correlation: float
    confidence: float
    offset_corrected: bool


@dataclass(frozen=True)
class SourceRecord:
    """Everything that came of one source; kept on disk, so that a finished source is not done again."""

    source: str
    sha256: str
    settings: str
    """Fingerprint of the settings and models it was made with."""
    video_seconds: float | None
    seconds_taken: float
    clips: tuple[PreparedClip, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    stages: dict[str, float] = field(default_factory=dict, compare=False)
    """Seconds by stage."""
    identity: str = ""
    identity_from: str = ""
    """What names the person: "list" or "path"."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        record = asdict(self)
        record["rejections"] = [rejection.to_json() for rejection in self.rejections]
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> SourceRecord:
        """The inverse of :meth:`to_json`."""
        clips = tuple(PreparedClip(**{**clip, "flaws": tuple(clip["flaws"])}) for clip in record["clips"])
        rejections = tuple(Rejection.from_json(rejection) for rejection in record["rejections"])
        return cls(**{**record, "clips": clips, "rejections": rejections})


@dataclass(frozen=True)
class PrepareReport:
    """The outcome of one call of ``prepare_videos``."""

    folder: Path
    records: tuple[SourceRecord, ...]
    models: dict[str, str]
    """SHA-256 of each model file."""
    settings: dict[str, Any]
    resumed: int = 0
    """Sources that an earlier call had finished."""
    ignored_files: tuple[str, ...] = field(default=())
    """Files of given folders that are not videos by their extension."""

    @property
    def clips(self) -> list[PreparedClip]:
        """All clips kept."""
        return [clip for record in self.records for clip in record.clips]

    @property
    def rejections(self) -> list[Rejection]:
        """All stretches rejected."""
        return [rejection for record in self.records for rejection in record.rejections]

    def reasons(self) -> dict[Reason, int]:
        """How often each reason was the first one."""
        return dict(Counter(rejection.reason for rejection in self.rejections))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "clips": len(self.clips),
            "clip_seconds": round(sum(clip.end_seconds - clip.start_seconds for clip in self.clips), 3),
            "rejected": {reason.value: count for reason, count in sorted(self.reasons().items())},
            "models": self.models,
            "settings": self.settings,
            "ignored_files": list(self.ignored_files),
            "sources": [record.to_json() for record in self.records],
        }

    def write(self) -> Path:
        """Write report.json into the folder of clips, whole."""
        path = self.folder / "report.json"
        write_json(path, self.to_json())
        return path

    def tables(self) -> list[Table]:
        """For the terminal and logs, as long for a million clips as for one: sums, reasons, where the time went."""
        from rich.table import Table

        clips = self.clips
        counts = Table(title=f"{len(clips)} clips in {self.folder}", title_justify="left", show_header=False)
        flaws = Counter(flaw for clip in clips for flaw in clip.flaws)
        minutes = sum(clip.end_seconds - clip.start_seconds for clip in clips) / 60
        rows = {
            "videos": f"{len(self.records)}, of which {self.resumed} were done before",
            "minutes": f"{minutes:.1f}",
            **{
                f"quality {quality}": str(count) for quality, count in sorted(Counter(c.quality for c in clips).items())
            },
            "offset corrected": str(sum(clip.offset_corrected for clip in clips)),
            **{f"flaw: {flaw}": str(count) for flaw, count in flaws.most_common()},
        }
        for name, value in rows.items():
            counts.add_row(name, value)
        reasons = Table(title=f"{len(self.rejections)} stretches rejected", title_justify="left")
        for column in ("reason", "stretches", "for example", "measured"):
            reasons.add_column(column, justify="right" if column == "stretches" else "left", overflow="fold")
        examples = {rejection.reason: rejection for rejection in reversed(self.rejections)}
        for reason, count in sorted(self.reasons().items(), key=lambda pair: -pair[1]):
            example = examples[reason]
            cells = (f"{reason.value}: {EXPLANATIONS[reason]}", str(count), Path(example.source).name, example.detail)
            reasons.add_row(*cells)
        reasons.caption = f"every clip and every stretch: {self.folder / 'report.json'}"
        reasons.caption_justify = "left"
        return [counts, reasons, self._throughput()]

    def _throughput(self) -> Table:
        return throughput(add_up(record.stages for record in self.records), len(self.clips))

    def rows(self) -> list[Table]:
        """For the terminal: every clip, every rejection with its reason, and where the time went."""
        from rich.table import Table

        kept = Table(title=f"{len(self.clips)} clips in {self.folder}", title_justify="left")
        for column in ("clip", "seconds", "quality", "offset", "r", "confidence", "flaws"):
            kept.add_column(column, justify="left" if column in ("clip", "flaws") else "right")
        for clip in self.clips:
            remark = " corrected" if clip.offset_corrected else " unknown" if "unknown_sync" in clip.flaws else ""
            offset = f"{clip.offset:+d}{remark}"
            length = f"{clip.end_seconds - clip.start_seconds:.2f}"
            figures = (f"{clip.correlation:.2f}", f"{clip.confidence:.1f}")
            kept.add_row(clip.key, length, clip.quality, offset, *figures, ", ".join(clip.flaws))
        rejected = Table(title=f"{len(self.rejections)} stretches rejected", title_justify="left")
        for column in ("source", "seconds", "reason", "measured", "also"):
            rejected.add_column(column)
        for item in self.rejections:
            end = "" if item.end_seconds is None else f"{item.end_seconds:.2f}"
            also = ", ".join(reason.value for reason in item.also)
            stretch = f"{item.start_seconds:.2f}-{end}"
            reason = f"{item.reason.value}: {EXPLANATIONS[item.reason]}"
            rejected.add_row(Path(item.source).name, stretch, reason, item.detail, also)
        return [kept, rejected, self._throughput()]
