/**
 * Heads to ablate, patterns to freeze, and what the model expects then, beside what it expects in the run as it is.
 *
 * `heads` are [name, heads of each layer] of each model. `changed(answer, model, words)` hears of each changed run, and of null when
 * there is none any more. Put `panel` on the page, and call `look(position, word)`: the place and which of its words; and
 * `again(prompt, tokens)` for another prompt: what is ablated stays.
 */
function ablations({ prompt, tokens, heads, view, choose, ask, changed }) {
  const LATE = "No answer has come yet: the line below the prompt says why, or how far the page is.";
  const SWEPT = 64;  // heads that are ablated one after the other, at most
  const saved = view.changed ?? {}, model = within(saved.model, heads.length), split = (head) => head.split(":").map(Number);
  const every = [];
  const theirs = (list) => new Set((Array.isArray(list) ? list : []).map((head) => [head].flat().join(":")).filter((head) => every.includes(head)));
  let of = model, ablated = new Set(), frozen = new Set(), answer = null, alone = null, asked = 0, at = { position: tokens.length - 1, word: 0 }, heard = true, stale = false;  // stale: of the prompt before

  const several = make("input", { type: "checkbox", class: "wt-several" });
  const none = make("button", { type: "button", class: "wt-none", onclick: () => {
    ablated.clear();
    frozen.clear();
    alone = null;
    update();
  } }, "ablate nothing");
  const sweep = make("button", { type: "button", class: "wt-sweep", onclick: () => inTurn() }, "each head in turn");
  const chooser = make("select", { onchange: () => { of = Number(chooser.value); ablated.clear(); frozen.clear(); build(); update(); } },
    ...heads.map(([name], i) => make("option", { value: i }, name || "the model")));
  chooser.value = of;
  const groups = make("div", { class: "wt-changes" });
  const said = make("p", { class: "wt-total wt-changed", role: "status" }), loss = make("p", { class: "wt-aside wt-loss" });
  const turns = make("p", { class: "wt-aside wt-turns", role: "status" });
  const found = make("div", { class: "wt-scroll", tabindex: "0", role: "region", "aria-label": "before and after" });
  const { box: each, refill } = folded("wt-each", "The loss after each position", () => (answer && !stale ? losses() : ""));
  const panel = make("details", { class: "wt-ablation", ontoggle: () => choose({ changing: panel.open }) },
    make("summary", {}, "Ablate a head, and see the prediction change"),
    make("div", { class: "wt-controls" }, heads.length > 1 ? make("label", {}, "of", chooser) : null,
      make("label", {}, several, "several heads at once"), none, sweep), groups, turns, said, found, loss, each);
  let cut = [], hold = [], all;

  /** A button a head: one row to ablate, one to freeze. */
  function build() {
    every.splice(0, every.length, ...heads[of][1].flatMap((count, l) => Array.from({ length: count }, (_, h) => `${l}:${h}`)));
    const button = (head, verb, onclick) => make("button", { type: "button", "data-of": head, "aria-label": `${verb} head ${head}`, onclick }, head, make("small"));
    cut = every.map((head) => button(head, "zero-ablate", () => {
      const was = ablated.has(head);
      if (!several.checked) ablated.clear();
      if (was) ablated.delete(head); else ablated.add(head);
      update();
    }));
    hold = every.map((head) => button(head, "freeze the pattern of", () => {
      if (ablated.has(head)) return;  // what it looks at reaches nobody
      if (!frozen.delete(head)) frozen.add(head);
      update();
    }));
    all = make("button", { type: "button", class: "wt-all-frozen", onclick: () => {
      frozen = new Set(everyFrozen() ? [] : every);
      update();
    } }, "all");
    sweep.hidden = every.length > SWEPT;
    const wide = Math.max(...heads[of][1]);
    const group = (words, label, buttons, kind) => make("div", {}, make("p", { class: "wt-aside" }, words),
      row({ class: `wt-which ${kind}`, "aria-label": label, style: wide <= 8 ? `grid-template-columns: repeat(${wide}, minmax(0, 3.6em))` : null }, buttons));
    groups.replaceChildren(
      group("Zero-ablate: the head adds nothing to the stream.", "heads to zero-ablate", cut, "wt-cut"),
      group("Freeze: the head looks where it looked in the run as it is.", "patterns to freeze", [all, ...hold], "wt-hold"));
  }
  const everyFrozen = () => every.every((head) => frozen.has(head) || ablated.has(head));
  /** What is frozen and counts. */
  const held = () => every.filter((head) => frozen.has(head) && !ablated.has(head));

  /** Show what is chosen, keep it, and ask for its run. */
  async function update(keep = true) {
    cut.forEach((button, i) => button.setAttribute("aria-pressed", String(ablated.has(every[i]))));
    hold.forEach((button, i) => {
      button.setAttribute("aria-pressed", String(frozen.has(every[i]) && !ablated.has(every[i])));
      button.setAttribute("aria-disabled", String(ablated.has(every[i])));
    });
    all.setAttribute("aria-pressed", String(frozen.size > 0 && everyFrozen()));
    const ablate = every.filter((head) => ablated.has(head)).map(split), freeze = held().map(split), number = ++asked;
    if (alone && alone.key !== JSON.stringify([of, kept()])) alone = null;  // measured with others frozen
    if (keep) choose({ changed: { model: of, ablate, freeze } });
    if (!ablate.length) {
      if (answer && !stale) changed?.(null);
      stale = false;
      answer = null;
      return paint();
    }
    setTimeout(() => {
      if (number !== asked || heard) return;
      said.textContent = LATE;
      if (stale) found.hidden = loss.hidden = each.hidden = true;
    }, 1500);
    heard = false;
    const now = await ask({ prompt, ablate, freeze, model: of, ...(changed ? { patterns: true } : {}) }, !keep);  // if it was not pressed, the prompt may be typed on
    if (number !== asked) return;  // something else is chosen by now
    heard = true;
    stale = false;
    answer = { ...now, ablate, freeze };
    changed?.(answer, of, without(answer));
    paint();
  }

  const kept = () => every.filter((head) => frozen.has(head)).map(split);
  /** Ablate each head alone, with what is frozen: its button shows what is left of the word. */
  async function inTurn() {
    const freeze = kept(), key = JSON.stringify([of, freeze]), found = await ask({ prompt, each: true, freeze, model: of });
    if (key !== JSON.stringify([of, kept()])) return;
    alone = { ...found, key };
    paint();
  }

  const listed = (heads) => heads.map(([l, h]) => `${l}:${h}`).join(", ").replace(/, (?=[^,]*$)/, " and ");
  /** "Without head 1:3, and with every other pattern frozen". */
  function without({ ablate, freeze }) {
    const which = `Without head${ablate.length > 1 ? "s" : ""} ${listed(ablate)}`;
    if (!freeze.length) return which;
    const rest = freeze.length + ablate.length === every.length;
    return `${which}, ${rest ? "and with every other pattern frozen" : `and with the pattern${freeze.length > 1 ? "s" : ""} of ${listed(freeze)} frozen`}`;
  }
  const moved = (from, to) => (from === to ? `stays at ${to}` : `${Number(to) < Number(from) ? "falls" : "rises"} from ${from} to ${to}`);
  const two = (x) => x.toFixed(2);

  /** The sentence, the two lists and the losses, at the position that is looked at. */
  function paint() {
    const { position } = at, here = `after ${quoted(tokens[position])} (position ${position})`;
    const mine = at.word === "next" ? 5 : at.word, left = alone && every.map((_, i) => alone.after[i][position][mine]);
    cut.forEach((button, i) => {
      button.lastChild.textContent = left ? two(left[i]) : "";
      button.setAttribute("aria-label", `zero-ablate head ${every[i]}${left ? `: ${two(left[i])} then` : ""}`);
    });
    turns.hidden = !left;
    if (left) {
      const order = every.map((_, i) => i).sort((i, j) => left[i] - left[j]), middle = (left[order[(order.length - 1) >> 1]] + left[order[order.length >> 1]]) / 2;
      turns.textContent = `Ablated one at a time${frozen.size ? ", with the same patterns frozen" : ""}: ${quoted(alone.words[position][mine])}, which has `
        + `${two(alone.before[position][mine])} ${here}, is left with ${two(left[order[0]])} without ${every[order[0]]}, the least; the median over heads is ${two(middle)}.`;
    }
    found.hidden = loss.hidden = each.hidden = !answer;
    if (!answer) {
      said.textContent = frozen.size ? "Nothing is ablated yet: then every pattern is what it was, frozen or not." : "Nothing is ablated: choose a head.";
      return;
    }
    const words = answer.words[position], [before, after] = [answer.before[position], answer.after[position]], next = answer.next[position];
    const word = within(at.word === "next" ? next : at.word, words.length), first = after.indexOf(Math.max(...after));
    said.textContent = `${without(answer)}, ${quoted(words[word])} ${moved(two(before[word]), two(after[word]))} ${here}`
      + `${first === word ? "" : `; the likeliest is now ${quoted(words[first])}, with ${two(after[first])}`}.`
      + (answer.freeze.length && answer.freeze.every(([l]) => l <= Math.min(...answer.ablate.map(([layer]) => layer)))
        ? " What is frozen changes nothing here: only later layers read what is ablated." : "");
    const bar = (share) => make("td", { class: "wt-share", style: `--share: ${(100 * share).toFixed(1)}%` }, two(share));
    found.replaceChildren(numbered(`Probabilities ${here}`, ["token", "as it is", "changed"], words.map((text, i) => [
      make("span", {}, visible(text), i === next ? make("small", {}, " comes next") : null), bar(before[i]), bar(after[i])])));
    const [own, other] = answer.mean ?? [], pair = answer.loss[position];
    loss.textContent = (pair ? `Loss on ${quoted(words[next])}, which comes next: ${two(pair[0])} nats as it is, ${two(pair[1])} changed. ` : "No token comes after this one. ")
      + (answer.mean ? `Mean loss over the prompt: ${two(own)} nats as it is, ${two(other)} changed.` : "");
    refill();
  }
  const losses = () => numbered("Loss on the token that comes next, in nats", ["after", "comes next", "as it is", "changed", "change"],
    answer.loss.map(([was, is], i) => [`${i} ${visible(tokens[i])}`, visible(tokens[i + 1]), two(was), two(is),
      `${is < was ? "−" : "+"}${two(Math.abs(is - was))}`]));
  build();
  ablated = theirs(saved.ablate);
  frozen = theirs(saved.freeze);
  several.checked = ablated.size > 1;
  panel.open = Boolean(view.changing) || ablated.size > 0;
  update(false);
  function again(...now) {
    [prompt, tokens] = now;
    at = { position: tokens.length - 1, word: at.word };
    stale = Boolean(answer);
    alone = null;
    update(false);
  }
  return { panel, again, look: (position, word = 0) => { at = { position, word }; if (!stale) paint(); } };
}
