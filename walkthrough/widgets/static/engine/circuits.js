/** The two circuits of every head on single tokens, as the circuit explorer has them. */
import { largest } from "./model.js";

const TOP = 20;  // as in circuit_explorer.py

/** Destinations and outputs of tokens, looked up in tables that are made once and for all. */
export class Circuits {
  constructor(model) {
    const { n_layers, n_heads, d_head, d_model, d_vocab, kernel } = model;
    this.model = model;
    this.known = new Map();
    this.heads = [];
    const mean = new Float64Array(d_model);  // of the rows of W_U: what a centred circuit goes without
    for (let t = 0; t < d_vocab; t++) for (let m = 0; m < d_model; m++) mean[m] += model.W_U[t * d_model + m] / d_vocab;
    for (let l = 0; l < n_layers; l++) for (let h = 0; h < n_heads; h++) {
      const out = model.weights("o", l, h), raised = kernel.dot(model.W_U, out, d_vocab, d_head, d_model);
      for (let c = 0; c < d_head; c++) {
        let level = 0;
        for (let m = 0; m < d_model; m++) level += out[c * d_model + m] * mean[m];
        for (let t = 0; t < d_vocab; t++) raised[t * d_head + c] -= level;
      }
      const queries = kernel.dot(model.W_E, model.weights("q", l, h), d_vocab, d_head, d_model);
      this.heads.push({ queries, raised, k: model.weights("k", l, h), v: model.weights("v", l, h) });
    }
  }

  /** For each token, [layer][head]: keenest destinations, log-odds, highest outputs, logits (both in hundredths). */
  entries(tokens) {
    const missing = tokens.filter((token) => !this.known.has(token));
    if (missing.length) this.find(missing);
    return Object.fromEntries(tokens.map((token) => [token, this.known.get(token)]));
  }

  find(tokens) {
    const { model } = this, { d_head, d_model, d_vocab, n_heads, kernel } = model, count = tokens.length;
    const embedded = model.embedded(tokens), against = model.embedded([model.reader.bos]), over = Float32Array.from(embedded);
    for (let i = 0; i < over.length; i++) over[i] -= against[i % d_model];
    const found = tokens.map(() => []);
    this.heads.forEach(({ queries, raised, k, v }, number) => {
      const keys = kernel.dot(over, k, count, d_head, d_model).map((x) => x / Math.sqrt(d_head));
      const looking = kernel.dot(keys, queries, count, d_vocab, d_head);
      const raising = kernel.dot(kernel.dot(embedded, v, count, d_head, d_model), raised, count, d_vocab, d_head);
      tokens.forEach((token, i) => {
        const best = (scores) => {
          const row = scores.subarray(i * d_vocab, (i + 1) * d_vocab), ids = largest(row, Math.min(TOP, d_vocab));
          return [ids, ids.map((id) => Math.round(100 * row[id]) + 0)];
        };
        if (number % n_heads === 0) found[i].push([]);
        found[i].at(-1).push([...(token === model.reader.bos ? [[], []] : best(looking)), ...best(raising)]);
      });
    });
    tokens.forEach((token, i) => this.known.set(token, found[i]));
    while (this.known.size > 500) this.known.delete(this.known.keys().next().value);
  }
}
