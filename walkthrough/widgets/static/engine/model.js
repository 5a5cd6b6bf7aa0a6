/** The paper's model: attention alone, positions only in queries and keys, no norm and no bias. */
import { Kernel } from "./kernel.js";
import { tensors } from "./files.js";
import { sinusoids } from "./positions.js";

const TOP = 5;  // predictions of each position

export class Model {
  /** From the bytes of a file, whose tensors' names begin with `prefix`; `config` is the model card's. */
  constructor(bytes, reader, { config, prefix = "", positions = "all" }) {
    const { n_layers, d_model, n_heads, n_ctx, d_vocab } = config, found = tensors(bytes, prefix);
    Object.assign(this, { reader, n_layers, d_model, n_heads, n_ctx, d_vocab, d_head: d_model / n_heads, placedLayers: positions });
    const room = Object.values(found).reduce((sum, { length }) => sum + length + 4, 2 * n_layers * d_model ** 2);
    this.kernel = new Kernel(room);
    const read = (name, rows) => {
      if (!found[name] || found[name].length !== rows * d_model) throw new Error("The weights do not fit the model's description.");
      return found[name].into(this.kernel.take(rows * d_model));
    };
    this.W_E = read("tok_embed.weight", d_vocab);  // [d_vocab d_model]
    this.W_U = read("head.weight", d_vocab);  // [d_vocab d_model]: W_U turned, as torch stores it
    const letters = ["q", "k", "v", "o"];  // q, k, v: [head d_head, d_model]; o: [d_model, head d_head]
    this.layers = Array.from({ length: n_layers }, (_, l) =>
      Object.fromEntries(letters.map((x) => [x, read(`layers.${l}.attn.${x}.weight`, d_model)])));
    this.W_pos = sinusoids(n_ctx, d_model);
    this.runs = new Map();  // the last run of each kind of change
  }

  /** W_Q, W_K or W_V of a head, turned: [d_head d_model]; of "o": W_O as it is, [d_head d_model]. */
  weights(letter, layer, head) {
    const { d_head, d_model } = this, whole = this.layers[layer][letter];
    return (letter === "o" ? this.turned("o", layer) : whole).subarray(head * d_head * d_model, (head + 1) * d_head * d_model);
  }

  /** W_V or W_O of all heads of a layer the other way round: "v": [d_model, head d_head], "o": [head d_head, d_model]. */
  turned(letter, layer) {
    const { d_model } = this, known = ((this.others ??= {})[letter + layer]);
    if (known) return known;
    const whole = this.layers[layer][letter], out = (this.others[letter + layer] = this.kernel.take(d_model ** 2));
    for (let i = 0; i < d_model; i++) for (let j = 0; j < d_model; j++) out[i * d_model + j] = whole[j * d_model + i];
    return out;
  }

  /** An Error for a head that the model does not have. */
  check([layer, head]) {
    if (!(layer >= 0 && layer < this.n_layers)) throw new Error(`there is no layer ${layer}: the model has layers 0 to ${this.n_layers - 1}`);
    if (!(head >= 0 && head < this.n_heads)) throw new Error(`there is no head ${head}: each layer has heads 0 to ${this.n_heads - 1}`);
  }

  /** Rows of W_E. */
  embedded(ids) {
    const { d_model } = this, out = new Float32Array(ids.length * d_model);
    ids.forEach((id, i) => out.set(this.W_E.subarray(id * d_model, (id + 1) * d_model), i * d_model));
    return out;
  }

