/** The page's side of the engine: one worker for all that is on the page, asked one question after the other. */

const PARTS = [
  "vendor/tokenizers-0.2.0.min.mjs", "kernel.js", "files.js", "text.js", "eigen.js", "positions.js", "model.js", "paths.js", "circuits.js",
  "composition.js", "ablation.js", "explorers.js", "library.js", "worker.js",
];
const OLD = "This browser is too old to run the model in the page: it needs ";
const STALE = "a newer question was asked";

/** All modules as one plain script: where files lie, a worker may not be able to import them. */
export function bundle(sources) {
  return ['"use strict";', ...PARTS.map((name) => {
    const text = sources[name], list = /export\s*\{([^}]*)\};?\s*$/.exec(text);
    if (list) {
      const own = /([\w$]+) as Tokenizer\b/.exec(list[1])[1];
      return `const { Tokenizer } = (() => { ${text.slice(0, list.index)}\nreturn { Tokenizer: ${own} }; })();`;
    }
    const names = [...text.matchAll(/^export (?:async )?(?:function|class|const) (\w+)/gm)].map(([, found]) => found);
    const body = text.replace(/^import .*$/gm, "").replace(/^export /gm, "");
    return `const { ${names} } = (() => { ${body}\nreturn { ${names} }; })();`;
  })].join("\n");
}

async function sourcesAt(base) {
  const texts = await Promise.all(PARTS.map(async (name) => {
    const answer = await fetch(new URL(name, base)).catch(() => null);
    if (!answer?.ok) throw new Error(`The page's engine did not load (${name}): is the network there?`);
    return [name, await answer.text()];
  }));
  return Object.fromEntries(texts);
}

class Engine {
  constructor(sources, place) {
    this.place = place;
    this.listeners = new Set();
    this.queue = [];
    this.count = 0;
    const url = URL.createObjectURL(new Blob([bundle(sources)], { type: "text/javascript" }));
    this.worker = new Worker(url);
    this.worker.onmessage = ({ data }) => this.heard(data);
    this.worker.onerror = (event) => {
      event.preventDefault?.();
      this.heard({ id: this.current?.id, error: `The page's engine stopped: ${event.message || "the browser did not start it"}.` });
    };
  }

  heard({ id, progress, answer, error, wants }) {
    if (progress) this.listeners.forEach((listener) => listener(progress));
    if (!this.current || id !== this.current.id) return;
    const { resolve, reject } = this.current;
    this.current = null;
    if (error === undefined) resolve(answer);
    else reject(Object.assign(new Error(error), { wants }));
    this.next();
  }

  next() {
    if (this.current || !this.queue.length) return;
    this.current = this.queue.shift();
    this.worker.postMessage(this.current.message, this.current.moved ?? []);
  }

  put(message, { asker, moved } = {}) {
    return new Promise((resolve, reject) => {
      if (asker) {
        this.queue = this.queue.filter((other) => {
          if (other.asker === asker) other.reject(Object.assign(new Error(STALE), { stale: true }));
          return other.asker !== asker;
        });
      }
      const id = ++this.count;
      this.queue.push({ id, asker, resolve, reject, moved, message: { id, place: this.place, ...message } });
      this.next();
    });
  }

  /**
   * The answer to a question of an explorer ("attention", "circuits", "logits", "composition", "checkpoints", "run" or
   * "predicted"). `models` are pairs of a name to show and a description, or the name of a model whose card lies beside its weights. Of
   * questions with the same `asker` that wait, only the newest is asked: the others fail, with `stale` true.
   */
  ask({ explorer, models, question, asker }) { return this.put({ explorer, models, question }, { asker }); }

  /** Take a file that the reader chose: what an error's `wants` names, {name, hash}. */
  give({ name, hash }, bytes) { return this.put({ give: { name, hash, bytes } }, { moved: [bytes.buffer] }); }

  /** Be told of progress while files are fetched, {loaded, total, name}; the answer stops it. */
  onProgress(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

const engines = (globalThis.walkthroughEngines ??= new Map());  // one for each base, whoever asks

/**
 * The engine whose modules lie at `base`, or in `sources` by their names; weights lie at `place`, by default in the folder
 * weights/ of base. `files` are values of JSON files that are at hand already, by name.
 */
export function engineAt({ base, sources, place, files = {} }) {
  if (typeof Worker === "undefined") return Promise.reject(new Error(`${OLD}workers.`));
  if (typeof URL.createObjectURL !== "function" || typeof BigInt === "undefined") return Promise.reject(new Error(`${OLD}parts that it lacks.`));
  const key = base ?? "";
  if (!engines.has(key)) {
    const where = place ?? (base && new URL("weights/", base).href);
    const made = (async () => {
      const engine = new Engine(sources ?? (await sourcesAt(base)), where);
      for (const [name, value] of Object.entries(files)) await engine.give({ name }, new TextEncoder().encode(JSON.stringify(value)));
      return engine;
    })();
    engines.set(key, made);
    made.catch(() => engines.delete(key));
  }
  return engines.get(key);
}

/**
 * A model of the course, ready: `await open({ base, model: "two-layer", onProgress })`. Its `run(prompt, changes)` gives
 * {ids, tokens, patterns[layer][head], top[position], losses, loss}; `predicted(prompt, tokens, changes)` the probability,
 * logit and rank of tokens after the prompt. `changes` are {ablate: [[layer, head]], mean: [[layer, head]], freeze: true or a text}.
 * Of several runs that wait, only the newest is made: the others fail, with `stale` true.
 */
export async function open({ base, place, sources, model = "two-layer", onProgress }) {
  const engine = await engineAt({ base, place, sources }), models = [["", model]], own = {};
  const stop = onProgress ? engine.onProgress(onProgress) : () => {};
  try {
    await engine.ask({ models });
  } finally {
    stop();
  }
  const ask = (explorer, question, asker) => engine.ask({ explorer, models, question, asker });
  return {
    engine,
    ask: ({ explorer, question, asker }) => ask(explorer, question, asker),
    run: (prompt, changes = {}, options = {}) => ask("run", { prompt, changes, ...options }, own),
    predicted: (prompt, tokens, changes = {}, position) => ask("predicted", { prompt, tokens, changes, position }),
  };
}
