/** Heads that read what earlier heads wrote: scores, circuits on the vocabulary, and terms on a prompt. */
import { eigenvalues } from "./eigen.js";
import { plainDot } from "./kernel.js";

const KINDS = "QKV", MOST = 8;  // entries of a circuit that are shown

/** Kind, earlier head and later head of "K 0:4 1:6"; an Error if there is no such edge. */
export function edgeHeads(model, edge) {
  const found = /^([QKV]) (\d+):(\d+) (\d+):(\d+)$/.exec(edge);
  if (!found) throw new Error(`there is no edge '${edge}': write it as in 'K 0:4 1:6'`);
  const [first, second] = [found.slice(2, 4).map(Number), found.slice(4, 6).map(Number)];
  [first, second].forEach((head) => model.check(head));
  if (first[0] >= second[0]) {
    throw new Error(`head ${second.join(":")} cannot read what ${first.join(":")} writes: the first head must be in an earlier layer`);
  }
  return [found[1], first, second];
}

const wide = (x) => Float64Array.from(x);
/** x wᵀ, of n and m rows of d numbers, in double precision. */
const times = (x, w, n, m, d) => plainDot(x, w, n, m, d, new Float64Array(n * m));
/** A matrix of n rows of m, turned. */
function turned(x, n, m) {
  const out = new Float64Array(x.length);
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) out[j * n + i] = x[i * m + j];
  return out;
}
const inner = (x, y) => { let sum = 0; for (let i = 0; i < x.length; i++) sum += x[i] * y[i]; return sum; };

/** Composition scores [write][read] of two layers, of a kind: the norm of the product over the norms of the factors. */
export function compositionScores(model, kind, [earlier, later]) {
  const { n_heads, d_head, d_model } = model, heads = [...Array(n_heads).keys()];
  const of = (letter, l) => heads.map((h) => wide(model.weights(letter, l, h)));  // each [d_head d_model]
  const gram = (x) => times(x, x, d_head, d_head, d_model);
  const [V1, O1] = [of("v", earlier), of("o", earlier)];
  // What reads the stream, and what its numbers go through next: W_Q and W_K, W_K and W_Q, or W_V and W_O.
  const [read, next] = { Q: ["q", "k"], K: ["k", "q"], V: ["v", "o"] }[kind].map((letter) => of(letter, later));
  const [gramV, gramO, gramRead, gramNext] = [V1, O1, read, next].map((all) => all.map(gram));
  return heads.map((a) => heads.map((b) => {
    const M = times(O1[a], read[b], d_head, d_head, d_model);  // what lies between the outer two factors
    const MN = times(M, gramNext[b], d_head, d_head, d_head), GM = times(gramV[a], turned(M, d_head, d_head), d_head, d_head, d_head);
    const product = inner(GM, MN), sizes = inner(gramV[a], gramO[a]) * inner(gramRead[b], gramNext[b]);
    return Math.sqrt(Math.max(0, product) / sizes);
  }));
}

/** The factors of an edge's circuit on the vocabulary, A [d_vocab d_head] and Bᵀ [d_vocab d_head]: entries are A B. */
function factors(model, edge) {
  const [kind, [l1, h1], [l2, h2]] = edgeHeads(model, edge), { d_head, d_model, d_vocab, kernel } = model;
  const W = (letter, l, h) => model.weights(letter, l, h), scale = 1 / Math.sqrt(d_head);
  const all = (embedding, letter, l, h) => kernel.dot(embedding, W(letter, l, h), d_vocab, d_head, d_model);
  const between = (x, y) => times(x, y, d_head, d_head, d_model);
  const carry = (small, tall) => kernel.dot(tall, Float32Array.from(small), d_vocab, d_head, d_head);  // (small tallᵀ)ᵀ
  const one = all(model.W_E, "v", l1, h1);
  if (kind === "V") {
    const small = between(W("o", l1, h1), W("v", l2, h2));  // O1 V2
    return { A: one, B: carry(small, all(model.W_U, "o", l2, h2)) };
  }
  const small = between(W("o", l1, h1), W(kind === "Q" ? "q" : "k", l2, h2)).map((x) => x * scale);
  if (kind === "Q") return { A: one, B: carry(small, all(model.W_E, "k", l2, h2)) };
  return { A: all(model.W_E, "q", l2, h2), B: carry(turned(small, d_head, d_head), one) };
}

