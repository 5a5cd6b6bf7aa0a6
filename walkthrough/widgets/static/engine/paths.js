/** A logit taken apart: what each path brings, from each source position, as `attribution.path_sources` has it. */
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
  // A path, as yet from its end only: where it looks from (a row over positions), what it reads there, and what it brings from it.
  const ends = Float32Array.from(readouts), direct = model.kernel.dot(ends, run.resid[0].subarray(0, seen * d_model), count, seen, d_model);
  let paths = [{ row: Float64Array.from({ length: seen }, (_, i) => Number(i === position)), reads: ends, brings: direct }];
  for (let l = n_layers - 1; l >= 0; l--) {
    const values = run.embeddedValues(l), longer = paths.map(() => []), rows = paths.length * count;
    const reads = new Float32Array(rows * d_model);
    paths.forEach((path, p) => reads.set(path.reads, p * count * d_model));
    for (let h = 0; h < n_heads; h++) {
      const written = model.kernel.dot(reads, model.weights("o", l, h), rows, d_head, d_model), own = new Float32Array(seen * d_head);
      for (let s = 0; s < seen; s++) own.set(values.subarray(s * d_model + h * d_head, s * d_model + (h + 1) * d_head), s * d_head);
      const found = model.kernel.dot(written, own, rows, seen, d_head);  // for each path, its readouts, each over sources
      paths.forEach(({ row }, p) => longer[p].push({
        row: back(run, l, h, row), brings: found.subarray(p * count * seen, (p + 1) * count * seen),
        reads: l ? through(model, l, h, written.subarray(p * count * d_head, (p + 1) * count * d_head), count) : null,
      }));
    }
    // In the order of `path_names`: what a path already has, then that after each head of this layer, earlier layers innermost.
    paths = paths.flatMap((path, p) => [path, ...longer[p]]);
  }
  return paths.map(({ row, brings }) => Array.from({ length: count }, (_, t) => {
    const out = new Float64Array(seen);
    for (let s = 0; s < seen; s++) out[s] = brings[t * seen + s] * row[s];
    return out;
  }));
}

/** A row over positions, seen through a head's pattern. */
function back(run, l, h, row) {
  const { n_ctx } = run.model, { pattern } = run.layers[l], out = new Float64Array(row.length);
  const add = (q, from) => { for (let k = from, start = (h * n_ctx + q) * n_ctx; k <= q; k++) out[k] += row[q] * pattern[start + k]; };
  let q = 0;
  for (; q + 4 <= row.length; q += 4) {  // four rows in one turn, which then reads and writes `out` once
    const [w, x, y, z] = row.subarray(q, q + 4), a = (h * n_ctx + q) * n_ctx, b = a + n_ctx, c = b + n_ctx, d = c + n_ctx;
    if (!(w || x || y || z)) continue;
    for (let k = 0; k < q; k++) out[k] += w * pattern[a + k] + x * pattern[b + k] + y * pattern[c + k] + z * pattern[d + k];
    for (let of = q; of < q + 4; of++) add(of, q);
  }
  for (; q < row.length; q++) add(q, 0);
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
