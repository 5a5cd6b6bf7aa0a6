/* A recorded training run under a slider: losses and scores with a marker, and where two heads look at the checkpoint. */
(() => {
  const STEP = 500;  // milliseconds between two moments while it plays
  const { visible, quoted, make, svg, code, data } = window.walkthroughParts;
  const percent = (share) => `${Math.round(100 * share)} %`;  // the shares were stored so
  const place = document.getElementById("wf-training"), { looks, at, curves, heads, tokens, patterns } = data("wf-run");
  const flat = Uint8Array.from(atob(patterns), (c) => c.charCodeAt(0)), n = tokens.length, each = (n * (n + 1)) / 2;
  const kinds = Object.keys(heads), DASHES = [null, "7 4"], WIDTH = 420, HEIGHT = 210, LEFT = 36, TOP = 12, BOTTOM = 24, RIGHT = 10;
  const weight = (now, kind, q, k) => (k > q ? 0 : flat[(now * kinds.length + kinds.indexOf(kind)) * each + (q * (q + 1)) / 2 + k] / 100);
  const grouped = (number) => number.toLocaleString("en-US"), end = looks.at(-1);
  let now = 0, timer = 0, query = n - 1;
  const second = tokens.lastIndexOf("q");  // of quokka: what followed the first one, is to be found
  if (second > 0) query = second;

  const x = (value) => LEFT + ((WIDTH - LEFT - RIGHT) * value) / end;
  function chart(title, lines, from, to, ticks) {
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - from) / (to - from));
    const cursor = svg("path", { class: "wf-cursor" }), dots = [];
    const parts = [svg("path", { class: "wf-axis", d: `M${LEFT} ${TOP} V${HEIGHT - BOTTOM} H${WIDTH - RIGHT}` })];
    for (const tick of ticks) parts.push(svg("text", { x: LEFT - 5, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
    for (const share of [0, 0.5, 1]) parts.push(svg("text", { x: x(share * end), y: HEIGHT - 6, "text-anchor": share === 1 ? "end" : "middle" }, share ? `${+((share * end) / 1e6).toFixed(1)}M` : "0"));
    Object.entries(lines).forEach(([, values], i) => {
      const d = values.map((value, j) => `${j ? "L" : "M"}${x(looks[j]).toFixed(1)} ${y(value).toFixed(1)}`).join("");
      const dot = svg("circle", { r: 4, class: `wf-dot wf-c${i}` });
      dots.push([dot, values]);
      parts.push(svg("path", { d, class: `wf-curve wf-c${i}`, "stroke-dasharray": DASHES[i] }), dot);
    });
    const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" }, ...parts, cursor);
    const key = make("ul", { class: "wf-key" }, ...Object.keys(lines).map((name, i) => make("li", {},
      svg("svg", { viewBox: "0 0 28 8", width: 28, height: 8, "aria-hidden": "true" }, svg("path", { d: "M0 4 H28", class: `wf-curve wf-c${i}`, "stroke-dasharray": DASHES[i] })), name, make("b"))));
    const box = make("figure", { class: "wf-chart", onclick: ({ clientX }) => {
      const { left, width } = drawing.getBoundingClientRect(), wanted = ((clientX - left) / width) * WIDTH;
      stop();
      move(nearest(((wanted - LEFT) / (WIDTH - LEFT - RIGHT)) * end));
    } }, make("figcaption", { class: "wf-label" }, title), drawing, key);
    const paint = () => {
      const look = looks.indexOf(at[now]);
      cursor.setAttribute("d", `M${x(at[now]).toFixed(1)} ${TOP} V${HEIGHT - BOTTOM}`);
      dots.forEach(([dot, values]) => { dot.setAttribute("cx", x(at[now])); dot.setAttribute("cy", y(values[look])); });
      Object.values(lines).forEach((values, i) => { key.children[i].querySelector("b").textContent = values[look].toFixed(2); });
      drawing.setAttribute("aria-label", `${title} after ${grouped(at[now])} tokens: ${Object.entries(lines).map(([name, values]) => `${name} ${values[look].toFixed(2)}`).join(", ")}`);
    };
    return { box, paint };
  }

  const charts = [chart("loss on held-out code, nats", curves.loss, 2.5, 6.5, [3, 4, 5, 6]), chart("scores of two heads, from 0 to 1", curves.scores, 0, 1, [0, 0.5, 1])];
  const nearest = (wanted) => at.reduce((best, _, i) => (Math.abs(at[i] - wanted) < Math.abs(at[best] - wanted) ? i : best), 0);
  const slider = make("input", { type: "range", id: "wf-when", min: 0, max: end, step: "any", oninput: () => { stop(); move(nearest(Number(slider.value))); },
    onkeydown: (event) => {  // an arrow goes to the next moment that was kept
      const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      stop();
      move(Math.max(0, Math.min(at.length - 1, now + steps[event.key])));
    } });
  const play = make("button", { type: "button", onclick: () => (timer ? stop() : start()) }, "Play");
  const output = make("output", { for: "wf-when" }), say = make("p", { class: "wf-say", "aria-live": "polite" });
  const words = { previous: "becomes a previous-token head", induction: "learns induction" };
  const rows = kinds.map((kind) => ({ kind, ...code(tokens, `tokens; shaded where head ${heads[kind]} looks`, (i) => { query = i; paint(); }) }));
  place.replaceChildren(make("div", { role: "region", "aria-label": "training run" },
    make("div", { class: "wf-time-row" }, make("label", { for: "wf-when" }, "tokens learnt from"), play, slider, output),
    make("div", { class: "wf-two" }, ...charts.map(({ box }) => box)),
    make("div", { class: "wf-two" }, ...rows.map(({ kind, box }) => make("div", {}, make("p", { class: "wf-label" }, `Where head ${heads[kind]} looks, which ${words[kind]}`), box))), say));

  function move(i) { now = i; paint(); }
  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
    say.setAttribute("aria-live", "polite");
  }
  function start() {
    say.setAttribute("aria-live", "off");  // else each moment would be read aloud
    if (now === at.length - 1) move(0);
    play.textContent = "Pause";
    timer = setInterval(() => { if (now < at.length - 1) move(now + 1); else stop(); }, STEP);
  }
  function paint() {
    slider.value = at[now];
    output.textContent = grouped(at[now]);
    slider.setAttribute("aria-valuetext", `${grouped(at[now])} tokens`);
    charts.forEach((each) => each.paint());
    const told = rows.map(({ kind, buttons }) => {
      let best = 0;
      buttons.forEach((button, k) => {
        const share = weight(now, kind, query, k);
        if (share > weight(now, kind, query, best)) best = k;
        button.style.setProperty("--weight", share.toFixed(2));
        button.setAttribute("aria-pressed", String(k === query));
      });
      return `head ${heads[kind]} looks most at ${quoted(tokens[best])}, position ${best} (${percent(weight(now, kind, query, best))})`;
    });
    say.textContent = `After ${grouped(at[now])} tokens, from ${quoted(tokens[query])} at position ${query}: ${told.join("; ")}.`;
    place.dataset.at = now;
  }
  paint();
})();
