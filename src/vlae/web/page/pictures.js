// Pictures: the whole collection, by name or in the order of an answer; filtered, selected, opened.

const CHUNK = 90; // tiles added at a time as one scrolls
const MOST_AT_ONCE = 2000; // tiles that the key End adds
const AT_FIRST = 12; // tiles of a group before it is opened
const gallery = make("ul", { class: "gallery", role: "listbox", "aria-multiselectable": "true", tabindex: -1 });
const galleryCount = make("p", { class: "quiet", role: "status" });
const gallerySentinel = make("div", { class: "sentinel" });
const view = { mode: "name", level: 0, dimension: 0, num: 8, levels: [], asked: null, text: "", label: "", part: "", tag: "" };
// What is shown: pictures, and headings of groups; the numbers of the pictures, and with them those of folded groups.
const found = { items: [], numbers: [], all: [], shown: 0 };
let anchor = 0; // the place where a range of selected pictures begins
let byName;

const passes = (i) =>
  (!view.label || labelOf(i) === view.label) &&
  (!view.part || partOf(i) === view.part) &&
  (!view.tag || tags[view.tag]?.has(i)) &&
  (!view.text || nameOf(i).toLowerCase().includes(view.text));

// The answers to "show me": each gives items, {number, value} or {heading, all}, when the server is ready for it.
const orders = {
  name: {
    title: "All, by name",
    find: async () => {
      const collator = new Intl.Collator(undefined, { numeric: true });
      byName ??= Array.from({ length: data.num }, (_, i) => i).sort((a, b) => collator.compare(nameOf(a), nameOf(b)));
      return byName.filter(passes).map((number) => ({ number }));
    },
  },
  near: {
    title: "Nearest to…",
    ready: encoded,
    find: async () => {
      if (!view.asked) await askNearest(await originOf.data(0));
      const without = view.asked.kind === "data" ? view.asked.value : -1;
      return listed(await ask("near", view.asked.noise, view.levels, data.num, without), (value) => value.toFixed(2));
    },
    why: (numbers) => ask("why_near", view.asked.noise, numbers, view.levels),
  },
  odd: {
    title: "Oddest by a level",
    ready: compared,
    find: async () => listed(await ask("odd", view.level), (value) => value.toFixed(1)),
    why: (numbers) => ask("why_odd", numbers, view.level),
  },
  along: {
    title: "Along a dimension",
    ready: encoded,
    find: async () => listed(await ask("along", view.level, view.dimension), (value) => value.toFixed(2)),
  },
  groups: {
    title: "Groups by a level",
    ready: encoded,
    find: async () => {
      const { groups } = await ask("clusters", view.level, view.num);
      return grouped(groups, (k, num) => `Group ${k + 1} · ${counted(num)}`);
    },
  },
  copies: {
    title: "Near-copies",
    find: async () => grouped((await ask("copies")).sets, (k, num) => `${counted(num)} alike`),
  },
};
const listed = (answer, words) => {
  const values = numbersIn(answer.values, Float32Array);
  return Array.from(numbersIn(answer.numbers, Int32Array), (number, place) => ({ number, value: words(values[place]) })).filter(({ number }) => passes(number));
};
const grouped = (groups, title) =>
  groups.map((group) => group.filter(passes)).filter((group) => group.length).flatMap((group, k) => [{ heading: title(k, group.length), all: group }, ...group.slice(0, AT_FIRST).map((number) => ({ number }))]);

