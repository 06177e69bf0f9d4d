// What trains, how it goes, stopping and going on.
import { ask, duration, fill, get, guarded, make, showFault } from "./parts.js";
import { curve, histogram } from "./plots.js";

const LOOK = 2500;
const TITLES = { log10_ratio: "Ratio, log10", weight: "Weight of the ground truth" };
let shown = null, curves = {}, isOpen = false, drawn = "";

const query = (place, part) => new URLSearchParams(part === undefined ? { of: place } : { of: place, part });

async function list() {
  const runs = await ask("GET", "runs");
  get("runs-none").hidden = runs.length > 0;
  const focused = document.activeElement?.dataset?.place;
  get("runs-list").replaceChildren(...runs.map((run) => {
    const button = make("button", { type: "button", "data-place": run.place, "aria-current": run.place === shown ? "true" : "false", onclick: guarded(() => open(run.place)) },
      make("span", {}, run.label), make("small", { class: run.state }, run.state));
    return make("li", {}, button);
  }));
  if (focused) document.querySelector(`#runs-list [data-place="${CSS.escape(focused)}"]`)?.focus();
}

async function open(place) {
  shown = place;
  drawn = "";
  for (const button of get("runs-list").querySelectorAll("button")) {
    button.setAttribute("aria-current", button.dataset.place === place ? "true" : "false");
  }
  show(await ask("GET", `runs/one?${query(place)}`), true);
  await showPart(true);
}

function show(run, isNew) {
  get("run-none").hidden = true;
  get("run-shown").hidden = false;
  get("run-title").textContent = run.label;
  const models = run.models.length ? `; models: ${run.models.join(", ")}` : "";
  const state = `${run.state}${models}`;
  if (get("run-state").textContent !== state) get("run-state").textContent = state;
  get("run-stop").disabled = !run.canStop;
  get("run-resume").disabled = !run.canResume;
  get("run-parts").tBodies[0].replaceChildren(...run.parts.map((part) => {
    const isDone = part.of !== null && part.steps >= part.of;
    const left = isDone ? "done" : run.state === "running" || run.state === "stopping" ? duration(part.seconds_left) : part.seconds_left ? `${duration(part.seconds_left)} of training` : "–";
    return make("tr", {}, make("td", {}, part.title), make("td", {}, part.of === null ? `${part.steps}` : `${part.steps} of ${part.of}`), make("td", {}, left));
  }));
  get("run-console").hidden = !run.said;
  if (get("run-said").textContent !== run.said) get("run-said").textContent = run.said;
  fill(get("run-part"), run.parts.map((part) => ({ value: part.name, label: part.title })));
  if (isNew) {
    const begun = run.parts.filter((part) => part.steps);
    if (begun.length) get("run-part").value = begun[begun.length - 1].name;
  }
}

async function showPart(isNew) {
  const place = shown, part = get("run-part").value;
  if (!part) return;
  const found = await ask("GET", `runs/log?${query(place, part)}`);
  if (place !== shown || part !== get("run-part").value) return;
  curves = found.curves;
  const names = Object.keys(curves).sort((one, other) => (other === "loss") - (one === "loss") || one.localeCompare(other));
  fill(get("run-figure"), names.map((name) => ({ value: name, label: name })));
  if (isNew && names.includes("loss")) get("run-figure").value = "loss";
  showCurve();
  showPreviews(found.previews, isNew);
  const last = JSON.stringify([part, curves.loss?.at(-1)]);
  if (last !== drawn) {
    drawn = last;
    showHistograms(await ask("GET", `runs/histograms?${query(place, part)}`));
  }
}

function showCurve() {
  const name = get("run-figure").value;
  const plot = name ? curve(curves[name], name, get("run-log").checked, get("run-curve").clientWidth) : null;
  get("run-curve").replaceChildren(plot ?? make("p", { class: "note" }, name ? "No value of this figure can be shown so." : "This part has no log yet."));
}

function showHistograms(found) {
  const plots = Object.entries(found).filter(([, events]) => events.length).map(([name, events]) => {
    const place = make("div", { class: "plot" });
    const step = make("input", { type: "range", min: 0, max: events.length - 1, step: 1, value: events.length - 1 });
    const said = make("span", {});
    const show = () => {
      const event = events[Number(step.value)];
      said.textContent = `step ${event.step}`;
      place.replaceChildren(histogram(event, TITLES[name] ?? name));
    };
    step.addEventListener("input", show);
    show();
    step.hidden = events.length < 2;
    return make("div", {}, make("h3", {}, TITLES[name] ?? name), place, make("label", {}, said, step));
  });
  get("run-histograms").replaceChildren(...(plots.length ? [make("div", { class: "histograms" }, ...plots)] : []));
}

function showPreviews(steps, isNew) {
  get("run-previews").hidden = steps.length === 0;
  if (!steps.length) return;
  const select = get("run-preview-step");
  const wasLast = isNew || select.value === select.options[select.options.length - 1]?.value;
  fill(select, steps.map((step) => ({ value: String(step), label: String(step) })));
  if (wasLast) select.value = String(steps[steps.length - 1]);
  showPreview();
}

function showPreview() {
  const part = get("run-part").value, step = get("run-preview-step").value;
  const source = `runs/preview.png?${query(shown, part)}&step=${step}`;
  const image = get("run-preview");
  if (image.getAttribute("src") !== source) {
    image.src = source;
    image.alt = `Frames of step ${step} beside the true ones`;
  }
}

async function look() {
  if (isOpen && document.visibilityState === "visible") {
    try {
      await list();
      if (shown) {
        show(await ask("GET", `runs/one?${query(shown)}`), false);
        await showPart(false);
      }
    } catch (error) {
      showFault(error);
    }
  }
  setTimeout(look, LOOK);
}

export function setUp() {
  const tell = (what) => guarded(async () => show(await ask("POST", `runs/${what}`, { of: shown }), false));
  get("run-stop").addEventListener("click", tell("stop"));
  get("run-resume").addEventListener("click", tell("resume"));
  get("run-part").addEventListener("change", guarded(() => showPart(true)));
  get("run-figure").addEventListener("change", showCurve);
  get("run-log").addEventListener("change", showCurve);
  addEventListener("resize", () => isOpen && shown && showCurve());
  get("run-preview-step").addEventListener("change", showPreview);
  setTimeout(look, LOOK);
  return { open: () => { isOpen = true; return list(); }, close: () => { isOpen = false; } };
}
