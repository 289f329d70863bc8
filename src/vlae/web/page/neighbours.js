// Neighbours: the data nearest to one, by each level alone, and what each shares with it.

const asked = pictureOf("this one", { id: "asked" });
const rows = make("div", { class: "nearest" });
let question = null; // an origin

const drawNeighbours = latest(async () => {
  await allData();
  asked.image.src = question.original ?? (await ask("picture", question.noise)).picture;
  asked.figure.querySelector("figcaption").textContent = originName(question);
  await encoded();
  const answer = await ask("neighbours", question.noise, question.kind === "data" ? question.value : -1);
  rows.replaceChildren(
    ...answer.levels.map(({ level, images, reasons }) => {
      const described = run.levels.find((other) => other.level === level);
      const tiles = images.map((i, k) =>
        make("figure", {},
          datumTile(i, async (index) => askAbout(await originOf.data(index))),
          make("figcaption", {}, make("span", { class: "name", text: baseName(i) }), make("span", { class: "because", text: reasons[k][0].words }))));
      return make("div", { class: "row" },
        make("span", { class: "name" }, make("span", { class: "badge", text: `Level ${level}` }), ` ${described.title}`),
        make("div", { class: "strip" }, ...tiles),
        make("span", { class: "buttons" },
          button("All…", () => showAll([level]), { class: "link", "aria-label": `Show all, the nearest by level ${level} first` }),
          button("Save", async () => save(await sideBySide(images), fileName("nearest-by-level", level)), { class: "link", "aria-label": `Save the nearest by level ${level}` })));
    }),
  );
});
const sideBySide = async (images) => {
  const pictures = images.map((i) => Object.assign(new Image(), { src: pictureAddress(i, 64) }));
  await Promise.all(pictures.map((picture) => picture.decode()));
  const sheet = make("canvas", {});
  const [{ naturalWidth: width, naturalHeight: height }] = pictures;
  [sheet.width, sheet.height] = [width * images.length, height];
  pictures.forEach((picture, place) => sheet.getContext("2d").drawImage(picture, place * width, 0));
  return sheet.toDataURL();
};
const askAbout = (origin) => {
  question = origin;
  drawNeighbours();
};
const showAll = (levels) => showNearestTo(question, levels);

const buildNeighbours = (root) => {
  const fromData = async () => {
    const index = await choose("Choose one of the data");
    if (index !== null) askAbout(await originOf.data(index));
  };
  root.append(
    make("p", { class: "lead", text: `Which ${thing(2)} are nearest to this one? Each level has its own answer: the ${thing(2)} in a row share the features of that level. Click one to see its neighbours.` }),
    make("div", { class: "neighbours" },
      make("section", { class: "side" }, asked.figure,
        make("div", { class: "buttons" },
          button("From the data…", fromData, { "aria-label": "Choose one of the data" }),
          button("From Levels", () => askAbout({ kind: "levels", value: "", noise: copied(state.noise) }), { title: "The picture of the tab Levels" }),
          isPictures() ? uploader("Upload…", (answer, name) => askAbout({ kind: "upload", value: name, ...answer })) : null,
          button("By all levels…", () => showAll(readLevels().map((level) => level.level)), { title: "The nearest by all levels together" }),
          button("Open in Levels", () => (setOrigin(question), openTab("levels"))))),
      rows));
};
const startNeighbours = async () => {
  const ready = await allData();
  askAbout(state.origin.kind === "data" || ready.num === 0 ? state.origin : await originOf.data(0));
};