const cellOf = ({ number, value, heading, all, open }) => {
  if (heading) {
    const rest = all.length - AT_FIRST;
    const more = rest > 0 && !open ? button(`Show the other ${rest}`, () => openGroup(heading, all), { class: "link" }) : null;
    return make("li", { class: "heading", role: "presentation" }, make("h3", { text: heading }), button("Select these", () => selectOnly(all), { class: "link" }), more);
  }
  const words = [describeDatum(number), partOf(number) === "held out" ? "held out" : "", value ?? ""].filter(Boolean).join(", ");
  return make("li", { class: "cell", role: "option", tabindex: -1, "data-number": number, "aria-selected": selection.has(number), "aria-label": words, title: nameOf(number) },
    shown(number, isPictures() ? 256 : 64),
    make("span", { class: "box", "aria-hidden": "true" }),
    partOf(number) === "held out" ? make("span", { class: "part", text: "held out", "aria-hidden": "true" }) : null,
    make("span", { class: "caption", "aria-hidden": "true" }, make("span", { class: "name", text: baseName(number) }), value == null ? null : make("span", { class: "value", text: value })),
    make("span", { class: "because", "aria-hidden": "true" }));
};
const openGroup = (heading, all) => {
  const place = found.items.findIndex((item) => item.all === all); // headings may be alike
  const tiles = all.map((number) => ({ number })); // too many to be arguments of a call
  found.items = [...found.items.slice(0, place), { heading, all, open: true }, ...tiles, ...found.items.slice(place + 1 + AT_FIRST)];
  showItems();
};
const showMore = () => {
  const items = found.items.slice(found.shown, found.shown + CHUNK);
  if (!items.length) return;
  found.shown += items.length;
  const cells = items.map(cellOf);
  gallery.append(...cells);
  if (gallery.querySelector("[tabindex='0']") === null) gallery.querySelector(".cell")?.setAttribute("tabindex", 0);
  explain(items, cells).catch(tell);
};
const explain = async (items, cells) => {
  const order = orders[view.mode];
  if (!order.why) return;
  const { reasons } = await order.why(items.map((item) => item.number));
  reasons.forEach(([reason], k) => {
    cells[k].querySelector(".because").textContent = reasonLine(reason);
    cells[k].setAttribute("aria-label", `${cells[k].getAttribute("aria-label")}, ${reasonLine(reason)}`);
  });
};
const showItems = () => {
  found.numbers = found.items.filter((item) => !item.heading).map((item) => item.number);
  found.shown = 0;
  anchor = 0;
  gallery.replaceChildren();
  found.all = [...new Set(found.items.flatMap((item) => item.all ?? [item.number]))];
  const num = found.all.length;
  galleryCount.textContent = num === data.num ? counted(num) : num || view.mode !== "copies" ? `${num.toLocaleString("en")} of ${counted(data.num)}` : `No ${thing(2)} are near-copies of one another.`;
  showMore();
};
const findAll = latest(async (another) => {
  gallery.setAttribute("aria-busy", "true");
  showControls();
  if (!gallery.children.length) gallery.append(...Array.from({ length: 12 }, () => make("li", { class: "cell", role: "presentation" }, make("span", { class: "shown" }))));
  await allData();
  const { ready, find } = orders[view.mode];
  try {
    if (ready && (await Promise.race([ready().then(() => true), another])) !== true) return;
    found.items = await find();
  } catch (error) {
    found.items = [];
    throw error;
  } finally {
    showItems();
    gallery.setAttribute("aria-busy", "false");
  }
});

// Selecting and moving ----------------------------------------------------------------------------------------------

const cellsShown = () => [...gallery.querySelectorAll(".cell[data-number]")];
const toggle = (number) => (selection.has(number) ? selectOnly([...selection].filter((i) => i !== number)) : selectOnly([...selection, number]));
const selectTo = (place) => {
  const [low, high] = [Math.min(anchor, place), Math.max(anchor, place)];
  selectOnly([...selection, ...found.numbers.slice(low, high + 1)]);
};
const focusCell = (cells, place) => {
  const cell = cells[Math.max(0, Math.min(cells.length - 1, place))];
  cells.forEach((other) => (other.tabIndex = other === cell ? 0 : -1));
  cell?.focus();
};
const askedIn = () => (view.mode === "near" ? { noise: view.asked.noise, levels: view.levels } : null);
gallery.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell[data-number]");
  if (!cell) return;
  const place = cellsShown().indexOf(cell);
  const number = Number(cell.dataset.number);
  focusCell(cellsShown(), place);
  if (event.shiftKey) selectTo(place);
  else if (event.ctrlKey || event.metaKey || event.target.closest(".box")) {
    toggle(number);
    anchor = place;
  } else {
    anchor = place;
    openViewer(found.numbers, place, askedIn());
  }
});
gallery.addEventListener("keydown", (event) => {
  const cells = cellsShown();
  const place = cells.indexOf(document.activeElement);
  if (place < 0) return;
  const columns = cells.filter((cell) => cell.offsetTop === cells[0].offsetTop).length;
  const moves = { ArrowLeft: place - 1, ArrowRight: place + 1, ArrowUp: place - columns, ArrowDown: place + columns, Home: 0, End: cells.length - 1 };
  if (event.key in moves) {
    const last = event.key === "End" ? Math.min(found.items.length, found.shown + MOST_AT_ONCE) : 0;
    if (moves[event.key] >= cells.length) showMore();
    while (found.shown < last) showMore();
    const now = cellsShown();
    const to = event.key === "End" ? now.length - 1 : Math.max(0, Math.min(now.length - 1, moves[event.key]));
    focusCell(now, to);
    if (event.shiftKey) selectTo(to);
    else anchor = to;
  } else if (event.key === " ") {
    event.shiftKey ? selectTo(place) : toggle(found.numbers[place]);
    if (!event.shiftKey) anchor = place;
  } else if (event.key === "Enter") openViewer(found.numbers, place, askedIn());
  else if (event.key === "Escape") selectOnly([]);
  else if (event.key === "a" && (event.ctrlKey || event.metaKey)) selectOnly(found.all);
  else return;
  event.preventDefault();
});

// Controls ----------------------------------------------------------------------------------------------------------

const askNearest = async (origin) => {
  view.asked = origin;
  askedImage.src = origin.kind === "data" ? pictureAddress(origin.value, 64) : (origin.original ?? (await ask("picture", origin.noise)).picture);
  askedName.textContent = originName(origin);
};
const showNearestTo = async (origin, levels) => {
  await askNearest(origin);
  view.mode = "near";
  view.levels = levels;
  openTab("pictures");
  findAll();
};
const showNearest = async (i) => showNearestTo(await originOf.data(i), view.levels);
const askedImage = make("img", { alt: "", class: "asked" });
const askedName = make("span", { class: "quiet" });
let showControls = () => {};

