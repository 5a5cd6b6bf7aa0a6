// What every explorer shares, after asking.js. A script beside this one defines `draw(page)`, which gives what draws
// the next prompt, `again({ prompt, record, view })`; `page.py` joins them.

/** Bytes as Python stores them, in base64, or as the page's engine gives them. */
const bytes = (stored) => (typeof stored === "string" ? Uint8Array.from(atob(stored), (c) => c.charCodeAt(0)) : stored);

/** What was chosen of `count`, if there is such a one. */
const within = (choice, count, otherwise = 0) =>
  (Number.isInteger(choice) && choice >= 0 && choice < count ? choice : otherwise);

// A field has one line: line breaks and tabs are written in it as in Python, and so backslashes, too.
const ESCAPES = { "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r" };
const escaped = (text) => text.replace(/[\\\n\t\r]/g, (c) => ESCAPES[c]);
const unescaped = (text) => text.replace(/\\([\\ntr])/g, (_, c) => ({ n: "\n", t: "\t", r: "\r" })[c] ?? c);

async function unpack(packed) {
  if (typeof DecompressionStream === "undefined") throw new Error(OLD);
  const stream = new Blob([bytes(packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

const OLD = "This browser is too old for the explorer, which needs DecompressionStream: what it shows at first is in the picture and "
  + "the tables below, where the page has them.";

// While the keys move what is looked at, the page may scroll under a pointer that rests: that is no hover.
let byKeys = false;
document.addEventListener("pointermove", ({ movementX, movementY, target }) => {
  if (!byKeys || !(movementX || movementY)) return;
  byKeys = false;  // what the pointer has just entered, as long as the keys counted, is entered now
  target.closest?.("[data-pos], [data-edge], [data-head]")?.dispatchEvent(new MouseEvent("mouseenter"));
});
const hover = (look) => () => { if (!byKeys) look(); };

/** Buttons in a row, of which Tab reaches one and the arrow keys the others. */
function row(attributes, buttons) {
  const box = make("div", { role: "group", ...attributes }, ...buttons);
  const reach = (button) => buttons.forEach((other) => { other.tabIndex = other === button ? 0 : -1; });
  if (buttons.length) reach(buttons[0]);
  box.addEventListener("focusin", (event) => { const b = event.target.closest("button"); if (b) reach(b); });
  box.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    byKeys = true;
    const from = buttons.indexOf(event.target.closest("button")) + steps[event.key];
    buttons[Math.max(0, Math.min(buttons.length - 1, from))].focus();
  });
  return box;
}

const pressed = (buttons, chosen) =>
  buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === chosen)));

/** Write a text where it is not yet: else the browser would lay out the same again. */
const written = (element, text) => { if (element.textContent !== text) element.textContent = text; };

/**
 * A prompt's tokens as buttons; `look(i)` on hover and focus, `leave()` after it, `pick(i)` on click and Enter.
 *
 * `set(tokens)` takes another prompt's: only what differs is made anew. `mark(i, weight, said, side)` shades a token, writes below it, and
 * colours it "up" or "down"; `point(query, pinned)` says which one is looked at, and which are chosen.
 */
