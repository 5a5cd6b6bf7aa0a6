/* What the front page asks of the engine, which is fetched with the model's weights when it is first asked. */
(() => {
  const FROM_DISK = "From the disk, a browser lets no page read the model's weights, so this page shows what was stored in it: "
    + "serve the folder (python -m http.server), to type your own code.";
  const GOES_ON = 4;  // tokens, as in what the page opens with
  const base = () => new URL(document.querySelector("meta[name='walkthrough-engine']").content, document.baseURI).href;

  /** A model that `look`s at a prompt; `progress(share)` is told how much of its weights is here. */
  window.walkthroughEngine = async (name, progress) => {
    if (location.protocol === "file:") throw new Error(FROM_DISK);
    const { open } = await import(`${base()}ask.js`).catch(() => { throw new Error("The page's engine did not load: is the network there?"); });
    const onProgress = ({ loaded, total, name: file }) => { if (file.endsWith(".safetensors")) progress(loaded / total); };
    const model = await open({ base: base(), model: name, onProgress });
    let last = {};  // the prompt that was run last

    /** Where each head looks from a token (by default the last), and the next token with all heads, and, if `off`, without one. */
    async function look({ prompt, head, query, off }) {
      if (last.prompt !== prompt) last = { prompt, run: await model.run(prompt) };
      const { run } = last, n = run.ids.length, at = query > 0 && query < n ? query : n - 1;
      const best = (top) => top.map(({ token, probability }) => [token, probability]);
      const next = run.top[at][0], looks = {};
      const rows = ({ patterns }, into) => patterns.forEach((layer, l) => layer.forEach((pattern, h) => { into[`${l}:${h}`] = Array.from(pattern.subarray(at * n, (at + 1) * n)); }));
      rows(run, looks);
      const found = { tokens: run.tokens, looks, query: at, next: next.token, before: { top: best(run.top[at]), chance: next.probability }, after: null };
      if (off) {
        const changes = { ablate: [head.split(":").map(Number)] };
        const without = await model.run(prompt, changes), then = {};
        rows(without, then);
        const [{ probability }] = await model.predicted(prompt, [next.id], changes, at);
        found.after = { top: best(without.top[at]), chance: probability, looks: then };
      }
      return found;
    }

    /** What the model writes after the prompt that it looked at last, while `still()`, if it always takes the likeliest token; without a head, if `off`. */
    async function goesOn({ head, off }, still) {
      const { run } = last;
      const changes = off ? { ablate: [head.split(":").map(Number)] } : {}, written = [];
      const ids = [...run.ids];
      while (written.length < GOES_ON) {
        if (!still()) throw new Error("a newer question was asked");  // which this one must not displace
        const { top } = await model.run(ids, changes, { patterns: false });
        const [{ id, token }] = top.at(-1);
        ids.push(id);
        written.push(token);
      }
      return written.join("");
    }
    /** As much of a prompt's end as the model can read. */
    const ending = (prompt) => model.ask({ explorer: "ending", question: { prompt } });
    return { look, goesOn, ending };
  };
})();
