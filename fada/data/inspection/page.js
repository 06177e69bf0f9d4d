"use strict";
/* The page: draws what judge.js finds, and hands it what the person moves. Every text is set as text. */
(function () {
  var SETS = ["strict", "lenient"], BINS = 40, PER_PAGE = 24;
  var data = JSON.parse(document.getElementById("data").textContent);
  var judge = createJudge(data);
  var posters = null, page = 0, shown = [], drawings = {}, isWaiting = false, cardTimer;

  function get(id) { return document.getElementById(id); }

  /* An element with attributes and children; texts become text nodes. */
  function make(tag, attributes, children) {
    var isDrawing = ["svg", "g", "rect", "line"].includes(tag);
    var element = isDrawing ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    Object.keys(attributes || {}).forEach(function (name) { element.setAttribute(name, attributes[name]); });
    (children || []).forEach(function (child) { element.append(child); });
    return element;
  }

  function short(value) { return value === null ? "\u2013" : String(Number(value.toPrecision(4))); }
  function percent(share) { return (100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0) + "\u202f%"; }
  function plural(count, word) { return count + " " + word + (count === 1 ? "" : "s"); }

  /* Thresholds. */

  function makeAxis(axis) {
    var own = data.scores.filter(function (score) { return score.axis === axis; });
    var measured = own.filter(function (score) { return judge.range(score.name); });
    var without = own.filter(function (score) { return !judge.range(score.name); });
    var box = make("details", { "class": "axis", open: "" }, [make("summary", {}, [axis])]);
    box.append(make("div", { "class": "scores" }, measured.map(makeScore)));
    if (without.length) {
      var names = without.map(function (score) { return score.name; }).join(", ");
      box.append(make("p", { "class": "note" }, ["Measured of no clip: " + names + "."]));
    }
    return box;
  }

  function makeScore(score) {
    var name = score.name, ends = judge.range(name);
    var drawing = make("svg", { viewBox: "0 0 400 100", preserveAspectRatio: "none", role: "img" });
    var bars = [];
    for (var bin = 0; bin < BINS; bin++) {
      bars.push(["A", "B", "out"].map(function (set) {
        var bar = make("rect", { x: bin * 400 / BINS + 0.5, width: 400 / BINS - 1, "class": set });
        drawing.append(bar);
        return bar;
      }));
    }
    var lines = make("g");
    drawing.append(lines);
    var tally = make("p");
    drawings[name] = { drawing: drawing, bars: bars, lines: lines, ends: ends, tally: tally };
    var groups = SETS.map(function (set) { return makeLimits(set, name, ends); });
    drawings[name].groups = groups;
    return make("section", { "class": "score", "aria-label": name }, [
      make("h3", {}, [name + (score.unit ? " (" + score.unit + ")" : "")]),
      make("p", {}, [score.meaning]), drawing,
      make("div", { "class": "ends", "aria-hidden": "true" }, [
        make("span", {}, [short(ends.low)]), make("span", {}, [short(ends.high)])]),
      tally].concat(groups.map(function (group) { return group.box; })));
  }

  /* The limits of one set on one score: a row per limit, a button per missing one. */
  function makeLimits(set, name, ends) {
    var box = make("div", { "class": "limits " + set, role: "group", "aria-label": set + " limits of " + name });
    function current() { return judge.limit(set, name) || { min: null, max: null, unmeasured: "pass" }; }
    function change(end, value) {
      var limit = Object.assign({}, current());
      limit[end] = value;
      judge.setLimit(set, name, limit);
      update();
    }
    function row(end, value) {
      var label = set + " " + end + " of " + name;
      var step = Number(((ends.high - ends.low) / 200).toPrecision(1));
      var slider = make("input", { type: "range", min: ends.low, max: ends.high, step: "any", "aria-label": label });
      var number = make("input", { type: "number", step: step, "aria-label": label + ", as a number" });
      var remove = make("button", { type: "button", "aria-label": "Remove " + label }, ["\u00d7"]);
      slider.value = number.value = value;
      slider.addEventListener("input", function () {
        // As round as the step, so that the YAML is too.
        var rounded = Number((Math.round(Number(slider.value) / step) * step).toPrecision(6));
        number.value = rounded;
        change(end, rounded);
      });
      slider.addEventListener("keydown", function (event) {
        // What a key does to a slider without steps differs between browsers.
        var moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
        if (!(event.key in moves)) return;
        event.preventDefault();
        slider.value = Number(slider.value) + moves[event.key] * step;
        slider.dispatchEvent(new Event("input"));
      });
      number.addEventListener("input", function () {
        if (number.value === "" || !isFinite(number.value)) return;
        slider.value = number.value;
        change(end, Number(number.value));
      });
      remove.addEventListener("click", function () { change(end, null); draw(); });
      return make("div", { "class": "limit" }, [make("span", {}, [end]), slider, number, remove]);
    }
    function draw() {
      var limit = current(), rows = [], buttons = [];
      ["min", "max"].forEach(function (end) {
        if (limit[end] !== null) { rows.push(row(end, limit[end])); return; }
        var add = make("button", { type: "button", "aria-label": "Add " + set + " " + end + " of " + name }, ["+ " + end]);
        add.addEventListener("click", function () {
          change(end, Number(judge.quantile(name, end === "min" ? 0.05 : 0.95).toPrecision(3)));
          draw();
        });
        buttons.push(add);
      });
      if (rows.length && judge.tally(name).unmeasured) {
        var tick = make("input", { type: "checkbox" });
        tick.checked = limit.unmeasured === "fail";
        tick.addEventListener("change", function () { change("unmeasured", tick.checked ? "fail" : "pass"); });
        buttons.push(make("label", { "class": "unmeasured" }, [tick, "fails if not measured"]));
      }
      box.replaceChildren.apply(box, [make("b", { "aria-hidden": "true" }, [set])].concat(buttons, rows));
    }
    draw();
    return { box: box, draw: draw };
  }

  function drawScore(name) {
    var parts = drawings[name], bins = judge.histogram(name, parts.ends, BINS), tally = judge.tally(name);
    var highest = Math.max.apply(null, bins.map(function (bin) { return bin.A + bin.B + bin.out; })) || 1;
    bins.forEach(function (bin, at) {
      var top = 100;
      ["A", "B", "out"].forEach(function (set, index) {
        // A single clip must stay visible beside a thousand.
        var height = bin[set] ? Math.max(96 * bin[set] / highest, 1.2) : 0;
        top -= height;
        parts.bars[at][index].setAttribute("y", top);
        parts.bars[at][index].setAttribute("height", height);
      });
    });
    var lines = [];
    SETS.forEach(function (set) {
      var limit = judge.limit(set, name);
      if (!limit) return;
      [limit.min, limit.max].forEach(function (value) {
        if (value === null) return;
        var x = Math.min(Math.max(400 * (value - parts.ends.low) / (parts.ends.high - parts.ends.low), 1), 399);
        lines.push(make("line", { x1: x, x2: x, y1: 0, y2: 100, "class": set }));
      });
    });
    parts.lines.replaceChildren.apply(parts.lines, lines);
    var text = SETS.filter(function (set) { return judge.limit(set, name); }).map(function (set) {
      return set + " removes " + tally[set] + " (" + tally[set + "Alone"] + " alone)";
    });
    if (!text.length) text.push("no limits");
    if (tally.unmeasured) text.push(tally.unmeasured + " not measured");
    parts.tally.textContent = text.join(" \u00b7 ");
    parts.drawing.setAttribute("aria-label", "Histogram of " + name + ": " + text.join(", "));
  }

  function drawCounts() {
    var counts = judge.counts(), total = judge.count || 1;
    get("shares").replaceChildren.apply(get("shares"), ["A", "B", "out"].map(function (set) {
      return make("span", { "class": set, style: "width:" + 100 * counts[set] / total + "%" });
    }));
    get("counts").textContent = ["A", "B", "out"].map(function (set) {
      return set + " " + counts[set] + " (" + percent(counts[set] / total) + ")";
    }).join(" \u00b7 ") + " of " + plural(judge.count, "clip");
    var loose = judge.unnested();
    get("warning").hidden = !loose.length;
    get("warning").textContent = loose.length
      ? "A must be part of B: by " + loose.join(", ") + " the lenient limits refuse what the strict ones take." : "";
  }

  /* Everything follows a moved limit, at most once per picture of the screen. */
  function update() {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(function () {
      isWaiting = false;
      drawCounts();
      Object.keys(drawings).forEach(drawScore);
    });
    // Cards that jump about while a slider moves help nobody.
    clearTimeout(cardTimer);
    cardTimer = setTimeout(drawCards, 150);
  }

  /* Clips. */

  function reasons() {
    var choice = get("reason").value;
    if (!choice) return null;
    if (choice.indexOf("axis:") !== 0) return [choice];
    return data.scores.filter(function (score) { return "axis:" + score.axis === choice; })
      .map(function (score) { return score.name; });
  }

  function drawCards() {
    var found = judge.select({
      set: get("set").value, split: get("split").value, reasons: reasons(), text: get("text").value.trim(),
    });
    var ordered = judge.order(found, get("score").value, get("order").value);
    var pages = Math.max(1, Math.ceil(ordered.length / PER_PAGE));
    page = Math.min(page, pages - 1);
    var now = ordered.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
    document.querySelectorAll(".where").forEach(function (place) {
      place.textContent = plural(found.length, "clip") + ", page " + (page + 1) + " of " + pages;
    });
    document.querySelectorAll(".previous").forEach(function (button) { button.disabled = page === 0; });
    document.querySelectorAll(".next").forEach(function (button) { button.disabled = page === pages - 1; });
    if (now.join() === shown.map(function (card) { return card.clip; }).join()) {
      // The same clips: a video that plays goes on.
      shown.forEach(function (card) { fillCard(card); });
      return;
    }
    shown = now.map(makeCard);
    get("cards").replaceChildren.apply(get("cards"), shown.map(function (card) { return card.box; }));
    if (!now.length) get("cards").append(make("p", { "class": "note" }, ["No clip is like this."]));
  }

  function makeCard(i) {
    var clips = data.clips, card = { clip: i, badge: make("span"), values: make("table", { "class": "values" }) };
    if (posters === null) posters = JSON.parse(get("posters").textContent);
    var video = make("div", { "class": "no-video" }, ["no readable video"]);
    if (posters[i]) {
      video = make("video", {
        controls: "", playsinline: "", preload: "none", poster: "data:image/jpeg;base64," + posters[i],
        src: data.videos + data.files[i], "aria-label": "Clip " + clips.key[i],
      });
    }
    var facts = [clips.identity[i], clips.split[i], clips.source[i]].filter(Boolean).join(" \u00b7 ");
    card.box = make("article", { "class": "clip", "aria-label": "Clip " + clips.key[i] }, [
      card.badge, make("h3", {}, [clips.key[i]]), make("p", { "class": "facts" }, [facts]), video, card.values]);
    fillCard(card);
    return card;
  }

  function fillCard(card) {
    var i = card.clip, set = judge.setOf(i), before = data.clips.set[i] || "out";
    card.badge.className = "badge in-" + set;
    card.badge.textContent = set + (set === before ? "" : ", in the table " + before);
    card.values.replaceChildren.apply(card.values, judge.names.filter(function (name) {
      return data.values[name][i] !== null || judge.failsIn("strict", name, i) || judge.failsIn("lenient", name, i);
    }).map(function (name) {
      var worst = judge.failsIn("lenient", name, i) ? "lenient" : judge.failsIn("strict", name, i) ? "strict" : "";
      return make("tr", worst ? { "class": "fails-" + worst } : {}, [
        make("th", { scope: "row" }, [name]), make("td", {}, [short(data.values[name][i])]),
        make("td", {}, [worst ? "\u2717 " + worst : ""])]);
    }));
  }

  function turn(by) {
    page += by;
    drawCards();
    get("clips").scrollIntoView();
  }

  function fillChoices() {
    data.axes.forEach(function (axis) {
      var own = data.scores.filter(function (score) { return score.axis === axis; });
      var byScore = make("optgroup", { label: axis }), byReason = make("optgroup", { label: axis });
      byReason.append(make("option", { value: "axis:" + axis }, ["anything of " + axis]));
      own.forEach(function (score) {
        byScore.append(make("option", { value: score.name }, [score.name]));
        byReason.append(make("option", { value: score.name }, [score.name]));
      });
      get("score").append(byScore);
      get("reason").append(byReason);
    });
    Array.from(new Set(data.clips.split)).filter(Boolean).sort().forEach(function (split) {
      get("split").append(make("option", { value: split }, [split]));
    });
  }

  /* The rest of the page. */

  get("theme").addEventListener("click", function () {
    var root = document.documentElement;
    var isDark = root.dataset.theme ? root.dataset.theme === "dark"
      : window.matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
  });
  get("reset").addEventListener("click", function () {
    judge.reset();
    Object.keys(drawings).forEach(function (name) {
      drawings[name].groups.forEach(function (group) { group.draw(); });
    });
    update();
  });
  get("show-yaml").addEventListener("click", function () {
    SETS.forEach(function (set) { get("yaml-" + set).value = judge.yaml(set); });
    get("yaml").showModal();
  });
  document.querySelectorAll(".copy").forEach(function (button) {
    button.addEventListener("click", function () {
      var text = get(button.getAttribute("data-of"));
      text.select();
      // The clipboard of a page opened from a file is closed in some browsers; the selection is copied there.
      if (navigator.clipboard) navigator.clipboard.writeText(text.value).catch(function () { document.execCommand("copy"); });
      else document.execCommand("copy");
    });
  });
  get("filters").addEventListener("submit", function (event) { event.preventDefault(); });
  get("filters").addEventListener("input", function () { page = 0; drawCards(); });
  document.querySelectorAll(".previous").forEach(function (button) {
    button.addEventListener("click", function () { turn(-1); });
  });
  document.querySelectorAll(".next").forEach(function (button) {
    button.addEventListener("click", function () { turn(1); });
  });

  fillChoices();
  get("axes").replaceChildren.apply(get("axes"), data.axes.map(makeAxis));
  drawCounts();
  Object.keys(drawings).forEach(drawScore);
  drawCards();
}());
