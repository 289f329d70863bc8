// The sliders of a run's levels. The kernel draws: this side sends numbers, and shows the picture that comes back.

const make = (tag, properties = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
};

// A picture that follows the bytes of one trait.
const pictureOf = (model, trait, words, cleanups) => {
  const image = make("img", { alt: words });
  const figure = make("figure", {}, image, make("figcaption", { text: words }));
  let address = null;
  const show = () => {
    const bytes = model.get(trait);
    figure.hidden = !bytes || !bytes.byteLength;
    if (address) URL.revokeObjectURL(address);
    address = figure.hidden ? null : URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    if (address) image.src = address;
  };
  model.on(`change:${trait}`, show);
  cleanups.push(() => {
    model.off(`change:${trait}`, show);
    if (address) URL.revokeObjectURL(address);
  });
  show();
  return figure;
};

const sliderOf = (model, level, dimension) => {
  const words = `Level ${level.level}, dimension ${dimension + 1}`;
  const input = make("input", { type: "range", min: -4, max: 4, step: 0.05, "aria-label": words });
  const output = make("span", { class: "value" });
  input.addEventListener("input", () => {
    const noise = model.get("noise").map((codes) => [...codes]);
    noise[level.level - 1][dimension] = Number(input.value);
    model.set("noise", noise);
    model.save_changes();
    show();
  });
  const show = () => {
    const value = model.get("noise")[level.level - 1][dimension];
    input.value = value;
    output.textContent = value.toFixed(2);
  };
  show();
  return { show, row: make("label", { class: "slider" }, make("span", { text: dimension + 1 }), input, output) };
};

const panelOf = (model, level, sliders) => {
  const rows = level.dimensions.map((dimension) => {
    const slider = sliderOf(model, level, dimension.number);
    sliders.push(slider);
    return { dead: dimension.dead, row: slider.row };
  });
  const [alive, dead] = [false, true].map((wanted) => rows.filter((row) => row.dead === wanted).map((row) => row.row));
  const button = (text, action, title) =>
    make("button", { type: "button", text, title, "aria-label": `${text} level ${level.level}`, onclick: () => model.send({ action, level: level.level }) });
  return make(
    "section",
    {},
    make("h4", { text: `Level ${level.level}: ${level.title}` }),
    make("p", { text: level.sentence }),
    ...alive,
    dead.length ? make("details", { open: !alive.length }, make("summary", { text: `${dead.length} ${level.unread ? `numbers: ${level.unread}` : "that change next to nothing"}` }), ...dead) : null,
    make("div", { class: "buttons" },
      button("Resample", "resample", "Draw this level anew, as the others let expect, and hold them"),
      button("Reset", "reset", "Back to where it started")),
  );
};

const render = ({ model, el }) => {
  const cleanups = [];
  const sliders = [];
  const told = make("p", { class: "told", role: "status" });
  const tell = () => {
    told.textContent = model.get("message");
    told.hidden = !told.textContent;
  };
  const showCodes = () => sliders.forEach((slider) => slider.show());
  const number = make("input", { type: "number", min: 0, max: Math.max(0, model.get("num") - 1), value: 0, "aria-label": "number of the held-out picture" });
  const start = make("button", { type: "button", text: "Start from it", onclick: () => model.send({ action: "start", index: Number(number.value) }) });
  const draw = make("button", { type: "button", text: "New draw", title: "Draw all levels from the prior", onclick: () => model.send({ action: "draw" }) });
  const choice = model.get("num") ? make("label", {}, `Held-out picture (of ${model.get("num")}) `, number) : null;
  const panels = model.get("levels").map((level) => panelOf(model, level, sliders));
  const root = make(
    "div",
    { class: "vlae-sliders" },
    make("div", { class: "seen" },
      pictureOf(model, "picture", "picture of the codes", cleanups),
      pictureOf(model, "original", "starts from", cleanups)),
    make("div", { class: "levels" },
      make("div", { class: "buttons" }, choice, choice && start, draw),
      told,
      ...panels),
  );
  for (const [trait, show] of [["noise", showCodes], ["message", tell]]) {
    model.on(`change:${trait}`, show);
    cleanups.push(() => model.off(`change:${trait}`, show));
  }
  tell();
  el.append(root);
  return () => cleanups.forEach((clean) => clean());
};

export default { render };
