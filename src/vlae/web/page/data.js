// The collection: what is known of each picture, its small and its large copy, and how far the server has got.

let data; // names, classes and parts of all data
let dataAsked;
let knownAsked;

const allData = () =>
  (dataAsked ??= ask("data").then((answer) => {
    data = { ...answer, class_of: numbersIn(answer.class_of, Int32Array), part: numbersIn(answer.part, Uint8Array) };
    document.dispatchEvent(new CustomEvent("vlae-data"));
    return data;
  }));
// Factors and statistics of all data, by name.
const knownData = () => (knownAsked ??= ask("known").then((answer) => answer.known));

// The levels whose codes pictures tell, so that data can be placed, compared and told apart by them.
const readLevels = () => run.levels.filter((level) => !level.unread);
const isPictures = () => run.shape.length === 3;
const thing = (num = 1) => (isPictures() ? (num === 1 ? "picture" : "pictures") : num === 1 ? "row" : "rows");
const counted = (num) => `${num.toLocaleString("en")} ${thing(num)}`;
const nameOf = (i) => data?.names[i] ?? `${thing()} ${i}`;
const baseName = (i) => nameOf(i).split("/").pop();
const labelOf = (i) => data?.labels[data.class_of[i]] ?? "";
const PARTS = ["", "training", "held out"];
const partOf = (i) => PARTS[data?.part[i] ?? 0];
const describeDatum = (i) => [nameOf(i), labelOf(i)].filter(Boolean).join(", ");

// What is shown of picture i: up to the model's own size as the model sees it, beyond as it is.
const pictureAddress = (i, size) => `picture/${i}?size=${size}${data ? `&v=${data.version}` : ""}`;

// A place that shows that a picture is coming, and then the picture.
const shown = (i, size) => {
  const image = make("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false" });
  const box = make("span", { class: "shown" }, image);
  image.addEventListener("load", () => box.classList.add("there"));
  image.addEventListener("error", () => box.classList.add("missing"));
  image.src = pictureAddress(i, size);
  return box;
};
const datumTile = (i, action) =>
  make("button", { type: "button", class: "tile", title: describeDatum(i), "aria-label": describeDatum(i), onclick: () => guarded(() => action(i)) }, shown(i, 64));

// How far the server has got with the codes of all data.
const phases = ["reading", "encoding", "comparing", "done"];
const doing = { reading: "Reading the data", encoding: "Encoding", comparing: "Comparing with what the model makes of" };
const progressBar = make("progress", { max: 1, "aria-hidden": "true" });
const progressWords = make("span", {});
const progressLine = make("p", { class: "progress quiet", role: "status", hidden: true }, progressWords, progressBar);
let phase = "reading";
let waiting = [];
let failure = null; // why the rest is not computed
const reached = (wanted) =>
  new Promise((resolve, reject) => {
    if (failure) reject(failure);
    else if (phases.indexOf(phase) >= phases.indexOf(wanted)) resolve();
    else waiting.push({ wanted, resolve, reject });
  });
const encoded = () => reached("comparing");
const compared = () => reached("done");
const watchProgress = async () => {
  try {
    while (phase !== "done") {
      const answer = await ask("progress");
      phase = answer.phase;
      progressLine.hidden = phase === "done";
      progressWords.textContent = phase === "done" ? "" : phase === "reading" ? "Reading the data…" : `${doing[phase]} ${counted(answer.num)}: ${Math.floor((100 * answer.done) / Math.max(1, answer.num))} %`;
      if (phase === "reading") progressBar.removeAttribute("value");
      else progressBar.value = answer.done / Math.max(1, answer.num);
      waiting = waiting.filter((one) => (phases.indexOf(phase) >= phases.indexOf(one.wanted) ? one.resolve() : true));
      if (phase !== "done") await new Promise((next) => setTimeout(next, 600));
    }
  } catch (error) {
    failure = error;
    progressLine.hidden = true;
    waiting.forEach((one) => one.reject(error));
    waiting = [];
  }
};

// Opens a window to choose a datum. Resolves to its number, or null.
const choose = async (title) => {
  await allData();
  const page = 96;
  return new Promise((resolve) => {
    const tiles = make("div", { class: "tiles" });
    const where = make("span", { class: "quiet", role: "status" });
    const search = make("input", { type: "search", placeholder: "name or label", "aria-label": "Name or label", class: "field" });
    let matching = [];
    let first = 0;
    const done = (value) => {
      resolve(value);
      dialog.close();
    };
    const show = (start) => {
      first = Math.max(0, Math.min(start, Math.floor((matching.length - 1) / page) * page));
      const last = Math.min(first + page, matching.length);
      where.textContent = matching.length ? `${first + 1}–${last} of ${matching.length}` : "none has this name";
      tiles.replaceChildren(...matching.slice(first, last).map((i) => datumTile(i, done)));
    };
    const find = () => {
      const text = search.value.toLowerCase();
      matching = [];
      for (let i = 0; i < data.num; i++) if (!text || describeDatum(i).toLowerCase().includes(text)) matching.push(i);
      show(0);
    };
    search.addEventListener("input", find);
    const dialog = make(
      "dialog",
      { class: "vlae chooser", "aria-label": title, onclose: () => (dialog.remove(), resolve(null)) },
      make("div", { class: "bar" }, make("h3", { text: title }), search, button("Close", () => done(null))),
      tiles,
      make("div", { class: "bar" }, button("Back", () => show(first - page)), where, button("More", () => show(first + page))),
    );
    find();
    document.body.append(dialog);
    dialog.showModal();
  });
};
