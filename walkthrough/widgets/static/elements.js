// Elements, and tokens with spaces and line breaks to be seen: for the explorers, and for the front page of the site.

const MARKS = { " ": "·", "\n": "⏎", "\t": "⇥" };
const visible = (token) => token.replace(/[ \n\t]/g, (c) => MARKS[c]);
const quoted = (token) => `“${visible(token)}”`;

function dressed(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}
/** An element with attributes (`on…` are listeners) and children. */
const make = (tag, attributes = {}, ...children) => dressed(document.createElement(tag), attributes, children);
/** The same of a drawing. */
const svg = (tag, attributes = {}, ...children) => dressed(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
