// Map: every picture of the collection where one level's code puts it; a click shows the picture and decodes the place.

const map = { level: null, method: "pca", colour: "", asked: 0, centre: null, directions: null, noise: null, known: {} };
const decoded = pictureOf("decoded from here", { id: "decoded" });
const nearest = pictureOf("nearest picture", { id: "nearest" });
const mapWords = make("p", { class: "quiet" });
const mapWait = make("p", { class: "quiet", role: "status" });
const legend = make("div", { class: "legend", role: "group", "aria-label": "Colours; a button selects what has its colour" });
const chosenOnes = make("section", { class: "selected", "aria-label": "The selected pictures" });
const SHOWN = 60; // of the selected
let plot;
let toPlane;

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
  decoded.figure.hidden = !centre;
  mapWords.textContent = centre
    ? `Level ${map.level} comes from this place. All other levels come from the picture in Levels.`
    : "Only PCA can turn a place back into a code. The nearest picture is shown.";
  drawDecoded();
};
const openDatum = async (number) => (setOrigin(await originOf.data(number)), openTab("levels"));

// The selection. What is selected here is told to the other tabs, and theirs is shown here.
const showSelected = (numbers) => {
  const words = `${numbers.length} selected${numbers.length > SHOWN ? `, the first ${SHOWN} are shown` : ""}`;
  chosenOnes.hidden = !numbers.length;
  chosenOnes.replaceChildren(
    make("div", { class: "bar" }, make("h3", { text: words }), button("Select nothing", () => plot.selectOnly([]))),
    make("div", { class: "tiles" }, ...numbers.slice(0, SHOWN).map((number) => datumTile(number, () => plot.choose(number)))),
  );
};
const tellSelected = (numbers) => {
  showSelected(numbers);
  document.dispatchEvent(new CustomEvent("vlae-select", { detail: { numbers, from: "map" } }));
};
document.addEventListener("vlae-select", ({ detail }) => {
  if (detail.from === "map" || !plot) return;
  plot.set(detail.numbers);
  showSelected(detail.numbers);
});

const colouring = () => {
  if (map.colour === "label") return byClass(data.labels, data.class_of);
  if (map.colour === "held out") return byClass(["training", "held out"], data.held_out);
  const column = map.known[map.colour];
  if (!column) return byNothing(data.num);
  return column.classes ? byClass(column.classes, column.values.map((value) => value ?? -1)) : byNumber(column.values);
};
const paint = () => {
  const made = colouring();
  plot.setColours(made);
  legend.replaceChildren(
    ...made.entries.map(({ place, name, scale }) => {
      const swatch = make("i", { style: `background:${inCss(made.palette[place])}` });
      const members = () => [...made.places.keys()].filter((i) => made.places[i] === place);
      return scale ? make("span", {}, swatch, name) : make("button", { type: "button", title: `Select: ${name}`, onclick: () => plot.selectOnly(members()) }, swatch, name);
    }),
  );
};

// Says how far the reading and encoding is while an answer that needs it is not there yet.
const waitingFor = async (answer) => {
  const doing = { reading: "Reading the collection", encoding: "Encoding the pictures", comparing: "Comparing the pictures" };
  const tick = setInterval(async () => {
    const { phase, done, num } = await ask("progress").catch(() => ({}));
    mapWait.textContent = doing[phase] ? `${doing[phase]}${num ? `: ${done} of ${num}` : ""}…` : mapWait.textContent;
  }, 1000);
  try {
    return await answer;
  } finally {
    clearInterval(tick);
  }
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
    if (answer.n) plot.choose(before ?? 0);
    mapWait.textContent = "";
  };
  const quick = run.levels.find((other) => other.level === map.level).dimensions.length > 2 ? "pca" : "code";
  mapWait.textContent = "Placing the pictures…";
  await waitingFor(allData());
  const first = await waitingFor(ask("positions", map.level, quick));
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
  map.level = run.levels[run.levels.length - 1].level;
  plot = plotOf({ label: "Map of the pictures", describe: describeDatum, address: pictureAddress, onplace: placed, onopen: (number) => guarded(() => openDatum(number)), onselect: tellSelected });
  const ways = [["pca", "its code, or two directions of it (PCA)"], ["tsne", "by neighbourhood (t-SNE)"]];
  if (run.umap) ways.push(["umap", "by neighbourhood (UMAP)"]);
  const controls = make("div", { class: "controls" },
    select("Placed by", run.levels.map((level) => [String(level.level), titleOf(level)]), String(map.level), (value) => {
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
  }, { "aria-pressed": false, title: "Draw around pictures to select them; or hold Shift and draw" });
  const press = (text, key, words) => button(text, () => plot.press(key), { "aria-label": words, title: words });
  root.append(
    make("p", { class: "lead", text: "Every picture lies where one level's code puts it. Neighbours share the features of that level, and may differ in all others. Click anywhere; drag and scroll to look closer." }),
    controls,
    make("div", { class: "mapped" },
      make("section", {},
        make("div", { class: "buttons tools" }, press("+", "+", "Zoom in"), press("−", "-", "Zoom out"), press("All", "0", "Show all"), lasso),
        ...plot.elements, mapWait, legend, chosenOnes),
      make("section", { class: "place" }, make("div", { class: "pair" }, decoded.figure, nearest.figure), mapWords,
        make("div", { class: "buttons" },
          button("Open the decoded in Levels", () => map.noise && (setOrigin({ kind: "map", value: "", noise: map.noise }), openTab("levels"))),
          button("Open the picture in Levels", () => openDatum(plot.chosen())),
          button("Save the map", () => save(plot.picture(), fileName("map", map.level))),
          button("Save the decoded", () => save(decoded.image.src, fileName("decoded"))))),
    ));
  chosenOnes.hidden = true;
  dark.addEventListener("change", () => data && paint());
  allData().then(async () => {
    map.colour = data.labels.length ? "label" : "";
    const names = [...(data.labels.length ? ["label"] : []), "held out"];
    const choice = select("Coloured by", [["", "nothing"], ...names.map((name) => [name, name])], map.colour, (value) => {
      map.colour = value;
      paint();
    });
    controls.append(choice);
    const { label, ...known } = (await ask("known")).known;
    map.known = known;
    choice.querySelector("select").append(...Object.keys(known).map((name) => make("option", { value: name, text: name })));
  }).catch(tell);
};
const startMap = () => askMap();
