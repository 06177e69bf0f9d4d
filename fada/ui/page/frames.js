// Pages of their own in a frame: scored clips, and reports.
import { ask, fill, get, guarded, visited } from "./parts.js";

async function offer(kind, path, none) {
  const found = await ask("GET", path);
  fill(get(`${kind}-folder`), found.map(({ place, label }) => ({ value: place, label })));
  get(`${kind}-form`).querySelector("button").disabled = found.length === 0;
  if (!found.length) get(`${kind}-said`).textContent = none;
}

function show(kind, address) {
  const frame = get(`${kind}-page`);
  frame.src = address;
  frame.hidden = false;
}

export function setUp() {
  get("data-form").addEventListener("submit", guarded(async () => {
    const said = get("data-said");
    said.textContent = "making the page …";
    try {
      const { visit } = await visited();
      const made = await ask("POST", `visits/${visit}/clips`, { of: get("data-folder").value });
      said.textContent = made.shown === made.clips ? `${made.clips} clips` : `${made.shown} of ${made.clips} clips`;
      show("data", made.page);
    } catch (error) {
      said.textContent = "";
      throw error;
    }
  }));
  get("report-form").addEventListener("submit", guarded(async () => {
    show("report", `reports/page?${new URLSearchParams({ of: get("report-folder").value })}`);
  }));
  return {
    data: () => offer("data", "clips", "There are no scored clips below the folders of this studio: fada data filter FOLDER makes the table."),
    report: () => offer("report", "reports", "There is no report below the folders of this studio: fada bench RECIPE writes one."),
  };
}
