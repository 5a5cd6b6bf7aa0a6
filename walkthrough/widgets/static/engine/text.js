/** Text to ids and back, as the course's Python has it. */
import { Tokenizer } from "./vendor/tokenizers-0.2.0.min.mjs";

/** The SHA-256 of the tokenizers that ship: of the course's models, and of the series of checkpoints. */
export const TOKENIZERS = {
  "tokenizer.json": "07ef9a3bbfc9a8d8fcd0f10daad11423a4221d2babceba68ad0e666a7507647c",
  "forming/tokenizer.json": "d1ba5ac3da0930c11110f5e1c39a7c1d2f9c833d51f57539111c179266ba124b",
};

/** The texts of bytes that a byte-level vocabulary spells: printable ones are themselves, the others follow U+0100. */
function spelling() {
  const plain = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte < 173) || byte > 173;
  const found = new Map();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) found.set(String.fromCharCode(plain(byte) ? byte : next++), byte);
  return found;
}

/** A text as Python would print it in quotes. */
export function repr(text) {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const named = { "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", [quote]: `\\${quote}` };
  const hex = (c) => { const code = c.charCodeAt(0); return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`; };
  return quote + text.replace(/[\\\n\t\r'"]|[^\P{C} ]|[^\P{Z} ]/gu, (c) => named[c] ?? (/['"]/.test(c) ? c : hex(c))) + quote;
}

export class Reader {
  constructor(json, name = "the model") {
    this.name = name;
    this.tokenizer = new Tokenizer(json, { add_bos_token: false });
    const bytes = spelling(), decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    this.texts = [];  // what each token is by itself
    for (const [piece, id] of Object.entries(json.model.vocab))
      this.texts[id] = decoder.decode(Uint8Array.from([...piece].map((c) => bytes.get(c) ?? 63)));
    for (const { id, content } of json.added_tokens) this.texts[id] = content;
    this.bos = json.added_tokens[0].id;
    this.names = this.texts.map((text, id) => (text.includes("\ufffd") ? `${text}${id}` : text));
    this.ids = new Map(this.names.map((text, id) => [text, id]));
  }

  /** The ids of a text, without <BOS>. */
  pieces(text) {
    return this.tokenizer.encode(text.isWellFormed?.() === false ? text.toWellFormed() : text, { add_special_tokens: false }).ids;
  }

  /** A prompt's ids, <BOS> first; an Error for an empty prompt, and for one that is longer than the context. */
  prompt(text, n_ctx) {
    if (!text) throw new Error("the prompt is empty: type some text, for example: for i in");
    const ids = [this.bos, ...this.pieces(text)];
    if (ids.length > n_ctx) {
      throw new Error(`this prompt is ${ids.length} tokens long (with <BOS>), but the model's context is ${n_ctx}: `
        + `shorten it to at most ${n_ctx} tokens`);
    }
    return ids;
  }

  /** As much of a text's end as a context has room for after <BOS>; all of a shorter one. */
  ending(text, n_ctx) {
    const letters = [...text];
    let [out, kept] = [-1, letters.length];  // from `kept` on there is room, from `out` on there is not
    for (let from = 0; kept - out > 1; from = Math.floor((out + kept) / 2)) {
      if (this.pieces(letters.slice(from).join("")).length < n_ctx) kept = from;
      else out = from;
    }
    return letters.slice(kept).join("");
  }

  /** The id of a text that is one token; an Error for any other. */
  single(text) {
    if (this.ids.has(text)) return this.ids.get(text);
    const ids = this.pieces(text);
    if (ids.length === 1) return ids[0];
    const pieces = ids.slice(0, 8).map((id) => repr(this.texts[id])).join(" + ");
    throw new Error(`${repr(text)} is not one token of this model but ${ids.length}: ${pieces || "the empty text"}`);
  }
}
