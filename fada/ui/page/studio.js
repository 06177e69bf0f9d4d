// The page: tabs, and what each shows when it is opened.
import { ask, get, guarded, showFault, visited } from "./parts.js";
import * as compare from "./compare.js";
import * as frames from "./frames.js";
import * as generate from "./generate.js";
import * as runs from "./runs.js";

const tabs = [...document.querySelectorAll('[role="tab"]')];
const one = generate.setUp();
const two = compare.setUp((name) => choose(get(`tab-${name}`), true));
const running = runs.setUp();
const pages = frames.setUp();

async function offerModels() {
  const models = await ask("GET", "models");
  [one, ...two].forEach((form) => form.offer(models));
}

const opened = {
  generate: offerModels,
  compare: offerModels,
  runs: running.open,
  data: pages.data,
  report: pages.report,
};

function choose(tab, isFocused) {
  for (const each of tabs) {
    const isChosen = each === tab;
    each.setAttribute("aria-selected", String(isChosen));
    each.tabIndex = isChosen ? 0 : -1;
    get(each.getAttribute("aria-controls")).hidden = !isChosen;
  }
  if (isFocused) tab.focus();
  const name = tab.getAttribute("aria-controls");
  if (name !== "runs") running.close();
  history.replaceState(null, "", `#${name}`);
  return guarded(opened[name])();
}

tabs.forEach((tab, number) => {
  tab.addEventListener("click", () => choose(tab, false));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowRight: number + 1, ArrowLeft: number - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(tabs[(to + tabs.length) % tabs.length], true);
  });
});

visited().then(() => choose(tabs.find((tab) => `#${tab.getAttribute("aria-controls")}` === location.hash) ?? tabs[0], false), showFault);
