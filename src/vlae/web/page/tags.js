// The selection, and tags. Both are kept in the browser; whoever wants to select dispatches "vlae-select" with numbers.

const selection = new Set();
let tags = Object.create(null); // for each tag, the set of its numbers; no name of a tag is taken beforehand

const selectOnly = (numbers) => document.dispatchEvent(new CustomEvent("vlae-select", { detail: { numbers: [...numbers] } }));
document.addEventListener("vlae-select", (event) => {
  selection.clear();
  for (const number of event.detail?.numbers ?? []) if (Number.isInteger(number) && number >= 0 && number < (data?.num ?? 0)) selection.add(number);
  showSelection();
});

// Tags are kept by the names of the data. What is kept is read again before each change: other windows write it, too.
const tagsKey = () => `vlae tags of ${run.name} on ${run.shown}`;
const tagsOf = (i) => Object.keys(tags).filter((tag) => tags[tag].has(i));
const areNames = (names) => Array.isArray(names) && names.every((name) => typeof name === "string");
const areTags = (read) => read && typeof read === "object" && Object.values(read).every(areNames);
const keptTags = () => {
  const kept = Object.create(null);
  try {
    const old = `vlae tags of ${run.name}`; // the key of earlier versions, until something is kept under the new one
    const read = JSON.parse(localStorage.getItem(tagsKey()) ?? localStorage.getItem(old) ?? "{}");
    if (areTags(read)) for (const [tag, names] of Object.entries(read)) kept[tag] = new Set(names);
  } catch {
    // this browser keeps nothing, or what is kept is not ours
  }
  return kept;
};
let unkept = []; // changes that the browser has not kept: [tag, names, whether they get it]
const changedTags = () => {
  const all = keptTags();
  for (const [tag, names, on] of unkept) {
    all[tag] ??= new Set();
    names.forEach((name) => (on ? all[tag].add(name) : all[tag].delete(name)));
  }
  return all;
};
const showTags = () => {
  tags = Object.create(null);
  for (const [tag, names] of Object.entries(changedTags())) {
    const numbers = new Set();
    data.names.forEach((name, i) => names.has(name) && numbers.add(i));
    if (numbers.size) tags[tag] = numbers;
  }
  document.dispatchEvent(new CustomEvent("vlae-tags"));
};
const changeTags = (...changes) => {
  unkept.push(...changes);
  const every = Object.entries(changedTags()).filter(([, names]) => names.size);
  try {
    localStorage.setItem(tagsKey(), JSON.stringify(Object.fromEntries(every.map(([tag, names]) => [tag, [...names]]))));
    unkept = [];
  } catch {
    throw new Error("This browser keeps nothing of this page; export the tags before you close it.");
  } finally {
    showTags();
  }
};
window.addEventListener("storage", (event) => data && [tagsKey(), null].includes(event.key) && showTags());
const readTags = (text) => {
  const wrong = new Error("This file has no tags; give one that was exported here as JSON.");
  let read;
  try {
    read = JSON.parse(text).tags;
  } catch {
    throw wrong;
  }
  if (!areTags(read)) throw wrong;
  const here = new Set(data.names);
  let unknown = 0;
  changeTags(...Object.entries(read).map(([tag, names]) => {
    const known = names.filter((name) => here.has(name));
    unknown += names.length - known.length;
    return [tag, known, true];
  }));
  if (unknown) throw new Error(`${unknown} names in this file are not of this collection; the others have their tags.`);
};

// Exports ---------------------------------------------------------------------------------------------------------

