// Colours of data by what is known of them, which stay apart for the colour-blind, on white and on black.

// Ten colours for classes, by Petroff (2021), "Accessible color sequences for data visualization".
const CLASS_COLOURS = [[63, 144, 218], [255, 169, 14], [189, 31, 1], [148, 164, 162], [131, 45, 182], [169, 107, 89], [231, 99, 0], [185, 172, 112], [113, 117, 129], [146, 218, 221]];
const BINS = 32; // of a number
const dark = matchMedia("(prefers-color-scheme: dark)");
const pale = () => (dark.matches ? [84, 92, 110] : [205, 209, 216]); // a value that is missing, or of no class that has a colour
const inCss = (colour) => `rgb(${colour.join(",")})`;

const blend = (t) => {
  // Dark blue over green to yellow, as viridis: light grows with the value. The end that is like the page is left out.
  const stops = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const [first, last] = dark.matches ? [0.14, 1] : [0, 0.92];
  const at = Math.min(0.9999, first + Math.min(1, Math.max(0, t)) * (last - first)) * (stops.length - 1);
  const [low, high] = [stops[Math.floor(at)], stops[Math.floor(at) + 1]];
  return low.map((value, i) => Math.round(value + (at % 1) * (high[i] - value)));
};

// Returns the place of each datum in a palette, the palette, and what the legend says: for each entry its place, name.
const byClass = (names, classOf) => {
  const counts = names.map(() => 0);
  for (const kind of classOf) if (kind >= 0) counts[kind]++;
  const largest = names.map((_, kind) => kind).filter((kind) => counts[kind]).sort((a, b) => counts[b] - counts[a] || a - b);
  const coloured = largest.slice(0, CLASS_COLOURS.length).sort((a, b) => a - b);
  const [others, unknown] = [coloured.length, coloured.length + 1];
  const placeOf = names.map((_, kind) => (coloured.includes(kind) ? coloured.indexOf(kind) : others));
  const places = Uint8Array.from(classOf, (kind) => (kind < 0 ? unknown : placeOf[kind]));
  const entries = coloured.map((kind, place) => ({ place, name: names[kind] }));
  if (largest.length > coloured.length) entries.push({ place: others, name: `${largest.length - coloured.length} others` });
  if (places.includes(unknown)) entries.push({ place: unknown, name: "not known" });
  return { places, palette: [...CLASS_COLOURS.slice(0, coloured.length), pale(), pale()], entries };
};
const byNumber = (values) => {
  const sorted = values.filter((value) => value != null).sort((a, b) => a - b);
  const [low, high] = [0.02, 0.98].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
  const bin = (value) => Math.min(BINS - 1, Math.max(0, Math.floor(((value - low) / (high - low || 1)) * BINS)));
  const places = Uint8Array.from(values, (value) => (value == null ? BINS : bin(value)));
  const entries = [{ place: 0, name: `low (${low.toPrecision(2)})` }, { place: BINS / 2, name: "" }, { place: BINS - 1, name: `high (${high.toPrecision(2)})` }];
  if (places.includes(BINS)) entries.push({ place: BINS, name: "not known" });
  const palette = Array.from({ length: BINS }, (_, i) => blend(i / (BINS - 1)));
  return { places, palette: [...palette, pale()], entries: entries.map((entry) => ({ ...entry, scale: true })) };
};
const byNothing = (num) => ({ places: new Uint8Array(num), palette: [CLASS_COLOURS[0]], entries: [] });
