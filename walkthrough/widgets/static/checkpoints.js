/** Where each head looks on a prompt, at the checkpoint that a slider chooses; curves with a marker above. */
function draw({ body, data, record, view, choose }) {
  const { at, heads, curves } = data;
  let tokens, n, each, flat;  // [checkpoint][head][query and key], in hundredths
  const take = (given) => { ({ tokens } = given); n = tokens.length; each = n * (n + 1) / 2; flat = bytes(given.patterns); };
  take(record);
  const DASHES = [null, "6 4", "2 3", "8 3 2 3"], HEIGHT = 176, LEFT = 44, TOP = 8, BOTTOM = 38;
  let now = within(view.at, at.length, at.length - 1), head = within(view.head, heads.length);
  let pinned = within(view.query, n, n - 1), query = pinned;
  const weight = (h, q, k) => (k > q ? 0 : flat[(now * heads.length + h) * each + q * (q + 1) / 2 + k] / 100);
  const grouped = (number) => number.toLocaleString("en-US");
  const after = () => `after ${grouped(at[now])} tokens`;

  let WIDTH = 560, RIGHT = 136;  // a phone's window is narrower: there curves have only the first words of their names
  /** Fit the chart to the page, in whose units its letters then are. */
  function fit() {
    const { clientWidth } = chart, wide = clientWidth ? Math.max(260, Math.min(560, clientWidth)) : 560, same = wide === WIDTH;
    [WIDTH, RIGHT] = [wide, wide < 480 ? 40 : 136];
    return same;
  }
  const firsts = Object.keys(curves).map((name) => name.split(" ")[0]), told = new Set(firsts).size === firsts.length;
  const named = (name) => (RIGHT < 136 && told ? name.split(" ")[0] : name);
  const end = Math.max(1, ...at), x = (i) => LEFT + (WIDTH - LEFT - RIGHT) * at[i] / end;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value);
  const chart = make("div", { class: "wt-run", onclick: ({ clientX }) => {
    const box = chart.getBoundingClientRect(), wanted = (clientX - box.left) / box.width * WIDTH;
    move(at.reduce((best, _, i) => (Math.abs(x(i) - wanted) < Math.abs(x(best) - wanted) ? i : best), 0));
  } });
  function paintChart() {
    const names = Object.entries(curves);
    if (!names.length) return;
    fit();
    const parts = [svg("path", { d: `M${LEFT} ${TOP} V${HEIGHT - BOTTOM} H${WIDTH - RIGHT}` })];
    for (const value of [0, 0.5, 1]) parts.push(svg("text", { x: LEFT - 4, y: y(value) + 4, "text-anchor": "end" }, String(value)));
    for (const share of [0, 0.5, 1]) {
      const place = LEFT + (WIDTH - LEFT - RIGHT) * share;
      parts.push(svg("text", { x: place, y: HEIGHT - 21, "text-anchor": "middle" }, `${+(share * end / 1e6).toFixed(2)}M`));
    }
    const middle = (TOP + HEIGHT - BOTTOM) / 2;
    parts.push(svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "tokens learnt from"),
      svg("text", { x: 11, y: middle, transform: `rotate(-90 11 ${middle})`, "text-anchor": "middle" }, "score"));
    const places = names.map(([name, values], i) => ({ name, i, at: y(values.at(-1)) + 4 })).sort((a, b) => a.at - b.at);
    places.forEach((place, j) => { if (j) place.at = Math.max(place.at, places[j - 1].at + 13); });
    for (const { name, i, at: height } of places) {
      const stroke = `rgb(var(--c${i % 4}))`, values = curves[name];
      const d = values.map((value, j) => `${j ? "L" : "M"}${x(j).toFixed(1)} ${y(value).toFixed(1)}`).join("");
      parts.push(svg("path", { class: "wt-curve", d, style: `stroke: ${stroke}`, "stroke-dasharray": DASHES[i % 4] }),
        svg("text", { x: WIDTH - RIGHT + 4, y: height, style: `fill: ${stroke}` }, named(name)));
    }
    parts.push(svg("path", { class: "wt-cursor", d: `M${x(now).toFixed(1)} ${TOP} V${HEIGHT - BOTTOM}` }));
    const label = `${after()}: ${names.map(([name, values]) => `${name} ${values[now].toFixed(2)}`).join(", ")}`;
    chart.replaceChildren(svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...parts));
  }

  const slider = make("input", { type: "range", class: "wt-when", min: 0, max: at.length - 1, step: 1,
    oninput: () => { now = Number(slider.value); paint(); }, onchange: () => choose({ at: now }) });
  const shownAt = make("output", { class: "wt-when-shown" }), numbers = make("p", { class: "wt-say wt-numbers", "aria-live": "polite" });
  const buttons = heads.map((name, h) => make("button", { type: "button", class: "wt-head", "data-head": h,
    onclick: () => { head = h; choose({ head }); paint(); } },
    make("canvas", { width: n, height: n, "aria-hidden": "true" }), `head ${name}`, make("small")));
  const read = tokenRow(tokens, "tokens of the prompt", {
    look: (i) => { query = i; paint(); },
    pick: (i) => { pinned = query = i; choose({ query }); paint(); },
    leave: () => { query = pinned; paint(); },
  });
  const say = make("p", { class: "wt-say", "aria-live": "polite" });
  const how = instructed("Move the slider, or click in the chart, to another checkpoint. Point at a token, or go there with Tab and the arrow keys, to see where "
    + "the heads look from it; a click or Enter keeps it.");
  const behindIt = behind(() => [
    numbered(`${after()}: attention from ${quoted(tokens[query])} (position ${query})`, ["to", ...heads.map((name) => `head ${name}`)],
      Array.from({ length: query + 1 }, (_, k) => [`${k} ${visible(tokens[k])}`, ...heads.map((_, h) => weight(h, query, k).toFixed(2))])),
    numbered("The curves", ["tokens", ...Object.keys(curves)], at.map((tokens, i) => [grouped(tokens), ...Object.values(curves).map((values) => values[i].toFixed(2))])),
  ]);
  body.append(how, make("div", { class: "wt-controls" }, make("label", { class: "wt-time" }, "checkpoint", slider, shownAt)),
    chart, numbers, row({ class: "wt-heads", "aria-label": "heads" }, buttons), read.box, say, behindIt.box);

  function move(i) { now = i; choose({ at: now }); paint(); }
  function thumbnail(canvas, h) {
    if (canvas.width !== n) canvas.width = canvas.height = n;
    const context = canvas.getContext("2d"), image = context.createImageData(n, n);
    const [r, g, b] = getComputedStyle(body).getPropertyValue("--ink").trim().split(/\s+/).map(Number);
    for (let q = 0; q < n; q++) for (let k = 0; k <= q; k++) image.data.set([r, g, b, 255 * weight(h, q, k)], 4 * (q * n + k));
    context.putImageData(image, 0, 0);
  }
  function best(h) {
    let key = 0;
    for (let k = 1; k <= query; k++) if (weight(h, query, k) > weight(h, query, key)) key = k;
    return [tokens[key], weight(h, query, key).toFixed(2)];
  }
  let painted = -1;
  function paint() {
    if (painted !== now) {
      buttons.forEach((button, h) => thumbnail(button.querySelector("canvas"), h));
      paintChart();
      painted = now;
    }
    slider.value = now;
    slider.setAttribute("aria-valuetext", after());
    shownAt.textContent = after();
    numbers.textContent = Object.entries(curves).map(([name, values]) => `${name}: ${values[now].toFixed(2)}`).join("; ");
    pressed(buttons, head);
    buttons.forEach((button, h) => { const [token, share] = best(h); button.querySelector("small").textContent = `${visible(token)} ${share}`; });
    tokens.forEach((_, k) => {
      const share = k <= query ? weight(head, query, k) : 0;
      read.mark(k, share, share >= 0.05 ? share.toFixed(2) : "");
    });
    read.point(query, pinned);
    const [token, share] = best(head);
    written(say, `${after()[0].toUpperCase()}${after().slice(1)}, from ${quoted(tokens[query])} (position ${query}), `
      + `head ${heads[head]} attends most to ${quoted(token)}: ${share}.`);
    behindIt.refill();
    body.dataset.query = query;
    body.dataset.head = head;
    body.dataset.at = now;
  }
  paint();
  new ResizeObserver(() => { if (!fit()) paintChart(); }).observe(chart);
  return (next) => {
    ({ record, view } = next);
    take(record);
    pinned = query = within(view.query, n, n - 1);
    read.set(tokens);
    painted = -1;
    paint();
  };
}
