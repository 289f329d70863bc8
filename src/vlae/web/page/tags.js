// The selection, and tags. Both are kept in the browser; whoever wants to select dispatches "vlae-select" with numbers.

const selection = new Set();
let tags = {}; // for each tag, the set of its numbers

const selectOnly = (numbers) => document.dispatchEvent(new CustomEvent("vlae-select", { detail: { numbers: [...numbers] } }));
document.addEventListener("vlae-select", (event) => {
  selection.clear();
  for (const number of event.detail?.numbers ?? []) if (Number.isInteger(number) && number >= 0 && number < (data?.num ?? 0)) selection.add(number);
  showSelection();
});

const tagsKey = () => `vlae tags of ${run.name}`;
const tagsOf = (i) => Object.keys(tags).filter((tag) => tags[tag].has(i));
const asNames = () => Object.fromEntries(Object.entries(tags).map(([tag, numbers]) => [tag, [...numbers].map(nameOf)]));
const keepTags = () => {
  tags = Object.fromEntries(Object.entries(tags).filter(([, numbers]) => numbers.size));
  try {
    localStorage.setItem(tagsKey(), JSON.stringify(asNames()));
  } catch {
    throw new Error("This browser keeps nothing of this page; export the tags before you close it.");
  } finally {
    document.dispatchEvent(new CustomEvent("vlae-tags"));
  }
};
// Adds tags by the names of the data. Returns how many names are not of this collection.
const addTags = (byName) => {
  const numberOf = new Map(data.names.map((name, i) => [name, i]));
  let unknown = 0;
  for (const [tag, names] of Object.entries(byName)) {
    const numbers = (tags[tag] ??= new Set());
    for (const name of names) numberOf.has(name) ? numbers.add(numberOf.get(name)) : unknown++;
  }
  return unknown;
};
const restoreTags = () => {
  try {
    addTags(JSON.parse(localStorage.getItem(tagsKey()) ?? "{}"));
  } catch {
    // what is kept is not ours
  }
  keepTags();
};
const readTags = (text) => {
  const wrong = new Error("This file has no tags; give one that was exported here as JSON.");
  let read;
  try {
    read = JSON.parse(text).tags;
  } catch {
    throw wrong;
  }
  const fits = read && typeof read === "object" && Object.values(read).every((names) => Array.isArray(names) && names.every((name) => typeof name === "string"));
  if (!fits) throw wrong;
  const unknown = addTags(read);
  keepTags();
  if (unknown) throw new Error(`${unknown} names in this file are not of this collection; the others have their tags.`);
};

// Exports ---------------------------------------------------------------------------------------------------------

// A spreadsheet would run text that begins like a formula.
const cell = (value) => {
  const text = typeof value === "string" && /^'*[=+\-@\t\r＝＋－＠]/.test(value) && !Number.isFinite(Number(value)) ? `'${value}` : String(value ?? "");
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
  return numbersIn((await ask("export", kind, numbers, tagged, run.levels[run.levels.length - 1].level)).content, Uint8Array);
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
  const numbers = (tags[tag] ??= new Set());
  selection.forEach((i) => (on ? numbers.add(i) : numbers.delete(i)));
  keepTags();
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