  /**
   * A run of these ids. `changes` may have `ablate`, heads [layer, head] that add nothing; `mean`, heads that add what they
   * add on average over this prompt; `freeze`, heads whose patterns are those of the unchanged run (true: all heads), or a
   * text of as many tokens, whose patterns all heads take. After the first, only what follows the first new token is computed, if it can be.
   */
  run(ids, changes = {}) {
    const { ablate = [], mean = [], freeze } = changes;
    [...ablate, ...mean].forEach((head) => this.check(head));
    const some = Array.isArray(freeze), key = JSON.stringify([ablate, mean, freeze]), whole = mean.length || (some ? freeze.length : freeze);
    let forced;
    if (some) freeze.forEach((head) => this.check(head));
    if (whole && freeze) {
      const others = typeof freeze === "string" ? this.reader.prompt(freeze, this.n_ctx) : ids, frozen = some && new Set(freeze.map(String));
      if (others.length !== ids.length)
        throw new Error(`the patterns are of ${others.length} tokens, and this prompt has ${ids.length}: give one of as many`);
      const from = this.run(others);
      forced = (l, h) => (!frozen || frozen.has(`${l},${h}`) ? from.layers[l].pattern : null);
    }
    const last = this.runs.get(key);
    let from = 0;
    if (last && !whole) while (from < ids.length && from < last.ids.length && last.ids[from] === ids[from]) from++;
    if (last && !whole && from === ids.length && from === last.ids.length) return last;
    const run = new Run(this, ids, last && !whole ? { last, from } : null);
    run.compute({ ablate, mean, forced });
    this.runs.delete(key);
    this.runs.set(key, run);
    if (this.runs.size > 4) this.runs.delete(this.runs.keys().next().value);
    return run;
  }
}

/** What a run of one prompt computed; arrays have room for the whole context. */
export class Run {
  constructor(model, ids, earlier) {
    const { n_ctx, d_model, n_layers, n_heads } = model, size = n_ctx * d_model;
    this.model = model;
    this.n = ids.length;
    this.from = earlier?.from ?? 0;
    const old = earlier?.last;
    // Arrays go on to the next run of the same kind: what they hold before `from` holds for it, too.
    this.resid = old?.resid ?? Array.from({ length: n_layers + 1 }, () => new Float32Array(size));
    this.layers = old?.layers ?? Array.from({ length: n_layers }, () => ({
      k: new Float32Array(size), v: new Float32Array(size), z: new Float32Array(size),
      pattern: new Float32Array(n_heads * n_ctx * n_ctx),  // [head query key], rows of n_ctx
    }));
    this.rows = old?.rows ?? [];  // of each position, what its logits give
    this.logits = old?.logits ?? null;
    this.rows.length = Math.min(this.rows.length, this.from);
    this.kept = old?.kept ?? new Map();  // what was made of positions, by a name: {rows, known}
    for (const each of this.kept.values()) each.known = Math.min(each.known, this.from);
    if (old) old.ids = [];  // the arrays are ours now
    this.ids = [...ids];
  }

  compute({ ablate, mean, forced }) {
    const { model, from, n } = this, { d_model, kernel } = model, start = from * d_model, count = n - from;
    this.resid[0].set(model.embedded(this.ids.slice(from)), start);
    model.layers.forEach((weights, l) => {
      const resid = this.resid[l].subarray(start, n * d_model), placed = Float32Array.from(resid), layer = this.layers[l];
      if (l === 0 || model.placedLayers === "all")
        for (let i = 0; i < placed.length; i++) placed[i] += model.W_pos[start + i];
      const through = (x, letter) => kernel.dot(x, weights[letter], count, d_model, d_model);
      const q = through(placed, "q");
      layer.k.set(through(placed, "k"), start);
      layer.v.set(through(resid, "v"), start);
      this.attend(l, q, forced);
      for (const [of, h] of ablate) if (of === l) this.level(l, h, 0);
      for (const [of, h] of mean) if (of === l) this.level(l, h, 1);
      const added = through(layer.z.subarray(start, n * d_model), "o"), next = this.resid[l + 1];
      for (let i = 0; i < added.length; i++) next[start + i] = resid[i] + added[i];
    });
  }

