// Small things that all tabs need: elements, numbers in words, and questions to the studio.

export const get = (id) => document.getElementById(id);

// An element with attributes and children; texts become text, never HTML.
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// What the studio answers; an error in its words where it refuses.
export async function ask(method, path, body) {
  const options = { method, cache: "no-store" };
  if (body !== undefined) options.body = body instanceof Blob ? body : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the studio does not answer; is fada ui still running?");
  }
  const text = await answer.text();
  let content = {};
  try {
    content = text ? JSON.parse(text) : {};
  } catch {
    content = { error: text };
  }
  if (!answer.ok) throw new Error(content.error || `the studio answered ${answer.status}`);
  return content;
}

let visit = null;

// The name of this page's visit: what is uploaded and made goes when the page is closed.
export function visited() {
  visit ??= ask("POST", "visits").then((found) => {
    setInterval(() => ask("POST", `visits/${found.visit}/hear`).catch(showFault), 60000);
    addEventListener("pagehide", () => navigator.sendBeacon(`visits/${found.visit}/leave`));
    // A page that comes back from the browser's memory has lost its visit.
    addEventListener("pageshow", (event) => event.persisted && location.reload());
    return found;
  });
  return visit;
}

export function showFault(error) {
  get("fault").textContent = error instanceof Error ? error.message : String(error);
  get("fault").hidden = false;
}

export function clearFault() {
  get("fault").hidden = true;
}

// An event's handler whose errors are shown.
export const guarded = (handler) => async (event) => {
  event?.preventDefault?.();
  clearFault();
  try {
    await handler(event);
  } catch (error) {
    showFault(error);
  }
};

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

// Fills a choice, and keeps what was chosen where it is still there.
export function fill(select, options) {
  const before = select.value;
  select.replaceChildren(
    ...options.map(({ value, label, disabled }) => make("option", { value, disabled: Boolean(disabled) }, label)),
  );
  if (options.some((each) => each.value === before && !each.disabled)) select.value = before;
  select.disabled = options.length === 0;
}
