/* What the front page and the training page share, after elements.js: tokens as code, bars, and choices that need no model. */
(() => {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  /** Next tokens with bars as long as their probabilities; `said` stands out. */
  function bars(top, said, label) {
    return make("ol", { class: "wf-bars", "aria-label": label }, ...top.map(([token, chance]) =>
      make("li", { class: token === said ? "wf-said" : null }, make("code", {}, visible(token)),
        make("span", { class: "wf-track" }, make("i", { style: `--share: ${chance.toFixed(4)}` })),
        make("span", { class: "wf-share" }, percent(chance)))));
  }

  /** Arrow keys, Home and End move the focus among buttons, of which Tab reaches one. */
  function roving(box, buttons, first = 0) {
    const reach = (button) => buttons.forEach((other) => { other.tabIndex = other === button ? 0 : -1; });
    if (buttons.length) reach(buttons[Math.min(first, buttons.length - 1)]);
    box.addEventListener("focusin", ({ target }) => { if (buttons.includes(target)) reach(target); });
    box.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
      const open = buttons.filter((button) => !button.disabled), from = open.indexOf(event.target.closest("button"));
      if (from < 0 || !(event.key in steps)) return;
      event.preventDefault();
      open[Math.max(0, Math.min(open.length - 1, from + steps[event.key]))].focus();
    });
  }

  /** A prompt's tokens as buttons, set as code is: a line break goes to a new line. `pick(i)` on click and Enter. */
  function code(tokens, label, pick) {
    const box = make("div", { class: "wf-code", role: "group", "aria-label": label }), buttons = [];
    tokens.forEach((token, i) => {
      const [head, ...lines] = token.split("\n"), text = head + (lines.length ? "⏎" : "");
      const button = make("button", { type: "button", class: i ? "wf-token" : "wf-token wf-bos", title: `position ${i}`,
        "aria-label": `${visible(token)}, position ${i}`, "aria-pressed": "false", onclick: () => pick(i) }, text);
      buttons.push(button);
      box.append(button, ...lines.flatMap((line) => [make("br"), make("span", { class: "wf-indent" }, visible(line))]));
      if (!i) box.append(make("br"));
    });
    roving(box, buttons, tokens.length - 1);
    return { box, buttons };
  }

  /** Data that stands in the page. */
  const data = (id) => JSON.parse(document.getElementById(id).textContent);

  for (const place of document.querySelectorAll("[data-choices]")) {
    const items = data(place.dataset.choices), label = place.dataset.label, body = make("div", { "aria-live": "polite" });
    const show = (i) => {
      buttons.forEach((button, j) => button.setAttribute("aria-pressed", String(i === j)));
      const { source, back, head, weight, top, goes } = items[i];
      const looked = source ? `${back > 1 ? `${back} tokens back` : "One token back"} stands ${quoted(source)}: this model's head ${head} puts ${percent(weight)} of its attention there. It goes on: ` : null;
      body.replaceChildren(make("p", { class: "wf-after" }, "After ", make("code", {}, named(items[i])), ":"), bars(top, null, label),
        ...(looked ? [make("p", { class: "wf-quiet" }, looked, make("code", {}, visible(goes)))] : []));
    };
    const named = ({ after, source }) => (source ? after : visible(after));  // a text, or one token
    const buttons = items.map((item, i) => make("button", { type: "button", onclick: () => show(i) }, named(item)));
    const group = make("div", { class: "wf-row", role: "group", "aria-label": `${label}: choose what stands before` }, ...buttons);
    roving(group, buttons);
    place.replaceChildren(group, body);
    show(0);
  }

  window.walkthroughParts = { visible, quoted, percent, make, svg, bars, roving, code, data };
})();
