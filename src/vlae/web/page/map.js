// Map: all data placed by one level's code; a click shows the image that is there, and decodes the place.

const map = { level: null, method: "pca", colour: "", pictures: true, answer: null, cursor: null };
const canvas = make("canvas", { class: "map", tabindex: 0, role: "application", "aria-label": "Map of the data; arrow keys move the cross" });
const legend = make("div", { class: "legend" });
const decoded = pictureOf("decoded from here", { id: "decoded" });
const nearest = pictureOf("nearest image", { id: "nearest" });
const mapWords = make("p", { class: "quiet" });
const KINDS = ["#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#8a8a8a"];
const UNKNOWN = "#d4d4d4"; // a value that is missing
const MARGIN = 42;
let nearestIndex = null;
let mapNoise = null;

const blend = (t) => {
  // Dark blue over green to yellow, as viridis: light grows with the value.
  const stops = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const at = Math.min(0.9999, Math.max(0, t)) * (stops.length - 1);
  const [low, high] = [stops[Math.floor(at)], stops[Math.floor(at) + 1]];
  return `rgb(${low.map((value, i) => Math.round(value + (at % 1) * (high[i] - value))).join(",")})`;
};
const colouring = () => {
  const known = data.known[map.colour];
  if (!known) return { of: () => "#4e79a7", legend: [] };
  const missing = known.values.some((value) => value == null) ? [[UNKNOWN, "not known"]] : [];
  const painted = (colour) => (i) => (known.values[i] == null ? UNKNOWN : colour(known.values[i]));
  if (known.classes) {
    const colour = (kind) => (kind < KINDS.length ? KINDS[kind] : `hsl(${(kind * 137) % 360} 55% 50%)`);
    return { of: painted(colour), legend: [...known.classes.slice(0, 20).map((name, kind) => [colour(kind), name]), ...missing] };
  }
  const sorted = known.values.filter((value) => value != null).sort((x, y) => x - y);
  const [low, high] = [0.02, 0.98].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
  const of = painted((value) => blend((value - low) / (high - low || 1)));
  return { of, legend: [[blend(0), `low (${low.toPrecision(2)})`], [blend(0.5), ""], [blend(1), `high (${high.toPrecision(2)})`], ...missing] };
};

const bounds = () => {
  const around = (k) => {
    const along = map.answer.points.map((point) => point[k]);
    return [Math.min(...along), Math.max(...along, Math.min(...along) + 1e-6)];
  };
  return [around(0), around(1)];
};
const toScreen = (point, box = canvas.getBoundingClientRect()) => {
  const [[left, right], [bottom, top]] = map.bounds;
  return [
    MARGIN + ((point[0] - left) / (right - left)) * (box.width - 2 * MARGIN),
    box.height - MARGIN - ((point[1] - bottom) / (top - bottom)) * (box.height - 2 * MARGIN),
  ];
};
const toPlane = ([x, y], box = canvas.getBoundingClientRect()) => {
  const [[left, right], [bottom, top]] = map.bounds;
  return [
    left + ((x - MARGIN) / (box.width - 2 * MARGIN)) * (right - left),
    bottom + ((box.height - MARGIN - y) / (box.height - 2 * MARGIN)) * (top - bottom),
  ];
};

