/** A logit taken apart: what each path brings, from each source position, as `attribution.path_sources` has it. */
import { plainDot } from "./kernel.js";

/** Paths in the order of `attribution.path_names`: "direct", each head, each chain of heads. */
export function pathNames(n_layers, n_heads) {
  let chains = [[]];
  for (let l = 0; l < n_layers; l++)
    chains = [...chains, ...Array.from({ length: n_heads }, (_, h) => chains.map((chain) => [...chain, `${l}:${h}`])).flat()];
  return chains.map((chain) => chain.join(" → ") || "direct");
}

/**
 * What each path brings to `readouts` (rows of d_model numbers) at a position: [path][readout], each a Float64Array over
 * sources up to the position. A path's values are taken where it begins: in d_head numbers a source, not d_model.
 */
export function pathSources(run, readouts, position) {
  const { model } = run, { n_layers, n_heads, d_head, d_model } = model, seen = position + 1, count = readouts.length / d_model;
  const embedded = run.resid[0].subarray(0, seen * d_model);
  // A path, as yet from its end only: where it looks from (a row over positions), and what it reads there.
  let paths = [{ row: Float64Array.from({ length: seen }, (_, i) => Number(i === position)), reads: Float64Array.from(readouts), begins: null }];
  for (let l = n_layers - 1; l >= 0; l--) {
    const longer = [];
    const values = model.kernel.dot(embedded, model.layers[l].v, seen, d_model, d_model);  // of the embedding, not of the stream
    for (const { row, reads } of paths) {
      longer.push(...Array.from({ length: n_heads }, (_, h) => {
        const written = plainDot(reads, model.weights("o", l, h), count, d_head, d_model, new Float64Array(count * d_head));
        return { row: back(run, l, h, row), written, begins: { h, values }, reads: l ? through(model, l, h, written, count) : null };
      }));
    }
    // In the order of `path_names`: what a path already has, then that after each head of this layer, earlier layers innermost.
    paths = paths.flatMap((path, p) => [path, ...longer.slice(p * n_heads, (p + 1) * n_heads)]);
  }
  return paths.map(({ row, reads, written, begins }) => {
    const [from, width, at] = begins ? [begins.values, d_head, begins.h * d_head] : [embedded, d_model, 0];
    const side = begins ? written : reads;
    return Array.from({ length: count }, (_, t) => {
      const out = new Float64Array(seen);
      for (let s = 0; s < seen; s++) {
        if (!row[s]) continue;
        let sum = 0;
        for (let c = 0; c < width; c++) sum += from[s * d_model + at + c] * side[t * width + c];
        out[s] = row[s] * sum;
      }
      return out;
    });
  });
}

/** A row over positions, seen through a head's pattern. */
function back(run, l, h, row) {
  const { n_ctx } = run.model, { pattern } = run.layers[l], out = new Float64Array(row.length);
  for (let q = 0; q < row.length; q++) {
    const start = (h * n_ctx + q) * n_ctx;
    if (row[q]) for (let k = 0; k <= q; k++) out[k] += row[q] * pattern[start + k];
  }
  return out;
}

/** What is read of a head's values, in the stream that the head reads: W_V times it. */
function through(model, l, h, written, count) {
  const { d_head, d_model } = model, W = model.weights("v", l, h), out = new Float64Array(count * d_model);
  for (let t = 0; t < count; t++) for (let c = 0; c < d_head; c++) {
    const share = written[t * d_head + c];
    for (let m = 0; m < d_model; m++) out[t * d_model + m] += share * W[c * d_model + m];
  }
  return out;
}