function tokenRow(tokens, label, { look = () => {}, pick = () => {}, leave = () => {} }) {
  const buttons = [], names = [], marks = [], plain = "0.00,,", box = row({ class: "wt-tokens", "aria-label": label, onmouseleave: hover(leave), onfocusout: leave }, buttons);
  let at, chosen = [];
  const button = (i) => make("button", {
    type: "button", class: "wt-token", "data-pos": i, title: `position ${i}`, "aria-pressed": "false", tabindex: i ? -1 : 0,
    onmouseenter: hover(() => look(i)), onfocus: () => look(i), onclick: () => pick(i),
  }, "", make("small", { "aria-hidden": "true" }));
  const press = (i, is) => buttons[i]?.setAttribute("aria-pressed", String(is));
  function set(next) {
    const gone = buttons.splice(next.length);
    gone.forEach((old) => old.remove());
    marks.length = names.length = buttons.length;
    if (gone.some(({ tabIndex }) => tabIndex === 0) && buttons.length) buttons[0].tabIndex = 0;  // Tab still finds the row
    next.forEach((token, i) => {
      if (i === buttons.length) { buttons.push(button(i)); marks.push(plain); }
      if (names[i] !== token) buttons[i].firstChild.data = visible(names[i] = token);
    });
    box.append(...buttons.slice(box.children.length));
  }
  function mark(i, weight, said = "", side = "") {
    const share = weight.toFixed(2), now = [share, said, side].join();
    if (now === marks[i]) return;
    marks[i] = now;
    buttons[i].style.setProperty("--weight", share);
    buttons[i].classList.toggle("wt-up", side === "up");
    buttons[i].classList.toggle("wt-down", side === "down");
    buttons[i].lastChild.textContent = said;
  }
  function point(query, ...pinned) {
    buttons[at]?.classList.remove("wt-query");
    buttons[at = query]?.classList.add("wt-query");
    chosen.forEach((i) => pinned.includes(i) || press(i, false));
    pinned.forEach((i) => chosen.includes(i) || press(i, true));
    chosen = pinned;
  }
  set(tokens);
  return { buttons, box, set, mark, point };
}

/** A table; each row begins with its name, and goes on with cells, texts or elements. */
const numbered = (caption, columns, rows) => make("table", {}, make("caption", {}, caption),
  make("thead", {}, make("tr", {}, ...columns.map((column) => make("th", { scope: "col" }, column)))),
  make("tbody", {}, ...rows.map(([first, ...cells]) => make("tr", {}, make("th", { scope: "row" }, first),
    ...cells.map((cell) => (cell.tagName === "TD" ? cell : make("td", {}, cell)))))));

/** A part that unfolds, where wide tables scroll; `fill()` gives what is in it, and is asked only while it is open. */
function folded(kind, title, fill) {
  const place = make("div", { class: "wt-scroll", tabindex: "0", role: "region", "aria-label": title.toLowerCase() });
  const box = make("details", { class: kind, ontoggle: () => refill() }, make("summary", {}, title), place);
  const refill = () => { if (box.open) place.replaceChildren(...[fill()].flat()); };
  return { box, refill };
}
const behind = (fill) => folded("wt-tables", "The numbers behind the picture", fill);
const instructed = (text) => make("p", { class: "wt-aside wt-how" }, text);
const heading = (name) => make("h3", { class: "wt-heading" }, name);