const drawMap = () => {
  const box = canvas.getBoundingClientRect();
  if (!map.answer || !box.width) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = box.width * scale;
  canvas.height = box.height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.imageSmoothingEnabled = false;
  const { of, legend: entries } = colouring();
  const side = Math.round(Math.max(18, Math.min(34, box.width / 20)));
  const taken = new Set();
  map.answer.points.forEach((point, i) => {
    const [x, y] = toScreen(point, box);
    const cell = `${Math.floor(x / (side + 4))},${Math.floor(y / (side + 4))}`;
    if (map.pictures && !taken.has(cell)) {
      taken.add(cell);
      const [height, width] = data.tile;
      const [w, h] = width > height ? [side, (side * height) / width] : [(side * width) / height, side];
      pen.fillStyle = of(i);
      pen.fillRect(x - w / 2 - 2, y - h / 2 - 2, w + 4, h + 4);
      pen.drawImage(data.image, (i % data.columns) * width, Math.floor(i / data.columns) * height, width, height, x - w / 2, y - h / 2, w, h);
    } else if (!map.pictures) {
      pen.fillStyle = of(i);
      pen.beginPath();
      pen.arc(x, y, 3.2, 0, 7);
      pen.fill();
    }
  });
  pen.fillStyle = pen.strokeStyle = getComputedStyle(canvas).color;
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.fillText(`${map.answer.axes[0]} →`, box.width / 2, box.height - 6);
  pen.save();
  pen.rotate(-Math.PI / 2);
  pen.fillText(`${map.answer.axes[1]} →`, -box.height / 2, 14);
  pen.restore();
  if (map.cursor) {
    const [x, y] = toScreen(map.cursor, box);
    for (const [colour, width] of [["#fff", 4], ["#000", 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.beginPath();
      pen.arc(x, y, 9, 0, 7);
      pen.moveTo(x - 14, y);
      pen.lineTo(x + 14, y);
      pen.moveTo(x, y - 14);
      pen.lineTo(x, y + 14);
      pen.stroke();
    }
  }
  legend.replaceChildren(...entries.map(([colour, name]) => make("span", {}, make("i", { style: `background:${colour}` }), name)));
};

const drawDecoded = latest(async () => {
  if (!mapNoise) return;
  const { picture } = await ask("picture", mapNoise);
  decoded.image.src = picture;
  await decoded.image.decode();
});
const pointAt = (point) => {
  map.cursor = point;
  const [x, y] = toScreen(point);
  const far = map.answer.points.map((other) => {
    const [otherX, otherY] = toScreen(other);
    return (otherX - x) ** 2 + (otherY - y) ** 2;
  });
  nearestIndex = far.indexOf(Math.min(...far));
  nearest.image.src = cut(data.image, nearestIndex, data.columns, data.rows).toDataURL();
  nearest.figure.querySelector("figcaption").textContent = `nearest: ${describeDatum(nearestIndex)}`;
  const { centre, directions } = map.answer;
  mapNoise = centre && copied(state.noise);
  if (centre) mapNoise[map.level - 1] = centre.map((value, i) => round(value + point[0] * directions[0][i] + point[1] * directions[1][i]));
  decoded.figure.hidden = !centre;
  mapWords.textContent = centre
    ? `Level ${map.level} comes from this place. All other levels come from the picture in Levels.`
    : "UMAP cannot turn a place back into a code. Only the nearest image is shown.";
  drawDecoded();
  drawMap();
};

const askMap = latest(async () => {
  const level = run.levels.find((other) => other.level === map.level);
  await allData();
  map.answer = await ask("map", map.level, map.method === "umap" ? "umap" : level.dimensions.length > 2 ? "pca" : "code");
  map.bounds = bounds();
  drawMap();
  pointAt([0, 1].map((k) => (map.bounds[k][0] + map.bounds[k][1]) / 2));
});

const select = (label, options, chosen, action) => {
  const element = make("select", { onchange: () => guarded(() => action(element.value)) });
  element.append(...options.map(([value, text]) => make("option", { value, text, selected: value === chosen })));
  return make("label", { class: "select" }, make("span", { text: label }), element);
};

const buildMap = (root) => {
  map.level = run.levels[run.levels.length - 1].level;
  const controls = make("div", { class: "controls" },
    select("Placed by", run.levels.map((level) => [String(level.level), titleOf(level)]), String(map.level), (value) => {
      map.level = Number(value);
      askMap();
    }),
    run.umap
      ? select("How", [["pca", "its code, or two directions of it (PCA)"], ["umap", "by neighbourhood (UMAP)"]], "pca", (value) => {
          map.method = value;
          askMap();
        })
      : null);
  const pictures = make("input", { type: "checkbox", checked: true, onchange: () => ((map.pictures = pictures.checked), drawMap()) });
  controls.append(make("label", { class: "check" }, pictures, "as pictures"));
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    pointAt(toPlane([event.clientX - box.left, event.clientY - box.top]));
  });
  canvas.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
    if (!map.answer || (!x && !y)) return;
    event.preventDefault();
    const step = [x, y].map((sign, k) => (sign * (map.bounds[k][1] - map.bounds[k][0])) / 40);
    pointAt([map.cursor[0] + step[0], map.cursor[1] + step[1]]);
  });
  new ResizeObserver(drawMap).observe(canvas);
  root.append(
    make("p", { class: "lead", text: "Every image lies where one level's code puts it. Neighbours share the features of that level, and may differ in all others. Click anywhere." }),
    controls,
    make("div", { class: "mapped" },
      make("section", {}, canvas, legend),
      make("section", { class: "place" }, make("div", { class: "pair" }, decoded.figure, nearest.figure), mapWords,
        make("div", { class: "buttons" },
          button("Open the decoded in Levels", () => mapNoise && (setOrigin({ kind: "map", value: "", noise: mapNoise }), openTab("levels"))),
          button("Open the image in Levels", async () => (setOrigin(await originOf.data(nearestIndex)), openTab("levels"))),
          button("Save the map", () => save(canvas.toDataURL(), fileName("map", map.level))),
          button("Save the decoded", () => save(decoded.image.src, fileName("decoded"))))),
    ));
  allData().then(() => {
    const names = Object.keys(data.known);
    map.colour = names.includes("label") ? "label" : names.find((name) => name === "digit") ?? names[0] ?? "";
    controls.append(select("Coloured by", [["", "nothing"], ...names.map((name) => [name, name])], map.colour, (value) => {
      map.colour = value;
      drawMap();
    }));
  });
};
const startMap = () => askMap();
