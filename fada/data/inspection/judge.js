"use strict";
/* What thresholds make of clips: sets, counts, order, histograms, YAML. Knows numbers only, nothing of the page.
   The rules are those of fada/data/scores: out if a lenient limit fails, else B if a strict one does, else A. */
function createJudge(data) {
  var SETS = ["strict", "lenient"];
  var count = data.clips.key.length;
  var names = data.scores.map(function (score) { return score.name; });
  var limits = JSON.parse(JSON.stringify(data.limits));
  // Per set: how many limits each clip fails; per score: bit 1 fails strict, bit 2 fails lenient.
  var failures = { strict: new Int16Array(count), lenient: new Int16Array(count) };
  var masks = {}, spreads = {}, sorted = {};

  names.forEach(function (name) {
    masks[name] = new Uint8Array(count);
    var known = data.values[name].filter(function (value) { return value !== null; });
    sorted[name] = Float64Array.from(known).sort();
    spreads[name] = quantile(name, 0.95) - quantile(name, 0.05) || quantile(name, 1) - quantile(name, 0) || 1;
  });
  SETS.forEach(function (set) { Object.keys(limits[set]).forEach(function (name) { evaluate(set, name); }); });

  function quantile(name, share) {
    var values = sorted[name];
    return values.length ? values[Math.round(share * (values.length - 1))] : NaN;
  }

  function fails(limit, value) {
    if (!limit) return false;
    if (value === null) return limit.unmeasured === "fail";
    return (limit.min !== null && value < limit.min) || (limit.max !== null && value > limit.max);
  }

  function evaluate(set, name) {
    var bit = set === "strict" ? 1 : 2, limit = limits[set][name], values = data.values[name];
    for (var i = 0; i < count; i++) {
      var now = fails(limit, values[i]), before = (masks[name][i] & bit) !== 0;
      if (now === before) continue;
      masks[name][i] ^= bit;
      failures[set][i] += now ? 1 : -1;
    }
  }

  function setLimit(set, name, limit) {
    if (limit === null || (limit.min === null && limit.max === null)) delete limits[set][name];
    else limits[set][name] = limit;
    evaluate(set, name);
  }

  function setOf(i) { return failures.lenient[i] ? "out" : failures.strict[i] ? "B" : "A"; }

  function counts() {
    var found = { A: 0, B: 0, out: 0 };
    for (var i = 0; i < count; i++) found[setOf(i)]++;
    return found;
  }

  /* What one score's limits remove: clips, and those that nothing else removes. */
  function tally(name) {
    var found = { strict: 0, strictAlone: 0, lenient: 0, lenientAlone: 0, unmeasured: count - sorted[name].length };
    for (var i = 0; i < count; i++) {
      if (masks[name][i] & 1) { found.strict++; if (failures.strict[i] === 1) found.strictAlone++; }
      if (masks[name][i] & 2) { found.lenient++; if (failures.lenient[i] === 1) found.lenientAlone++; }
    }
    return found;
  }

  /* Signed distances of a clip to the limits of a score, in spreads of that score; negative is beyond. */
  function distances(i, name) {
    var value = data.values[name][i], found = [];
    if (value === null) return found;
    SETS.forEach(function (set) {
      var limit = limits[set][name];
      if (!limit) return;
      if (limit.min !== null) found.push((value - limit.min) / spreads[name]);
      if (limit.max !== null) found.push((limit.max - value) / spreads[name]);
    });
    return found;
  }

  /* What is out before what is only refused by strict, by one score or by all. */
  function rank(i, score) {
    if (!score) return ["out", "B", "A"].indexOf(setOf(i));
    return masks[score][i] & 2 ? 0 : masks[score][i] & 1 ? 1 : 2;
  }

  /* Clips in an order; what has no value or no limit to be ordered by comes last. `score` "" means all. */
  function order(clips, score, by) {
    var places = new Map(), ranks = new Map();
    clips.forEach(function (i) {
      var place = null;
      ranks.set(i, by === "worst" ? rank(i, score) : 0);
      if (by === "lowest" || by === "highest") {
        var value = score ? data.values[score][i] : null;
        place = value === null ? null : by === "lowest" ? value : -value;
      } else {
        (score ? [score] : names).forEach(function (name) {
          distances(i, name).forEach(function (distance) {
            var at = by === "borderline" ? Math.abs(distance) : distance;
            if (place === null || at < place) place = at;
          });
        });
      }
      places.set(i, place);
    });
    return clips.slice().sort(function (a, b) {
      var first = places.get(a), second = places.get(b);
      if (ranks.get(a) !== ranks.get(b)) return ranks.get(a) - ranks.get(b);
      if (first === null || second === null) return first === second ? a - b : first === null ? 1 : -1;
      return first - second || a - b;
    });
  }

  function select(filter) {
    var found = [], text = (filter.text || "").toLowerCase();
    for (var i = 0; i < count; i++) {
      var set = setOf(i);
      if (filter.set === "changed" ? set === (data.clips.set[i] || "out") : filter.set && set !== filter.set) continue;
      if (filter.split && data.clips.split[i] !== filter.split) continue;
      if (filter.reasons && !filter.reasons.some(function (name) { return masks[name][i]; })) continue;
      if (text && !["key", "identity", "source"].some(function (fact) {
        return String(data.clips[fact][i]).toLowerCase().includes(text);
      })) continue;
      found.push(i);
    }
    return found;
  }

  /* Where a score's histogram and sliders begin and end: nearly all values, and every limit of the given ones. */
  function range(name) {
    if (!sorted[name].length) return null;
    var ends = [quantile(name, 0.01), quantile(name, 0.99)];
    SETS.forEach(function (set) {
      var limit = data.limits[set][name];
      if (limit) [limit.min, limit.max].forEach(function (value) { if (value !== null) ends.push(value); });
    });
    var low = Math.min.apply(null, ends), high = Math.max.apply(null, ends);
    var room = (high - low) * 0.04 || Math.abs(high) * 0.1 || 1;
    return { low: low - room, high: high + room };
  }

  /* Clips per bin and set; the outer bins also hold what lies beyond them. */
  function histogram(name, ends, bins) {
    var found = [];
    for (var bin = 0; bin < bins; bin++) found.push({ A: 0, B: 0, out: 0 });
    var values = data.values[name];
    for (var i = 0; i < count; i++) {
      if (values[i] === null) continue;
      var at = Math.floor((values[i] - ends.low) / (ends.high - ends.low) * bins);
      found[Math.min(Math.max(at, 0), bins - 1)][setOf(i)]++;
    }
    return found;
  }

  /* Scores by which strict takes a clip that lenient refuses: fada data filter does not take such thresholds. */
  function unnested() {
    return names.filter(function (name) {
      var outer = limits.lenient[name], inner = limits.strict[name];
      if (!outer) return false;
      return !inner || (outer.min !== null && (inner.min === null || inner.min < outer.min)) ||
        (outer.max !== null && (inner.max === null || inner.max > outer.max)) ||
        (outer.unmeasured === "fail" && inner.unmeasured !== "fail");
    });
  }

  function yaml(set) {
    var lines = [];
    data.axes.forEach(function (axis) {
      var own = data.scores.filter(function (score) { return score.axis === axis && limits[set][score.name]; });
      if (own.length) lines.push(axis + ":");
      own.forEach(function (score) {
        var limit = limits[set][score.name], parts = [];
        if (limit.min !== null) parts.push("min: " + limit.min);
        if (limit.max !== null) parts.push("max: " + limit.max);
        if (limit.unmeasured === "fail") parts.push("unmeasured: fail");
        lines.push("  " + score.name + ": {" + parts.join(", ") + "}");
      });
    });
    return lines.length ? lines.join("\n") + "\n" : "{}\n";
  }

  return {
    count: count, names: names, quantile: quantile, setLimit: setLimit, setOf: setOf, counts: counts, tally: tally,
    order: order, select: select, range: range, histogram: histogram, unnested: unnested, yaml: yaml,
    limit: function (set, name) { return limits[set][name] || null; },
    failsIn: function (set, name, i) { return (masks[name][i] & (set === "strict" ? 1 : 2)) !== 0; },
    reset: function () {
      SETS.forEach(function (set) {
        names.forEach(function (name) {
          var limit = data.limits[set][name];
          setLimit(set, name, limit ? Object.assign({}, limit) : null);
        });
      });
    },
  };
}
if (typeof module !== "undefined") module.exports = { createJudge: createJudge };
