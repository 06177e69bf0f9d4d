// A video in the making: shown while it grows, then whole, with what it took.
import { playGrowing } from "./growing.js";
import { ask, duration, make, visited } from "./parts.js";

const LOOK = 400;

export class Result {
  constructor(place, { hasDownload }) {
    this.empty = make("span", {}, "no video yet");
    this.screen = make("div", { class: "screen" }, this.empty);
    this.progress = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress" });
    this.said = make("p", { class: "note", role: "status" });
    this.warned = make("p", { class: "note warned", hidden: true });
    this.figures = make("dl", { hidden: true });
    this.download = make("a", { class: "download", download: "talking.mp4", hidden: true }, "Download mp4");
    this.hasDownload = hasDownload;
    this.video = null;
    this.isLive = this.isWhole = false;
    place.append(this.screen, this.progress, this.said, this.warned, this.figures, this.download);
  }

  clear() {
    this.growing?.abort();
    this.video?.removeAttribute("src");
    this.video?.load();
    this.video = null;
    this.isLive = this.isWhole = false;
    this.empty.textContent = "no frames yet";
    this.screen.replaceChildren(this.empty);
    for (const each of [this.warned, this.figures, this.download]) each.hidden = true;
    this.progress.hidden = false;
    this.progress.value = 0;
  }

  // before: jobs that are made first.
  show(take, before, options = {}) {
    const [done, steps] = take.steps;
    const [frames, inAll] = take.frames;
    const words = {
      waiting: before ? `waiting for ${before} other${before > 1 ? "s" : ""}` : "waiting",
      opening: "opening the model",
      making: `step ${done} of ${steps || "…"}, frame ${frames} of ${inAll || "…"}`,
      done: `${frames} frames`,
      cancelled: frames ? `cancelled after ${frames} frames` : "cancelled",
      failed: "",
    };
    this.progress.value = steps ? done / steps : 0;
    this.progress.hidden = ["done", "failed", "cancelled"].includes(take.state);
    const text = words[take.state];
    if (this.said.textContent !== text) this.said.textContent = text;
    this.said.className = "note";
    if (take.state === "failed") {
      this.said.textContent = take.message;
      this.said.className = "fault";
      this.empty.textContent = "no video";
    }
    if (take.state === "cancelled" && !frames) this.empty.textContent = "no video";
    this.warned.hidden = take.warnings.length === 0;
    this.warned.textContent = take.warnings.join(" ");
    if (frames && !this.isLive && !this.isWhole && take.state !== "done") this.showLive(take);
    if (take.state === "done" && !this.isWhole) this.showWhole(take, options);
  }

  showLive(take) {
    this.isLive = true;
    this.video = make("video", { controls: true, playsinline: true, "aria-label": "The video, while it is made" });
    this.screen.replaceChildren(this.video);
    this.growing = new AbortController();
    // What cannot be shown while it grows is shown when it is whole.
    playGrowing(this.video, take.live, this.growing.signal).catch(() => {});
    this.play();
  }

  showWhole(take, { plays = true }) {
    this.isWhole = true;
    this.growing?.abort();
    const at = this.video && !this.video.ended ? this.video.currentTime : 0;
    const wasPaused = this.video ? this.video.paused && !this.video.ended : false;
    this.video ??= make("video", { controls: true, playsinline: true });
    this.video.setAttribute("aria-label", "The video");
    this.video.src = take.video;
    if (!this.isLive) this.screen.replaceChildren(this.video);
    this.video.currentTime = at;
    if (plays && !wasPaused) this.play();
    this.showFigures(take.figures);
    this.download.href = `${take.video}?download`;
    this.download.hidden = !this.hasDownload;
  }

  play() {
    // The browser may want a gesture first; then the video waits for its button.
    this.video.play().catch(() => {});
  }

  showFigures(figures) {
    const clips = figures.clips;
    const rows = [
      ["Seconds", `${duration(figures.seconds)} in all, denoising ${duration(figures.stages.denoise)}, first frame after ${duration(figures.firstFrame)}`],
      ["Denoiser evaluations", `${figures.evaluations} (${figures.evaluationsOfAClip} for each of ${clips} clip${clips > 1 ? "s" : ""})`],
    ];
    this.figures.replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    this.figures.hidden = false;
  }
}

// Asks for takes and shows them in results until the last has ended.
export class Making {
  constructor(results, cancel) {
    this.results = results;
    this.cancel = cancel;
    this.path = null;
    this.round = 0;
    cancel.addEventListener("click", async () => {
      cancel.disabled = true;
      if (this.path) await ask("POST", `${this.path}/cancel`).catch(() => {});
    });
  }

  async start(takes, options = {}) {
    const { visit } = await visited();
    if (this.path) await ask("POST", `${this.path}/cancel`);
    let job = await ask("POST", `visits/${visit}/jobs`, { takes });
    const round = ++this.round;
    this.path = `visits/${visit}/jobs/${job.job}`;
    this.cancel.disabled = false;
    this.results.forEach((each) => each.clear());
    try {
      for (;;) {
        job.takes.forEach((take, number) => this.results[number].show(take, job.before, options));
        if (job.hasEnded || round !== this.round) break;
        await new Promise((resolve) => setTimeout(resolve, LOOK));
        job = await ask("GET", `visits/${visit}/jobs/${job.job}`);
      }
    } finally {
      if (round === this.round) {
        this.path = null;
        this.cancel.disabled = true;
      }
    }
    return round === this.round ? job : null;
  }
}
