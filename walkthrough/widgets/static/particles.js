/** A film of tokens on a circle or a sphere: a slider over time, a button that plays it, curves with a marker beside it. */
function draw({ body, data, view, choose }) {
  const { times, order, films, curves } = data, SIZE = 240, R = 108, WIDTH = 360, HEIGHT = 116, LEFT = 40, RIGHT = 10, TOP = 18, BOTTOM = 32;
  let film = within(order.indexOf(view.film), order.length), now = within(view.at, times.length, 0), timer = null;
  const stored = order.map((name) => bytes(films[name].points));  // [time][token][dim], from -1 to 1 in 255 steps
  const coordinate = (i, k) => {
    const { tokens, dims } = films[order[film]];
    return k < dims ? stored[film][(now * tokens + i) * dims + k] / 127.5 - 1 : 0;
  };
  const at = () => `time ${times[now].toLocaleString("en-US", { maximumFractionDigits: 2 })}`;
  const shape = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(3));
  const numbers = () => Object.entries(curves[order[film]] ?? {}).map(([name, values]) => `${name}: ${shape(values[now])}`).join("; ");

  const sphere = make("div", { class: "wt-sphere" }), charts = make("div", { class: "wt-run" });
  function paintPoints() {
    const middle = SIZE / 2, parts = [svg("circle", { class: "wt-rim", cx: middle, cy: middle, r: R })];
    for (let i = 0; i < films[order[film]].tokens; i++) {
      const back = coordinate(i, 2) < -0.01;
      parts.push(svg("circle", { class: `wt-particle${back ? " wt-behind" : ""}`, "data-token": i, r: back ? 4 : 5,
        cx: (middle + R * coordinate(i, 0)).toFixed(1), cy: (middle - R * coordinate(i, 1)).toFixed(1) }));
    }
    const label = `${films[order[film]].tokens} tokens at ${at()}, ${order[film]}. ${numbers()}`;
    sphere.replaceChildren(svg("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", "aria-label": label }, ...parts));
  }
  // Frames are evenly spaced in the charts: times may be, too, or grow by a factor.
  const x = (i) => LEFT + (WIDTH - LEFT - RIGHT) * i / Math.max(1, times.length - 1);
  function paintCharts() {
    charts.replaceChildren(...Object.entries(curves[order[film]] ?? {}).map(([name, values]) => {
      const low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
      const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / span);
      const d = values.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("");
      const ends = [0, Math.floor((times.length - 1) / 2), times.length - 1];
      return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${name} over time, from ${shape(values[0])} to ${shape(values.at(-1))}` },
        svg("path", { d: `M${LEFT} ${TOP} V${HEIGHT - BOTTOM} H${WIDTH - RIGHT}` }), svg("path", { class: "wt-curve", d }),
        svg("text", { x: LEFT, y: 11 }, name),
        ...[low, high].map((value) => svg("text", { x: LEFT - 4, y: y(value) + 4, "text-anchor": "end" }, shape(value))),
        ...ends.map((i) => svg("text", { x: x(i), y: HEIGHT - 18, "text-anchor": "middle" }, String(+times[i].toPrecision(3)))),
        svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "time"),
        svg("path", { class: "wt-cursor", d: `M${x(now).toFixed(1)} ${TOP} V${HEIGHT - BOTTOM}` }));
    }));
  }
  charts.addEventListener("click", ({ clientX }) => {
    const box = charts.getBoundingClientRect(), place = (clientX - box.left) / box.width * WIDTH;
    move(Math.max(0, Math.min(times.length - 1, Math.round((place - LEFT) / (WIDTH - LEFT - RIGHT) * (times.length - 1)))));
  });

  const slider = make("input", { type: "range", class: "wt-when", min: 0, max: times.length - 1, step: 1,
    oninput: () => { stop(); now = Number(slider.value); paint(); }, onchange: () => choose({ at: now }) });
  const shownAt = make("output", { class: "wt-when-shown" }), said = make("p", { class: "wt-say wt-numbers", "aria-live": "polite" });
  const button = make("button", { type: "button", class: "wt-play", onclick: () => (timer ? halt() : play()) }, "play");
  const which = make("select", { class: "wt-films", "aria-label": "which tokens", onchange: () => {
    film = which.selectedIndex; choose({ film: order[film] }); paint(); } }, ...order.map((name) => make("option", { value: name }, name)));
  which.selectedIndex = film;
  which.hidden = order.length < 2;
  const how = instructed("Play, or move the slider, or click in a chart, to see the tokens at another time.");
  const table = behind(() => {
    const own = Object.entries(curves[order[film]] ?? {});
    return [numbered(`${order[film]}: the curves`, ["time", ...own.map(([name]) => name)], times.map((time, j) => [shape(+time.toPrecision(3)), ...own.map(([, values]) => shape(values[j]))])),
      numbered(`${order[film]}: where each token is at ${at()}`, ["token", "x", "y", ...(films[order[film]].dims > 2 ? ["z"] : [])],
        Array.from({ length: films[order[film]].tokens }, (_, t) => [String(t), ...Array.from({ length: Math.min(3, films[order[film]].dims) }, (_, k) => coordinate(t, k).toFixed(2))]))];
  });
  body.append(how, make("div", { class: "wt-controls" }, which, button, make("label", { class: "wt-time" }, "time", slider, shownAt)),
    make("div", { class: "wt-film" }, sphere, charts), said, table.box);

  function move(i) { stop(); now = i; choose({ at: now }); paint(); }
  function stop() { clearInterval(timer); timer = null; button.textContent = "play"; said.setAttribute("aria-live", "polite"); }
  function halt() { stop(); choose({ at: now }); }
  function play() {
    if (now === times.length - 1) now = 0;
    button.textContent = "pause";
    said.setAttribute("aria-live", "off");  // a reader of the screen would be told every frame
    timer = setInterval(() => {
      if (!body.isConnected) return clearInterval(timer);
      now += 1;
      paint();
      if (now === times.length - 1) halt();
    }, 120);
    paint();
  }
  function paint() {
    paintPoints();
    paintCharts();
    slider.value = now;
    slider.setAttribute("aria-valuetext", at());
    shownAt.textContent = at();
    said.textContent = numbers();
    if (!timer) table.refill();
    Object.assign(body.dataset, { at: now, film: order[film] });
  }
  paint();
}

/** The frame of a film, which asks the kernel nothing. */
async function project({ model, el }, draw, name) {
  const root = make("div", { class: "wt", role: "region", "aria-label": name });
  const message = make("p", { class: "wt-message", role: "status" }), body = make("div", { class: "wt-body" });
  el.replaceChildren(root);
  const data = await unpack(model.get("packed"));
  // Else Jupyter takes the arrow keys for moving between cells.
  root.addEventListener("focusin", ({ target }) => { target.dataset.lmSuppressShortcuts = "true"; });
  message.textContent = data.error || "";
  root.replaceChildren(heading(name), message, body);
  const choose = (changes) => { model.set("view", { ...model.get("view"), ...changes }); model.save_changes(); };
  if (!data.error) draw({ body, data, view: model.get("view"), choose });
}
