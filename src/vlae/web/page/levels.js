// Levels: one picture, large; for each level what it changes, and a slider for each number of its code.

const live = pictureOf("the picture being made", { id: "live" });
const originLine = make("p", { class: "quiet", id: "origin" });
const trio = make("div", { class: "trio", hidden: true });
const sliders = []; // for each level (by its place in the noise), its sliders by number
const strips = {}; // for each level, the element that shows its pictures
let showPrior = () => {};
const stale = new Set(); // the levels whose strips must be drawn again

const drawLive = latest(async () => {
  const { picture } = await ask("picture", state.noise);
  live.image.src = picture;
  await live.image.decode();
});
const drawStrips = latest(async () => {
  const wanted = [...stale];
  stale.clear();
  const answer = await ask("strips", state.noise, wanted, state.seed, state.prior);
  answer.strips.forEach((strip) => strips[strip.level].show(strip));
});
const stripsSoon = soon(drawStrips, 160);

// A level's own strip does not depend on its own code; all others do.
const touched = (level = null) => {
  run.levels.filter((other) => other.level !== level).forEach((other) => stale.add(other.level));
  drawLive();
  stripsSoon();
  writeLink();
};

const showCodes = () => {
  sliders.forEach((ofLevel, place) => ofLevel.forEach((slider, number) => slider.show(state.noise[place][number])));
  Object.values(strips).forEach((strip) => strip.mark());
};
const setLevel = (level, code) => {
  state.noise[level - 1] = [...code];
  showCodes();
  touched(level);
};
const setOrigin = (origin, noise = origin.noise) => {
  state.origin = origin;
  state.noise = copied(noise);
  showPrior();
  originLine.textContent = `Started from ${originName(origin)}.`;
  trio.hidden = !origin.original;
  if (origin.original) showTrio(origin);
  showCodes();
  touched();
};

const showTrio = (origin) => {
  const labels = { original: "original", reconstruction: "reconstruction", difference: "difference" };
  trio.replaceChildren(
    ...Object.entries(labels).map(([name, label]) => {
      const { image, figure } = pictureOf(label);
      image.src = origin[name];
      figure.append(button("Save", () => save(origin[name], fileName(name)), { class: "link", "aria-label": `Save: ${label}` }));
      return figure;
    }),
    make("p", { class: "quiet", text: `Black in the difference means no error. ${isPictures() ? "Mean squared error" : "Error in standard deviations"} ${origin.mse.toFixed(4)}.` }),
  );
};

const newDraw = async () => {
  state.seed = anySeed();
  setOrigin(await originOf.seed(state.seed));
};
const startFromData = async () => {
  const index = await choose("Start from one of the data");
  if (index !== null) setOrigin(await originOf.data(index));
};

const slider = (level, dimension, most) => {
  const input = make("input", {
    type: "range",
    min: -4,
    max: 4,
    step: 0.05,
    "aria-label": `Level ${level.level}, dimension ${dimension.number + 1}`,
  });
  const output = make("output", {});
  const share = Math.max(0.02, dimension.nats / Math.max(most, 1e-9));
  input.addEventListener("input", () => {
    state.noise[level.level - 1][dimension.number] = Number(input.value);
    output.textContent = Number(input.value).toFixed(2);
    strips[level.level].mark();
    touched(level.level);
  });
  const show = (value) => {
    input.value = value;
    output.textContent = value.toFixed(2);
  };
  const carries = make("span", { class: "carries", title: `carries ${dimension.nats.toFixed(2)} nats`, style: `--share: ${share}` });
  const row = make("label", { class: "slider" }, make("span", { class: "name", text: dimension.number + 1 }), input, output, carries);
  return { row, show };
};

// A strip: pictures side by side, each a button that takes its code.
const stripOf = (level) => {
  const element = make("div", { class: "strip" });
  let sheet;
  const show = (strip) => {
    sheet = strip.sheet;
    const tiles = strip.codes.map((code, i) => {
      const words = `Level ${level.level}: take the code of picture ${i + 1}`;
      const tile = make("button", { type: "button", class: "tile", title: "Take this code", "aria-label": words, onclick: () => setLevel(level.level, code) });
      return onSheet(tile, strip.sheet, i, strip.codes.length);
    });
    element.replaceChildren(...tiles);
  };
  return { element, show, mark: () => {}, sheet: () => sheet };
};

