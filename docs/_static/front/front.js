/* The front page's explorer: a prompt, one head's attention, and the next token with and without that head.

What the page opens with was computed while it was built; only another prompt, or another place in this one, needs the engine. */
(() => {
  const { visible, quoted, percent, make, svg, bars, code, data } = window.walkthroughParts;
  const place = document.getElementById("wf-live"), story = data("wf-story");
  const EXAMPLES = [
    ["a class", story.prompt],
    ["a function", "def feed_penguin(fish):\n    return fish\n\nfeed_pen"],
    ["nothing twice", "import numpy as np\n\nx = np."],
  ];
  const HERE = { model: story.model, prompt: story.prompt, head: story.head, query: story.query, off: false };
  const SHOWN = 0.005;  // of a head's attention: what gets less is not listed
  const SPARED = 0.75;  // of a probability: with as much left, other parts of the model suffice
  const LOST = 0.2;  // of a head's attention: with as much gone, another head's ablation disturbs it
  const HALF = 0.5;  // of a head's attention: with less, it looks elsewhere rather
  let state = { ...HERE }, shown = null, asked = 0, timer = 0, engine = null;
  const heads = Object.keys(story.looks);

  // What is asked, of the page's own numbers or of the engine

  /** Everything that a state shows: {tokens, looks, before, after, query}, where `before` and `after` are {top, chance}. */
  async function answer({ prompt, head, query, off }) {
    if (prompt === story.prompt && (query == null || query === story.query)) {
      const { tokens, without } = story;
      return { tokens, looks: story.looks, query: story.query, next: story.next[1], before: without[""], after: without[head] };
    }
    engine ??= window.walkthroughEngine(story.model, progress).catch((error) => { engine = null; throw error; });
    const model = await engine;
    bar.hidden = true;
    return model.look({ prompt, head, query, off });
  }

  /** Write what the model goes on with, after what is shown: it takes a run for each token, and so it comes later. */
  async function goOn(mine) {
    const found = shown, wanted = { ...state }, still = () => mine === asked;
    if (found.before.goes || found.query !== found.tokens.length - 1 || !engine) return;
    try {
      const model = await engine, before = await model.goesOn({ ...wanted, off: false }, still);
      const after = wanted.off ? await model.goesOn(wanted, still) : null;
      if (!still()) return;
      found.before.goes = before;
      if (after) found.after.goes = after;
      paint();
    } catch { /* a newer question was asked, or the text is as long as the model can read */ }
  }

  function progress(share) {
    bar.hidden = false;
    bar.firstChild.value = share;
    if (!bar.dataset.said) { bar.dataset.said = ""; say("Fetching the model once, 5 MB."); }
  }

  // What stands in the page

  const field = make("textarea", { id: "wf-prompt", rows: 5, spellcheck: "false", autocapitalize: "off", autocomplete: "off", oninput: typed });
  const examples = make("div", { class: "wf-row", role: "group", "aria-label": "prompts to begin with" }, ...EXAMPLES.map(([name, text]) =>
    make("button", { type: "button", onclick: () => change({ prompt: text, query: null }) }, name)));
  const message = make("p", { class: "wf-message", role: "status" });
  const cut = make("div", { class: "wf-row" });  // what to do about a text that ends inside a token
  const bar = make("div", { class: "wf-progress", hidden: true }, make("progress", { max: 1, value: 0, "aria-label": "fetching the model" }));
  const picture = make("div", { class: "wf-picture" }), text = make("p", { class: "wf-say", "aria-live": "polite" });
  const choice = make("select", { id: "wf-head", onchange: () => change({ head: choice.value }) }, ...heads.map((head) =>
    make("option", { value: head }, story.kinds[head] ? `${head}, ${story.kinds[head]}` : head)));
  const ablate = make("button", { type: "button", class: "wf-ablate", "aria-pressed": "false", onclick: () => change({ off: !state.off }) });
  const chances = make("output", { class: "wf-chances" });
  const copy = make("button", { type: "button", onclick: copyLink }, "Copy a link to this"), copied = make("span", { class: "wf-copied", role: "status" });
  const before = make("div"), after = make("div"), numbers = make("details", { class: "wf-numbers" }, make("summary", {}, "The numbers"));
  const say = (words) => { message.textContent = words; copied.textContent = ""; };
  const live = make("div", { role: "region", "aria-label": "explorer of an induction head" },
    make("div", { class: "wf-two" },
      make("div", {}, make("label", { for: "wf-prompt" }, "Your Python code"), field, examples),
      make("div", {}, make("p", { class: "wf-label" }, "Tokens (click one)"), picture)),
    message, bar,
    make("div", { class: "wf-row wf-controls" }, make("label", { for: "wf-head" }, "Head"), choice, ablate, chances),
    make("div", { class: "wf-two wf-nexts" }, before, after), text, cut, numbers, make("div", { class: "wf-row wf-share-row" }, copy, copied));

  function copies(tokens, query) {
    return tokens.map((_, key) => key).filter((key) => key > 1 && key <= query && tokens[key - 1] === tokens[query]);
  }

  /** Where the word at the end stands earlier as text, but cut into other tokens: {typed, above, ends}, or null.
   *
   * `ends` is the text up to the last token of that word that stands earlier, too: there the head has something to find. */
  function cutOtherwise({ tokens, query }) {
    const { prompt } = state, pieces = tokens.slice(1), word = /[\p{L}\p{N}_]+$/u.exec(prompt)?.[0];
    if (!word || query !== tokens.length - 1 || pieces.join("") !== prompt) return null;
    const from = prompt.length - word.length, first = prompt.search(new RegExp(`(?<![\\p{L}\\p{N}_])${word}`, "u"));
    if (first < 0 || first >= from) return null;
    const starts = [0];
    for (const piece of pieces) starts.push(starts.at(-1) + piece.length);
    const covering = (a, b) => pieces.map((_, i) => i).filter((i) => starts[i] < b && starts[i + 1] > a);
    const here = covering(from, prompt.length), shown = (list) => list.map((i) => visible(pieces[i])).join("|");
    const last = here.slice(0, -1).reverse().find((i) => pieces.slice(0, i).includes(pieces[i]));
    return { typed: shown(here), above: shown(covering(first, first + word.length)), ends: last === undefined ? null : prompt.slice(0, starts[last + 1]) };
  }

  const part = (token) => (token.includes("\ufffd") ? "a part of a character" : quoted(token));
  const alike = (a, b) => a.trim() !== "" && a.trim() === b.trim();  // but for the space before it

  /** What is to be seen, in a sentence or two. */
  function told({ tokens, looks, query, next, before, after }) {
    const at = (i) => (tokens[i].includes("\ufffd") ? `the part of a character at position ${i}` : quoted(tokens[i]));
    const weights = looks[state.head], key = weights.indexOf(Math.max(...weights)), found = query ? copies(tokens, query) : [];
    const other = found.length ? null : cutOtherwise(shown), share = found.reduce((sum, k) => sum + weights[k], 0), from = at(query);
    const most = `it looks most at ${at(key)} (${percent(weights[key])})`;
    const shares = {};
    for (const k of found) shares[tokens[k]] = (shares[tokens[k]] ?? 0) + weights[k];
    const list = Object.entries(shares).filter(([, s], _, all) => all.length === 1 || s >= SHOWN).sort(([, a], [, b]) => b - a).slice(0, 3);
    const like = !found.length && key > 1 && key <= query && weights[key] >= HALF && alike(tokens[key - 1], tokens[query]);
    const before1 = key === query - 1 && (story.kinds[state.head] ?? "").startsWith("previous-token");
    const looked = before1 ? `From ${from}, head ${state.head} looks at the token just before, ${quoted(tokens[key])} (${percent(weights[key])}), as a previous-token head does.`
      : like ? `${from} stands nowhere earlier in this prompt. But ${quoted(tokens[key - 1])} does, a token that differs only by the space before it, and head ${state.head} looks at what followed it, ${quoted(tokens[key])} (${percent(weights[key])}): to the model, the two are alike.`
      : other ? `Your text ends in ${other.typed.includes("|") ? `the tokens “${other.typed}”` : `the token “${other.typed}”`}, and above it was cut “${other.above}”: the model sees other tokens, so an induction head finds no earlier copy of the last one: ${most}.`
      : !found.length ? `${from} stands nowhere earlier in this prompt, so an induction head has nothing to find, and of head ${state.head} we see only that ${most}.`
      : share < HALF && !found.includes(key) ? `${from} stands earlier, too, but head ${state.head} does not look at what followed it (${percent(share)}): ${most}.`
        : `From ${from}, head ${state.head} looks back at what followed ${tokens[query].includes("\ufffd") ? "the same part earlier" : `an earlier ${from}`}. `
          + `Of its attention, ${list.map(([token, s]) => `${percent(s)} ${list.length > 1 ? "are" : "is"} on ${part(token)}`).join(", ")}.`;
    const copies1 = !before1 && !other && found.length && share >= HALF, most1 = list[0]?.[0], with1 = `with a probability of ${percent(before.chance)}`;
    const first = !copies1 ? `The model says ${part(next)}, ${with1}.`
      : shares[next] >= HALF || most1 === next ? `The model says ${part(next)}, the token that the head looks at${shares[next] < HALF ? " most" : ""}, ${with1}.`
        : Object.hasOwn(shares, next) ? `The head looks more at ${quoted(most1)}, but the model says ${part(next)}, ${with1}.`
          : `The model says ${part(next)}, ${with1}. That is not what the head looks at: here, the model does not copy.`;
    if (!state.off) return `${looked} ${first}`;
    const was = percent(before.chance), is = percent(after.chance);
    const change = is === was ? "leaves that as it is" : `${after.chance < before.chance ? "lowers" : "raises"} that to ${is}`;
    const guess = after.top[0][0] === next ? "" : ` The first guess is now ${part(after.top[0][0])}.`;
    const twins = heads.filter((head) => head !== state.head && (story.kinds[head] ?? "").startsWith("induction"));
    const spared = copies1 && twins.length && (story.kinds[state.head] ?? "").startsWith("induction") && Object.hasOwn(shares, next) && after.chance >= SPARED * before.chance;
    return `${looked} ${first} Ablating head ${state.head} ${change}.${guess}${spared ? ` What is left suffices here. Try the other induction head, ${twins[0]}.` : ""}${disturbed(found, looks, after.looks)}`;
  }

  /** Of a head of layer 0 that is ablated: what the induction heads, which read what it wrote, lose of their attention to copies. */
  function disturbed(found, looks, then) {
    if (!then || !found.length || !state.head.startsWith("0:")) return "";
    const on = (rows, head) => found.reduce((sum, k) => sum + rows[head][k], 0);
    const readers = heads.filter((head) => (story.kinds[head] ?? "").startsWith("induction") && on(looks, head) >= HALF);
    const losers = readers.filter((head) => on(then, head) <= on(looks, head) - LOST);
    if (!losers.length) return "";
    const list = losers.map((head, i) => `head ${head} puts ${percent(on(then, head))}${i ? "" : " of its attention on what followed the earlier copy"} instead of ${percent(on(looks, head))}`).join(", and ");
    return ` Layer 1 reads what layer 0 writes: without head ${state.head}, ${list}.${losers.length > 1 ? " One ablation here disturbs both induction heads; ablating one of them does not change where the other looks." : ""}`;
  }

  let drawn = null;
  function paint() {
    const { tokens, looks, query, next, before: was, after: is } = shown, weights = looks[state.head];
    if (!drawn || drawn.tokens.join("\0") !== tokens.join("\0")) {  // else the focus stays where it is
      const made = code(tokens, "tokens of the prompt", (i) => change({ query: i }));
      const arc = svg("svg", { class: "wf-arc", "aria-hidden": "true" });
      drawn = { tokens, ...made, arc };
      made.box.prepend(arc);  // behind the tokens
      picture.replaceChildren(made.box);
    }
    drawn.buttons.forEach((button, i) => {
      button.style.setProperty("--weight", (weights[i] ?? 0).toFixed(3));
      button.setAttribute("aria-pressed", String(i === query));
      button.disabled = i === 0;
    });
    drawArc();
    field.setAttribute("aria-invalid", "false");
    choice.value = state.head;
    ablate.textContent = state.off ? `Put head ${state.head} back` : `Ablate head ${state.head}`;
    ablate.setAttribute("aria-pressed", String(state.off));
    before.replaceChildren(make("p", { class: "wf-label" }, "Next token, as trained"), bars(was.top, next, "next token, as trained"), goes(was));
    const label = `Next token, head ${state.head} ablated`;
    after.replaceChildren(...(state.off ? [make("p", { class: "wf-label" }, label), bars(is.top, next, label), goes(is)]
      : [make("p", { class: "wf-label wf-quiet" }, "Without the head"), make("p", { class: "wf-ghost" }, `Press “Ablate head ${state.head}” to compare.`)]));
    chances.textContent = `${quoted(next)}: ${percent(was.chance)}${state.off ? ` → ${percent(is.chance)}` : ""}`;
    text.textContent = told(shown);
    const other = copies(tokens, query).length ? null : cutOtherwise(shown), mended = other?.ends;
    cut.replaceChildren(...(mended ? [make("button", { type: "button", onclick: () => change({ prompt: mended, query: null }) },
      `End it at “${/[\p{L}\p{N}_]+$/u.exec(mended)?.[0] ?? mended.at(-1)}”, where a token ends`)] : []));
    showNumbers();
    place.dataset.shown = `${state.prompt.length} ${query} ${state.head} ${state.off}`;
  }

  const goes = ({ goes }) => (goes ? make("p", { class: "wf-goes" }, "it goes on: ", make("code", {}, visible(goes))) : "");

  /** An arc from the query to the token that the head looks at most, over the code. */
  function drawArc() {
    const { box, buttons, arc } = drawn, weights = shown.looks[state.head], key = weights.indexOf(Math.max(...weights));
    arc.replaceChildren();
    if (key === shown.query) return;
    const home = box.getBoundingClientRect(), at = (i) => {
      const { left, width, top, height } = buttons[i].getBoundingClientRect();
      return { x: left - home.left + width / 2, top: top - home.top, bottom: top - home.top + height };
    };
    const a = at(shown.query), b = at(key), above = b.bottom <= a.top, near = above && a.top - b.bottom < (a.bottom - a.top);
    const end = above ? b.bottom + 3 : b.top - 3, bend = above ? (a.top + b.bottom) / 2 : Math.min(a.top, b.top) - 22;
    const d = near ? `M${a.x} ${a.top} L${b.x} ${end + 4}` : above ? `M${a.x} ${a.top} C${a.x + 46} ${bend} ${b.x + 46} ${bend} ${b.x} ${end}` : `M${a.x} ${a.top} C${a.x} ${bend} ${b.x} ${bend} ${b.x} ${end}`;
    const tip = near ? `M${b.x} ${end - 2} l-5 8 h10 z` : above ? `M${b.x} ${end} l9 4 l-5 6 z` : `M${b.x} ${end} l-5 -8 h10 z`;
    arc.append(svg("path", { d, class: "wf-line", "stroke-dasharray": state.off ? "3 5" : null, "stroke-width": 1 + 2 * weights[key] }), svg("path", { d: tip, class: "wf-tip" }));
  }

  function showNumbers() {
    const { tokens, looks, query } = shown, weights = looks[state.head];
    const rows = tokens.slice(0, query + 1).map((token, i) =>
      make("tr", {}, make("th", { scope: "row" }, String(i)), make("td", {}, visible(token)), make("td", {}, percent(weights[i]))));
    const caption = `Head ${state.head}: attention from ${quoted(tokens[query])}, position ${query}`;
    const table = make("div", { class: "wf-table", tabindex: 0, role: "region", "aria-label": caption }, make("table", {}, make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...["position", "token", "attention"].map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, ...rows)));
    numbers.replaceChildren(numbers.firstChild, table, ...(shown.looks === story.looks ? [document.getElementById("wf-heads").firstChild.cloneNode(true)] : []));
  }

  // What changes

  /** Show another state; `link` is whether the address follows, `note` what else is to be said. */
  async function change(changes, link = true, note = "") {
    if (timer) changes = { prompt: field.value, query: null, ...changes };  // what was typed just now counts, too
    clearTimeout(timer);
    timer = 0;
    const mine = ++asked, wanted = { ...state, ...changes };
    state = wanted;
    if ("prompt" in changes && field.value !== wanted.prompt) field.value = wanted.prompt;
    try {
      const found = await answer(wanted);
      if (mine !== asked) return;
      shown = found;
      const { query } = wanted;
      say(query == null || query === found.query ? note : `${note} This prompt has no position ${query}: the last one is shown.`.trim());
      state.query = found.query;
      live.classList.remove("wf-stale");
      paint();
      goOn(mine);
      if (link) history.replaceState(null, "", isHome() ? location.pathname + location.search : `#${hash()}`);
    } catch (error) {
      if (mine !== asked || error.stale) return;
      bar.hidden = true;
      field.setAttribute("aria-invalid", "true");
      live.classList.add("wf-stale");  // what is shown belongs to another prompt
      say(error.message);
      cut.replaceChildren();
      const ending = await engine?.then((model) => model.ending(wanted.prompt)).catch(() => "");
      if (mine !== asked || !ending || ending === wanted.prompt) return;
      cut.replaceChildren(make("button", { type: "button", onclick: () => { change({ prompt: ending, query: null }); field.focus(); } }, "Keep the end of it, as much as fits"));
    }
  }
  function typed() {
    clearTimeout(timer);
    timer = setTimeout(() => { timer = 0; change({ prompt: field.value, query: null }); }, 120);
  }
  const isHome = () => Object.keys(HERE).every((key) => state[key] === HERE[key]);
  const hash = () => new URLSearchParams({ model: state.model, prompt: state.prompt, head: state.head, query: state.query, off: state.off ? 1 : 0 }).toString();

  /** Show what the address holds; nothing where it holds none, as after a link to a heading. */
  function follow() {
    const given = new URLSearchParams(location.hash.slice(1)), query = given.get("query");
    if (!given.has("prompt")) return;
    place.scrollIntoView();
    const own = (given.get("model") ?? story.model) === story.model;
    const head = given.get("head") ?? story.head, there = heads.includes(head);
    const note = [own ? "" : `This page has the model ${quoted(story.model)} only, so that of the link is not shown.`,
      there ? "" : `The model has no head ${quoted(head)}: head ${story.head} is shown.`].join(" ").trim();
    change({
      model: story.model, prompt: given.get("prompt"), off: given.get("off") === "1", head: there ? head : story.head,
      query: /^\d+$/.test(query ?? "") ? Number(query) : null,
    }, false, note);
  }
  async function copyLink() {
    const link = `${location.href.split("#")[0]}#${hash()}`;
    try {
      await navigator.clipboard.writeText(link);
      copied.textContent = "Copied. Whoever opens the link sees this prompt, token, head and ablation.";
    } catch {
      history.replaceState(null, "", `#${hash()}`);
      copied.textContent = "This browser does not let the page copy: the link stands in the address bar.";
    }
    copied.scrollIntoView({ block: "nearest" });  // on a phone it wraps to below the button, which may be the window's last line
  }

  field.value = state.prompt;
  place.replaceChildren(live);
  new ResizeObserver(() => { if (shown) drawArc(); }).observe(picture);
  addEventListener("hashchange", follow);
  change({}, false).then(follow);
})();
