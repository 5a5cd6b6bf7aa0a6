/** Runs with heads ablated and patterns frozen beside the run as it is: what walkthrough/widgets/ablation.py answers. */

const LIKELY = 5;  // as there

const rounded = (values) => Array.from(values, (x) => Math.round(10_000 * x) / 10_000 + 0);
const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;

/** The likeliest tokens of both runs after each position, and the one that comes; losses in nats. */
function beforeAndAfter(model, ids, ablate, freeze) {
  const plain = model.run(ids), run = model.run(ids, { ablate, freeze }), found = { words: [], before: [], after: [], next: [] };
  ids.forEach((_, position) => {
    const likeliest = [plain, run].flatMap((of) => of.row(position).top.slice(0, LIKELY)), comes = ids.slice(position + 1, position + 2);
    const tokens = [...new Set([...likeliest, ...comes])];
    found.words.push(tokens.map((id) => model.reader.names[id]));
    found.before.push(rounded(tokens.map((id) => plain.probability(position, id))));
    found.after.push(rounded(tokens.map((id) => run.probability(position, id))));
    found.next.push(comes.length ? tokens.indexOf(comes[0]) : null);
  });
  const losses = [plain, run].map((of) => ids.slice(1).map((id, i) => of.row(i).total - of.at(i)[id]));
  return { ...found, loss: losses[0].map((loss, i) => rounded([loss, losses[1][i]])), mean: losses[0].length ? rounded(losses.map(mean)) : null };
}

/** Probabilities with each head ablated alone, the same patterns frozen each time. */
function eachAblated(model, ids, freeze) {
  const plain = model.run(ids), targets = ids.map((_, i) => {
    const top = plain.row(i).top.slice(0, LIKELY);
    return [...top, i + 1 < ids.length ? ids[i + 1] : top[0]];
  });
  const shares = (run) => targets.map((row, i) => rounded(row.map((id) => run.probability(i, id)))), before = shares(plain);
  return {
    words: targets.map((row) => row.map((id) => model.reader.names[id])), before,
    after: model.layers.flatMap((_, l) => Array.from({ length: model.n_heads }, (_, h) => shares(model.run(ids, { ablate: [[l, h]], freeze })))),
  };
}

/** The answer to a question about changed runs of a prompt: {prompt, ablate, freeze}, or {prompt, each, freeze}. */
export function changedRuns(model, { prompt, ablate, each, freeze = [] }) {
  const ids = model.reader.prompt(prompt, model.n_ctx);
  return each ? eachAblated(model, ids, freeze) : beforeAndAfter(model, ids, ablate, freeze);
}
