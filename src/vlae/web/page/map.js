// Map: every picture of the collection where one level's code puts it; a click shows the picture and decodes the place.

const map = { level: null, method: "pca", colour: "", asked: 0, centre: null, directions: null, noise: null, known: {} };
const decoded = pictureOf("decoded from here", { id: "decoded" });
const nearest = pictureOf("nearest", { id: "nearest" });
const mapWords = make("p", { class: "quiet" });
const mapWait = make("p", { class: "quiet", role: "status" });
const legend = make("div", { class: "legend", role: "group", "aria-label": "Colours; a button selects what has its colour" });
const chosenOnes = make("section", { class: "selected", "aria-label": "What is selected" });
const SHOWN = 60; // of the selected
let plot;
let toPlane;

const ofPlace = [
  button("Open the decoded in Levels", () => (setOrigin({ kind: "map", value: "", noise: map.noise }), openTab("levels"))),
  button("Save the decoded", () => save(decoded.image.src, fileName("decoded"))),
];

const drawDecoded = latest(async () => {
  if (!map.noise) return;
  const { picture } = await ask("picture", map.noise);
  decoded.image.src = picture;
  await decoded.image.decode();
});
const placed = (number, place) => {
  const [x, y] = toPlane(place);
  nearest.image.src = pictureAddress(number, 512);
  nearest.image.alt = describeDatum(number);
  nearest.figure.querySelector("figcaption").textContent = describeDatum(number);
  const { centre, directions } = map;
  map.noise = centre && copied(state.noise);
  if (centre) map.noise[map.level - 1] = centre.map((value, i) => round(value + x * directions[0][i] + y * directions[1][i]));
  for (const element of [decoded.figure, ...ofPlace]) element.hidden = !centre;
  mapWords.textContent = centre
    ? `Level ${map.level} comes from this place. All other levels come from the picture in Levels.`
    : `Only PCA can turn a place back into a code. The nearest ${thing()} is shown.`;
  drawDecoded();
};

const showSelected = () => {
  plot.set(selection);
  const numbers = [...selection];
  const words = `${counted(numbers.length)} selected${numbers.length > SHOWN ? `, the first ${SHOWN} are shown` : ""}`;
  chosenOnes.hidden = !numbers.length;
  chosenOnes.replaceChildren(
    make("div", { class: "bar" }, make("h3", { text: words }), button("Select nothing", () => selectOnly([]))),
    make("div", { class: "tiles" }, ...numbers.slice(0, SHOWN).map((number) => datumTile(number, () => plot.choose(number)))),
  );
};
document.addEventListener("vlae-select", () => plot && data && showSelected());

const colouring = () => {
  if (map.colour === "label") return byClass(data.labels, data.class_of);
  if (map.colour === "part") return byClass(PARTS.slice(1), Array.from(data.part, (place) => place - 1));
  const column = map.known[map.colour];
  return column ? byNumber(column) : byNothing(data.num);
};
const paint = () => {
  const made = colouring();
  plot.setColours(made);
  legend.replaceChildren(
    ...made.entries.map(({ place, name, scale }) => {
      const swatch = make("i", { style: `background:${inCss(made.palette[place])}` });
      const members = () => [...made.places.keys()].filter((i) => made.places[i] === place);
      return scale ? make("span", {}, swatch, name) : make("button", { type: "button", title: `Select: ${name}`, onclick: () => plot.select(members()) }, swatch, name);
    }),
  );
};