const buildPictures = (root) => {
  const levels = readLevels();
  view.level = levels[levels.length - 1].level;
  view.levels = levels.map((level) => level.level);
  const set = (name, change = (value) => value) => (value) => {
    view[name] = change(value);
    findAll();
  };
  const modes = Object.entries(orders).filter(([mode]) => isPictures() || mode !== "copies");
  const mode = select("Show", modes.map(([name, order]) => [name, order.title]), view.mode, set("mode"));
  const level = select("Level", levels.map((each) => [String(each.level), titleOf(each)]), String(view.level), (value) => {
    view.level = Number(value);
    view.dimension = run.levels.find((each) => each.level === view.level).dimensions[0].number;
    findAll();
  });
  const dimension = select("Dimension", [], "", set("dimension", Number));
  const num = select("How many", [3, 5, 8, 12, 20].map((value) => [String(value), String(value)]), "8", set("num", Number));
  const boxes = levels.map((each) => {
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      const chosen = levels.map((other) => other.level).filter((other) => (other === each.level ? box.checked : view.levels.includes(other)));
      if (!chosen.length) box.checked = true; // at least one
      else set("levels")(chosen);
    });
    return make("label", { class: "check", title: titleOf(each) }, box, `Level ${each.level}`);
  });
  const asked = make("fieldset", { class: "asks" }, make("legend", { text: "Nearest by" }), ...boxes,
    make("span", { class: "to" }, "to", askedImage, askedName),
    button(isPictures() ? "Another picture…" : "Another row…", async () => {
      const index = await choose("Nearest to which?");
      if (index !== null) await askNearest(await originOf.data(index)).then(findAll);
    }),
    isPictures() ? uploader("Upload…", async (answer, name) => (await askNearest({ kind: "upload", value: name, ...answer }), findAll())) : null);
  const text = make("input", { type: "search", class: "field", placeholder: "name", "aria-label": "Name contains" });
  text.addEventListener("input", soon(() => set("text")(text.value.toLowerCase()), 200));
  const part = select("Part", [["", "all"]], "", set("part"));
  const label = select("Label", [["", "all"]], "", set("label"));
  const tag = select("Tag", [["", "all"]], "", set("tag"));
  const fill = (element, options, chosen) => element.querySelector("select").replaceChildren(...options.map(([value, words]) => make("option", { value, text: words, selected: value === chosen })));
  document.addEventListener("vlae-data", () => {
    fill(label, [["", "all"], ...data.labels.map((name) => [name, name])], view.label);
    label.hidden = data.labels.length < 2;
    note.textContent = data.note;
    note.hidden = !data.note;
    const parts = PARTS.filter((name, place) => name && data.part.includes(place));
    fill(part, [["", "all"], ...parts.map((name) => [name, name])], view.part);
    part.hidden = !parts.length;
    showTags();
  });
  document.addEventListener("vlae-tags", () => {
    if (!(view.tag in tags)) view.tag = "";
    fill(tag, [["", "all"], ...Object.keys(tags).map((name) => [name, `${name} (${tags[name].size})`])], view.tag);
    tag.hidden = !Object.keys(tags).length;
  });
  const note = make("p", { class: "note", role: "status", hidden: true });
  const file = make("input", { type: "file", accept: ".json,application/json", hidden: true, "aria-label": "Tags" });
  file.addEventListener("change", () => guarded(async () => {
    const [chosen] = file.files;
    file.value = "";
    if (chosen) readTags(await chosen.text());
  }));
  const describe = soon(async () => {
    const names = await dimensions().catch(() => ({}));
    const each = run.levels.find((other) => other.level === view.level);
    fill(dimension, each.dimensions.map(({ number }) => [String(number), `${number + 1}: ${names[view.level]?.[number].name ?? ""}`.replace(/: $/, "")]), String(view.dimension));
  }, 0);
  showControls = () => {
    mode.querySelector("select").value = view.mode;
    level.hidden = !["odd", "along", "groups"].includes(view.mode);
    dimension.hidden = view.mode !== "along";
    num.hidden = view.mode !== "groups";
    asked.hidden = view.mode !== "near";
    boxes.forEach((box, k) => (box.querySelector("input").checked = view.levels.includes(levels[k].level)));
    if (view.mode === "along") describe();
  };
  part.hidden = label.hidden = tag.hidden = true;
  root.append(
    make("div", { class: "controls" }, mode, level, dimension, num, text, label, part, tag),
    asked, note,
    make("div", { class: "bar" }, galleryCount, make("span", { class: "buttons" },
      button("Select all shown", () => selectOnly(found.all), { class: "link" }),
      button("Export all shown…", () => exportDialog(found.all), { class: "link" }),
      button("Read in tags…", () => file.click(), { class: "link" }), file)),
    gallery, gallerySentinel, selectionBar);
  gallery.setAttribute("aria-label", isPictures() ? "Pictures: Enter opens, Space selects" : "Rows: Enter opens, Space selects");
  new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && found.items.length && showMore(), { rootMargin: "600px" }).observe(gallerySentinel);
  showControls();
};
const startPictures = () => findAll();
