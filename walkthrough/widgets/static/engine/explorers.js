/** What each explorer's Python answers (`look`, `answer` in walkthrough/widgets/*_explorer.py), from the models here. */
import { changedRuns } from "./ablation.js";
import { Circuits } from "./circuits.js";
import { compositionScores, edgeNames, onThePrompt, onTheVocabulary } from "./composition.js";
import { pathSources } from "./paths.js";
import { largest } from "./model.js";

const LIKELY = 5, LARGEST = 12, LOGIT_NUMBERS = 50_000;  // as in logit_explorer.py
const SOURCES = 16;  // as in circuit_explorer.py
const EDGES = 10, EDGE_NUMBERS = 40_000;  // as in composition_explorer.py
const HELD = 4_000_000;  // as in attention_explorer.py

const rounded = (values) => Array.from(values, (x) => Math.round(10_000 * x) / 10_000 + 0);

/** A run of a prompt, which is a text, or ids that begin with <BOS>. */
const runOf = (model, prompt, changes) => model.run(Array.isArray(prompt) ? prompt : model.reader.prompt(prompt, model.n_ctx), changes);
const textsOf = (model, ids) => ids.map((id) => model.reader.texts[id]);

/** The prompt's tokens; for each layer of each model, its patterns in hundredths and the sizes of its values. */
function attention(models, { prompt, changes }) {
  let tokens;
  const layers = models.flatMap(({ name, model }) => {
    const run = runOf(model, prompt, changes), texts = textsOf(model, run.ids), { n } = run;
    if (tokens && tokens.join("\0") !== texts.join("\0")) throw new Error("these models cut the prompt into different tokens: give models that share a tokenizer");
    tokens = texts;
    const heads = models.reduce((sum, { model: { n_layers, n_heads } }) => sum + n_layers * n_heads, 0);
    if (heads * n * n > HELD) {
      throw new Error(`the patterns of ${heads} heads on ${n} tokens are too many numbers for a page: shorten the prompt to `
        + `at most ${Math.floor(Math.sqrt(HELD / heads))} tokens`);
    }
    return model.layers.map((_, l) => ({ name: `${name} layer ${l}`.trim(), layer: l, pattern: shares(run, l), norms: valueSizes(run, l) }));
  });
  return { tokens, layers };
}

/** A layer's patterns [head query key] in hundredths. */
function shares(run, l) {
  const { n, model: { n_heads, n_ctx } } = run, { pattern } = run.layers[l], out = new Uint8Array(n_heads * n * n);
  for (let h = 0; h < n_heads; h++) for (let q = 0; q < n; q++) {
    const from = (h * n_ctx + q) * n_ctx, to = (h * n + q) * n;
    for (let k = 0; k <= q; k++) out[to + k] = 100 * pattern[from + k] + 0.5;
  }
  return out;
}

/** The sizes of what each head would bring from each position, ‖v W_O‖. */
function valueSizes(run, l) {
  const { n, model } = run, { n_heads, d_head, d_model } = model, { v } = run.layers[l];
  model.grams ??= model.layers.map((_, layer) => Array.from({ length: n_heads }, (_, h) => {
    const W = model.weights("o", layer, h), out = new Float64Array(d_head * d_head);  // W_O W_Oᵀ
    for (let i = 0; i < d_head; i++) for (let j = 0; j < d_head; j++) for (let m = 0; m < d_model; m++)
      out[i * d_head + j] += W[i * d_model + m] * W[j * d_model + m];
    return out;
  }));
  const sizes = run.each(`sizes ${l}`, n_heads, (first, count) => {
    const out = new Float32Array(count * n_heads);
    for (let i = 0; i < count; i++) for (let h = 0; h < n_heads; h++) {
      const gram = model.grams[l][h], at = (first + i) * d_model + h * d_head;
      let sum = 0;
      for (let r = 0; r < d_head; r++) {
        let row = 0;
        for (let c = 0; c < d_head; c++) row += v[at + c] * gram[r * d_head + c];
        sum += v[at + r] * row;
      }
      out[i * n_heads + h] = Math.sqrt(Math.max(0, sum));
    }
    return out;
  });
  const rounding = (x) => Math.round(1000 * x) / 1000;
  return Array.from({ length: n_heads }, (_, h) => Array.from({ length: n }, (_, pos) => rounding(sizes[pos * n_heads + h])));
}

/** The likeliest tokens after a position, and the one that really comes. */
function targetsOf(run, position) {
  const { top } = run.row(position);
  return [...top.slice(0, LIKELY), position + 1 < run.n ? run.ids[position + 1] : top[0]];
}

