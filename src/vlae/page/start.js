// Start: when the frame stands, the tabs are filled; each asks for its own only when it is first opened.

const tabs = { levels: "Levels", mix: "Mix", map: "Map", neighbours: "Neighbours", card: "Card" };
const opened = new Set();
const openers = { levels: () => {}, mix: () => startMix(), map: () => startMap(), neighbours: () => startNeighbours(), card: () => startCard() };

const startCard = async () => {
  const root = document.getElementById("vlae-card");
  root.replaceChildren(make("p", { class: "quiet", text: "Drawing the figures…" }));
  root.innerHTML = (await ask("card")).html;
};

const tabButton = (name) => [...document.querySelectorAll("#vlae-tabs [role=tab]")].find((tab) => tab.textContent.trim() === tabs[name]);
const openTab = (name) => {
  tabButton(name)?.click();
  window.scrollTo({ top: 0 });
};
const watchTabs = () => {
  const look = () => {
    const name = Object.keys(tabs).find((tab) => tabButton(tab)?.getAttribute("aria-selected") === "true");
    if (!name) return;
    state.tab = name;
    writeLink();
    if (opened.has(name)) return;
    opened.add(name);
    guarded(openers[name]);
  };
  new MutationObserver(look).observe(document.getElementById("vlae-tabs"), { subtree: true, attributes: true, attributeFilter: ["aria-selected"] });
  look();
};

const buildHeader = (root) => {
  const said = async (element, text) => {
    const before = element.textContent;
    await copyText(await text());
    element.textContent = "Copied";
    setTimeout(() => (element.textContent = before), 1200);
  };
  const linkButton = button("Copy link", () => said(linkButton, link), { title: "The run, the seed and the codes are in the link" });
  const jsonButton = button("Copy JSON", () => said(jsonButton, asJson), { title: "Run, seed and codes, to use from Python" });
  root.append(
    make("div", { class: "bar" },
      make("div", {}, make("h1", { text: run.name }), make("p", { class: "quiet", text: `${run.levels.length} levels, trained on ${run.source} (${run.shape.join(" × ")})` })),
      make("div", { class: "buttons" }, linkButton, jsonButton)),
    message,
  );
};

const start = async () => {
  run = await ask("describe");
  const [height, width] = run.shape.length === 3 ? run.shape.slice(1) : [1, 1];
  document.documentElement.style.setProperty("--aspect", `${width} / ${height}`);
  buildHeader(document.getElementById("vlae-header"));
  buildLevels(document.getElementById("vlae-levels"));
  buildMix(document.getElementById("vlae-mix"));
  buildMap(document.getElementById("vlae-map"));
  buildNeighbours(document.getElementById("vlae-neighbours"));
  await guarded(restore);
  const codes = state.noise.length ? state.noise : null;
  const origin = state.origin ?? (await originOf.seed(state.seed));
  setOrigin(origin, codes ?? origin.noise);
  if (state.tab in tabs && state.tab !== "levels") openTab(state.tab);
  watchTabs();
  document.documentElement.dataset.vlae = "ready";
};

const whenThere = (then) => {
  const there = () => Object.keys(tabs).every((tab) => document.getElementById(`vlae-${tab}`)) && document.getElementById("vlae-header");
  if (there()) return then();
  const observer = new MutationObserver(() => {
    if (!there()) return;
    observer.disconnect();
    then();
  });
  observer.observe(document, { subtree: true, childList: true });
};
whenThere(() => guarded(start));
window.addEventListener("hashchange", () => location.reload());
