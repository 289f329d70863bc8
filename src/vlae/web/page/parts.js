// The parts every tab is made of: questions to the server, elements, tiles of a sheet, saving and messages.

const ask = async (name, ...list) => {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(`./api/${name}`, { method: "POST", headers, body: JSON.stringify(list) }).catch(() => null);
  if (!response) throw new Error("The server does not answer. Is vlae explore still running?");
  const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (answer.error) throw new Error(answer.error);
  return answer;
};

// Returns the numbers in base64 that an answer has for a long column.
const numbersIn = (text, Kind) => new Kind(Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0)).buffer);

const make = (tag, properties = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (name === "style") element.style.cssText = value;
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
};

const button = (text, action, properties = {}) =>
  make("button", { type: "button", class: "action", text, onclick: () => guarded(action), ...properties });

const message = make("div", { class: "vlae-message", role: "alert", hidden: true });
const messagePlace = make("div", {}, message);
// Tells what went wrong, in the uppermost window if one is open: what is behind it can be neither read nor closed.
const tell = (error) => {
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? messagePlace).prepend(message);
  message.replaceChildren(error.message ?? String(error), button("Close", () => (message.hidden = true)));
  message.hidden = false;
};

// The document has the attribute data-busy while work is in progress.
let busy = 0;
const busily = (by) => document.documentElement.toggleAttribute("data-busy", (busy += by) > 0);

const guarded = async (action) => {
  message.hidden = true;
  busily(1);
  try {
    return await action();
  } catch (error) {
    tell(error);
  } finally {
    busily(-1);
  }
};

// Runs the work once at a time. Calls meanwhile lead to one more run, so no old work waits; a work that only waits is told of them.
const latest = (work) => {
  let running = false;
  let again = false;
  let tellOfAnother = () => {};
  return async () => {
    again = true;
    tellOfAnother();
    if (running) return;
    running = true;
    busily(1);
    while (again) {
      again = false;
      await work(new Promise((resolve) => (tellOfAnother = resolve))).catch(tell);
    }
    running = false;
    busily(-1);
  };
};

const soon = (action, milliseconds) => {
  let timer = null;
  return () => {
    if (timer === null) busily(1);
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      action();
      busily(-1);
    }, milliseconds);
  };
};

// Sets the background of an element to picture i of a sheet.
const onSheet = (element, sheet, i, columns, rows = 1) => {
  const x = columns > 1 ? ((i % columns) / (columns - 1)) * 100 : 0;
  const y = rows > 1 ? (Math.floor(i / columns) / (rows - 1)) * 100 : 0;
  element.style.background = `${x}% ${y}% / ${columns * 100}% ${rows * 100}% no-repeat url(${sheet})`;
  return element;
};

const pictureOf = (label, properties = {}) => {
  const image = make("img", { alt: label, class: "pixels", ...properties });
  return { image, figure: make("figure", {}, image, make("figcaption", { text: label })) };
};

const save = (url, name) => make("a", { href: url, download: name }).click();
const fileName = (...words) => `${[run.name, ...words].join("-").replace(/[^\w.-]+/g, "-")}.png`;

const anySeed = () => Math.floor(Math.random() * 1e6);
const round = (value) => Math.round(value * 1e4) / 1e4;
const titleOf = (level) => `Level ${level.level} · ${level.title}`;

const readFile = (file) =>
  new Promise((resolve, reject) => {
    if (file.size > run.max_bytes) {
      reject(new Error(`${file.name} is larger than ${run.max_bytes / 2 ** 20} MB; give a smaller one.`));
      return;
    }
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });

// A button that takes a picture file.
const uploader = (text, action) => {
  const input = make("input", { type: "file", accept: "image/*", hidden: true, "aria-label": text });
  input.addEventListener("change", () =>
    guarded(async () => {
      const [file] = input.files;
      input.value = "";
      if (file) await action(await readFile(file).then((content) => ask("upload", content)), file.name);
    }),
  );
  return make("span", { class: "uploader" }, button(text, () => input.click()), input);
};
