/** Where each head of a layer looks, from the token under the pointer; one layer, or two side by side. */
function draw({ body, data, prompt, record, view, choose, ask }) {
  const { tokens } = record, n = tokens.length;
  let layers, patterns, sizes;
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
    build();
  } });
  weighted.checked = Boolean(view.weighted);
  const controls = make("div", { class: "wt-controls" }, chooser(0, "layer"),
    layers.length > 1 ? chooser(1, "a second one") : null, make("label", {}, weighted, "times |v W_O| (largest: 1)"));
  const panels = make("div", { class: "wt-panels" });
  const whose = make("p", { class: "wt-aside wt-whose", hidden: true });
  const what = data.heads && ablations({ prompt, tokens, heads: data.heads, view, choose, ask, changed: (answer, model, words) => {
    const before = data.heads.slice(0, model).reduce((sum, [, counts]) => sum + counts.length, 0);
    take(answer ? record.layers.map((layer, l) => answer.layers[l - before] ?? layer) : record.layers);
    whose.hidden = !answer;
    whose.textContent = answer ? `These are the patterns of the changed run: ${words[0].toLowerCase()}${words.slice(1)}.` : "";
    build();
  } });
  const how = make("p", { class: "wt-aside wt-how" }, "Point at a token, or go there with Tab and the arrow keys, to see where the heads look from it; a click or Enter keeps it.");
  const numbers = folded("wt-numbers", "The numbers behind the picture", (place) => place.replaceChildren(...parts.map(({ l, heads }) => numbered(
    `From ${quoted(tokens[query])} (position ${query}), ${layers[l].name}: ${weighted.checked ? "attention times the size of the value" : "attention"}`,
    ["to", ...heads.map((_, h) => `head ${layers[l].layer}:${h}`)], Array.from({ length: query + 1 }, (_, k) =>
      [`${k} ${visible(tokens[k])}`, ...heads.map((_, h) => make("td", {}, weight(l, h, query, k).toFixed(2)))])))));
  body.append(how, controls, whose, panels, numbers.box, what ? what.panel : "");
  let parts = [];

  function thumbnail(l, h) {
    const canvas = make("canvas", { width: n, height: n, "aria-hidden": "true" });
    const context = canvas.getContext("2d"), image = context.createImageData(n, n);
    const [r, g, b] = getComputedStyle(body).getPropertyValue("--ink").split(" ").map(Number);
    const { data } = image;
    for (let q = 0; q < n; q++) for (let k = 0; k <= q; k++) {
      const at = 4 * (q * n + k);
      data[at] = r; data[at + 1] = g; data[at + 2] = b; data[at + 3] = 255 * weight(l, h, q, k);
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }
  function build() {
    parts = sides.filter((l) => l >= 0).map((l) => {
      const count = layers[l].norms.length;
      const heads = Array.from({ length: count }, (_, h) => make("button", {
        type: "button", class: "wt-head", "data-head": h, onclick: () => { head = h; choose({ head }); paint(); },
      }, thumbnail(l, h), `head ${layers[l].layer}:${h}`, make("small")));
      const { buttons, box } = tokenRow(tokens, `tokens, ${layers[l].name}`, {
        look: (i) => { query = i; paint(); },
        pick: (i) => { pinned = query = i; choose({ query }); paint(); },
        leave: () => { query = pinned; paint(); },
      });
      const say = make("p", { class: "wt-say", "aria-live": "polite" });
      return { l, heads, buttons, say, panel: make("div", { class: "wt-panel" }, make("h4", {}, layers[l].name),
        row({ class: "wt-heads", "aria-label": `heads of ${layers[l].name}` }, heads), box, say) };
    });
    panels.replaceChildren(...parts.map(({ panel }) => panel));
    paint();
  }
  function best(l, h) {
    let key = 0;
    for (let k = 1; k <= query; k++) if (weight(l, h, query, k) > weight(l, h, query, key)) key = k;
    return [tokens[key], weight(l, h, query, key).toFixed(2)];
  }
  function paint() {
    for (const { l, heads, buttons, say } of parts) {
      const h = within(head, heads.length);
      pressed(heads, h);
      heads.forEach((button, i) => { const [token, share] = best(l, i);
        button.querySelector("small").textContent = `${visible(token)} ${share}`;
      });
      buttons.forEach((button, k) => {
        const share = k <= query ? weight(l, h, query, k) : 0;
        button.style.setProperty("--weight", share.toFixed(2));
        button.classList.toggle("wt-query", k === query);
        button.querySelector("small").textContent = share >= 0.05 ? share.toFixed(2) : "";
      });
      pressed(buttons, pinned);
      const [token, share] = best(l, h), name = `head ${layers[l].layer}:${h}`;
      say.textContent = `From ${quoted(tokens[query])} (position ${query}), ` + (weighted.checked
        ? `${name} takes most from ${quoted(token)}: ${share} of what it could from the largest value.`
        : `${name} attends most to ${quoted(token)}: ${share}.`);
    }
    what?.look(query);
    numbers.refill();
    body.dataset.query = query;
    body.dataset.head = head ?? 0;
  }
  build();
}