/** All paths of a position, as the logit explorer has them: bars in both ways of counting, and the largest ones' sources. */
function logitsAt(run, position) {
  const targets = targetsOf(run, position), logits = run.at(position), paths = splitOf(run, position), seen = position + 1;
  const answer = { logits: rounded(targets.map((id) => logits[id])), mean: rounded([run.row(position).mean])[0] };
  const totals = paths.map(({ row, brings }) => {
    const sums = new Float64Array(targets.length + 1);
    for (let t = 0, at = 0; t < sums.length; t++) for (let s = 0; s < seen; s++) sums[t] += row[s] * brings[at++];
    return sums;
  });
  const few = Math.min(LARGEST, paths.length), room = new Int32Array(2 * targets.length * (paths.length + few * seen));
  let used = 0;
  const take = (length) => room.subarray(used, used += length);  // all in one piece of memory, which moves to the page as one
  for (const way of ["raw", "above"]) {
    const bars = targets.map((_, t) => totals.map((path) => path[t] - (way === "above" ? path.at(-1) : 0)));
    const whole = bars.map((values) => values.reduce((sum, x) => sum + x, 0)), first = bars.map((values) => bySize(values).slice(0, LARGEST));
    answer[way] = {
      sum: rounded(whole), others: rounded(bars.map((values, t) => first[t].reduce((rest, path) => rest - values[path], whole[t]))),
      bars: bars.map((values) => hundredths(values, take(paths.length))),
      sources: first.map((order, t) => order.map((path) => sourcesOf(paths[path], t, way, take(seen)))),
    };
  }
  return answer;
}

/** As whole hundredths. */
function hundredths(values, out) {
  for (let i = 0; i < out.length; i++) out[i] = Math.round(100 * values[i]);
  return out;
}

/** What a path brings to a target, by source, in hundredths: "raw", or "above" the mean over the vocabulary, which is the last readout. */
function sourcesOf({ row, brings }, target, way, out = new Int32Array(row.length)) {
  const own = target * row.length, mean = brings.length - row.length, share = way === "above" ? 1 : 0;
  for (let s = 0; s < out.length; s++) out[s] = Math.round(100 * row[s] * (brings[own + s] - share * brings[mean + s]));
  return out;
}

/** Indices, the largest bars in size first: after rounding, equals as they come. */
const bySize = (values) => {
  const steps = values.map((x) => Math.abs(Math.round(100 * x)));
  return values.map((_, i) => i).sort((i, j) => steps[j] - steps[i] || i - j);
};

/** What each path brings to the logits of a position's predictions and to the mean over the vocabulary. */
function splitOf(run, position) {
  const { model } = run, { d_model, d_vocab } = model, targets = targetsOf(run, position);
  if (!model.mean) {
    model.mean = new Float64Array(d_model);
    for (let i = 0; i < model.W_U.length; i++) model.mean[i % d_model] += model.W_U[i] / d_vocab;
  }
  const readouts = new Float64Array((LIKELY + 2) * d_model);
  targets.forEach((id, t) => readouts.set(model.W_U.subarray(id * d_model, (id + 1) * d_model), t * d_model));
  readouts.set(model.mean, targets.length * d_model);
  return pathSources(run, readouts, position);
}

function logits([{ model }], { prompt, position, path, target, way, changes, quick }) {
  const run = runOf(model, prompt, changes);
  if (position !== undefined) {
    if (!(position >= 0 && position < run.n)) throw new Error(`there is no position ${position}: the prompt has positions 0 to ${run.n - 1}`);
    return path === undefined ? logitsAt(run, position) : sourcesOf(splitOf(run, position)[path], target, way);
  }
  const { n } = run, targets = run.ids.map((_, i) => targetsOf(run, i)), paths = (model.n_heads + 1) ** model.n_layers;
  const each = 2 * (LIKELY + 1) * (paths + Math.floor((LARGEST * n) / 2)), kept = quick ? 1 : Math.max(Math.floor(LOGIT_NUMBERS / each), 1);
  const positions = Array.from({ length: Math.min(kept, n) }, (_, i) => Math.max(n - kept, 0) + i);
  return {
    tokens: textsOf(model, run.ids), predicted: targets.map((row) => textsOf(model, row)),
    probability: targets.map((row, i) => rounded(row.map((id) => run.probability(i, id)))),
    rank: targets.map((row, i) => run.rank(i, row.at(-1))),
    at: Object.fromEntries(positions.map((at) => [at, logitsAt(run, at)])),
  };
}

function circuits([{ model }], { prompt, token, given = [] }) {
  const { reader } = model, own = (model.circuits ??= new Circuits(model));
  if (token !== undefined) return Object.values(own.entries([reader.single(token)]))[0];
  const ids = reader.prompt(prompt, model.n_ctx), stored = [...new Set(ids)].filter((id) => !given.includes(id)).slice(0, SOURCES);
  return { tokens: ids.map((id) => reader.names[id]), found: own.entries(stored) };
}

/** The edges that are looked at first: each pair's strongest, and the strongest of all; from the page's own scores. */
function strongest(layers, scores, n_heads) {
  const names = edgeNames(layers, n_heads), flat = scores.flat(3), size = flat.length / layers.length;
  const order = largest(flat, EDGES), of_pairs = layers.map((_, pair) => {
    const own = flat.slice(pair * size, (pair + 1) * size);
    return names[pair * size + own.indexOf(Math.max(...own))];
  });
  return [...new Set([...of_pairs, ...order.map((i) => names[i])])];
}

