// Mix: which levels of a picture come from A, and which from B.

const mixed = pictureOf("the mix", { id: "mixed" });
const sides = {};
const shares = []; // of each level, its slider from A to B and the row that holds it
let everyLevel;
const swaps = make("div", { class: "swaps" });
const paths = make("div", { class: "paths" });
let mixSheets;

const mixNoise = () =>
  state.a.noise.map((code, place) => state.drawn[place] ?? code.map((value, i) => round(value + state.whose[place] * (state.b.noise[place][i] - value))));
const drawMix = latest(async () => {
  if (!state.a || !state.b) return;
  const { picture } = await ask("picture", mixNoise());
  mixed.image.src = picture;
  await mixed.image.decode();
});
// Says from which picture each level comes; drawn levels come from neither.
const setWhose = (whose, drawn = []) => {
  state.whose = whose;
  state.drawn = run.sizes.map((_, place) => drawn[place] ?? null);
  run.levels.forEach((level, i) => {
    shares[i].input.value = whose[level.level - 1];
    shares[i].row.classList.toggle("drawn", state.drawn[level.level - 1] !== null);
  });
  const values = run.levels.map((level) => whose[level.level - 1]);
  everyLevel.value = values.reduce((sum, value) => sum + value, 0) / values.length;
  document.querySelectorAll(".swaps .tile").forEach((tile, i) =>
    tile.classList.toggle("chosen", run.levels.every((level) => !state.drawn[level.level - 1] && whose[level.level - 1] === Number(run.subsets[i].includes(level.level)))));
  drawMix();
  writeLink();
};
const only = (levels, share = 1) => run.sizes.map((_, place) => (levels.includes(place + 1) ? share : 0));

const showSide = async (side) => {
  const origin = state[side];
  sides[side].image.src = origin.original ?? (await ask("picture", origin.noise)).picture;
  sides[side].caption.textContent = `${side.toUpperCase()}: ${originName(origin)}`;
};
const drawSheets = latest(async () => {
  const answer = await ask("mixes", state.a.noise, state.b.noise);
  mixSheets = answer;
  const tiles = run.subsets.map((chosen, i) => {
    const label = chosen.length === 0 ? "A" : chosen.length === run.levels.length ? "B" : `B: ${chosen.join(", ")}`;
    const tile = make("button", { type: "button", class: "tile", "aria-label": chosen.length ? `levels ${chosen.join(", ")} from B` : "all from A", onclick: () => setWhose(only(chosen)) });
    return { k: chosen.length, cell: make("figure", {}, onSheet(tile, answer.swaps, i, run.subsets.length), make("figcaption", { text: label })) };
  });
  const rows = [...new Set(tiles.map((tile) => tile.k))].map((k) =>
    make("div", { class: "row" },
      make("span", { class: "name", text: k === 0 ? "none from B" : k === run.levels.length ? "all from B" : `${k} from B` }),
      make("div", { class: "cells" }, ...tiles.filter((tile) => tile.k === k).map((tile) => tile.cell))));
  swaps.replaceChildren(...rows);
  paths.replaceChildren(
    ...answer.paths.map(({ levels, sheet }) => {
      const all = levels.length > 1;
      const name = all ? "all levels" : titleOf(run.levels.find((level) => level.level === levels[0]));
      const cells = Array.from({ length: answer.steps }, (_, i) => {
        const share = i / (answer.steps - 1);
        const tile = make("button", { type: "button", class: "tile", "aria-label": `${name}, ${Math.round(share * 100)} % of the way to B`, onclick: () => setWhose(only(levels, share)) });
        return onSheet(tile, sheet, i, answer.steps);
      });
      return make("div", { class: "row" },
        make("span", { class: "name", text: name }),
        make("div", { class: "strip" }, ...cells),
        button("Save", () => save(sheet, fileName("path", all ? "all" : levels[0])), { class: "link", "aria-label": `Save the path through ${name}` }));
    }),
  );
  setWhose(state.whose, state.drawn);
});