const METHODS = { pca: "PCA", tsne: "t-SNE", umap: "UMAP" };
const askMap = async () => {
  const asked = ++map.asked;
  const stale = () => asked !== map.asked;
  const show = (answer) => {
    [map.centre, map.directions] = [answer.centre, answer.directions];
    const before = plot.chosen();
    toPlane = plot.setPoints(numbersIn(answer.x, Float32Array), numbersIn(answer.y, Float32Array), answer.axes);
    paint();
    showSelected();
    if (answer.n) plot.choose(before ?? 0);
    mapWait.textContent = "";
  };
  const quick = run.levels.find((other) => other.level === map.level).dimensions.length > 2 ? "pca" : "code";
  await Promise.all([allData(), encoded()]);
  const first = await ask("positions", map.level, quick);
  if (stale()) return;
  show(first);
  if (map.method === "pca") return;
  mapWait.textContent = `${METHODS[map.method]} is being computed, which can take a minute. Until then PCA is shown.`;
  // Nobody waits for it: the page is not busy meanwhile.
  ask("positions", map.level, map.method).then((answer) => stale() || show(answer), (error) => stale() || ((mapWait.textContent = ""), tell(error)));
};

const select = (label, options, chosen, action) => {
  const element = make("select", { onchange: () => guarded(() => action(element.value)) });
  element.append(...options.map(([value, text]) => make("option", { value, text, selected: value === chosen })));
  return make("label", { class: "select" }, make("span", { text: label }), element);
};

const buildMap = (root) => {
  map.level = readLevels().at(-1).level;
  plot = plotOf({ label: `Map of the ${thing(2)}`, describe: describeDatum, address: pictureAddress, onplace: placed, onopen: (number) => openViewer([number], 0), onselect: selectOnly });
  const ways = [["pca", "its code, or two directions of it (PCA)"], ["tsne", "by neighbourhood (t-SNE)"]];
  if (run.umap) ways.push(["umap", "by neighbourhood (UMAP)"]);
  const controls = make("div", { class: "controls" },
    select("Placed by", readLevels().map((level) => [String(level.level), titleOf(level)]), String(map.level), (value) => {
      map.level = Number(value);
      return askMap();
    }),
    select("How", ways, "pca", (value) => {
      map.method = value;
      return askMap();
    }));
  const pictures = make("input", { type: "checkbox", checked: true, onchange: () => plot.setPictures(pictures.checked) });
  controls.append(make("label", { class: "check" }, pictures, "as pictures"));
  const lasso = button("Lasso", () => {
    const on = lasso.getAttribute("aria-pressed") !== "true";
    lasso.setAttribute("aria-pressed", on);
    plot.setLasso(on);
  }, { "aria-pressed": false, title: `Draw around ${thing(2)} to select them; or hold Shift and draw` });
  const press = (text, key, words) => button(text, () => plot.press(key), { "aria-label": words, title: words });
  root.append(
    make("p", { class: "lead", text: `Every ${thing()} lies where one level's code puts it. Neighbours share the features of that level, and may differ in all others. Click anywhere; drag and scroll to look closer.` }),
    controls,
    make("div", { class: "mapped" },
      make("section", {},
        make("div", { class: "buttons tools" }, press("+", "+", "Zoom in"), press("−", "-", "Zoom out"), press("All", "0", "Show all"), lasso),
        ...plot.elements, mapWait, legend, chosenOnes),
      make("section", { class: "place" }, make("div", { class: "pair" }, decoded.figure, nearest.figure), mapWords,
        make("div", { class: "buttons" },
          button(`Look at the ${thing()}`, () => openViewer([plot.chosen()], 0)),
          button(`Open the ${thing()} in Levels`, async () => (setOrigin(await originOf.data(plot.chosen())), openTab("levels"))),
          ...ofPlace,
          button("Save the map", () => save(plot.picture(), fileName("map", map.level))))),
    ));
  chosenOnes.hidden = true;
  dark.addEventListener("change", () => data && paint());
  allData().then(async () => {
    map.colour = data.labels.length ? "label" : "";
    const names = [...(data.labels.length ? ["label"] : []), ...(data.part.some(Boolean) ? ["part"] : [])];
    const choice = select("Coloured by", [["", "nothing"], ...names.map((name) => [name, name])], map.colour, (value) => {
      map.colour = value;
      paint();
    });
    controls.append(choice);
    map.known = await knownData();
    choice.querySelector("select").append(...Object.keys(map.known).map((name) => make("option", { value: name, text: name })));
  }).catch(tell);
};
const startMap = () => askMap();
