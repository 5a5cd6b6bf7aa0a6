/** A question with a place for the guess: choices, of which the arrow keys take the next, or a field for a number. */
function render({ model, el }) {
  const make = (tag, attributes = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
  };
  const guess = (value) => { model.set("guess", value); model.save_changes(); };
  const name = `guess-${Math.random()}`;  // choices of one name are one group
  const choices = model.get("choices").map((value) =>
    make("input", { type: "radio", name, value, onchange: () => guess(value) }));
  const typed = make("input", { placeholder: "a number, then Enter", autocomplete: "off", onchange: () => guess(typed.value) });
  const unit = model.get("unit");
  const field = choices.length
    ? choices.map((input) => make("label", {}, input, input.value))
    : [make("label", {}, "my guess", typed, unit)];
  const reply = make("output");
  const root = make("fieldset", { className: "wt-guess" },
    make("legend", {}, make("b", {}, "Predict: "), model.get("question")), ...field, reply);
  // Else Jupyter takes the arrow keys for moving between cells; nor does a field hear Enter there.
  root.addEventListener("focusin", ({ target }) => { target.dataset.lmSuppressShortcuts = "true"; });
  typed.addEventListener("keydown", ({ key }) => { if (key === "Enter") guess(typed.value); });

  const show = () => {
    for (const input of choices) input.checked = input.value === model.get("guess");
    typed.value = model.get("guess");
    reply.textContent = model.get("reply");
  };
  model.on("change:guess change:reply", show);
  show();
  el.replaceChildren(root);
  return () => model.off("change:guess change:reply", show);
}
export default { render };
