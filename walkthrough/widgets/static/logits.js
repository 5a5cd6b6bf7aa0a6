/** What the model expects after a token, each prediction's logit path by path, and each path by its source positions. */
function draw({ body, data, prompt, record, view, choose, ask, say }) {
  const LARGEST = 12, NEXT = 5;  // as in logit_explorer.py; the prediction that really comes is the last
  const { paths, note } = data;
  let { tokens, predicted, probability, rank, at } = record, n = tokens.length;
  const signed = (x) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(2);
  const plain = (x) => (x < 0 ? "−" : "") + Math.abs(x).toFixed(2);
  const many = paths.length > LARGEST + 1;  // one path alone is not summed up
  let pinned = (view.of ?? prompt) === prompt ? within(view.position, n, n - 1) : n - 1;
  let position = pinned, chosen = within(view.target, NEXT + 1), path = paths.indexOf(view.path);
  let asked = {};  // sources that came from the kernel

  const above = make("input", { type: "checkbox", class: "wt-above", onchange: () => {
    choose({ above: above.checked });
    paint();
    more();
  } });
  above.checked = view.above ?? true;
  const all = make("button", { type: "button", class: "wt-all", hidden: !many, onclick: () => {
    const open = all.getAttribute("aria-expanded") !== "true";
    choose({ all: open });
    list(open);
    paint();
  } });
  const read = tokenRow(tokens, "tokens of the prompt", {
    look: (i) => { position = i; paint(); },
    pick: (i) => { pinned = position = i; choose({ position: i, of: prompt }); paint(); more(); },
    leave: () => { position = pinned; paint(); },
  });
  const guesses = Array.from({ length: NEXT + 1 }, (_, i) => make("button", {
    type: "button", class: "wt-guess", "data-target": i,
    onclick: () => { chosen = i; choose({ target: i }); paint(); more(); },
  }, make("span", { class: "wt-piece" }), make("small")));
  const after = make("p", { class: "wt-say" }), total = make("p", { class: "wt-total", "aria-live": "polite" });
  const from = make("p", { class: "wt-say wt-from", "aria-live": "polite" });
  const bars = make("div");
  let rows = [];
  const sides = make("p", { class: "wt-sides", "aria-hidden": "true" },
    ...["path", "← lowers", "raises →", "logits"].map((word) => make("span", {}, word)));
  const figure = make("div", {}, sides, bars);
  const what = data.heads && ablations({ prompt, tokens, heads: data.heads, view, choose, ask });
  const how = instructed("Point at a token, or go there with Tab and the arrow keys, to see what the model expects after it; a click or Enter keeps it. "
    + "A click on a prediction shows its paths, a click on a path where it comes from.");
  const numbers = behind(() => {
    const count = position === n - 1 ? NEXT : NEXT + 1, found = at[position]?.[way()], words = predicted[position].slice(0, count);
    return [numbered(`After ${quoted(tokens[position])} (position ${position})`, ["prediction", "probability", ...(found ? ["logit"] : [])], words.map((word, i) => [
      visible(word), probability[position][i].toFixed(2) + (i === NEXT ? " (comes next)" : ""), ...(found ? [plain(at[position].logits[i])] : [])])),
    found ? numbered(`Logits, path by path${above.checked ? ", above the mean over the vocabulary" : ""}`, ["path", ...words.map(visible)],
      bySize(found.bars[target(position)]).map((path) => [paths[path], ...words.map((_, i) => signed(found.bars[i][path] / 100))])) : ""];
  });

  const way = () => (above.checked ? "above" : "raw");
  const target = (where) => (where === n - 1 && chosen === NEXT ? 0 : chosen);
  const key = (where) => [where, target(where), way(), path].join();
  const bySize = (values) => Array.from(values, (_, i) => i).sort((i, j) => Math.abs(values[j]) - Math.abs(values[i]) || i - j);

  function list(open) {
    all.setAttribute("aria-expanded", String(open));
    all.textContent = open ? `show the ${LARGEST} largest` : `show all ${paths.length} paths`;
    const count = open || !many ? paths.length : LARGEST + 1;
    rows = Array.from({ length: count }, () => make("button", { type: "button", class: "wt-bar", onclick: (event) => {
      const which = Number(event.currentTarget.dataset.path);
      if (which < 0) return all.click();
      path = which;
      choose({ path: paths[which] });
      paint();
      more();
    } }, make("span", { class: "wt-name" }), make("span", { class: "wt-track" }, make("i")), make("span", { class: "wt-value" })));
    bars.replaceChildren(row({ class: "wt-bars", "aria-label": "paths" }, rows));
  }
  /** Sources of the chosen path in hundredths, if they are here. */
  function sources(where) {
    const { bars: values, sources: largest } = at[where][way()], t = target(where), place = bySize(values[t]).indexOf(path);
    return place < LARGEST ? largest[t][place] : asked[key(where)];
  }
  /** Ask the kernel for what is chosen and is not here. */
  async function more() {
    const where = pinned, mine = record;
    say("");
    if (!at[where]) {
      at[where] = await ask({ prompt, position: where });
      if (mine !== record) return;  // another prompt is shown by now
      paint();
    }
    if (path < 0 || where !== pinned || sources(where)) return;
    const wanted = key(where);
    asked[wanted] = await ask({ prompt, position: where, target: target(where), way: way(), path });
    if (mine === record) paint();
  }
  function paint() {
    const t = target(position), found = at[position];
    what?.look(position, t === NEXT ? "next" : t);
    pressed(guesses, t);
    written(after, `After ${quoted(tokens[position])} (position ${position}) the model expects, with these probabilities:`);
    guesses.forEach((button, i) => {
      const p = probability[position][i].toFixed(2);
      button.hidden = i === NEXT && position === n - 1;
      written(button.firstChild, visible(predicted[position][i]));
      written(button.lastChild, i < NEXT ? p : `comes next: ${p}, rank ${rank[position]}`);
    });
    body.dataset.position = position;
    body.dataset.target = t;
    body.dataset.path = path < 0 ? "" : paths[path];
    body.dataset.stored = Boolean(found);
    figure.hidden = !found;
    all.hidden = !many || !found;
    if (!found) {
      total.textContent = `The paths after position ${position} are not stored in this page: a click on the token asks the kernel for them.`;
      return shade();
    }
    const { sum, others, bars: values } = found[way()], order = bySize(values[t]), logit = plain(found.logits[t]);
    total.textContent = `The ${paths.length} paths to ${quoted(predicted[position][t])} add up to ${signed(sum[t])}`
      + (above.checked ? ` (its logit, ${logit}, less the vocabulary's mean, ${plain(found.mean)}).` : ` (its logit: ${logit}).`);
    const largest = Math.max(...values[t].map(Math.abs), many ? Math.abs(100 * others[t]) : 0, 1);
    rows.forEach((button, i) => {
      const rest = many && rows.length === LARGEST + 1 && i === LARGEST, which = rest ? -1 : order[i];
      const value = rest ? others[t] : values[t][which] / 100;
      const name = rest ? `the other ${paths.length - LARGEST} paths together` : paths[which];
      button.dataset.path = which;
      button.setAttribute("aria-pressed", String(!rest && which === path));
      written(button.children[0], name);
      written(button.children[2], signed(value));
      button.classList.toggle("wt-down", value < 0);
      button.classList.toggle("wt-rest", rest);
      button.style.setProperty("--size", `${((50 * Math.abs(100 * value)) / largest).toFixed(1)}%`);
    });
    shade(path < 0 ? null : sources(position), path < 0 ? 0 : values[t][path] / 100);
  }
  /** The tokens' numbers: what the chosen path brings from each. */
  function shade(split, value) {
    const largest = split ? Math.max(...split.map(Math.abs), 1) : 1;
    tokens.forEach((_, s) => {
      const part = split?.[s] ?? 0;
      read.mark(s, Math.abs(part) / largest, Math.abs(part) >= 5 ? signed(part / 100) : "", part ? (part > 0 ? "up" : "down") : "");
    });
    read.point(position, pinned);
    numbers.refill();
    const best = split?.reduce((most, part, s) => (Math.abs(part) > Math.abs(split[most]) ? s : most), 0);
    if (!at[position]) from.textContent = "";
    else if (path < 0) from.textContent = "Click a bar: the tokens above are shaded by how much of it comes from each.";
    else if (!split) from.textContent = `Where ${paths[path]} comes from is not stored in this page: a click on the token asks the kernel for it.`;
    else from.textContent = `Of the ${signed(value)} logits of ${paths[path]}, ${signed(split[best] / 100)} come from ${quoted(tokens[best])} (position ${best}); `
      + "the tokens' numbers add up to the bar, and those below 0.05 are not written.";
  }
  list(Boolean(view.all) && many);
  paint();
  // Only now: on the page each of the changes above would be followed up.
  body.append(note ? make("p", { class: "wt-say" }, note) : "", how, read.box, from, after,
    row({ class: "wt-controls", "aria-label": "predictions" }, guesses), total,
    make("div", { class: "wt-controls" }, make("label", {}, above, "above the mean over the vocabulary"), all), figure, numbers.box,
    what ? what.panel : "");
  more();
  return (next) => {
    ({ prompt, record, view } = next);
    ({ tokens, predicted, probability, rank, at } = record);
    n = tokens.length;
    asked = {};
    position = pinned = (view.of ?? prompt) === prompt ? within(view.position, n, n - 1) : n - 1;
    read.set(tokens);
    what?.again(prompt, tokens);
    paint();
    more();
  };
}
