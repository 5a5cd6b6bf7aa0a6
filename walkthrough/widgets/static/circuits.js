/** Who looks for a token, and what it raises: the QK and OV circuits of all heads of a layer; the token is typed or clicked. */
function draw({ body, data, record, view, choose, ask, say }) {
  const names = data.vocabulary, shown = names.map(visible), ids = new Map(names.map((name, id) => [name, id]));
  const found = { ...data.found };
  for (const { found: some } of Object.values(data.prompts)) Object.assign(found, some);
  const fetched = view.found ? { [ids.get(view.token)]: view.found } : {};  // from the kernel, so kept in the view
  Object.assign(found, fetched);
  const known = (name) => (found[ids.get(name)] ? ids.get(name) : undefined);
  const first = () => known(view.token) ?? ids.get(record.tokens[1] ?? record.tokens[0]);
  let token = first();
  const layers = found[token].map((_, layer) => layer);
  let layer = layers.includes(view.layer) ? view.layer : 0, large = view.head ?? -1, asked = 0;

  async function pick(id) {
    const number = ++asked;
    say("");
    found[id] ??= fetched[id] = await ask({ token: names[id] });
    if (number !== asked) return;  // another was picked meanwhile
    token = id;
    choose({ token: names[id], found: fetched[id] ?? null });
    paint();
  }
  const select = make("select", { class: "wt-layer", onchange: () => {
    layer = Number(select.value);
    choose({ layer });
    build();
  } }, ...layers.map((l) => make("option", { value: l }, `layer ${l}`)));
  select.value = layer;
  const typed = combobox(shown, { pick, say });
  const read = tokenRow(record.tokens, "tokens of the prompt", { pick: (i) => pick(ids.get(record.tokens[i])) });
  const chosen = make("h4", { class: "wt-source", "aria-live": "polite" }), about = make("p", { class: "wt-say" });
  const cards = make("div", { class: "wt-cards" });
  const how = instructed("Type a token and choose it with the arrow keys and Enter, or click one of the prompt or of a list: what looks for it, and what it raises, "
    + "head by head. A click on a head's name unfolds its lists.");
  const numbers = behind(() => found[token][layer].map((lists, head) => numbered(`Source ${shown[token]}, head ${layer}:${head}`,
    ["rank", "looks for it", "log-odds", "raised by it", "logits"], Array.from({ length: Math.max(lists[0].length, lists[2].length) }, (_, i) => [String(i + 1),
      ...[0, 2].flatMap((kind) => (i in lists[kind] ? [shown[lists[kind][i]], (lists[kind + 1][i] / 100).toFixed(2)] : ["", ""]))]))));
  let parts = [];

  function build() {
    parts = found[token][layer].map((_, head) => {
      const title = make("button", { type: "button", class: "wt-title", "data-head": head, onclick: () => {
        large = large === head ? -1 : head;
        choose({ head: large });
        parts.forEach(fill);
        paint();
      } }, `head ${layer}:${head}`, make("small"));
      const inside = make("div", { class: "wt-lists" });
      return { head, title, inside, card: make("div", { class: "wt-card" }, make("h4", {}, title), inside) };
    });
    parts.forEach(fill);
    cards.replaceChildren(...parts.map(({ card }) => card));
    paint();
  }
  /** A card's lists, long or short. Its title stays in the page: if what has the focus goes, Jupyter takes the focus. */
  function fill(part) {
    const is = part.head === large;
    part.lists = ["look for it", "raised by it"].map((what, kind) => {
      const entries = Array.from({ length: is ? 20 : 5 }, () => make("button", {
        type: "button", class: "wt-entry", onclick: (event) => pick(Number(event.currentTarget.dataset.id)),
      }, make("span"), make("b")));
      const label = `head ${layer}:${part.head}: ${what}`;
      return { kind, entries, box: make("div", {}, make("small", {}, what), row({ "aria-label": label }, entries)) };
    });
    part.inside.replaceChildren(...part.lists.map(({ box: list }) => list));
    part.card.classList.toggle("wt-large", is);
    part.title.setAttribute("aria-expanded", String(is));
    part.title.lastChild.textContent = is ? "top 5 only" : "top 20";
  }
  function paint() {
    const heads = found[token][layer];
    numbers.refill();
    const most = [1, 3].map((which) => Math.max(1, ...heads.map((head) => Math.max(0, ...head[which].map(Math.abs)))));
    for (const { head, lists } of parts) for (const { kind, entries } of lists) {
      const [tokens, values] = heads[head].slice(2 * kind, 2 * kind + 2);
      entries.forEach((entry, i) => {
        entry.hidden = i >= tokens.length;
        if (entry.hidden) return;
        entry.dataset.id = tokens[i];
        entry.title = `token ${tokens[i]}: ${shown[tokens[i]]}`;
        entry.classList.toggle("wt-below", values[i] < 0);
        entry.style.setProperty("--share", `${(100 * Math.abs(values[i])) / most[kind]}%`);
        entry.firstChild.textContent = shown[tokens[i]];
        entry.lastChild.textContent = (values[i] / 100).toFixed(2);
      });
    }
    typed.show(shown[token]);
    mark();
    chosen.textContent = `source ${shown[token]}`;
    about.textContent = (heads[0][0].length
      ? "Look for it: present tokens whose score for it most exceeds their score for <BOS>, positions left out (QK, log-odds). "
      : "Log-odds are measured against <BOS>, so no destination looks for it more or less than 0 (QK). ")
      + "Raised by it, once looked at: next tokens whose logits it lifts most above their mean (OV)."
      + (layer ? " In this layer that is the direct path alone: heads on token embeddings, not on what earlier heads wrote." : "");
    Object.assign(body.dataset, { token: names[token], layer, head: large });
  }
  /** The chosen token stands out wherever it is in the prompt. */
  function mark() {
    read.point(-1, ...record.tokens.flatMap((name, i) => (name === names[token] ? [i] : [])));
  }
  build();
  // Only now: on the page each of the changes above would be followed up.
  body.append(how, make("div", { class: "wt-controls" }, typed.box, layers.length > 1 ? make("label", {}, "layer", select) : null),
    read.box, chosen, about, cards, numbers.box);
  return (next) => {
    ({ record, view } = next);
    Object.assign(found, record.found);
    asked++;
    read.set(record.tokens);
    const now = first();
    if (now === token) return mark();
    token = now;
    paint();
  };
}