  /** The heads' patterns and their averaged values z, for the new positions; `forced` gives other patterns of some, of another run. */
  attend(l, q, forced) {
    const { model, from, n } = this, { d_model, d_head, n_heads, n_ctx, kernel } = model, { k, v, z, pattern } = this.layers[l];
    const count = n - from, scale = 1 / Math.sqrt(d_head), turned = new Float32Array(d_model * n_ctx);
    if (count < 4 && !forced) return this.attendFew(l, q);
    const scores = kernel.parts(q, k.subarray(0, n * d_model), count, n, n_heads, d_head);
    for (let j = 0; j < n; j++) for (let c = 0; c < d_model; c++) turned[c * n_ctx + j] = v[j * d_model + c];
    for (let h = 0; h < n_heads; h++) {
      const other = forced?.(l, h), rows = pattern.subarray((h * n_ctx + from) * n_ctx, (h * n_ctx + n) * n_ctx);
      if (other) rows.set(other.subarray(h * n_ctx * n_ctx, (h * n_ctx + n) * n_ctx));  // then all positions are new
      else for (let i = 0; i < count; i++) shares(scores.subarray((h * count + i) * n, (h * count + i + 1) * n), from + i + 1, scale, rows.subarray(i * n_ctx, (i + 1) * n_ctx));
      const mixed = kernel.dot(rows, turned.subarray(h * d_head * n_ctx, (h + 1) * d_head * n_ctx), count, d_head, n_ctx);
      for (let i = 0; i < count; i++) z.set(mixed.subarray(i * d_head, (i + 1) * d_head), (from + i) * d_model + h * d_head);
    }
  }

  /** The same where a few tokens are new: nothing of the others is moved. */
  attendFew(l, q) {
    const { from, n, model: { d_model, d_head, n_heads, n_ctx } } = this, { k, v, z, pattern } = this.layers[l], scale = 1 / Math.sqrt(d_head);
    const scores = new Float32Array(n), mixed = new Float64Array(d_head);
    for (let h = 0; h < n_heads; h++) for (let i = from; i < n; i++) {
      const row = pattern.subarray((h * n_ctx + i) * n_ctx, (h * n_ctx + i + 1) * n_ctx), at = (i - from) * d_model + h * d_head;
      for (let j = 0; j <= i; j++) {
        let score = 0;
        for (let c = 0, key = j * d_model + h * d_head; c < d_head; c++) score += q[at + c] * k[key + c];
        scores[j] = score;
      }
      shares(scores, i + 1, scale, row);
      mixed.fill(0);
      for (let j = 0; j <= i; j++) for (let c = 0, share = row[j], key = j * d_model + h * d_head; c < d_head; c++) mixed[c] += share * v[key + c];
      z.set(mixed, i * d_model + h * d_head);
    }
  }

  /** In place of what a head brings: nothing, or its mean over the positions. */
  level(l, h, share) {
    const { from, n, model: { d_model, d_head } } = this, { z } = this.layers[l];
    for (let c = h * d_head; c < (h + 1) * d_head; c++) {
      let sum = 0;
      if (share) for (let i = 0; i < n; i++) sum += z[i * d_model + c];
      for (let i = from; i < n; i++) z[i * d_model + c] = sum / n;
    }
  }

  /** Numbers of each position, `width` a row, under a name: `make(first, count)` gives those that are not here yet. */
  each(name, width, make) {
    if (!this.kept.has(name)) this.kept.set(name, { rows: new Float32Array(this.model.n_ctx * width), known: 0 });
    const found = this.kept.get(name);
    if (found.known < this.n) found.rows.set(make(found.known, this.n - found.known), found.known * width);
    found.known = this.n;
    return found.rows;
  }

