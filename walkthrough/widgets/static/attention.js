/** Where each head of a layer looks, from the token under the pointer; one layer, or two side by side. */
function draw({ body, data, prompt, record, view, choose, ask }) {
  const CELLS = 136;  // a picture of more tokens shows the largest weight of each cell
  let { tokens } = record, n = tokens.length, layers, patterns, sizes;
  /** Take these layers: those of the run as it is, or of one that is changed. */
  function take(given) {
    layers = given;
    patterns = layers.map(({ pattern }) => bytes(pattern));  // [head][query][key], in hundredths
    sizes = layers.map(({ norms }) => norms.map((row) => { const most = Math.max(...row); return row.map((x) => x / most); }));
  }
  take(record.layers);
  const weight = (l, head, q, k) =>
    (patterns[l][(head * n + q) * n + k] / 100) * (weighted.checked ? sizes[l][head][k] : 1);
  const sides = [within(view.layer, layers.length), within(view.beside, layers.length, -1)];
  let pinned = within(view.query, n, n - 1), query = pinned, head = view.head;

  const chooser = (side, label) => {
    const options = layers.map(({ name }, l) => make("option", { value: l }, name));
    const select = make("select", { class: `wt-side-${side}`, onchange: () => {
      sides[side] = Number(select.value);
      choose({ layer: sides[0], beside: sides[1] });
      build();
    } }, ...(side ? [make("option", { value: -1 }, "nothing")] : []), ...options);
    select.value = sides[side];
    return make("label", {}, label, select);
  };
  const weighted = make("input", { type: "checkbox", class: "wt-weighted", onchange: () => {
    choose({ weighted: weighted.checked });
    refresh();
  } });
  weighted.checked = Boolean(view.weighted);
  const controls = make("div", { class: "wt-controls" }, chooser(0, "layer"),
    layers.length > 1 ? chooser(1, "a second one") : null, make("label", {}, weighted, "times the size of what is moved, |v W_O|"));
  const panels = make("div", { class: "wt-panels" });
  const whose = make("p", { class: "wt-aside wt-whose", hidden: true });
  const what = data.heads && ablations({ prompt, tokens, heads: data.heads, view, choose, ask, changed: (answer, model, words) => {
    const before = data.heads.slice(0, model).reduce((sum, [, counts]) => sum + counts.length, 0);
    take(answer ? record.layers.map((layer, l) => answer.layers[l - before] ?? layer) : record.layers);
    whose.hidden = !answer;
    whose.textContent = answer ? `These are the patterns of the changed run: ${words[0].toLowerCase()}${words.slice(1)}.` : "";
    refresh();
  } });
  const how = instructed("Point at a token, or go there with Tab and the arrow keys, to see where the heads look from it; a click or Enter keeps it.");
  const numbers = behind(() => parts.map(({ l, heads }) => numbered(
    `From ${quoted(tokens[query])} (position ${query}), ${layers[l].name}: ${weighted.checked ? "attention times the size of the value" : "attention"}`,
    ["to", ...heads.map((_, h) => `head ${layers[l].layer}:${h}`)], Array.from({ length: query + 1 }, (_, k) =>
      [`${k} ${visible(tokens[k])}`, ...heads.map((_, h) => weight(l, h, query, k).toFixed(2))]))));
  let parts = [];

  /** The pattern of a head, as small as it is shown. */
  function thumbnail(canvas, l, h) {
    const size = Math.min(n, CELLS), cell = Uint8Array.from({ length: n }, (_, i) => Math.floor((i * size) / n)), most = new Uint8Array(size * size);
    const pattern = patterns[l].subarray(h * n * n, (h + 1) * n * n), share = weighted.checked ? sizes[l][h] : null;
    for (let q = 0; q < n; q++) for (let k = 0, from = q * n, to = cell[q] * size; k <= q; k++) {
      const here = share ? pattern[from + k] * share[k] : pattern[from + k], at = to + cell[k];
      if (here > most[at]) most[at] = here;
    }
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const context = canvas.getContext("2d"), image = context.createImageData(size, size), pixels = new Uint32Array(image.data.buffer);
    const [r, g, b] = getComputedStyle(body).getPropertyValue("--ink").split(" ").map(Number), ink = (b << 16) | (g << 8) | r;
    for (let q = 0; q < size; q++) for (let k = 0; k <= q; k++) pixels[q * size + k] = ink | (Math.round(2.55 * most[q * size + k]) << 24);
    context.putImageData(image, 0, 0);
  }
  function build() {
    parts = sides.filter((l) => l >= 0).map((l) => {
      const heads = layers[l].norms.map((_, h) => make("button", {
        type: "button", class: "wt-head", "data-head": h, onclick: () => { head = h; choose({ head }); paint(); },
      }, make("canvas", { width: 1, height: 1, "aria-hidden": "true" }), `head ${layers[l].layer}:${h}`, make("small", {}, "")));
      const read = tokenRow(tokens, `tokens, ${layers[l].name}`, {
        look: (i) => { query = i; paint(); },
        pick: (i) => { pinned = query = i; choose({ query }); paint(); },
        leave: () => { query = pinned; paint(); },
      });
      const say = make("p", { class: "wt-say", "aria-live": "polite" });
      return { l, heads, read, say, panel: make("div", { class: "wt-panel" }, make("h4", {}, layers[l].name),
        row({ class: "wt-heads", "aria-label": `heads of ${layers[l].name}` }, heads), read.box, say) };
    });
    refresh();
    panels.replaceChildren(...parts.map(({ panel }) => panel));
  }
  function refresh() {
    for (const { l, heads } of parts) heads.forEach((button, h) => thumbnail(button.firstChild, l, h));
    paint();
  }
  function best(l, h) {
    let key = 0;
    for (let k = 1; k <= query; k++) if (weight(l, h, query, k) > weight(l, h, query, key)) key = k;
    return [tokens[key], weight(l, h, query, key).toFixed(2)];
  }
  function paint() {
    for (const { l, heads, read, say } of parts) {
      const h = within(head, heads.length);
      pressed(heads, h);
      heads.forEach((button, i) => { const [token, share] = best(l, i);
        const text = visible(token), short = text.length > 5 ? `${text.slice(0, 4)}…` : text;  // so that the number has room
        written(button.lastChild, `${short} ${share}`);
      });
      tokens.forEach((_, k) => {
        const share = k <= query ? weight(l, h, query, k) : 0;
        read.mark(k, share, share >= 0.05 ? share.toFixed(2) : "");
      });
      read.point(query, pinned);
      const [token, share] = best(l, h), name = `head ${layers[l].layer}:${h}`;
      written(say, `From ${quoted(tokens[query])} (position ${query}), ` + (weighted.checked
        ? `${name} takes most from ${quoted(token)}: ${share}, where 1 would be all of its attention on the largest value.`
        : `${name} attends most to ${quoted(token)}: ${share}.`));
    }
    what?.look(query);
    numbers.refill();
    body.dataset.query = query;
    body.dataset.head = head ?? 0;
  }
  build();
  body.append(how, controls, whose, panels, numbers.box, what ? what.panel : "");
  return (next) => {
    ({ prompt, record, view } = next);
    ({ tokens } = record);
    n = tokens.length;
    take(record.layers);
    whose.hidden = true;
    pinned = query = within(view.query, n, n - 1);
    for (const { read } of parts) read.set(tokens);
    what?.again(prompt, tokens);
    refresh();
  };
}
