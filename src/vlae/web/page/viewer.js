// The viewer: one picture as large as it is, its name, what stands out in it level by level, and what to do with it.

const viewer = { dialog: null, numbers: [], at: 0, asked: null };

const viewerReasons = latest(async () => {
  const i = viewer.numbers[viewer.at];
  const list = viewer.dialog.querySelector(".why");
  const levels = readLevels().map((level) => level.level);
  list.replaceChildren(make("li", { class: "quiet", text: "Looking for reasons…" }));
  const panels = [];
  if (viewer.asked) {
    await encoded();
    const [reasons] = (await ask("why_near", viewer.asked.noise, [i], viewer.asked.levels)).reasons;
    for (const reason of reasons) panels.push(await reasonPanel(reason, showInViewer));
  } else {
    await compared();
    for (const level of levels) panels.push(await reasonPanel((await ask("why_odd", [i], level)).reasons[0][0], showInViewer));
  }
  if (viewer.numbers[viewer.at] === i) list.replaceChildren(...panels);
});

const showInViewer = (i) => {
  viewer.numbers = [i];
  viewer.asked = null;
  moveViewer(0);
};
const moveViewer = (step) => {
  viewer.at = Math.max(0, Math.min(viewer.numbers.length - 1, viewer.at + step));
  const i = viewer.numbers[viewer.at];
  const { dialog } = viewer;
  const picture = shown(i, isPictures() ? 1600 : 64);
  picture.style.backgroundImage = `url(${pictureAddress(i, 64)})`;
  picture.querySelector("img").alt = describeDatum(i);
  picture.querySelector("img").loading = "eager";
  dialog.querySelector(".large").replaceChildren(picture);
  dialog.querySelector("h3").textContent = nameOf(i);
  dialog.setAttribute("aria-label", nameOf(i));
  dialog.querySelector(".facts").textContent = [labelOf(i), partOf(i), ...tagsOf(i).map((tag) => `#${tag}`)].filter(Boolean).join(" · ");
  dialog.querySelector(".fault").textContent = "";
  dialog.querySelector(".which").textContent = viewer.numbers.length > 1 ? `${viewer.at + 1} of ${viewer.numbers.length}` : "";
  dialog.querySelector(".why-title").textContent = viewer.asked ? "Why it is here" : "What stands out, level by level";
  dialog.querySelector(".tick").setAttribute("aria-pressed", selection.has(i));
  dialog.querySelectorAll(".step").forEach((one) => (one.hidden = viewer.numbers.length < 2));
  ask("about", i).then((answer) => viewer.numbers[viewer.at] === i && (dialog.querySelector(".fault").textContent = answer.fault), tell);
  viewerReasons();
};
// Opens one of some pictures. `asked` has the noise and the levels that they are the nearest to, if they are.
const openViewer = (numbers, at, asked = null) => {
  Object.assign(viewer, { numbers, at, asked });
  const number = () => viewer.numbers[viewer.at];
  const away = (action) => async () => {
    await action(number());
    viewer.dialog.close();
  };
  const tick = button("Select", () => {
    selection.has(number()) ? selectOnly([...selection].filter((i) => i !== number())) : selectOnly([...selection, number()]);
    tick.setAttribute("aria-pressed", selection.has(number()));
  }, { class: "action tick" });
  viewer.dialog = make("dialog", { class: "vlae viewer", onclose: () => viewer.dialog.remove() },
    make("div", { class: "bar" }, make("h3", {}), make("span", { class: "buttons" },
      make("span", { class: "quiet which" }),
      button("‹", () => moveViewer(-1), { class: "action step", "aria-label": "Previous" }),
      button("›", () => moveViewer(1), { class: "action step", "aria-label": "Next" }),
      button("Close", () => viewer.dialog.close()))),
    make("div", { class: "sides" },
      make("section", {},
        make("div", { class: "large" }),
        make("p", { class: "facts quiet" }),
        make("p", { class: "fault note", role: "status" }),
        make("div", { class: "buttons" },
          tick,
          button("Nearest…", away((i) => showNearest(i))),
          button("Open in Levels", away(async (i) => (setOrigin(await originOf.data(i)), openTab("levels")))),
          button("Take as A", away(async (i) => (await setSide("a", await originOf.data(i)), openTab("mix"))), { title: "For the tab Mix" }),
          button("Take as B", away(async (i) => (await setSide("b", await originOf.data(i)), openTab("mix"))), { title: "For the tab Mix" }))),
      make("section", {}, make("h4", { class: "why-title" }), make("ul", { class: "why" }))));
  viewer.dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && viewer.numbers.length > 1) moveViewer(step);
  });
  document.body.append(viewer.dialog);
  viewer.dialog.showModal();
  moveViewer(0);
};