  /** What W_V of a layer gives of the embedding alone, [pos, head d_head]: in layer 0 that is the values. */
  embeddedValues(l) {
    const { model: { d_model, kernel, layers } } = this;
    if (l === 0) return this.layers[0].v;
    const rows = (first, count) => this.resid[0].subarray(first * d_model, (first + count) * d_model);
    return this.each(`values ${l}`, d_model, (first, count) => kernel.dot(rows(first, count), layers[l].v, count, d_model, d_model));
  }

  /** A head's pattern [query key], as one array of n rows of n. */
  pattern(l, h) {
    const { n, model: { n_ctx } } = this, { pattern } = this.layers[l], out = new Float32Array(n * n);
    for (let i = 0; i < n; i++) out.set(pattern.subarray((h * n_ctx + i) * n_ctx, (h * n_ctx + i) * n_ctx + n), i * n);
    return out;
  }

  /** The logits of a position, [d_vocab]; those of all positions that are not here yet are computed together. */
  at(position) {
    const { model: { n_ctx, d_vocab, d_model, W_U, kernel, n_layers } } = this, known = this.rows.length;
    if (position >= known) {
      this.logits ??= new Float32Array(n_ctx * d_vocab);
      const last = this.resid[n_layers].subarray(known * d_model, this.n * d_model);
      kernel.dot(last, W_U, this.n - known, d_vocab, d_model, this.logits.subarray(known * d_vocab, this.n * d_vocab));
      for (let i = known; i < this.n; i++) this.rows.push(summary(this.logits.subarray(i * d_vocab, (i + 1) * d_vocab)));
    }
    return this.logits.subarray(position * d_vocab, (position + 1) * d_vocab);
  }

  /** Of a position: the likeliest tokens, the logarithm of the sum of exp(logits), and the mean of the logits. */
  row(position) {
    this.at(position);
    return this.rows[position];
  }

  probability(position, token) { return Math.exp(this.at(position)[token] - this.row(position).total); }

  /** How many tokens have a higher logit, plus 1. */
  rank(position, token) {
    const logits = this.at(position), own = logits[token], known = (this.rows[position].ranks ??= new Map());
    if (known.has(token)) return known.get(token);
    let rank = 1;
    for (let i = 0; i < logits.length; i++) if (logits[i] > own) rank++;
    known.set(token, rank);
    return rank;
  }
}

/** Indices of the `count` largest, the largest first. */
export function largest(values, count) {
  const best = [];
  let least = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (best.length === count && values[i] <= least) continue;
    let at = best.length;
    while (at && values[best[at - 1]] < values[i]) at--;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
    least = values[best[best.length - 1]];
  }
  return best;
}

function summary(logits) {
  const top = largest(logits, TOP), most = logits[top[0]];
  let sum = 0, mean = 0;
  for (let i = 0; i < logits.length; i++) { sum += exp(logits[i] - most); mean += logits[i]; }
  return { top, total: most + Math.log(sum), mean: mean / logits.length };
}

/** The softmax of the first `seen` scores times `scale`, into a row whose other numbers are 0. */
function shares(scores, seen, scale, row) {
  let most = -Infinity, sum = 0;
  for (let j = 0; j < seen; j++) if (scores[j] > most) most = scores[j];
  for (let j = 0; j < seen; j++) sum += row[j] = exp((scores[j] - most) * scale);
  for (let j = 0; j < seen; j++) row[j] /= sum;
  row.fill(0, seen);
}

const STEPS = 64, HALVES = Float64Array.from({ length: 1024 }, (_, k) => 2 ** -k), PARTS = Float64Array.from({ length: STEPS }, (_, k) => 2 ** (-k / STEPS));
/** e to the power of x, which is at most 0, to ten digits: from tables, and a short series; `Math.exp` takes four times as long. */
export function exp(x) {
  if (x < -700) return 0;
  const k = (0.5 - x * STEPS * Math.LOG2E) | 0, r = x + (k * Math.LN2) / STEPS;
  return HALVES[k >> 6] * PARTS[k & 63] * (1 + r * (1 + r * (1 / 2 + r / 6)));
}