// A spreadsheet would run text that begins like a formula.
const cell = (value) => {
  const text = typeof value === "string" && /^'*[=+\-@\t\r\n＝＋－＠]/.test(value) && !Number.isFinite(Number(value)) ? `'${value}` : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const rowsOf = (numbers) => numbers.map((i) => ({ name: nameOf(i), part: partOf(i), label: labelOf(i), tags: tagsOf(i).join(";") }));
const asCsv = (numbers) => [["name", "part", "label", "tags"], ...rowsOf(numbers).map(Object.values)].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
const asExport = (numbers) => {
  const own = new Set(numbers);
  const tagged = Object.fromEntries(Object.entries(tags).map(([tag, of]) => [tag, [...of].filter((i) => own.has(i)).map(nameOf)]));
  const pictures = numbers.map((i) => ({ name: nameOf(i), part: partOf(i), label: labelOf(i) || null, tags: tagsOf(i) }));
  return JSON.stringify({ run: run.name, source: run.source, tags: tagged, pictures }, null, 1);
};
const saveBytes = (content, type, name) => {
  const url = URL.createObjectURL(new Blob([content], { type }));
  save(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};
const asFile = (ending) => fileName("selection").replace(/png$/, ending);
const fromServer = async (kind, numbers) => {
  await encoded();
  const tagged = numbers.map((i) => tagsOf(i).join(";"));
  return numbersIn((await ask("export", kind, numbers, tagged, readLevels().at(-1).level)).content, Uint8Array);
};
const formats = {
  csv: ["CSV: for a spreadsheet, and for vlae select", async (numbers) => saveBytes(asCsv(numbers), "text/csv", asFile("csv"))],
  json: ["JSON: names and tags; it can be read in again here", async (numbers) => saveBytes(asExport(numbers), "application/json", asFile("json"))],
  atlas: ["Parquet, with codes and small pictures: for Embedding Atlas", async (numbers) => saveBytes(await fromServer("atlas", numbers), "application/vnd.apache.parquet", asFile("parquet"))],
  fiftyone: ["JSON with paths: for FiftyOne", async (numbers) => saveBytes(await fromServer("fiftyone", numbers), "application/json", asFile("fiftyone.json"))],
};
const exportDialog = (numbers) => {
  const dialog = make("dialog", { class: "vlae chooser narrow", "aria-label": "Export", onclose: () => dialog.remove() },
    make("div", { class: "bar" }, make("h3", { text: `Export ${counted(numbers.length)}` }), button("Close", () => dialog.close())),
    make("div", { class: "choices" }, ...Object.values(formats).map(([words, write]) => button(words, async () => (await write(numbers), dialog.close())))));
  document.body.append(dialog);
  dialog.showModal();
};

// The bar at the bottom while something is selected -----------------------------------------------------------------

const selectedWords = make("strong", { role: "status" });
const tagField = make("input", { class: "field", list: "vlae-tags", placeholder: "tag", maxlength: 60, "aria-label": "Tag" });
const tagNames = make("datalist", { id: "vlae-tags" });
const setTag = (on) => {
  const tag = tagField.value.trim().replaceAll(";", ",");
  if (!tag) {
    tagField.focus();
    return;
  }
  changeTags([tag, [...selection].map(nameOf), on]);
};
const selectionBar = make("div", { class: "selection-bar", role: "region", "aria-label": "Selection", hidden: true },
  selectedWords,
  make("span", { class: "buttons" }, tagField, tagNames, button("Tag", () => setTag(true)), button("Untag", () => setTag(false))),
  make("span", { class: "buttons" }, button("Export…", () => exportDialog([...selection])), button("Clear", () => selectOnly([]))));
tagField.addEventListener("keydown", (event) => event.key === "Enter" && guarded(() => setTag(true)));
const showSelection = () => {
  selectionBar.hidden = !selection.size;
  selectedWords.textContent = selection.size ? `${counted(selection.size)} selected` : "";
  document.querySelectorAll("[data-number]").forEach((cell) => cell.setAttribute("aria-selected", selection.has(Number(cell.dataset.number))));
};
document.addEventListener("vlae-tags", () => tagNames.replaceChildren(...Object.keys(tags).map((tag) => make("option", { value: tag }))));
