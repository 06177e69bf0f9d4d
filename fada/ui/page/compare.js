// Two models, or two numbers of steps, on the same noise: side by side, and played together.
import { duration, get, guarded } from "./parts.js";
import { chosen, common, onInputs } from "./generate.js";
import { Making, Result } from "./making.js";
import { ModelForm } from "./model_form.js";

const APART = 0.06;

// Plays, seeks and loops several videos as one; the first leads, the others are muted and follow it.
class Together {
  constructor() {
    this.videos = [];
    this.button = get("both-play");
    this.seek = get("both-seek");
    this.loop = get("both-loop");
    this.button.addEventListener("click", () => (this.isPlaying ? this.pause() : this.play()));
    this.seek.addEventListener("input", () => this.goTo(Number(this.seek.value)));
  }

  get isPlaying() {
    return this.videos.length > 0 && !this.videos[0].paused;
  }

  use(videos) {
    this.videos = videos;
    this.button.disabled = this.seek.disabled = videos.length < 2;
    this.name();
    if (videos.length < 2) return;
    const [lead, ...rest] = videos;
    rest.forEach((each) => { each.muted = true; });
    videos.forEach((each) => { each.controls = false; });
    lead.addEventListener("loadedmetadata", () => { this.seek.max = lead.duration; });
    if (lead.duration) this.seek.max = lead.duration;
    lead.addEventListener("ended", () => {
      if (this.loop.checked) this.goTo(0), this.play();
      else this.name();
    });
    const follow = () => {
      if (this.videos !== videos) return;
      if (!lead.paused) {
        this.seek.value = lead.currentTime;
        for (const each of rest) {
          if (Math.abs(each.currentTime - lead.currentTime) > APART && !each.seeking) each.currentTime = lead.currentTime;
        }
      }
      requestAnimationFrame(follow);
    };
    follow();
  }

  goTo(seconds) {
    this.videos.forEach((each) => { each.currentTime = seconds; });
  }

  play() {
    if (this.videos[0].ended) this.goTo(0);
    Promise.all(this.videos.map((each) => each.play())).then(() => this.name(), () => this.name());
    this.name();
  }

  pause() {
    this.videos.forEach((each) => each.pause());
    this.goTo(this.videos[0].currentTime);
    this.name();
  }

  name() {
    this.button.textContent = this.isPlaying ? "❚❚ Pause both" : "▶ Play both";
  }
}

function sayInputs() {
  const missing = [chosen.portrait ? "" : "a portrait", chosen.speech ? "" : "speech"].filter(Boolean);
  get("compare-inputs").textContent = missing.length
    ? `Choose ${missing.join(" and ")} there first.`
    : `A portrait and ${duration(chosen.seconds)} of speech are chosen.`;
}

export function setUp(goTo) {
  const forms = ["left", "right"].map((side) => new ModelForm(get(`${side}-model`), `Model on the ${side}`));
  const results = ["left", "right"].map((side) => new Result(get(`${side}-result`), { hasDownload: true }));
  const making = new Making(results, get("compare-cancel"));
  const together = new Together();
  get("to-generate").addEventListener("click", () => goTo("generate"));
  onInputs(sayInputs);
  sayInputs();
  get("compare-form").addEventListener("submit", guarded(async () => {
    together.use([]);
    get("noise-said").textContent = "";
    const job = await making.start(forms.map((form) => form.asked(common())), { plays: false });
    if (!job || job.takes.some((take) => take.state !== "done")) return;
    const [left, right] = job.takes.map((take) => String(take.figures.noise));
    get("noise-said").textContent = left === right
      ? "Both started from the same noise."
      : "Their latents have other shapes, so that the noise is of one seed but not the same.";
    together.use(results.map((each) => each.video));
    together.goTo(0);
    together.play();
  }));
  return forms;
}
