/** Models by their description, made once: their files are fetched (or were given), and checked, only when first needed. */
import { sha256 } from "./files.js";
import { Model } from "./model.js";
import { Reader, TOKENIZERS } from "./text.js";

const KEPT = "walkthrough-files";  // in the browser's Cache API

export class Library {
  /** `place` is where files lie, or nothing; `given` holds bytes by name; `report(loaded, total, name)` is told of progress. */
  constructor(report = () => {}) {
    this.given = new Map();
    this.files = new Map();
    this.readers = new Map();
    this.models = new Map();
    this.report = report;
  }

  /** A model: a description {file, sha256, config, tokenizer, prefix, positions}, or the name of one whose card lies there. */
  async model(about, place) {
    const known = JSON.stringify([about, place]);
    if (!this.models.has(known)) this.models.set(known, this.make(about, place));
    try {
      return await this.models.get(known);
    } catch (fault) {
      this.models.delete(known);  // the next question tries again
      throw fault;
    }
  }

  async make(about, place) {
    if (typeof about === "string") {
      if (!/^[\w-]+$/.test(about)) throw new Error(`There is no model called ${about}.`);
      const card = parsed(await this.bytes(`${about}.json`, null, place), `${about}.json`);
      about = { file: `${about}.safetensors`, sha256: card.sha256, config: card.config };
    }
    const { file, tokenizer = "tokenizer.json" } = about;
    const [weights, reader] = [await this.bytes(file, about.sha256, place), await this.reader(tokenizer, place)];
    return new Model(weights, reader, about);
  }

  reader(name, place) {
    const found = this.readers.get(name) ?? this.bytes(name, TOKENIZERS[name], place).then((bytes) => new Reader(parsed(bytes, name)));
    this.readers.set(name, found);
    found.catch(() => this.readers.delete(name));
    return found;
  }

  /** A file's bytes: given, kept from another visit, or fetched; an Error unless they have this SHA-256. */
  bytes(name, hash, place) {
    const found = this.files.get(name) ?? this.get(name, hash, place);
    this.files.set(name, found);
    found.catch(() => this.files.delete(name));
    return found;
  }

  async get(name, hash, place) {
    const check = async (bytes) => !hash || (await sha256(bytes)) === hash;
    if (this.given.has(name)) return this.given.get(name);
    if (!place) throw Object.assign(new Error(`This page needs the file ${name} of the course.`), { wants: { name, hash } });
    const url = new URL(name, place).href, key = `${url}?sha256=${hash}`, kept = await cache();
    const stored = hash && kept && (await kept.match(key).catch(() => null));
    if (stored) {
      const bytes = new Uint8Array(await stored.arrayBuffer());
      if (await check(bytes)) return bytes;
      await kept.delete(key);
    }
    const bytes = await fetched(url, name, this.report);
    if (!(await check(bytes))) {
      throw new Error(`The file ${name} is damaged, was cut short, or is not the one that the course describes (its SHA-256 `
        + "differs), so the page does not use it: load the page again.");
    }
    if (hash && kept) await kept.put(key, new Response(bytes)).catch(() => {});  // a full disk is no reason to stop
    return bytes;
  }

  /** Take a file from the reader; an Error if it is not the one that is wanted. */
  async give(name, hash, bytes) {
    if (hash && (await sha256(bytes)) !== hash) {
      throw new Error(`That is not the file ${name} that this page was made with (its SHA-256 differs): choose `
        + `walkthrough/weights/${name} of the course's folder.`);
    }
    this.given.set(name, bytes);
  }
}

const cache = async () => {
  try {
    return await globalThis.caches?.open(KEPT);
  } catch {
    return undefined;  // a browser that keeps nothing, or a page that may not
  }
};

function parsed(bytes, name) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Error(`The file ${name} is damaged or was cut short, so the page cannot use it: load the page again.`);
  }
}

async function fetched(url, name, report) {
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    throw new Error(`The file ${name}, which the page needs to answer, could not be fetched: is the network there?`);
  }
  if (!answer.ok) throw new Error(`The file ${name}, which the page needs to answer, is not there (${answer.status}).`);
  const total = Number(answer.headers.get("content-length")) || 0, parts = [];
  let loaded = 0;
  if (!answer.body?.getReader) return new Uint8Array(await answer.arrayBuffer());
  try {
    for (const reader = answer.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      report(loaded += value.length, Math.max(total, loaded), name);
    }
  } catch {
    throw new Error(`The file ${name}, which the page needs to answer, was cut short on its way: ask again.`);
  }
  const bytes = new Uint8Array(loaded);
  let at = 0;
  for (const part of parts) { bytes.set(part, at); at += part.length; }
  return bytes;
}
