// Who answers an explorer: the kernel, or where none runs the engine of the page (engine/). It stands before explorer.js.

/** In place of a widget's model where there is no kernel: a saved page, an exported one, the site. */
function stored(state) {
  return { alone: true, get: (key) => state[key], set: (key, value) => { state[key] = value; }, save_changes() {}, on() {}, off() {} };
}

const NO_KERNEL = "No Python runs behind this page (it has no kernel), so it shows what was stored in it: "
  + "open the notebook in JupyterLab and run it, to ask for anything else.";
const UNSHIPPED = " (The page itself can run the models that ship with the course; this is another one.)";
const SILENT = "The kernel does not answer: it is busy, or was not started. Run the notebook's cells, and ask again.";
const FROM_DISK = "This page was opened from disk, where a browser reads no other file, so it has no kernel and no model: to ask it for "
  + "more, open a terminal in the page's folder, run python -m http.server, and open the address that it names.";
const ABSENT = " (The page could run the model itself, but does not find it: open JupyterLab in the course's folder, or a folder "
  + "above it.)";

/** Where the engine and the weights of the course's models may lie: where the page says, or under what Jupyter serves. */
function places() {
  const said = document.querySelector('meta[name="walkthrough-engine"]');
  if (said) return [[new URL(said.content, document.baseURI).href]];
  const config = document.getElementById("jupyter-config-data");
  if (!config) return [];
  const root = new URL(`${JSON.parse(config.textContent).baseUrl ?? "/"}files/`, location.href).href;
  const path = /\/(?:tree|notebooks)\/(.*)$/.exec(location.pathname)?.[1] ?? "", folders = path.split("/").slice(0, -1);
  return [...folders.map((_, i) => `${folders.slice(0, folders.length - i).join("/")}/`), ""]
    .map((folder) => [`${root}${folder}walkthrough/widgets/static/engine/`, `${root}${folder}walkthrough/weights/`]);
}

let engineFound;
/** The engine that answers for the kernel, one for the whole page; an Error says why there is none. */
function engine() {
  const find = async () => {
    const inside = document.getElementById("walkthrough-engine");  // an exported page carries it
    if (inside) {
      const { modules, files } = JSON.parse(inside.textContent), url = URL.createObjectURL(new Blob([modules["ask.js"]], { type: "text/javascript" }));
      return (await import(url)).engineAt({ sources: modules, files });
    }
    if (location.protocol === "file:") throw new Error(FROM_DISK);
    for (const [base, place] of places()) {
      const there = await fetch(`${base}ask.js`).catch(() => null);
      if (!there?.ok) continue;
      if (!place) return (await import(`${base}ask.js`)).engineAt({ base });
      // Jupyter hands files to nobody but its own page: not to a module's import, nor to a worker.
      const url = URL.createObjectURL(new Blob([await there.text()], { type: "text/javascript" }));
      return Object.assign(await (await import(url)).engineAt({ base, place: "" }), { from: place });
    }
    throw new Error(NO_KERNEL + ABSENT);
  };
  return (engineFound ??= find().catch((fault) => { engineFound = null; throw fault; }));
}

/** Who answers: the kernel, and where none runs the page's engine. `ask(question)`; `tell(text)` says what is wrong. */
function asking(model, { data, tell, view, extra }) {
  const waiting = new Map(), asker = Math.random();  // another view of the same widget hears our answers, too
  let count = 0, silent = Boolean(model.alone);
  const heard = (reply) => {
    const asked = waiting.get(reply.id);
    if (!asked) return;
    waiting.delete(reply.id);
    clearTimeout(asked.timer);
    silent = false;
    tell(reply.error || "");
    if (!reply.error) asked.answer(reply.answer);
  };
  /** Files are fetched but once: a bar shows how far. */
  async function here(question, live) {
    const { engine: runs } = data();
    if (!runs) throw new Error(NO_KERNEL + UNSHIPPED);
    const bar = make("progress", { "aria-label": "fetching the model", max: 1, value: 0 }), found = await engine();
    const stop = found.onProgress?.(({ loaded, total, name }) => {
      bar.value = loaded / total;
      if (!bar.isConnected && name.endsWith(".safetensors")) {
        tell(`The page fetches the model, ${(total / 1e6).toFixed(1)} MB, and keeps it. `);
        extra.replaceChildren(bar);
      }
    });
    try {
      for (;;) {
        try {
          return await found.ask({ ...runs, question: { ...known(), ...question, quick: live }, asker: live ? asker : null });
        } catch (fault) {
          if (!fault.wants) throw fault;
          await (found.from ? fetched(found, fault) : given(found, fault));
        }
      }
    } finally {
      stop?.();
      if (bar.isConnected) { extra.replaceChildren(); tell(""); }
    }
  }
  /** What the explorer's Python knows besides the question. */
  function known() {
    const { found, layers, scores } = data();
    return { given: found && Object.keys(found).map(Number), layers, scores, chosen: view().edge };
  }
  /** Give the engine the file that it wants, from where the page may fetch it. */
  async function fetched(found, { wants }) {
    tell(`The page fetches ${wants.name} from Jupyter.`);
    const answer = await fetch(`${found.from}${wants.name}`).catch(() => null);
    if (!answer?.ok) throw new Error(`The file ${wants.name}, which the page needs to answer, could not be fetched from Jupyter.`);
    await found.give(wants, new Uint8Array(await answer.arrayBuffer()));
    tell("");
  }
  /** Wait until the reader has given the file that the engine wants: a page from disk cannot fetch it. */
  const given = (found, { wants }) => new Promise((ready) => {
    const name = wants.name.split("/").pop();
    const field = make("input", { type: "file", accept: ".safetensors", onchange: async () => {
      try {
        await found.give(wants, new Uint8Array(await field.files[0].arrayBuffer()));
        extra.replaceChildren();
        tell("");
        ready();
      } catch (fault) { tell(fault.message); }
    } });
    tell(`No Python runs behind this page (it has no kernel), but the page can run the model itself. Choose its weights: walkthrough/weights/${wants.name} in the course's folder.`);
    extra.replaceChildren(make("label", { class: "wt-file" }, name, field));
  });
  /** The answer if it can be given, and one sentence otherwise. `live`: a newer question makes this one void. */
  const ask = (question, live = false) => new Promise((answer) => {
    let late = false;  // a kernel that was only slow
    const instead = () => here(question, live).then(answer, (fault) => {
      if (!fault.stale && !late) tell(silent && !model.alone ? `${SILENT} ${fault.message}` : fault.message);
    });
    const kernel = model.widget_manager && "kernel" in model.widget_manager ? model.widget_manager.kernel : true;
    if (silent || !kernel) return instead();
    const id = `${asker} ${++count}`;
    waiting.set(id, { answer: (given) => { late = true; answer(given); }, timer: setTimeout(() => {
      if (!data().engine) return tell(SILENT);
      silent = true;
      instead();
    }, 3000) });
    model.send({ id, question });
  });
  return { ask, heard, alone: () => silent };
}
