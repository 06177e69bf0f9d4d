// Which model, and how it is called: steps, every guidance scale and emotion that it has.
import { fill, make } from "./parts.js";

export class ModelForm {
  constructor(place, title) {
    this.models = [];
    this.title = title;
    this.model = make("select", { onchange: () => this.show() });
    this.facts = make("p", { class: "note" });
    this.row = make("div", { class: "row" });
    this.emotions = make("fieldset", { hidden: true });
    this.none = make("p", { class: "note", hidden: true }, "There is no model here.");
    place.append(make("label", {}, title, this.model), this.facts, this.row, this.emotions, this.none);
  }

  // Shows what there is; a choice that is still there stays.
  offer(models) {
    const before = this.model.value;
    this.models = models;
    fill(this.model, models.map(({ place, label, fault }) => ({ value: place, label: fault ? `${label} (cannot be opened)` : label, disabled: fault })));
    this.none.hidden = models.length > 0;
    if (this.model.value !== before || !this.steps) {
      const first = models.find((each) => !each.fault);
      if (first && !models.some((each) => each.place === this.model.value && !each.fault)) this.model.value = first.place;
      this.show();
    }
  }

  get chosen() {
    return this.models.find((each) => each.place === this.model.value && !each.fault);
  }

  show() {
    const model = this.chosen;
    this.row.replaceChildren();
    this.emotions.replaceChildren();
    this.emotions.hidden = true;
    this.facts.textContent = "";
    if (!model) return;
    const needs = { face: "the face models", keypoints: "the face landmarker" };
    this.facts.textContent = [
      `${model.family}, ${model.isStudent ? "student" : "teacher"}, ${model.size} pixels`,
      ...model.needs.map((each) => `needs ${needs[each]} that fada ui was started with`),
    ].join("; ");
    const number = (name, value, options) =>
      make("input", { type: "number", "data-name": name, value, required: true, inputmode: "decimal", ...options });
    this.steps = number("steps", model.steps, { min: 1, max: 1000, step: 1, inputmode: "numeric" });
    this.row.append(make("label", {}, "Steps", this.steps));
    this.scales = Object.entries(model.scales).map(([name, value]) => number(name, value, { min: 0, max: 100, step: "any" }));
    for (const scale of this.scales) {
      const name = scale.dataset.name;
      this.row.append(make("label", {}, `${name[0].toUpperCase()}${name.slice(1).replaceAll("_", " ")} scale`, scale));
    }
    this.feelings = model.emotions.map((name) => make("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0, "data-name": name }));
    if (this.feelings.length) {
      const fields = this.feelings.map((each) => {
        const said = make("output", {}, "0");
        each.addEventListener("input", () => { said.textContent = each.value; });
        return make("label", {}, each.dataset.name, said, each);
      });
      this.emotions.append(make("legend", {}, "Emotion: shares, what is left of 1 is neutral"), make("div", { class: "feelings" }, ...fields));
      this.emotions.hidden = false;
    }
  }

  // What the studio is asked for; seed and seconds are the page's.
  asked(common) {
    const model = this.chosen;
    if (!model) throw new Error(`${this.title}: choose a model`);
    const named = (inputs) => Object.fromEntries(inputs.map((each) => [each.dataset.name, Number(each.value)]));
    const felt = Object.fromEntries(Object.entries(named(this.feelings)).filter(([, share]) => share > 0));
    return {
      ...common,
      model: model.place,
      steps: Number(this.steps.value),
      scales: named(this.scales),
      emotion: this.feelings.length ? felt : null,
    };
  }
}