const setSide = async (side, origin) => {
  state[side] = origin;
  await showSide(side);
  if (state.a && state.b) drawSheets();
  writeLink();
};
const sideOf = (side) => {
  const { image, figure } = pictureOf(side.toUpperCase());
  sides[side] = { image, caption: figure.querySelector("figcaption") };
  const fromData = async () => {
    const index = await choose(`Choose ${side.toUpperCase()}`);
    if (index !== null) await setSide(side, await originOf.data(index));
  };
  return make("section", { class: "side" }, figure,
    make("div", { class: "buttons" },
      button("From the data…", fromData, { "aria-label": `Choose ${side.toUpperCase()} from the data` }),
      button("Random", async () => setSide(side, await originOf.seed(anySeed())), { "aria-label": `Draw ${side.toUpperCase()} at random` }),
      button("From Levels", () => setSide(side, { kind: "levels", value: "", noise: copied(state.noise) }), { title: "The picture of the tab Levels", "aria-label": `Take ${side.toUpperCase()} from the tab Levels` }),
      isPictures() ? uploader("Upload…", (answer, name) => setSide(side, { kind: "upload", value: name, ...answer })) : null));
};

const share = (name, action) => {
  const input = make("input", { type: "range", min: 0, max: 1, step: 0.02, "aria-label": `${name}: from A to B` });
  input.addEventListener("input", () => action(Number(input.value)));
  const row = make("div", { class: "share" }, make("span", { class: "name", text: name }),
    button("A", () => action(0), { "aria-label": `${name} from A` }), input, button("B", () => action(1), { "aria-label": `${name} from B` }));
  return { input, row };
};

const buildMix = (root) => {
  const rows = run.levels.map((level, i) => {
    const own = level.level - 1;
    const but = (all, value) => run.sizes.map((_, place) => (place === own ? value : all[place]));
    const made = share(titleOf(level), (value) => setWhose(but(state.whose, value), but(state.drawn, null)));
    const draw = async () => setWhose(state.whose, but(state.drawn, await redrawn(mixNoise(), level.level)));
    made.row.append(button("Draw", draw, { title: "From neither: a code that fits the other levels", "aria-label": `Draw ${titleOf(level)}` }));
    shares[i] = made;
    return made.row;
  });
  const every = share("All levels", (value) => setWhose(run.sizes.map(() => value)));
  everyLevel = every.input;
  root.append(
    make("p", { class: "lead", text: "Take some levels from picture A and the others from picture B. B gives the features of its levels." }),
    make("div", { class: "mix" },
      sideOf("a"),
      make("section", { class: "middle" }, mixed.figure,
        make("div", { class: "buttons" },
          button("Swap A and B", async () => {
            [state.a, state.b] = [state.b, state.a];
            await Promise.all([showSide("a"), showSide("b")]);
            drawSheets();
          }),
          button("Open in Levels", () => (setOrigin({ kind: "mix", value: "", noise: mixNoise() }), openTab("levels"))),
          button("Save", () => save(mixed.image.src, fileName("mix")), { "aria-label": "Save the mix" }))),
      sideOf("b"),
    ),
    make("section", { class: "shares panel" }, make("h3", { text: "Levels from A or B" }), ...rows, every.row),
    make("section", { class: "panel" }, make("div", { class: "bar" }, make("h3", { text: "Every swap" }), button("Save", () => save(mixSheets.swaps, fileName("swaps")), { class: "link", "aria-label": "Save every swap" })),
      make("p", { class: "quiet", text: "The labels name the levels that come from B. All others come from A. Click a picture to enlarge it." }), swaps),
    make("section", { class: "panel" }, make("h3", { text: "From A to B" }),
      make("p", { class: "quiet", text: "In each row one level moves from A to B, and all others stay at A. In the last row all levels move." }), paths),
  );
};

const startMix = async () => {
  if (state.whose.length !== run.sizes.length) state.whose = only(run.levels.slice(-1).map((level) => level.level));
  const ready = await allData();
  const sideFrom = async (side, index) => state[side] ?? (ready.num > index ? originOf.data(index) : originOf.seed(index));
  [state.a, state.b] = await Promise.all([sideFrom("a", 0), sideFrom("b", 1)]);
  await Promise.all([showSide("a"), showSide("b")]);
  drawMix();
  drawSheets();
};