/** The frame: a line for messages, a form for prompts, and what `draw` puts below for the prompt that is shown. */
async function explore({ model, el }, draw, name) {
  const root = make("div", { class: "wt", role: "region", "aria-label": name });
  const message = make("p", { class: "wt-message", role: "status" }), extra = make("div", { class: "wt-extra", style: "max-width: 100%; overflow: auto" });
  let data, own, again, drawn = 0;
  /** Say what is wrong: then what is drawn is of the prompt before, and pales. */
  const tell = (text) => {
    message.textContent = text;
    body.classList.toggle("wt-old", Boolean(text && data?.prompts) && unescaped(field.value) !== shown());
  };
  const { ask, heard, alone } = asking(model, { data: () => data, tell, view: () => model.get("view"), extra });
  const choose = (changes) => { model.set("view", { ...model.get("view"), ...changes }); model.save_changes(); };
  const field = make("input", {
    class: "wt-prompt", spellcheck: "false", autocomplete: "off", autocapitalize: "off",
    title: "\\n is a line break, \\t a tab, \\\\ a backslash", oninput: () => { if (alone() && data.engine) show(unescaped(field.value), true); },
    onpaste: (event) => {  // a field of one line would make spaces of line breaks and tabs
      const text = event.clipboardData.getData("text/plain").replace(/\r\n?/g, "\n");
      if (!/[\n\t]/.test(text)) return;
      event.preventDefault();
      field.setRangeText(escaped(text), field.selectionStart, field.selectionEnd, "end");
      field.dispatchEvent(new Event("input"));
    },
  });
  const examples = make("select", { class: "wt-examples", "aria-label": "stored prompts", onchange: () => show(examples.value) });
  const body = make("div", { class: "wt-body" });

  const shown = () => {
    const prompt = model.get("view").prompt;
    return data.order.includes(prompt) ? prompt : data.order[0];
  };
  /** Draw what is shown, all of it, or if only the prompt is another what differs. */
  function redraw(all = true) {
    const prompt = shown(), now = { prompt, record: data.prompts[prompt], view: model.get("view") };
    if (document.activeElement !== field || unescaped(field.value) !== prompt) field.value = escaped(prompt);
    data.order.forEach((text, i) => {
      const option = examples.options[i] ?? examples.appendChild(make("option"));
      if (option.value !== text || !option.text) Object.assign(option, { value: text, text: visible(text.length > 80 ? `${text.slice(0, 80)}…` : text) });
    });
    examples.length = data.order.length;
    examples.value = prompt;
    examples.hidden = examples.length < 2;
    if (all || !again) {
      body.replaceChildren();
      for (const key of Object.keys(body.dataset)) delete body.dataset[key];
      again = draw({ body, data, choose, ask, say: tell, ...now });
    } else again(now);
    root.dataset.drawn = ++drawn;
  }
  let wanted = 0;
  /** Show a prompt that is here, or ask for it; `live` while it is typed. */
  async function show(prompt, live = false) {
    const mine = ++wanted;
    if (!data.order.includes(prompt)) {
      const record = await ask({ prompt }, live);
      if (!record || mine !== wanted) return;  // the kernel sends all of its data instead
      data.prompts = { ...Object.fromEntries(own.map((text) => [text, data.prompts[text]])), [prompt]: record };
      data.order = [...own, prompt];
    }
    tell("");
    choose({ prompt });
    redraw(false);
  }
  const submit = (event) => {
    event.preventDefault();
    show(unescaped(field.value));
  };
  const form = make("form", { onsubmit: submit },
    make("label", { class: "wt-wide" }, "prompt", field), make("button", { class: "wt-go" }, "show"), examples);
  // Else Jupyter takes the arrow keys for moving between cells: its selectors match what has the focus, not only its frame.
  root.addEventListener("focusin", ({ target }) => { target.dataset.lmSuppressShortcuts = "true"; });
  field.addEventListener("keydown", (event) => {  // nor does a form hear Enter there
    if (event.key === "Enter") { event.preventDefault(); byKeys = true; form.requestSubmit(); }
  });

  async function receive() {
    const packed = model.get("packed"), unpacked = await unpack(packed);
    if (packed !== model.get("packed")) return;  // a later one has come meanwhile
    data = unpacked;
    own = data.order;
    tell(data.error || "");
    root.replaceChildren(heading(name), ...(data.prompts ? [form] : []), message, extra, body);
    if (!root.isConnected) el.replaceChildren(root);
    if (data.prompts) redraw();
  }
  // Pictures have the colours of the theme that they were drawn in.
  let ink;
  const recolour = () => {
    const now = getComputedStyle(root).getPropertyValue("--ink");
    if (ink && now && now !== ink && data.prompts) redraw();
    ink = now || ink;
  };
  const theme = new MutationObserver(recolour);
  for (const element of [document.documentElement, document.body]) theme.observe(element, { attributes: true });
  model.on("msg:custom", heard);
  model.on("change:packed", receive);
  try {
    await receive();
  } catch (fault) {  // what stands there instead, a picture and tables, stays
    theme.disconnect();
    el.prepend(make("p", { class: "wt wt-message", role: "status" }, fault.message));
    return () => {};
  }
  recolour();
  return () => { theme.disconnect(); model.off("msg:custom", heard); model.off("change:packed", receive); };
}
