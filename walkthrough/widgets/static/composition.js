/** Heads of two layers as a graph with an edge where the later reads the earlier; a click shows the edge's circuit. */
function draw({ body, data, prompt, record, view, choose, ask }) {
  const { baseline } = data, heads = data.scores[0][0].length;
  let { tokens } = record, n = tokens.length;
  const WIDTH = 60 * heads, HEIGHT = 220;
  const KINDS = [
    { kind: "Q", as: "queries", dash: "2 5", bow: -22, at: 0.62 },
    { kind: "K", as: "keys", dash: "", bow: 0, at: 0.74 },
    { kind: "V", as: "values", dash: "10 6", bow: 22, at: 0.68 },
  ];
  const highest = Math.max(...data.scores.flat(3)) / baseline;
  let pair = within(view.pair, data.layers.length), least = Number.isFinite(view.least) ? view.least : data.least;
  const isHead = (name) => data.layers[pair].some((layer) => data.scores[0][0].some((_, i) => name === `${layer}:${i}`));
  let only = isHead(view.head) ? view.head : "", on = String(view.kinds ?? "QKV");
  let pinned = within(view.query, n, -1), chosen = "", showing = 0, redrawn = null;

  /** Every pair of heads of the two layers, thrice, the highest score first. */
  function every() {
    const [first, second] = data.layers[pair];
    return data.scores[pair].flatMap((scores, k) => scores.flatMap((row, write) => row.map((score, read) => ({
      ...KINDS[k], k, write, read, score, times: score / baseline, first: `${first}:${write}`, second: `${second}:${read}`,
      id: `${KINDS[k].kind} ${first}:${write} ${second}:${read}`,
    })))).sort((a, b) => b.score - a.score);
  }
  const shown = () => every().filter(({ kind, times, first, second }) =>
    on.includes(kind) && times >= least && (!only || only === first || only === second));
  const times = (edge) => `${edge.times.toFixed(2)} ×`;

  const layers = make("select", { class: "wt-pair", onchange: () => {
    pair = Number(layers.value);
    only = "";
    choose({ pair, head: only });
    build();
  } }, ...data.layers.map(([first, second], i) => make("option", { value: i }, `${second} reads ${first}`)));
  layers.value = pair;
  const boxes = KINDS.map(({ kind, as, dash }) => {
    const box = make("input", { type: "checkbox", class: `wt-kind-${kind}`, onchange: () => {
      on = KINDS.map((each) => each.kind).filter((each) => (each === kind ? box.checked : on.includes(each))).join("");
      choose({ kinds: on });
      refresh();
    } });
    box.checked = on.includes(kind);
    const sample = svg("svg", { width: 40, height: 10, "aria-hidden": "true" },
      svg("path", { d: "M0 5 H40", class: "wt-edge", "stroke-width": 3, "stroke-dasharray": dash }));
    return make("label", {}, box, `${kind} (${as})`, sample);
  });
  const number = make("output", { class: "wt-least-shown" });
  const slider = make("input", { type: "range", class: "wt-least", min: 1, max: Math.floor(100 * highest) / 100, step: 0.01,
    oninput: () => { least = Number(slider.value); refresh(); }, onchange: () => choose({ least }) });
  slider.value = least;
  const top = make("div"), bottom = make("div"), canvas = make("div", { class: "wt-graph-lines" });
  const list = make("div", { class: "wt-edges" }), say = make("p", { class: "wt-say", "aria-live": "polite" });
  const circuit = make("div", { class: "wt-circuit" });
  let rows = () => "";
  const numbers = behind(() => [rows(), ...KINDS.map(({ kind }, k) => {
    const [first, second] = data.layers[pair], name = (layer) => data.scores[0][0].map((_, i) => `${layer}:${i}`);
    return numbered(`${kind}-composition, in multiples of the baseline`, ["head", ...name(second).map((head) => `read by ${head}`)],
      data.scores[pair][k].map((scores, i) => [`written by ${name(first)[i]}`, ...scores.map((score) => (score / baseline).toFixed(2))]));
  })]);
  let lines = [], buttons = [], nodes = [];

  function refresh() {
    const edges = shown();
    slider.setAttribute("aria-valuetext", `${least.toFixed(2)} times the baseline`);
    number.textContent = `${least.toFixed(2)} × the baseline`;
    const on = (edge) => ({ onmouseenter: hover(() => light(edge)), onmouseleave: hover(() => light()), onclick: () => pick(edge) });
    const letters = [], free = ({ x, y }) => letters.every((other) => Math.abs(other.x - x) > 15 || Math.abs(other.y - y) > 17);
    lines = edges.flatMap((edge) => {
      const [x1, x2] = [edge.write, edge.read].map((head) => WIDTH * (head + 0.5) / heads);
      const cx = (x1 + x2) / 2 + 2 * edge.bow, along = (t, a, b, c) => (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t ** 2 * c;
      const places = [edge.at, 0.56, 0.5, 0.8, 0.44, 0.38, 0.32, 0.26, 0.86].map((t) => ({ x: along(t, x1, cx, x2), y: along(t, HEIGHT, HEIGHT / 2, 0) }));
      const letter = places.find(free) ?? places[0];
      letters.push(letter);
      const d = `M${x1} ${HEIGHT} Q${cx} ${HEIGHT / 2} ${x2} 0`;
      const width = 1.5 + 7 * Math.max(0, edge.times - 1) / Math.max(highest - 1, 0.01);
      return [svg("g", { "data-edge": edge.id, ...on(edge) },
        svg("path", { d, class: "wt-reach" }),
        svg("path", { d, class: "wt-edge", "stroke-width": width.toFixed(2), "stroke-dasharray": edge.dash })),
      svg("text", { ...letter, class: "wt-letter", "data-edge": edge.id, ...on(edge) }, edge.kind)];
    }).sort((a, b) => (a.tagName > b.tagName) - (a.tagName < b.tagName));  // letters on top
    const label = `${edges.length} edges between heads of layer ${data.layers[pair].join(" and layer ")}; they are listed beside the graph`;
    canvas.replaceChildren(svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...lines));
    buttons = edges.map((edge) => make("button", {
      type: "button", "data-edge": edge.id, ...on(edge), onfocus: () => light(edge), onblur: () => light(),
    }, `${edge.kind} ${edge.first} → ${edge.second}`, make("b", {}, times(edge))));
    list.replaceChildren(edges.length ? row({ "aria-label": "edges, the highest score first" }, buttons)
      : "none: no score is so high");
    body.dataset.edges = edges.length;
    press();
    light();
  }
  function press() {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.edge === chosen));
    for (const node of nodes) node.setAttribute("aria-pressed", String(node.dataset.head === only));
    for (const line of lines) line.classList.toggle("wt-chosen", line.dataset.edge === chosen);
  }
  /** An edge, or all edges of a head, stand out; nothing does without either. */
  function light(edge, head) {
    const is = (id) => (edge ? id === edge.id : head && id.split(" ").includes(head));
    for (const line of lines) {
      line.classList.toggle("wt-lit", Boolean(is(line.dataset.edge)));
      line.classList.toggle("wt-dim", Boolean((edge || head) && !is(line.dataset.edge)));
    }
    for (const button of buttons) button.classList.toggle("wt-lit", Boolean(is(button.dataset.edge)));
    if (edge) {
      const [low, high] = data.band[edge.k];
      say.textContent = `${edge.kind}-composition of ${edge.first} → ${edge.second}: ${edge.score.toFixed(4)}, ${times(edge)} the baseline `
        + `(95% of untrained pairs: ${low.toFixed(2)} to ${high.toFixed(2)} ×).`;
    } else if (head) {
      const own = shown().filter(({ id }) => is(id));
      say.textContent = `Head ${head}: ` + (own.map((e) => `${e.kind} ${e.first === head ? `→ ${e.second}` : `← ${e.first}`} ${times(e)}`).join(", ") || "no edge") + ".";
    } else say.textContent = "Click an edge for its circuit, a head for its edges alone.";
    body.dataset.lit = edge?.id ?? head ?? "";
  }
  function pick(edge) {
    choose({ edge: edge.id });
    show(edge);
  }
  async function show(edge) {
    const mine = ++showing;
    if (!record.edges[edge.id] || !data.circuits[edge.id]) {
      const { circuit, grid } = await ask({ edge: edge.id, prompt });
      data.circuits[edge.id] = circuit;
      record.edges[edge.id] = grid;
    }
    if (mine !== showing) return;
    if (redrawn && chosen === edge.id) return redrawn();
    chosen = edge.id;
    press();
    circuit.replaceChildren(...drawCircuit(edge));
    body.dataset.circuit = edge.id;
    numbers.refill();
  }

  const TEXTS = {
    Q: ({ first, second }) => ({
      title: `${second} reads, for its queries, what ${first} wrote`,
      prompt: `the part of ${second}'s scores between what ${first} wrote at the query and the key's own token`,
      says: (from, to, value) => `From ${from}, ${second} looks, by what ${first} wrote there, most for ${to}: ${value} over the mean of what it sees.`,
      columns: [`${first} moved to the query`, `${second} looks for`, "score"],
    }),
    K: ({ first, second }) => ({
      title: `${second} reads, for its keys, what ${first} wrote`,
      prompt: `the part of ${second}'s scores between the query's own token and what ${first} wrote at the key`,
      says: (from, to, value) => `From ${from}, ${second} looks most for what ${first} wrote at ${to}: ${value} over the mean of what it sees.`,
      columns: ["from", `${second} looks for what ${first} moved of`, "score"],
    }),
    V: ({ first, second }) => ({
      title: `${second} moves what ${first} wrote: a virtual head`,
      prompt: `the virtual head's pattern, ${second}'s read through ${first}'s`,
      says: (from, to, value) => `To ${from}, ${first} and then ${second} move most from ${to}: ${value} of the attention.`,
      columns: ["token, moved twice", "raises", "logit"],
    }),
  };
  const signed = (x, digits = 2) => (Number(x.toFixed(digits)) ? (x < 0 ? "−" : "+") : "") + Math.abs(x).toFixed(digits);
  function drawCircuit(edge) {
    const text = TEXTS[edge.kind](edge), format = (x, digits) => (edge.kind === "V" ? x.toFixed(2) : signed(x, digits));
    let step, steps, limit, largest;
    const value = (q, k) => (k > q ? 0 : steps[(q * (q + 1)) / 2 + k] * step);
    const weight = (x) => Math.min(1, Math.abs(x) / limit);
    const map = make("canvas", { width: 1, height: 1, "aria-hidden": "true" }), bar = make("div", { class: "wt-map-row" });
    const about = make("p", { class: "wt-say" }), say = make("p", { class: "wt-say wt-circuit-say", "aria-live": "polite" });
    const at = (event) => {
      const box = map.getBoundingClientRect();
      const [k, q] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
        .map((share) => Math.max(0, Math.min(n - 1, Math.floor(n * share))));
      return { q, k };
    };
    const holder = make("div", { class: "wt-map",
      onmousemove: (event) => { const { q, k } = at(event); from(q, k); },
      onclick: (event) => pin(at(event).q), onmouseleave: () => from(start()) }, map, bar);
    const read = tokenRow(tokens, "tokens of the prompt, as the query", {
      look: (i) => from(i), pick: (i) => pin(i), leave: () => from(start()),
    });
    // Until a token is chosen: the query of the largest number.
    const start = () => (pinned >= 0 ? pinned : largest);
    const pin = (q) => { pinned = q; choose({ query: q }); from(q); };
    /** Take the numbers of the prompt that is shown. */
    redrawn = () => {
      const { values } = record.edges[edge.id], size = Math.max(2, Math.min(14, Math.floor(320 / n)));
      ({ step } = record.edges[edge.id]);
      steps = new Int16Array(bytes(values).buffer);
      let most = 0;
      largest = n - 1;
      for (let q = 0; q < n; q++) for (let k = n > 1 ? 1 : 0; k <= q; k++) {
        const here = steps[(q * (q + 1)) / 2 + k];
        most = Math.max(most, Math.abs(here));
        if (here === most) largest = q;
      }
      limit = most * step || 1;
      if (map.width !== n * size) map.width = map.height = n * size;
      paintMap(map, value, weight, size, edge.kind === "V" ? "--ink" : "--plus");
      bar.style.height = `${100 / n}%`;
      holder.style.width = `${n * size}px`;
      written(about, `On the prompt: ${text.prompt}${edge.kind === "V" ? "" : ", less its mean over visible keys"}. `
        + `Rows are queries, columns keys; full shade: ${limit.toFixed(2)} or more${edge.kind === "V" ? "" : "; striped: below zero"}.`);
      read.set(tokens);
      from(start());
    };
    function from(q, k = -1) {
      let best = 0;
      for (let i = 1; i <= q; i++) if (value(q, i) > value(q, best)) best = i;
      tokens.forEach((_, i) => {
        const x = value(q, i), said = i > q || (edge.kind === "V" && x < 0.005) ? "" : format(x, 1);
        read.mark(i, i > q ? 0 : weight(x), said, edge.kind === "V" || !x ? "" : x < 0 ? "down" : "up");
      });
      read.point(q, start());
      bar.style.top = `${100 * q / n}%`;
      written(say, text.says(quoted(tokens[q]), quoted(tokens[best]), format(value(q, best), 2))
        + (k >= 0 && k <= q ? ` At ${quoted(tokens[k])}: ${format(value(q, k), 2)}.` : ""));
      body.dataset.query = q;
      rows = () => numbered(`${edge.id}, from ${quoted(tokens[q])} (position ${q})`, ["to", "number"], Array.from({ length: q + 1 }, (_, i) =>
        [`${i} ${visible(tokens[i])}`, format(value(q, i), 2)]));
      numbers.refill();
    }
    redrawn();
    const { top, positivity, gain } = data.circuits[edge.id];
    const table = numbered("on the vocabulary: the largest entries, over their row's mean", text.columns,
      top.map(([source, target, x]) => [visible(source), visible(target), signed(x)]));
    return [
      make("h4", {}, `${edge.kind} ${edge.first} → ${edge.second}: ${text.title}`),
      make("div", { class: "wt-panels" },
        make("div", { class: "wt-panel" }, about, holder, say, read.box),
        make("div", { class: "wt-panel" }, table,
          make("p", { class: "wt-positivity" }, `Eigenvalue positivity ${signed(positivity)} (+1: tokens, or mixtures of them, favour themselves; `
            + `near 0: chance). A token's own entry is on average ${signed(gain)} over its row's mean.`))),
    ];
  }
  /** A square for each query and key: full where positive, striped where negative, darker for more. */
  function paintMap(map, value, weight, size, above) {
    const context = map.getContext("2d"), { width } = map, image = context.createImageData(width, width);
    const pixels = new Uint32Array(image.data.buffer);  // alpha, blue, green, red
    const style = getComputedStyle(body);
    const packed = (name) => {
      const [r, g, b] = style.getPropertyValue(name).trim().split(" ").map(Number);
      return (b << 16) | (g << 8) | r;
    };
    const high = packed(above), low = packed("--minus");
    for (let q = 0; q < n; q++) for (let k = 0; k <= q; k++) {
      const x = value(q, k), pixel = (x < 0 ? low : high) | (Math.round(255 * weight(x)) << 24);
      for (let i = q * size; i < (q + 1) * size; i++) for (let j = k * size; j < (k + 1) * size; j++)
        if (x >= 0 || (i + j) % 4 < 2) pixels[i * width + j] = pixel;
    }
    context.putImageData(image, 0, 0);
  }

  function build() {
    const [first, second] = data.layers[pair];
    const side = (layer) => Array.from({ length: heads }, (_, i) => {
      const head = `${layer}:${i}`;
      return make("button", { type: "button", class: "wt-node", "data-head": head, "aria-label": `head ${head}`,
        onmouseenter: hover(() => light(null, head)), onmouseleave: hover(() => light()), onfocus: () => light(null, head), onblur: () => light(),
        onclick: () => { only = only === head ? "" : head; choose({ head: only }); refresh(); } }, head);
    });
    const above = side(second), below = side(first);
    nodes = [...above, ...below];
    top.replaceChildren(row({ class: "wt-nodes", "aria-label": `heads of layer ${second}, which read` }, above));
    bottom.replaceChildren(row({ class: "wt-nodes", "aria-label": `heads of layer ${first}, which write` }, below));
    refresh();
    open();
  }
  /** Show the circuit of the edge that was chosen, if its numbers are here, or of the strongest. */
  function open() {
    const edges = every(), known = ({ id }) => record.edges[id] && data.circuits[id];
    show(edges.find(({ id }) => id === view.edge && known({ id })) ?? edges.find(known) ?? edges[0]);
  }
  build();
  // Only now: on the page each of the changes above would be followed up.
  body.append(
    instructed("A click on an edge, or Tab, the arrow keys and Enter in the list, opens its circuit; a click on a head keeps its edges alone. "
      + "Below, point at a token, or at the square, to see a query's numbers."),
    make("div", { class: "wt-controls" }, data.layers.length > 1 ? make("label", {}, "layer", layers) : null, ...boxes,
      make("label", {}, "at least", slider, number)),
    make("p", { class: "wt-say" }, `The baseline, 1/√d_model = ${baseline.toFixed(4)}, is the score of unrelated heads; `
      + `in untrained models of this shape it reaches ${data.least.toFixed(2)} × that.`),
    make("div", { class: "wt-panels" },
      make("div", { class: "wt-panel wt-graph" }, top, canvas, bottom),
      make("div", { class: "wt-panel wt-list" }, make("h4", {}, "edges, the highest score first"), list)),
    say, circuit, numbers.box);
  return (next) => {
    ({ prompt, record, view } = next);
    ({ tokens } = record);
    n = tokens.length;
    pinned = within(view.query, n, -1);
    open();
  };
}