/** The largest entries of an edge's circuit over their row's mean, its eigenvalue positivity, and its match gain. */
export function onTheVocabulary(model, edge) {
  const { d_head, d_vocab, kernel, reader } = model, { A, B } = factors(model, edge);
  const means = (X) => {
    const mean = new Float64Array(d_head);
    for (let i = 0; i < X.length; i++) mean[i % d_head] += X[i] / d_vocab;
    return mean;
  };
  const meanA = means(A), meanB = means(B), over = B.map((x, i) => x - meanB[i % d_head]);
  const best = [];
  for (let start = 0; start < d_vocab; start += 256) {
    const rows = Math.min(256, d_vocab - start);
    const panel = kernel.dot(A.subarray(start * d_head, (start + rows) * d_head), over, rows, d_vocab, d_head);
    let least = best.length === MOST ? best[MOST - 1][2] : -Infinity;
    for (let i = 0; i < panel.length; i++) if (panel[i] > least) {
      best.push([start + Math.floor(i / d_vocab), i % d_vocab, panel[i]]);
      best.sort((x, y) => y[2] - x[2]);
      best.length = Math.min(best.length, MOST);
      if (best.length === MOST) least = best[MOST - 1][2];
    }
  }
  const right = edge[0] === "V" ? over : B, small = new Float64Array(d_head * d_head);  // B A
  for (let t = 0; t < d_vocab; t++) for (let i = 0; i < d_head; i++) {
    const b = right[t * d_head + i];
    for (let j = 0; j < d_head; j++) small[i * d_head + j] += b * A[t * d_head + j];
  }
  const found = eigenvalues(small, d_head), round = (x) => Math.round(1000 * x) / 1000 + 0;
  const total = found.reduce((sum, [re]) => sum + re, 0), sizes = found.reduce((sum, value) => sum + Math.hypot(...value), 0);
  return {
    top: best.map(([row, column, value]) => [reader.names[row], reader.names[column], Math.round(100 * value) / 100]),
    positivity: round(total / sizes),
    gain: round(inner(A, B) / d_vocab - inner(meanA, meanB)),
  };
}

/** An edge on a run [query key]: a term of the scores over its mean on the visible keys, or a virtual pattern. */
export function onThePrompt(run, edge) {
  const { model, n } = run, [kind, [l1, h1], [l2, h2]] = edgeHeads(model, edge), { d_head, d_model, kernel } = model;
  if (kind === "V") {
    const first = run.pattern(l1, h1), second = run.pattern(l2, h2), wideN = 8 * Math.ceil(n / 8);
    const pad = (x) => { const out = new Float32Array(n * wideN); for (let i = 0; i < n; i++) out.set(x.subarray(i * n, (i + 1) * n), i * wideN); return out; };
    return kernel.dot(pad(second), pad(Float32Array.from(turned(first, n, n))), n, n, wideN);
  }
  const z = new Float32Array(n * d_head);
  for (let i = 0; i < n; i++) z.set(run.layers[l1].z.subarray(i * d_model + h1 * d_head, i * d_model + (h1 + 1) * d_head), i * d_head);
  const wrote = kernel.dot(z, Float32Array.from(turned(model.weights("o", l1, h1), d_head, d_model)), n, d_model, d_head);
  const embedded = run.resid[0].subarray(0, n * d_model), [query, key] = kind === "Q" ? [wrote, embedded] : [embedded, wrote];
  const into = (x, letter) => kernel.dot(x, model.weights(letter, l2, h2), n, d_head, d_model);
  const scores = kernel.dot(into(query, "q"), into(key, "k"), n, n, d_head), scale = 1 / Math.sqrt(d_head);
  for (let q = 0; q < n; q++) {
    let sum = 0;
    for (let k = 0; k <= q; k++) sum += scores[q * n + k] * scale;
    for (let k = 0; k < n; k++) scores[q * n + k] = k <= q ? scores[q * n + k] * scale - sum / (q + 1) : 0;
  }
  return scores;
}

/** The names of all edges between layers, in the order of `scores` flattened: [pair][kind][write][read]. */
export function edgeNames(pairs, n_heads) {
  const heads = [...Array(n_heads).keys()];
  return pairs.flatMap(([a, b]) => [...KINDS].flatMap((kind) => heads.flatMap((x) => heads.map((y) => `${kind} ${a}:${x} ${b}:${y}`))));
}
