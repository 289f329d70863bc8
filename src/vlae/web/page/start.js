// Start: fills the page. Each tab loads its data when it is first opened.

const tabs = {
  pictures: { title: "Pictures", build: (root) => buildPictures(root), open: () => startPictures() },
  levels: { title: "Levels", build: (root) => buildLevels(root), open: () => {} },
  mix: { title: "Mix", build: (root) => buildMix(root), open: () => startMix() },
  map: { title: "Map", build: (root) => buildMap(root), open: () => startMap() },
  neighbours: { title: "Neighbours", build: (root) => buildNeighbours(root), open: () => startNeighbours() },
  card: { title: "Card", build: () => {}, open: () => startCard() },
};

const startCard = async () => {
  const root = document.getElementById("vlae-card");
  root.replaceChildren(make("p", { class: "quiet", text: "Drawing the figures…" }));
  root.innerHTML = (await ask("card")).html;
  // The links within the card lead to its parts. They leave the page's own link alone, which holds what is seen.
  root.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#report-']");
    if (!link) return;
    event.preventDefault();
    const part = document.getElementById(link.getAttribute("href").slice(1));
    part.scrollIntoView();
    part.focus({ preventScroll: true });
  });
};

const openTab = (name) => {
  for (const [other, tab] of Object.entries(tabs)) {
    tab.button.setAttribute("aria-selected", other === name);
    tab.button.tabIndex = other === name ? 0 : -1;
    tab.root.hidden = other !== name;
  }
  state.tab = name;
  writeLink();
  window.scrollTo({ top: 0 });
  if (tabs[name].opened) return;
  tabs[name].opened = true;
  guarded(tabs[name].open);
};
const buildTabs = (root) => {
  const list = make("div", { class: "tabs", role: "tablist", "aria-label": "What to look at" });
  const names = Object.keys(tabs);
  for (const [name, tab] of Object.entries(tabs)) {
    tab.button = make("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `vlae-${name}`, text: tab.title, onclick: () => openTab(name) });
    tab.root = make("div", { role: "tabpanel", id: `vlae-${name}`, "aria-labelledby": `tab-${name}`, hidden: true });
    tab.build(tab.root);
    list.append(tab.button);
  }
  list.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const name = names[(names.indexOf(state.tab) + step + names.length) % names.length];
    openTab(name);
    tabs[name].button.focus();
  });
  root.append(list, ...Object.values(tabs).map((tab) => tab.root));
};

const buildHeader = (root) => {
  const showCopied = async (element, text) => {
    const before = element.textContent;
    await copyText(await text());
    element.textContent = "Copied";
    setTimeout(() => (element.textContent = before), 1200);
  };
  const linkButton = button("Copy link", () => showCopied(linkButton, link), { title: "The run, the seed and the codes are in the link" });
  const jsonButton = button("Copy JSON", () => showCopied(jsonButton, asJson), { title: "Run, seed and codes, to use from Python" });
  root.append(
    make("header", { class: "bar" },
      make("div", {}, make("h1", { text: run.name }), make("p", { class: "quiet", text: `${run.levels.length} levels, trained on ${run.source} (${run.shape.join(" × ")})${run.shown === run.source ? "" : `; here are the ${thing(2)} of ${run.shown}`}` })),
      make("div", { class: "buttons" }, linkButton, jsonButton)),
    messagePlace, progressLine,
  );
};

const start = async (root) => {
  run = await ask("describe");
  if (!isPictures()) tabs.pictures.title = "Rows";
  watchProgress();
  const [height, width] = isPictures() ? run.shape.slice(1) : [1, 1];
  document.documentElement.style.setProperty("--aspect", `${width} / ${height}`);
  root.replaceChildren();
  buildHeader(root);
  buildTabs(root);
  const wrong = await restore().then(() => null, (error) => error);
  const codes = state.noise.length ? state.noise : null;
  // A real image is easier to understand than a draw, if there is one.
  const origin = state.origin ?? (await originOf.data(0).catch(() => originOf.seed(0)));
  setOrigin(origin, codes ?? origin.noise);
  openTab(Object.hasOwn(tabs, state.tab) ? state.tab : "pictures");
  if (wrong) tell(wrong); // not before: what is begun hides earlier messages
  document.documentElement.dataset.vlae = "ready";
};

const root = document.getElementById("vlae");
root.append(messagePlace);
guarded(() => start(root)).finally(() => document.getElementById("loading")?.remove());
window.addEventListener("hashchange", () => location.reload());
