/** What runs in the worker: it takes questions one after the other, and answers each. */
import { answer } from "./explorers.js";
import { Library } from "./library.js";

const library = new Library((loaded, total, name) => self.postMessage({ progress: { loaded, total, name } }));

/** The buffers of typed arrays in an answer: they move, and are not copied. */
function buffers(value, found = new Set()) {
  if (ArrayBuffer.isView(value)) found.add(value.buffer);
  else if (value && typeof value === "object" && typeof Object.values(value)[0] !== "number")
    for (const part of Object.values(value)) buffers(part, found);
  return found;
}

self.onmessage = async ({ data: { id, give, explorer, models, question, place } }) => {
  try {
    if (give) {
      await library.give(give.name, give.hash, give.bytes);
      return self.postMessage({ id, answer: true });
    }
    const loaded = [];
    for (const [name, about] of models) loaded.push({ name, model: await library.model(about, place) });
    const found = explorer ? answer(explorer, loaded, question) : true;
    self.postMessage({ id, answer: found }, [...buffers(found)]);
  } catch (fault) {
    self.postMessage({ id, error: fault.message, wants: fault.wants });
  }
};