/** A field that completes a token over the whole vocabulary: prefixes first, with or without a leading space. */
function combobox(shown, { pick, say }) {
  const id = `wt-list-${Math.random().toString(36).slice(2)}`, small = shown.map((name) => name.toLowerCase());
  const bare = shown.map((name) => (name.length > 1 ? name.replace(/^·/, "") : name));
  let options = [], at = -1, last = "";
  const input = make("input", {
    class: "wt-typed", role: "combobox", "aria-autocomplete": "list", "aria-controls": id, "aria-expanded": "false",
    spellcheck: "false", autocomplete: "off", autocapitalize: "off",
    oninput: () => open(), onfocus: () => input.select(), onclick: () => open(), onblur: () => close(), onkeydown: key,
  });
  const list = make("ul", { id, role: "listbox", "aria-label": "tokens that match", hidden: true });

  function rank(i, text, low) {
    if (shown[i] === text) return 0;
    if (bare[i] === text) return 1;
    if (shown[i].startsWith(text) || bare[i].startsWith(text)) return 2;
    if (small[i].startsWith(low) || small[i].startsWith(`·${low}`)) return 3;
    return shown[i].includes(text) ? 4 : small[i].includes(low) ? 5 : 6;
  }
  const ways = (typed) => [...new Set([typed, typed.replaceAll("\\n", "\n").replaceAll("\\t", "\t")])].map(visible);
  function matches(typed) {
    if (!typed) return [];
    const texts = ways(typed).map((text) => [text, text.toLowerCase()]);
    const ranks = shown.map((_, i) => Math.min(...texts.map(([text, low]) => rank(i, text, low))));
    return shown.map((_, i) => i).filter((i) => ranks[i] < 6)
      .sort((i, j) => ranks[i] - ranks[j] || shown[i].length - shown[j].length || i - j);
  }
  function mark(to) {
    at = to;
    [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === at)));
    if (at < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", list.children[at].id);
  }
  function open() {
    options = matches(input.value).slice(0, 12);
    list.replaceChildren(...options.map((option, i) => make("li", {
      id: `${id}-${i}`, role: "option", onmousedown: (event) => event.preventDefault(), onclick: () => take(option),
    }, shown[option])));
    list.hidden = !options.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark(-1);
  }
  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(-1);
  }
  function take(option) {
    close();
    input.value = last = shown[option];
    input.select();
    pick(option);
  }
  function key(event) {
    event.stopPropagation();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) open();
      if (options.length) mark(at < 0 ? (step > 0 ? 0 : options.length - 1) : (at + step + options.length) % options.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const exact = ways(input.value).map((text) => shown.indexOf(text)).find((i) => i >= 0);
      const option = at < 0 ? exact : options[at];
      if (option !== undefined) take(option);
      else say(`“${input.value}” is not one token of this model: type a part of one, and choose from those that are offered.`);
    } else if (event.key === "Escape") {
      if (list.hidden) input.value = last;
      close();
    }
  }
  const box = make("div", { class: "wt-combo" }, make("label", {}, "token", input), list);
  return { box, show: (text) => { input.value = last = text; } };
}
