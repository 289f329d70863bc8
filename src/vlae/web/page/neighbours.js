// Neighbours: the images nearest to one, by each level alone.

const asked = pictureOf("this image", { id: "asked" });
const rows = make("div", { class: "nearest" });
let question = null; // an origin

const drawNeighbours = latest(async () => {
  await allData();
  asked.image.src = question.original ?? (await ask("picture", question.noise)).picture;
  asked.figure.querySelector("figcaption").textContent = originName(question);
  const answer = await ask("neighbours", question.noise, question.kind === "data" ? question.value : -1);
  rows.replaceChildren(
    ...answer.levels.map(({ level, images }) => {
      const described = run.levels.find((other) => other.level === level);
      const tiles = images.map((i) => datumTile(i, async (index) => askAbout(await originOf.data(index))));
      return make("div", { class: "row" },
        make("span", { class: "name" }, make("span", { class: "badge", text: `Level ${level}` }), ` ${described.title}`),
        make("div", { class: "strip" }, ...tiles),
        button("Save", () => save(sideBySide(images), fileName("nearest-by-level", level)), { class: "link", "aria-label": `Save the nearest by level ${level}` }));
    }),
  );
});
const sideBySide = (images) => {
  const [height, width] = data.tile;
  const canvas = make("canvas", {});
  canvas.width = width * images.length;
  canvas.height = height;
  images.forEach((i, place) => canvas.getContext("2d").drawImage(cut(data.image, i, data.columns, data.rows), place * width, 0));
  return canvas.toDataURL();
};
const askAbout = (origin) => {
  question = origin;
  drawNeighbours();
};

const buildNeighbours = (root) => {
  const fromData = async () => {
    const index = await choose("Choose an image");
    if (index !== null) askAbout(await originOf.data(index));
  };
  root.append(
    make("p", { class: "lead", text: "Which images are nearest to this one? Each level has its own answer: the images in a row share the features of that level. Click an image to see its neighbours." }),
    make("div", { class: "neighbours" },
      make("section", { class: "side" }, asked.figure,
        make("div", { class: "buttons" },
          button("From the data…", fromData, { "aria-label": "Choose an image from the data" }),
          button("From Levels", () => askAbout({ kind: "levels", value: "", noise: copied(state.noise) }), { title: "The picture of the tab Levels" }),
          run.shape.length === 3 ? uploader("Upload…", (answer, name) => askAbout({ kind: "upload", value: name, ...answer })) : null,
          button("Open in Levels", () => (setOrigin(question), openTab("levels"))))),
      rows));
};
const startNeighbours = async () => {
  const ready = await allData();
  askAbout(state.origin.kind === "data" || ready.num === 0 ? state.origin : await originOf.data(0));
};