// A pad: pictures of the whole plane of a code of two dimensions. The mark is at the code.
const padOf = (level) => {
  const mark = make("span", { class: "mark" });
  const words = `Level ${level.level}: both dimensions at once; arrow keys move the mark`;
  const element = make("div", { class: "pad", tabindex: 0, role: "application", "aria-label": words }, mark);
  const half = (run.span * run.pad) / (run.pad - 1); // the middles of the outer pictures lie at the span
  let sheet;
  const place = (x, y) => setPad([x, y].map((value) => round(Math.min(half, Math.max(-half, value)))));
  const setPad = (code) => {
    state.noise[level.level - 1] = code;
    code.forEach((value, number) => sliders[level.level - 1][number].show(value));
    moveMark();
    touched(level.level);
  };
  const moveMark = () => {
    const [x, y] = state.noise[level.level - 1].map((value) => Math.min(half, Math.max(-half, value)));
    mark.style.left = `${50 + (50 * x) / half}%`;
    mark.style.top = `${50 - (50 * y) / half}%`;
  };
  const follow = (event) => {
    const box = element.getBoundingClientRect();
    place(((event.clientX - box.left) / box.width) * 2 * half - half, half - ((event.clientY - box.top) / box.height) * 2 * half);
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    follow(event);
  });
  element.addEventListener("pointermove", (event) => event.buttons && follow(event));
  element.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
    if (!x && !y) return;
    event.preventDefault();
    const code = state.noise[level.level - 1];
    place(code[0] + x * 0.1, code[1] + y * 0.1);
  });
  const show = (strip) => {
    sheet = strip.sheet;
    element.style.backgroundImage = `url(${sheet})`;
  };
  return { element, show, mark: moveMark, sheet: () => sheet };
};

const levelPanel = (level, most) => {
  const place = level.level - 1;
  sliders[place] = [];
  const two = level.dimensions.length === 2;
  strips[level.level] = two ? padOf(level) : stripOf(level);
  const rows = level.dimensions.map((dimension) => {
    const made = slider(level, dimension, most);
    sliders[place][dimension.number] = made;
    return { dead: dimension.dead, row: made.row };
  });
  const alive = rows.filter((row) => !row.dead).map((row) => row.row);
  const dead = rows.filter((row) => row.dead).map((row) => row.row);
  const folded = make("details", {}, make("summary", { text: level.unread ? `${dead.length} numbers: ${level.unread}` : `${dead.length} ${dead.length > 1 ? "numbers that carry" : "number that carries"} next to nothing` }), ...dead);
  const copyFrom = async () => {
    const index = await choose(`Copy level ${level.level} from one of the data`);
    if (index !== null) setLevel(level.level, (await originOf.data(index)).noise[place]);
  };
  const hint = two
    ? `The plane of its two numbers. Only level ${level.level} changes here: drag the mark.`
    : `Only level ${level.level} changes here. Click a picture to take its code.`;
  return make(
    "article",
    { class: `level${level.dead ? " dead" : ""}`, id: `level-${level.level}` },
    make("h3", {}, make("span", { class: "badge", text: `Level ${level.level}` }), ` ${level.title}`),
    make("p", { class: "quiet", text: level.sentence }),
    make("div", { class: "body" },
      make("div", { class: "seen" }, strips[level.level].element, make("p", { class: "hint", text: hint })),
      make("div", { class: "sliders" }, ...alive, dead.length ? folded : null),
    ),
    make("div", { class: "buttons" },
      button("Resample", async () => setLevel(level.level, await redrawn(state.noise, level.level)), { title: "Draw a new code for this level, as the others let expect; keep them" }),
      button("Reset", () => setLevel(level.level, state.origin.noise[place]), { title: "Back to the code it started with" }),
      button("Copy from an image…", copyFrom, { title: "Take this level's code from another image" }),
      button("Save", () => save(strips[level.level].sheet(), fileName("level", level.level)), { "aria-label": `Save what level ${level.level} changes as a picture` }),
    ),
  );
};

// What random codes are drawn from, if there is a choice.
const priorChoice = () => {
  if (!run.prior) return null;
  const input = make("input", { type: "checkbox" });
  input.addEventListener("change", () => {
    state.prior = input.checked ? "standard" : "fitted";
    touched();
  });
  showPrior = () => (input.checked = state.prior === "standard");
  const title = `Random codes are drawn from ${run.prior}, which fits those of the training data. Tick to draw from N(0, I).`;
  return make("label", { class: "quiet choice", title }, input, " draw codes from N(0, I), which fits them worse");
};

const buildLevels = (root) => {
  const most = Math.max(...run.levels.flatMap((level) => level.dimensions.map((dimension) => dimension.nats)));
  const note = run.measured
    ? null
    : make("p", { class: "note", text: `The levels have not been measured yet. The command vlae evaluate ${run.path} measures and names them.` });
  root.append(...run.alarms.map((text) => make("p", { class: "note", text })));
  root.append(
    make("p", { class: "lead", text: "The model draws a picture from a few numbers. They are sorted into levels: level 1 has the simplest features, the last level the most complex. Move a slider to see what its number changes." }),
    make("div", { class: "studio" },
      make("section", { class: "stage" },
        live.figure,
        originLine,
        make("div", { class: "buttons" },
          button("New random draw", newDraw, { class: "action first" }),
          button("From the data…", startFromData),
          isPictures() ? uploader("Upload a picture…", (answer, name) => setOrigin({ kind: "upload", value: name, ...answer })) : null,
          button("Reset all", () => setOrigin(state.origin)),
          button("Save", () => save(live.image.src, fileName("picture")), { "aria-label": "Save the picture" }),
        ),
        priorChoice(),
        trio,
      ),
      make("section", { class: "panels" }, note,
        make("p", { class: "hint", text: "Every slider is one number of a level's code, in standard deviations. The bar at its right shows its rate. The highest rate comes first." }),
        ...run.levels.map((level) => levelPanel(level, most))),
    ),
  );
};
