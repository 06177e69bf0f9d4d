// Just enough of a browser to run the page's scripts in Node: `node browser.js page.html CODE` prints CODE's value.
// Elements of the file are found by id and class, not as a tree; what the scripts make is a tree.
"use strict";
const fs = require("fs");
const vm = require("vm");

const html = fs.readFileSync(process.argv[2], "utf8");
const listed = [];

class Element {
  constructor(tag) {
    Object.assign(this, { tag, children: [], attributes: {}, handlers: {}, dataset: {}, value: "", hidden: false });
    this.className = "";
    this.open = false;
  }
  setAttribute(name, value) {
    this.attributes[name] = String(value);
    if (name === "class") this.className = String(value);
    if (name === "value") this.value = String(value);
  }
  getAttribute(name) { return name in this.attributes ? this.attributes[name] : null; }
  append(child) { this.children.push(typeof child === "object" ? child : new Text(String(child))); }
  replaceChildren(...children) { this.children = []; children.forEach((child) => this.append(child)); }
  get textContent() { return this.children.map((child) => child.textContent).join(""); }
  set textContent(text) { this.children = [new Text(String(text))]; }
  addEventListener(kind, handler) { (this.handlers[kind] = this.handlers[kind] || []).push(handler); }
  dispatchEvent(event) { (this.handlers[event.type] || []).forEach((handler) => handler(event)); }
  click() { this.dispatchEvent({ type: "click" }); }
  showModal() { this.open = true; }
  select() {}
  scrollIntoView() {}
}
class Text {
  constructor(text) { this.textContent = text; this.children = []; }
}

for (const [, tag, attributes, content] of html.matchAll(/<([a-z]+)\b([^>]*\b(?:id|class)="[^>]*)>([^<]*)/g)) {
  const element = new Element(tag);
  for (const [, name, value] of attributes.matchAll(/([a-z-]+)="([^"]*)"/g)) element.setAttribute(name, value);
  element.textContent = content;
  listed.push(element);
}
listed.find((element) => element.getAttribute("id") === "order").value = "worst";

const document = {
  documentElement: new Element("html"),
  createElement: (tag) => new Element(tag),
  createElementNS: (space, tag) => new Element(tag),
  getElementById: (id) => listed.find((element) => element.getAttribute("id") === id) || null,
  querySelectorAll: (selector) => listed.filter((element) => element.className.split(" ").includes(selector.slice(1))),
};
const everything = (element) => [element, ...element.children.flatMap(everything)];
const context = {
  document, console, navigator: {}, JSON, Map, Set,
  Event: class { constructor(type) { this.type = type; } },
  requestAnimationFrame: (run) => run(),
  setTimeout: (run) => run(),
  clearTimeout: () => {},
  get: (id) => document.getElementById(id),
  // What a person finds: elements below one with an id, by their tag, class or label.
  within: (id, wanted) => everything(document.getElementById(id)).filter((element) =>
    element.tag === wanted || (element.className || "").split(" ").includes(wanted) ||
    (element.attributes && element.attributes["aria-label"] === wanted)),
  choose: (id, value) => {
    document.getElementById(id).value = value;
    document.getElementById("filters").dispatchEvent({ type: "input" });
  },
  move: (element, value) => { element.value = String(value); element.dispatchEvent({ type: "input" }); },
};
vm.createContext(context);
for (const [, script] of html.matchAll(/<script>\n([^]*?)<\/script>/g)) vm.runInContext(script, context);
console.log(JSON.stringify(vm.runInContext(process.argv[3], context)));
