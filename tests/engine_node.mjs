// The page's engine in Node: a question in each line of what comes in, its answer in each line of what goes out.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [engine, weights] = process.argv.slice(2);
const load = (name) => import(new URL(name, pathToFileURL(engine + "/")));
const { answer } = await load("explorers.js"), { Library } = await load("library.js"), library = new Library();
const packed = (_, value) => (ArrayBuffer.isView(value)
  ? { kind: value.constructor.name, base64: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") } : value);

for await (const line of createInterface({ input: process.stdin })) {
  let said;
  try {
    const { models, explorer, question } = JSON.parse(line), loaded = [];
    for (const [name, about] of models) {
      const files = typeof about === "string" ? [`${about}.json`, `${about}.safetensors`, "tokenizer.json"] : [about.file, about.tokenizer ?? "tokenizer.json"];
      for (const file of files) if (!library.given.has(file)) await library.give(file, null, new Uint8Array(readFileSync(`${weights}/${file}`)));
      loaded.push({ name, model: await library.model(about) });
    }
    said = { answer: answer(explorer, loaded, question) };
  } catch (fault) {
    said = { error: fault.message };
  }
  process.stdout.write(`${JSON.stringify(said, packed)}\n`);
}
