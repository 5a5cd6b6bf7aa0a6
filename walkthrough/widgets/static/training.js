// A run of training: curves, heads with a switch each, the pattern of a head; and a slider over what was measured.

const HEIGHT = 190, LEFT = 34, BOTTOM = 38;
const DASHES = ["6 4", null, "2 3", "8 3 2 3"];  // one for each layer

const colour = (i) => `rgb(var(--c${i % 8}))`;
const short = (tokens) => (tokens >= 1e6 ? `${+(tokens / 1e6).toFixed(2)}M` : tokens >= 1e4 ? `${Math.round(tokens / 1e3)}k` : String(tokens));
const grouped = (number) => number.toLocaleString("en-US");

/** Round numbers between 0 and a limit, a few of them. */
function ticks(limit) {
  const rough = limit / 4, unit = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 2.5, 5, 10].map((x) => x * unit).find((x) => x >= rough) || 1;
  return Array.from({ length: Math.floor(limit / step + 1e-9) + 1 }, (_, i) => i * step);
}

/** How wide a chart is drawn: on a phone as wide as there is room, so that its letters are as large as the page's. */
const widthOf = ({ clientWidth }) => (clientWidth ? Math.max(260, Math.min(460, clientWidth)) : 460);

/** A chart of lines {label, values, stroke, dash, off, named} over the tokens. */
function drawChart(holder, { lines, tokens, end, top, label, marks, rule, cursor, right }) {
  const WIDTH = widthOf(holder), TOP = marks.length ? 30 : 8;  // the names of marks stand above
  const x = (at) => LEFT + (WIDTH - LEFT - right) * at / (end || 1);
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * Math.min(value, top) / top;
  const parts = [svg("path", { class: "wt-axis", d: `M${LEFT} ${TOP} V${HEIGHT - BOTTOM} H${WIDTH - right}` })];
  for (const tick of ticks(top)) parts.push(svg("text", { x: LEFT - 4, y: y(tick) + 4, "text-anchor": "end" }, String(+tick.toFixed(2))));
  for (const tick of ticks(end)) parts.push(svg("text", { x: x(tick), y: HEIGHT - 21, "text-anchor": "middle" }, short(tick)));
  parts.push(svg("text", { x: (LEFT + WIDTH - right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "tokens learnt from"));
  if (rule) parts.push(svg("path", { class: "wt-rule", d: `M${LEFT} ${y(rule)} H${WIDTH - right}` }));
  marks.forEach(([at, what, head], i) => parts.push(
    svg("path", { class: "wt-rule", d: `M${x(at)} ${TOP} V${HEIGHT - BOTTOM}` }),
    svg("text", { class: "wt-note", x: x(at), y: TOP - 4 - 12 * (i % 2), "text-anchor": "middle" }, `${what === "ablate" ? "−" : "+"}${head}`)));
  for (const line of lines) {
    const d = line.values.map((value, i) => `${i ? "L" : "M"}${x(tokens[i]).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    parts.push(svg("path", { class: `wt-curve${line.off ? " wt-off" : ""}`, d, stroke: line.stroke, "stroke-dasharray": line.dash, "data-line": line.label }));
  }
  // Names at the ends of lines, pushed apart where they would lie on each other.
  const last = tokens.length - 1;
  const names = lines.filter(({ named }) => named && last >= 0).map((line) => ({ ...line, at: y(line.values[last]) }))
    .sort((a, b) => b.at - a.at);
  let lowest = HEIGHT - BOTTOM + 4;
  for (const name of names) {
    lowest = Math.min(name.at + 4, lowest);
    parts.push(svg("text", { x: x(tokens[last]) + 3, y: lowest, style: `fill: ${name.stroke}` }, name.label));
    lowest -= 12;
  }
  if (cursor != null) parts.push(svg("path", { class: "wt-cursor", d: `M${x(tokens[cursor])} ${TOP} V${HEIGHT - BOTTOM}` }));
  holder.replaceChildren(svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...parts));
}

/** What the page holds, made once; `update` fills it with what the run has measured since. */
function draw(body, data, { click, alive }) {
  const names = Array.from({ length: data.layers * data.heads }, (_, i) => `${Math.floor(i / data.heads)}:${i % data.heads}`);
  let now = data, chosen = null, head = "", speed = "";  // null: the newest measurement; "": the head that matches best
  const pause = make("button", { type: "button", class: "wt-pause", onclick: () => click(now.state === "paused" ? "go" : "pause") }, "Pause");
  const stop = make("button", { type: "button", class: "wt-stop", onclick: () => click("stop") }, "Stop");
  const bar = make("progress", { "aria-label": "progress of the training", max: 1 });
  const said = make("span", { class: "wt-progress" });
  const slider = make("input", { type: "range", class: "wt-when", min: 0, max: 0, step: 1, "aria-label": "measured after",
    oninput: () => { choose(Number(slider.value)); } });
  const when = make("output", { class: "wt-when-shown" });
  const whose = make("select", { class: "wt-whose", onchange: () => { head = whose.value; paint(); } },
    make("option", { value: "" }, "the head that matches best"), ...names.map((name) => make("option", { value: name }, `head ${name}`)));
  const chart = (title, kind, right) => {
    const holder = make("div", { onpointermove: (event) => { if (!byKeys) point(event, holder, right); }, onclick: (event) => point(event, holder, right) });
    return { holder, right, box: make("div", { class: "wt-chart", "data-chart": kind }, make("h4", {}, title), holder) };
  };
  const charts = {
    loss: chart("loss, in nats", "loss", 82),
    prefix_matching: chart("prefix-matching score of each head", "prefix_matching", 34),
    previous_token: chart("previous-token score of each head", "previous_token", 34),
  };
  const canvas = make("canvas", { role: "img" });
  const title = make("h4"), looks = make("p", { class: "wt-say wt-looks", "aria-live": "polite" });
  const square = make("div", { class: "wt-square", onpointermove: (event) => at(event), onpointerleave: () => paint() }, canvas);
  const pattern = make("div", { class: "wt-chart" }, title, square, looks);
  const cards = names.map((name, i) => {
    const layer = Math.floor(i / data.heads);
    const scores = make("small");
    const button = make("button", { type: "button", "data-head": name,
      onclick: () => click(button.dataset.do, name.split(":").map(Number)) }, "ablate");
    const sample = svg("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" },
      svg("path", { d: "M0 4 H26", stroke: colour(i % data.heads), "stroke-width": 3, "stroke-dasharray": DASHES[layer % 4] }));
    return { layer, name, button, scores, card: make("div", { class: "wt-card", "data-card": name }, make("b", {}, name), sample, alive ? button : make("span"), scores) };
  });
  const layers = Array.from({ length: data.layers }, (_, layer) => {
    const own = cards.filter((card) => card.layer === layer);
    const group = make("div", { class: "wt-layer", role: "group", "aria-label": `heads of layer ${layer}` }, make("h4", {}, `layer ${layer}`), ...own.map(({ card }) => card));
    return group;
  });
  const table = behind(() => {
    const losses = Object.entries(now.loss), shown = (values) => values.map((value) => value.toFixed(2));
    const of = (kind, words) => numbered(words, ["tokens", ...names.map((name) => `head ${name}`)], now.tokens.map((at, i) => [grouped(at), ...shown(now[kind][i])]));
    return [numbered("Loss, in nats", ["tokens", ...losses.map(([name]) => name)], now.tokens.map((at, i) => [grouped(at), ...shown(losses.map(([, values]) => values[i]))])),
      of("prefix_matching", "Prefix-matching scores"), of("previous_token", "Previous-token scores")];
  });
  body.replaceChildren(
    instructed(`${alive ? "Ablate a head while the run goes on, or restore it. " : ""}Move the slider, or, when the run rests, point at a chart, to see an earlier measurement; point at the square to see where a token looks.`),
    make("div", { class: "wt-controls" }, ...(alive ? [pause, stop] : []), bar, said),
    make("div", { class: "wt-charts" }, charts.loss.box, pattern, charts.prefix_matching.box, charts.previous_token.box),
    make("div", { class: "wt-controls" }, make("label", { class: "wt-time" }, "measured after", slider, when), make("label", {}, "pattern of", whose)),
    ...layers, table.box);

  const index = () => Math.max(0, chosen == null ? now.tokens.length - 1 : Math.min(chosen, now.tokens.length - 1));
  /** Of the heads that work, the one with the highest score; of all, if none works. */
  const best = (i, scores = now.prefix_matching) => {
    const working = names.map((_, j) => j).filter((j) => !now.off[i].includes(names[j]));
    return (working.length ? working : Object.keys(names).map(Number)).reduce((found, j) => (scores[i][j] > scores[i][found] ? j : found));
  };
  function choose(i) {
    const before = chosen;
    chosen = i >= now.tokens.length - 1 ? null : i;
    if (chosen !== before) paint();
  }
  /** The measurement nearest to the pointer. */
  function point(event, holder, margin) {
    const box = holder.getBoundingClientRect(), end = span(), WIDTH = widthOf(holder);
    const tokens = (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - margin) * end;
    if (!now.tokens.length || now.state === "running") return;
    let near = 0;
    now.tokens.forEach((at, i) => { if (Math.abs(at - tokens) < Math.abs(now.tokens[near] - tokens)) near = i; });
    choose(near);
  }
  const span = () => Math.max(now.state === "resting" ? 0 : now.goal, now.tokens.at(-1) ?? 0);
  /** The pattern that was kept last before a measurement, as [head][query][key], and which one it is of. */
  function kept(i) {
    const stored = Object.keys(now.patterns).map(Number).sort((a, b) => a - b);
    const found = stored.filter((j) => j <= i).at(-1) ?? stored[0];
    if (found === undefined) return null;
    const flat = bytes(now.patterns[found]), n = now.words.length, each = n * (n + 1) / 2;
    return { of: found, weight: (h, q, k) => (k > q ? 0 : flat[h * each + q * (q + 1) / 2 + k] / 100) };
  }
  function at(event) {
    const box = canvas.getBoundingClientRect(), n = now.words.length;
    const [k, q] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
      .map((share) => Math.max(0, Math.min(n - 1, Math.floor(n * share))));
    tell(q, k <= q ? k : -1);
  }
  let shownHead = 0;
  function tell(q, k = -1) {
    const found = kept(index());
    if (!found) return;
    let most = 0;
    for (let j = 1; j <= q; j++) if (found.weight(shownHead, q, j) > found.weight(shownHead, q, most)) most = j;
    looks.textContent = `From ${quoted(now.words[q])} at position ${q}, head ${names[shownHead]} attends most to `
      + `${quoted(now.words[most])} at ${most}: ${found.weight(shownHead, q, most).toFixed(2)}.`
      + (k >= 0 && k !== most ? ` To ${quoted(now.words[k])} at ${k}: ${found.weight(shownHead, q, k).toFixed(2)}.` : "");
  }
  function paintPattern(i) {
    const found = kept(i), n = now.words.length, size = 10;
    if (!found) { title.textContent = "no pattern was kept"; return; }
    shownHead = head ? names.indexOf(head) : best(i);
    canvas.width = canvas.height = n * size;
    const context = canvas.getContext("2d"), style = getComputedStyle(body);
    const ink = style.getPropertyValue("--ink").trim().split(/\s+/).join(" "), mark = style.getPropertyValue("--mark").trim();
    context.clearRect(0, 0, n * size, n * size);
    for (let q = 0; q < n; q++) for (let k = 0; k <= q; k++) {
      const weight = found.weight(shownHead, q, k);
      if (weight) { context.fillStyle = `rgb(${ink} / ${weight})`; context.fillRect(k * size, q * size, size, size); }
      const induction = q > now.length && k === q - now.length + 1;
      if (induction) { context.strokeStyle = mark; context.strokeRect(k * size + 1.5, q * size + 1.5, size - 3, size - 3); }
    }
    const after = found.of === i ? "" : ` (after ${grouped(now.tokens[found.of])} tokens)`;
    title.textContent = `pattern of head ${names[shownHead]} on ${now.length} tokens said twice${after}`;
    canvas.setAttribute("aria-label", `Rows look, columns are looked at. ${names[shownHead]} has a prefix-matching score of `
      + `${now.prefix_matching[i][shownHead].toFixed(2)}; framed are the places that prefix matching counts.`);
    tell(Math.min(n - 1, now.length + 3));
  }
  function paint() {
    const n = now.tokens.length, running = now.state === "running", i = index();
    pause.textContent = now.state === "paused" ? "Go on" : "Pause";
    pause.disabled = stop.disabled = now.state !== "running" && now.state !== "paused";
    bar.value = now.goal ? Math.min(1, now.at / now.goal) : 0;
    if (now.speed) speed = `, ${grouped(now.speed)} tokens/s`;
    const left = running && now.left != null ? `, about ${now.left < 90 ? `${now.left} s` : `${Math.round(now.left / 60)} min`} left` : "";
    said.textContent = `${grouped(now.at)} of ${grouped(now.goal)} tokens${speed}${left}${now.state === "paused" ? ": paused" : ""}`;
    looks.setAttribute("aria-live", running ? "off" : "polite");  // a reader of the screen would be told every measurement
    slider.max = Math.max(0, n - 1);
    slider.value = i;
    if (!n) return;
    const after = `${grouped(now.tokens[i])} tokens`;
    when.textContent = after;
    slider.setAttribute("aria-valuetext", after);
    const common = { tokens: now.tokens, end: span(), marks: now.marks, cursor: chosen == null ? null : i };
    const losses = Object.entries(now.loss);
    const texts = losses.map(([name, values]) => `${name} ${values[i].toFixed(2)}`).join(", ");
    drawChart(charts.loss.holder, { ...common, right: charts.loss.right, top: Math.max(...losses.flatMap(([, values]) => values)) * 1.05,
      label: `loss in nats after ${after}: ${texts}`,
      lines: losses.map(([label, values], j) => ({ label, values, stroke: colour(j), named: true })) });
    for (const kind of ["prefix_matching", "previous_token"]) {
      const scores = now[kind], most = best(i, scores);
      drawChart(charts[kind].holder, { ...common, right: charts[kind].right, top: 1, rule: kind === "prefix_matching" ? now.until : null,
        label: `${kind.replace("_", "-")} scores after ${after}; the highest: head ${names[most]}, ${scores[i][most].toFixed(2)}`,
        lines: names.map((label, j) => ({ label, values: scores.map((row) => row[j]), stroke: colour(j % data.heads), dash: DASHES[Math.floor(j / data.heads) % 4],
          off: now.silent.includes(label), named: scores[n - 1][j] > 0.1 || j === most || now.silent.includes(label) })) });
    }
    for (const [j, { name, card, button, scores }] of cards.entries()) {
      const off = now.silent.includes(name);
      scores.textContent = `prefix ${now.prefix_matching[i][j].toFixed(2)} · previous ${now.previous_token[i][j].toFixed(2)}`;
      card.classList.toggle("wt-silent", off);
      card.classList.toggle("wt-best", j === best(i));
      button.dataset.do = off ? "restore" : "ablate";
      button.textContent = button.dataset.do;
      button.setAttribute("aria-label", `${button.dataset.do} head ${name}`);
    }
    paintPattern(i);
    table.refill();
    body.dataset.state = now.state;
    body.dataset.measured = n;
  }
  paint();
  let wide = widthOf(charts.loss.holder);
  new ResizeObserver(() => { if (wide !== (wide = widthOf(charts.loss.holder))) paint(); }).observe(charts.loss.holder);
  return { update: (next) => { now = next; paint(); }, paint };
}

/** Show a run; `alive` is whether a kernel may hear what is clicked. */
async function watch({ model, el }, draw, name) {
  const root = make("div", { class: "wt", role: "region", "aria-label": name });
  el.replaceChildren(root);
  const message = make("p", { class: "wt-message", role: "status" }), body = make("div", { class: "wt-body" });
  const alive = Boolean(model.widget_manager), waiting = new Map(), watcher = Math.random();
  let count = 0, panel = null, data = null;
  const heard = ({ id, said }) => {
    clearTimeout(waiting.get(id));
    if (waiting.delete(id)) message.textContent = said || data.note;
  };
  function click(what, head) {
    const id = `${watcher} ${++count}`;
    waiting.set(id, setTimeout(() => { message.textContent = data.waits || SILENT; }, 4000));
    message.textContent = head ? `${what === "ablate" ? "Ablating" : "Restoring"} head ${head.join(":")} …` : "";
    model.send({ id, do: what, head });
  }
  root.addEventListener("focusin", ({ target }) => { target.dataset.lmSuppressShortcuts = "true"; });
  async function receive() {
    const packed = model.get("packed"), unpacked = await unpack(packed);
    if (packed !== model.get("packed") && panel) return;  // a later one has come meanwhile
    data = unpacked;
    if (data.note || data.waits) message.textContent = data.note || data.waits;
    if (panel) panel.update(data);
    else panel = draw(body, data, { click, alive });
  }
  root.replaceChildren(heading(name), message, body);
  const theme = new MutationObserver(() => panel?.paint());
  for (const element of [document.documentElement, document.body]) theme.observe(element, { attributes: true });
  model.on("msg:custom", heard);
  model.on("change:packed", receive);
  await receive();
  return () => { theme.disconnect(); model.off("msg:custom", heard); model.off("change:packed", receive); };
}
