// What every explorer shares. A script beside this one defines `draw(page)`; `explorer.py` joins the two.

const MARKS = { " ": "·", "\n": "⏎", "\t": "⇥" };
const quoted = (token) => `“${visible(token)}”`;
const visible = (token) => token.replace(/[ \n\t]/g, (c) => MARKS[c]);

/** An element with attributes (`on…` are listeners) and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** What was chosen of `count`, if there is such a one. */
const within = (choice, count, otherwise = 0) =>
  (Number.isInteger(choice) && choice >= 0 && choice < count ? choice : otherwise);

// A field has one line: line breaks and tabs are written in it as in Python, and so backslashes, too.
const ESCAPES = { "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r" };
const escaped = (text) => text.replace(/[\\\n\t\r]/g, (c) => ESCAPES[c]);
const unescaped = (text) => text.replace(/\\([\\ntr])/g, (_, c) => ({ n: "\n", t: "\t", r: "\r" })[c] ?? c);

async function unpack(packed) {
  const stream = new Blob([bytes(packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

/** In place of a widget's model where there is no kernel: a saved page, an exported one, the site. */
function stored(state) {
  const listeners = [];
  return {
    get: (key) => state[key],
    set: (key, value) => { state[key] = value; },
    save_changes() {},
    on: (event, listener) => { if (event === "msg:custom") listeners.push(listener); },
    off() {},
    send: ({ id }) => listeners.forEach((listener) => listener({ id, error: NO_KERNEL })),
  };
}

const NO_KERNEL = "No Python runs behind this page (it has no kernel), so it shows what was stored in it: "
  + "open the notebook in JupyterLab and run it, to ask for anything else.";
const SILENT = "The kernel does not answer: it is busy, or was not started. Run the notebook's cells, and ask again.";

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

/** A prompt's tokens as buttons; `look(i)` on hover and focus, `leave()` after it, `pick(i)` on click and Enter. */
function tokenRow(tokens, label, { look = () => {}, pick = () => {}, leave = () => {} }) {
  const buttons = tokens.map((token, i) =>
    make("button", {
      type: "button", class: "wt-token", "data-pos": i, title: `position ${i}`, "aria-pressed": "false",
      onmouseenter: hover(() => look(i)), onfocus: () => look(i), onclick: () => pick(i),
    }, visible(token), make("small", { "aria-hidden": "true" })));
  const box = row({ class: "wt-tokens", "aria-label": label, onmouseleave: hover(leave), onfocusout: leave }, buttons);
  return { buttons, box };
}

/** The frame: a line for messages, a form for prompts, and what `draw` puts below for the prompt that is shown. */
async function explore({ model, el }, draw, name) {
  const root = make("div", { class: "wt", role: "region", "aria-label": name });
  el.replaceChildren(root);
  const message = make("p", { class: "wt-message", role: "status" });
  const waiting = new Map();
  const asker = Math.random();  // another view of the same widget hears our answers, too
  let count = 0, data, drawn = 0;
  const heard = (reply) => {
    const asked = waiting.get(reply.id);
    if (!asked) return;
    waiting.delete(reply.id);
    clearTimeout(asked.timer);
    message.textContent = reply.error || "";
    if (!reply.error) asked.answer(reply.answer);
  };
  /** Put a question to the kernel; the answer comes if it can be given, and one sentence otherwise. */
  const ask = (question) => new Promise((answer) => {
    const id = `${asker} ${++count}`;
    waiting.set(id, { answer, timer: setTimeout(() => { message.textContent = SILENT; }, 4000) });
    model.send({ id, question });
  });
  const choose = (changes) => { model.set("view", { ...model.get("view"), ...changes }); model.save_changes(); };
  const field = make("input", {
    class: "wt-prompt", spellcheck: "false", autocomplete: "off",
    title: "\\n is a line break, \\t a tab, \\\\ a backslash",
  });
  const examples = make("select", { class: "wt-examples", "aria-label": "stored prompts", onchange: () => show(examples.value) });
  const body = make("div", { class: "wt-body" });

  const shown = () => {
    const prompt = model.get("view").prompt;
    return data.order.includes(prompt) ? prompt : data.order[0];
  };
  function redraw() {
    const prompt = shown();
    field.value = escaped(prompt);
    examples.replaceChildren(...data.order.map((text) => make("option", { value: text }, visible(text))));
    examples.value = prompt;
    examples.hidden = examples.options.length < 2;
    body.replaceChildren();
    for (const key of Object.keys(body.dataset)) delete body.dataset[key];
    draw({ body, data, prompt, record: data.prompts[prompt], view: model.get("view"), choose, ask, say: (text) => { message.textContent = text; } });
    root.dataset.drawn = ++drawn;
  }
  function show(prompt) {
    if (data.order.includes(prompt)) { message.textContent = ""; choose({ prompt }); redraw(); } else ask({ prompt });
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
    message.textContent = data.error || "";
    root.replaceChildren(...(data.prompts ? [form] : []), message, body);
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
  await receive();
  recolour();
  return () => { theme.disconnect(); model.off("msg:custom", heard); model.off("change:packed", receive); };
}
