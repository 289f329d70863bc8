// The state of the page. It is kept in the browser and in the link.

let run; // the description of the run from the server
let data; // what is known of all data: names, classes, and which are held out
let dataAsked;

const state = { tab: "levels", seed: 0, prior: "fitted", noise: [], origin: null, a: null, b: null, whose: [], drawn: [] };

const allData = () =>
  (dataAsked ??= ask("data").then((answer) => (data = { ...answer, class_of: numbersIn(answer.class_of, Int16Array), held_out: numbersIn(answer.held_out, Uint8Array) })));
const pictureAddress = (i, size) => `picture/${i}?size=${size}&v=${data.version}`;

// An origin is where codes come from: a draw, a datum, a file, or the codes in a link.
const originOf = {
  seed: async (seed) => ({ kind: "seed", value: seed, ...(await ask("draw", seed, state.prior)) }),
  data: async (index) => ({ kind: "data", value: index, ...(await ask("datum", index)) }),
};
// Draws one level anew, given the others.
const redrawn = async (noise, level) => (await ask("redraw", noise, level, anySeed(), state.prior)).noise[level - 1];
const originName = (origin) =>
  ({
    seed: `a random draw (seed ${origin.value})`,
    data: `image ${origin.value} of the data`,
    upload: `your picture ${origin.value}`,
    codes: "codes from a link",
    levels: "the picture in Levels",
    mix: "a mix of A and B",
    map: "a point of the map",
  })[origin.kind];
const copied = (noise) => noise.map((level) => [...level]);
const asReference = (origin) => (["seed", "data"].includes(origin?.kind) ? `${origin.kind}:${origin.value}` : null);
const asText = (noise) => noise.map((level) => level.map(round).join(",")).join(";");

const asSide = (origin) => asReference(origin) ?? `codes:${asText(origin.noise)}`;

const fromReference = async (text) => {
  const [kind, value] = (text ?? "").split(":");
  if (kind === "codes") return { kind, value: "", noise: fromText(value) };
  return kind in originOf && /^\d+$/.test(value) ? originOf[kind](Number(value)) : null;
};
const fromText = (text) => {
  const noise = text.split(";").map((level) => (level ? level.split(",").map(Number) : []));
  const fits = noise.length === run.sizes.length && noise.every((level, i) => level.length === run.sizes[i]);
  if (!fits || noise.flat().some((value) => !Number.isFinite(value)))
    throw new Error(`The codes in this link are not those of the run ${run.name}.`);
  return noise;
};

const link = () => {
  const parts = { run: run.name, tab: state.tab, seed: state.seed, codes: asText(state.noise) };
  if (asReference(state.origin)) parts.from = asReference(state.origin);
  if (state.a) parts.a = asSide(state.a);
  if (state.b) parts.b = asSide(state.b);
  if (state.prior !== "fitted") parts.prior = state.prior;
  if (state.drawn.some(Boolean)) parts.drawn = asText(state.drawn.map((code) => code ?? []));
  if (state.whose.some(Boolean)) parts.mix = state.whose.map(round).join(",");
  const hash = Object.entries(parts).map(([name, value]) => `${name}=${encodeURIComponent(value).replace(/%(2C|3B|3A)/g, decodeURIComponent)}`);
  return `${location.href.split("#")[0]}#${hash.join("&")}`;
};
const writeLink = soon(() => history.replaceState(history.state, "", link()), 250);

const restore = async () => {
  const parts = new URLSearchParams(location.hash.slice(1));
  state.tab = parts.get("tab") ?? "levels";
  state.seed = Number.parseInt(parts.get("seed"), 10) || 0;
  if (parts.get("run") && parts.get("run") !== run.name)
    throw new Error(`This link is of the run ${parts.get("run")}; here is ${run.name}.`);
  if (parts.get("prior") === "standard") state.prior = "standard";
  if (parts.get("from")) state.origin = await fromReference(parts.get("from"));
  if (parts.get("codes")) {
    const noise = fromText(parts.get("codes"));
    state.origin ??= { kind: "codes", value: "", noise };
    state.noise = copied(noise);
  }
  state.whose = (parts.get("mix") ?? "").split(",").map((part) => Math.min(1, Math.max(0, Number(part) || 0)));
  state.drawn = (parts.get("drawn") ?? "").split(";").map((code, place) => {
    const values = code.split(",").map(Number);
    return values.length === run.sizes[place] && code && values.every(Number.isFinite) ? values : null;
  });
  state.a = await fromReference(parts.get("a"));
  state.b = await fromReference(parts.get("b"));
};

const copyText = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers allow the clipboard only for safe addresses. This old way works for all.
    const area = make("textarea", {});
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};
const asJson = async () => {
  const { codes } = await ask("codes", state.noise);
  return JSON.stringify({ run: run.name, seed: state.seed, from: asReference(state.origin), noise: state.noise, codes });
};

// Opens a window to choose a datum. Resolves to its number, or null.
const choose = async (title) => {
  await allData();
  const page = 96;
  let first = 0;
  return new Promise((resolve) => {
    const tiles = make("div", { class: "tiles" });
    const where = make("span", { class: "quiet" });
    const done = (value) => {
      resolve(value);
      dialog.close();
    };
    const show = (start) => {
      first = Math.max(0, Math.min(start, Math.floor((data.num - 1) / page) * page));
      const last = Math.min(first + page, data.num);
      where.textContent = `${first}–${last - 1} of ${data.num}`;
      tiles.replaceChildren(...Array.from({ length: last - first }, (_, i) => datumTile(first + i, done)));
    };
    const dialog = make(
      "dialog",
      { class: "vlae chooser", "aria-label": title, onclose: () => (dialog.remove(), resolve(null)) },
      make("div", { class: "bar" }, make("h3", { text: title }), button("Close", () => done(null))),
      tiles,
      make("div", { class: "bar" }, button("Back", () => show(first - page)), where, button("More", () => show(first + page))),
    );
    show(0);
    document.body.append(dialog);
    dialog.showModal();
  });
};
const describeDatum = (i) => {
  const label = data.labels[data.class_of[i]];
  return [`image ${i}`, data.names[i], label].filter(Boolean).join(", ");
};
const datumTile = (i, action) => {
  const picture = make("img", { src: pictureAddress(i, 64), alt: "", loading: "lazy" });
  return make("button", { type: "button", class: "tile", title: describeDatum(i), "aria-label": describeDatum(i), onclick: () => guarded(() => action(i)) }, picture);
};
