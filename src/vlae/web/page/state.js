// The state of the page. It is kept in the browser and in the link.

let run; // the description of the run from the server

const state = { tab: "pictures", seed: 0, prior: "fitted", noise: [], origin: null, a: null, b: null, whose: [], drawn: [] };

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
    data: nameOf(origin.value),
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
  return Object.hasOwn(originOf, kind) && /^\d+$/.test(value) ? originOf[kind](Number(value)) : null;
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
  if (state.whose.length === run.sizes.length) parts.mix = state.whose.map(round).join(",");
  const hash = Object.entries(parts).map(([name, value]) => `${name}=${encodeURIComponent(value).replace(/%(2C|3B|3A)/g, decodeURIComponent)}`);
  return `${location.href.split("#")[0]}#${hash.join("&")}`;
};
const writeLink = soon(() => history.replaceState(history.state, "", link()), 250);

const restore = async () => {
  const parts = new URLSearchParams(location.hash.slice(1));
  state.tab = parts.get("tab") ?? (location.hash.length > 1 ? "levels" : "pictures");
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
  if (parts.has("mix")) state.whose = parts.get("mix").split(",").map((part) => Math.min(1, Math.max(0, Number(part) || 0)));
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
