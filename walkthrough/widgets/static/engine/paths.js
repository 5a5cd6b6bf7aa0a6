/** A logit taken apart: what each path brings, from each source position, as `attribution.path_sources` has it. */
/** Paths in the order of `attribution.path_names`: "direct", each head, each chain of heads. */
export function pathNames(n_layers, n_heads) {
  let chains = [[]];
  for (let l = 0; l < n_layers; l++)
    chains = [...chains, ...Array.from({ length: n_heads }, (_, h) => chains.map((chain) => [...chain, `${l}:${h}`])).flat()];
  return chains.map((chain) => chain.join(" → ") || "direct");
}

/**
 * What each path brings to `readouts` (rows of d_model numbers) at a position: of each path {row, brings}. From source s it brings
 * row[s] * brings[readout * (position + 1) + s]: how much it sees of s, times what is there for it. A path's values are taken
 * where it begins: in d_head numbers a source, not d_model.
 */
export function pathSources(run, readouts, position) {
  const { model } = run, { n_layers, n_heads, d_head, d_model, kernel } = model, seen = position + 1, count = readouts.length / d_model;
  // A path, as yet from its end only: where it looks from (a row over positions), and what it brings from it; and what it reads there.
  let reads = Float32Array.from(readouts), paths = [{
    row: Float32Array.from({ length: seen }, (_, i) => Number(i === position)),
    brings: kernel.dot(reads, run.resid[0].subarray(0, seen * d_model), count, seen, d_model),
  }];
  for (let l = n_layers - 1; l >= 0; l--) {
    const rows = paths.length * count, size = count * d_model, next = l ? new Float32Array((n_heads + 1) * paths.length * size) : null;
    const written = kernel.dot(reads, model.turned("o", l), rows, d_model, d_model);  // [path readout, head d_head]
    const brings = kernel.parts(written, run.embeddedValues(l), rows, seen, n_heads, d_head);  // [head, path readout, source]
    const heard = l ? kernel.parts(written, model.turned("v", l), rows, d_model, n_heads, d_head) : null;  // [head, path readout, d_model]
    const looks = seenThrough(run, l, paths.map(({ row }) => row));
    // In the order of `path_names`: what a path already has, then that after each head of this layer, earlier layers innermost.
    paths = paths.flatMap((path, p) => {
      next?.set(reads.subarray(p * size, (p + 1) * size), p * (n_heads + 1) * size);
      return [path, ...Array.from({ length: n_heads }, (_, h) => {
        const first = h * rows + p * count;
        next?.set(heard.subarray(first * d_model, first * d_model + size), (p * (n_heads + 1) + 1 + h) * size);
        return { row: looks[h].subarray(p * seen, (p + 1) * seen), brings: brings.subarray(first * seen, (first + count) * seen) };
      })];
    });
    reads = next;
  }
  return paths;
}

/** Rows over positions, seen through each head's pattern in a layer: [head], each [row, source]. */
function seenThrough(run, l, rows) {
  const { n_heads, n_ctx, kernel } = run.model, { pattern } = run.layers[l], seen = rows[0].length;
  if (rows.length === 1) {  // from the end of a path, one position looks
    const q = rows[0].indexOf(1);
    return Array.from({ length: n_heads }, (_, h) => pattern.subarray((h * n_ctx + q) * n_ctx, (h * n_ctx + q) * n_ctx + seen));
  }
  const keys = byKey(run, l), padded = new Float32Array(rows.length * n_ctx);
  rows.forEach((row, i) => padded.set(row, i * n_ctx));
  return Array.from({ length: n_heads }, (_, h) => kernel.dot(padded, keys.subarray(h * n_ctx ** 2, (h * n_ctx + seen) * n_ctx), rows.length, seen, n_ctx));
}

/** A layer's patterns the other way round, [head key query], rows of n_ctx: what was not here yet is added. */
function byKey(run, l) {
  const { n_heads, n_ctx } = run.model, { pattern } = run.layers[l], name = `keys ${l}`;
  if (!run.kept.has(name)) run.kept.set(name, { rows: new Float32Array(n_heads * n_ctx ** 2), known: 0 });
  const found = run.kept.get(name), { rows, known } = found;
  for (let h = 0; h < n_heads; h++) for (let q = known, at = h * n_ctx ** 2; q < run.n; q++)
    for (let k = 0; k <= q; k++) rows[at + k * n_ctx + q] = pattern[at + q * n_ctx + k];
  found.known = run.n;
  return rows;
}