function composition([{ model }], { prompt, edge, chosen, layers, scores }) {
  const run = runOf(model, prompt), on = (name) => grid(onThePrompt(run, name), run.n);
  if (edge !== undefined) {
    model.edges ??= new Map();
    if (!model.edges.has(edge)) model.edges.set(edge, onTheVocabulary(model, edge));
    return { circuit: model.edges.get(edge), grid: on(edge) };
  }
  const edges = [...new Set([...(chosen ? [chosen] : []), ...strongest(layers, scores, model.n_heads)])];
  const room = Math.max(1, Math.floor((2 * EDGE_NUMBERS) / run.n ** 2));
  return { tokens: textsOf(model, run.ids), edges: Object.fromEntries(edges.slice(0, room).map((name) => [name, on(name)])) };
}

/** The lower triangle, in whole steps of a hundredth, or coarser if need be. */
function grid(values, n) {
  let most = 0, at = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i]));
  const step = Math.max(0.01, most / 32767), steps = new Int16Array((n * (n + 1)) / 2);
  for (let q = 0; q < n; q++) for (let k = 0; k <= q; k++) steps[at++] = Math.round(values[q * n + k] / step);
  return { step, values: new Uint8Array(steps.buffer) };
}

/** Every checkpoint's patterns in hundredths, keys that a query does not see left out. */
function checkpoints(models, { prompt }) {
  const runs = models.map(({ model }) => runOf(model, prompt)), { n } = runs[0], parts = [];
  for (const run of runs) for (let l = 0; l < run.model.n_layers; l++) for (let h = 0; h < run.model.n_heads; h++) {
    const pattern = run.pattern(l, h);
    for (let q = 0; q < n; q++) for (let k = 0; k <= q; k++) parts.push(100 * pattern[q * n + k] + 0.5);
  }
  return { tokens: textsOf(models[0].model, runs[0].ids), patterns: Uint8Array.from(parts) };
}

/** A run as numbers: ids, tokens, patterns [layer][head] of n rows of n, the likeliest after each position, the loss. */
function run([{ model }], { prompt, changes, patterns = true, top = 5, logits = 0 }) {
  const of = runOf(model, prompt, changes), { n, ids } = of, { texts } = model.reader;
  const losses = ids.slice(1).map((id, i) => -Math.log(of.probability(i, id)));
  return {
    ids, tokens: textsOf(model, ids),
    patterns: patterns ? model.layers.map((_, l) => Array.from({ length: model.n_heads }, (_, h) => of.pattern(l, h))) : [],
    top: ids.map((_, i) => {
      const likeliest = top <= LIKELY ? of.row(i).top.slice(0, top) : largest(of.at(i), top);
      return likeliest.map((id) => ({ id, token: texts[id], probability: of.probability(i, id), logit: of.at(i)[id] }));
    }),
    losses, loss: losses.length ? losses.reduce((sum, x) => sum + x, 0) / losses.length : null,
    ...(logits ? { logits: ids.map((_, i) => Float32Array.from(of.at(i))).slice(-logits) } : {}),
  };
}

/** The probability, logit and rank of tokens (texts that are one token, or ids) after a position, by default the last. */
function predicted([{ model }], { prompt, changes, tokens, position }) {
  const of = runOf(model, prompt, changes), at = position ?? of.n - 1;
  return tokens.map((token) => {
    const id = typeof token === "number" ? token : model.reader.single(token);
    return { id, token: model.reader.texts[id], probability: of.probability(at, id), logit: of.at(at)[id], rank: of.rank(at, id) };
  });
}

/** The ids of texts, without <BOS>. */
const cut = ([{ model }], { texts }) => texts.map((text) => model.reader.pieces(text));

/** The end of a prompt, as much as the model can read. */
const ending = ([{ model }], { prompt }) => model.reader.ending(prompt, model.n_ctx);

/** What changes if heads are ablated, or patterns frozen; with the changed run's patterns, if they are asked for. */
function changed(explorer, models, { model = 0, patterns, ...question }) {
  const found = changedRuns(models[model].model, question), { prompt, ablate, freeze } = question;
  if (explorer !== "attention" || !patterns) return found;
  return { ...found, layers: attention([models[model]], { prompt, changes: { ablate, freeze } }).layers };
}

/** Composition scores [write][read] of a pair of layers. */
const scores = ([{ model }], { kind, pair }) => compositionScores(model, kind, pair);

const EXPLORERS = { cut, ending, scores, attention, circuits, logits, composition, checkpoints, run, predicted };

/** The answer to a question; `models` are [{name, model}]. An Error's message is one sentence for the reader. */
export function answer(explorer, models, question) {
  if (question.ablate || question.each) return changed(explorer, models, question);
  return EXPLORERS[explorer](models, question);
}
