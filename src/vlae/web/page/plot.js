// A plot of many pictures as points: pan, zoom, hover, choose and lasso, by mouse, touch and keyboard.
//
// Where there are few points it shows their pictures. It knows points, colours and numbers, and nothing of the run.

const MARGIN = 34; // pixels between the points and the edge, before zooming
const SIDE = 40; // pixels of a small picture
const APART = 36; // pixels between small pictures
const FEW = 1500; // so many points in view are shown as pictures
const KEPT = 3000; // pictures that are kept
const TOUCHED = 14; // pixels within which a point is hovered over
const STEP = 6; // pixels that an arrow key moves at least
const HELP = "Arrow keys choose the next picture in their direction, with Shift they move the map. Plus and minus zoom, 0 shows all. Space selects, Enter opens, Escape selects nothing.";

const plotOf = ({ label, describe, address, onplace, onopen, onselect }) => {
  const { KDBush, select, zoom, zoomIdentity } = mapLibraries;
  const over = make("canvas", {});
  const tip = make("figure", { class: "tip", hidden: true, "aria-hidden": true });
  const help = make("p", { class: "unseen", id: "plot-help", text: HELP });
  const said = make("p", { class: "quiet", role: "status" });
  const host = make("div", { class: "plot", tabindex: 0, role: "application", "aria-label": label, "aria-describedby": help.id }, over, tip);
  let canvas, painter;
  let num = 0;
  let at = new Float32Array(0); // x and y of each in the unit square, y downwards
  let kinds = new Uint8Array(0); // place in the palette and group of each
  let colours = byNothing(0);
  let axes = ["", ""];
  let tree = null;
  let selected = new Set();
  let chosen = null;
  let cross = null; // a place in the unit square
  let lasso = null; // the line that is being drawn, in pixels
  let lassoing = false;
  let pictures = true;
  let view = zoomIdentity;
  let [width, height] = [0, 0];

  // Places: the unit square, and pixels

  const spread = () => [view.k * (width - 2 * MARGIN), view.k * (height - 2 * MARGIN)];
  const origin = () => [view.x + view.k * MARGIN, view.y + view.k * MARGIN];
  const toPixels = ([x, y]) => {
    const [[along, down], [left, top]] = [spread(), origin()];
    return [x * along + left, y * down + top];
  };
  const toUnit = ([x, y]) => {
    const [[along, down], [left, top]] = [spread(), origin()];
    return [(x - left) / along, (y - top) / down];
  };
  const placeOf = (i) => [at[2 * i], at[2 * i + 1]];
  const inside = (left, top, right, bottom) => (tree ? tree.range(...toUnit([left, top]), ...toUnit([right, bottom])) : []);
  const closest = (numbers, [x, y], cost = Math.hypot) => {
    let [best, least] = [null, Infinity];
    for (const i of numbers) {
      const [otherX, otherY] = toPixels(placeOf(i));
      const far = cost(otherX - x, otherY - y);
      if (far < least) [best, least] = [i, far];
    }
    return { best, least };
  };
  const around = ([x, y], reach) => inside(x - reach, y - reach, x + reach, y + reach);
  // Searches squares that grow, until one holds the closest.
  const search = (middle, cost) => {
    for (let reach = 24; ; reach *= 2) {
      const { best, least } = closest(around(middle, reach), middle, cost);
      if (least <= reach || reach > 4 * Math.max(...spread(), width, height)) return best;
    }
  };
  const next = (right, down) => {
    const cost = (x, y) => {
      const along = x * right + y * down;
      const across = Math.abs(x * down) + Math.abs(y * right);
      return along < STEP || across > along ? Infinity : along + across;
    };
    return search(toPixels(placeOf(chosen)), cost);
  };

  // Drawing

  const images = new Map(); // small pictures by number; null where there is none
  let shown = []; // what is drawn as a picture, chosen whenever the view rests
  let resting = null;
  const rest = () => {
    clearTimeout(resting);
    resting = setTimeout(() => {
      shown = pictures ? apart(inside(-SIDE, -SIDE, width + SIDE, height + SIDE)) : [];
      shown.forEach(load);
      redraw();
    }, 120);
  };
  const load = (i) => {
    if (images.has(i)) return;
    if (images.size >= KEPT) images.delete(images.keys().next().value);
    images.set(i, null);
    const picture = new Image();
    picture.onload = () => (images.set(i, picture), redraw());
    picture.src = address(i, 64);
  };
  // Of many numbers, those whose pictures do not hide one another; the selected come first.
  const apart = (numbers) => {
    if (numbers.length > FEW) return [];
    const [along, down] = spread();
    const cells = new Map();
    const isFree = (column, row, x, y) =>
      [-1, 0, 1].every((right) => [-1, 0, 1].every((below) => {
        const other = cells.get(`${column + right},${row + below}`);
        return !other || Math.abs(other.x - x) >= APART || Math.abs(other.y - y) >= APART;
      }));
    for (const i of numbers.sort((a, b) => selected.has(b) - selected.has(a) || a - b)) {
      const [x, y] = [at[2 * i] * along, at[2 * i + 1] * down];
      const [column, row] = [Math.floor(x / APART), Math.floor(y / APART)];
      if (isFree(column, row, x, y)) cells.set(`${column},${row}`, { i, x, y });
    }
    return [...cells.values()].map(({ i }) => i).reverse();
  };

  const size = () => {
    const usual = num > 30_000 ? 3 : num > 5_000 ? 4 : num > 500 ? 5 : 7;
    return Math.min(11, usual * Math.sqrt(view.k) ** 0.7);
  };
  const drawPoints = () => {
    const ratio = Math.min(devicePixelRatio || 1, painter.maxRatio);
    fit(canvas, ratio);
    const scaled = (pair) => pair.map((value) => value * ratio);
    painter.draw({ scale: scaled(spread()), shift: scaled(origin()), size: size() * ratio, groups: selected.size ? [0, 1] : [1] });
  };
  const fit = (element, ratio) => {
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (element.width !== wide || element.height !== high) [element.width, element.height] = [wide, high];
  };
  const drawPictures = (pen) => {
    for (const i of shown) {
      const picture = images.get(i);
      if (!picture) continue;
      const scale = SIDE / Math.max(picture.naturalWidth, picture.naturalHeight);
      const [wide, high] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
      const [left, top] = toPixels(placeOf(i)).map((value, k) => value - [wide, high][k] / 2);
      pen.globalAlpha = selected.size && !selected.has(i) ? 0.3 : 1;
      pen.fillStyle = inCss(colours.palette[colours.places[i]]);
      pen.fillRect(left - 2, top - 2, wide + 4, high + 4);
      pen.imageSmoothingEnabled = scale < 1;
      pen.drawImage(picture, left, top, wide, high);
    }
    pen.globalAlpha = 1;
  };
  const stroke = (pen, path) => {
    for (const [colour, line] of [["#fff", 4], ["#000", 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = line;
      pen.beginPath();
      path();
      pen.stroke();
    }
  };
  const drawOver = () => {
    const ratio = devicePixelRatio || 1;
    fit(over, ratio);
    const pen = over.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    drawPictures(pen);
    const style = getComputedStyle(host);
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.lineWidth = 4;
    pen.strokeStyle = style.backgroundColor;
    pen.fillStyle = style.color;
    const write = (text, x, y) => (pen.strokeText(text, x, y), pen.fillText(text, x, y));
    write(`${axes[0]} →`, width / 2, height - 7);
    pen.save();
    pen.rotate(-Math.PI / 2);
    write(`${axes[1]} →`, -height / 2, 16);
    pen.restore();
    if (chosen !== null) {
      const [x, y] = toPixels(placeOf(chosen));
      stroke(pen, () => pen.arc(x, y, 9, 0, 7));
    }
    if (cross) {
      const [x, y] = toPixels(cross);
      stroke(pen, () => (pen.moveTo(x - 6, y), pen.lineTo(x + 6, y), pen.moveTo(x, y - 6), pen.lineTo(x, y + 6)));
    }
    if (lasso) stroke(pen, () => lasso.forEach(([x, y]) => pen.lineTo(x, y)));
  };
  let asked = false;
  const redraw = () => {
    if (asked || !width) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      drawPoints();
      drawOver();
    });
  };

  const usePainter = (painterOn) => {
    const fresh = make("canvas", {});
    const made = painterOn(fresh);
    if (!made) return false;
    canvas?.remove();
    [canvas, painter] = [fresh, made];
    host.prepend(canvas);
    canvas.addEventListener("webglcontextlost", () => usePainter(pixelPainter)); // the card may be gone at any time
    painter.setAt(at);
    painter.setKinds(kinds);
    painter.setPalette(colours.palette);
    redraw();
    return true;
  };
  const paintKinds = () => {
    for (let i = 0; i < num; i++) {
      kinds[2 * i] = colours.places[i];
      kinds[2 * i + 1] = selected.size && !selected.has(i) ? 0 : 1;
    }
    painter.setKinds(kinds);
    rest();
    redraw();
  };

  // What a visitor does

  const gestures = zoom()
    .scaleExtent([0.8, 1000])
    .filter((event) => (!event.ctrlKey || event.type === "wheel") && !event.button && (event.type === "wheel" || !(lassoing || event.shiftKey)))
    .on("zoom", ({ transform }) => {
      view = transform;
      tip.hidden = true;
      rest();
      redraw();
    });
  const zoomed = select(host).call(gestures).on("dblclick.zoom", null);
  const choose = (i, place = placeOf(i)) => {
    [chosen, cross] = [i, place];
    said.textContent = `${describe(i)}${selected.size ? `; ${selected.size} selected` : ""}`;
    const [x, y] = toPixels(place);
    if (x < 0 || y < 0 || x > width || y > height) gestures.translateTo(zoomed, ...view.invert([x, y]));
    onplace(i, place);
    redraw();
  };
  const set = (numbers) => {
    selected = new Set([...numbers].filter((i) => i >= 0 && i < num));
    paintKinds();
  };
  const ask = (numbers) => {
    onselect([...numbers].sort((a, b) => a - b)); // who shows the selection sets it
    said.textContent = selected.size ? `${selected.size} selected` : "nothing selected";
  };
  const pixelsOf = (event) => {
    const box = host.getBoundingClientRect();
    return [event.clientX - box.left - host.clientLeft, event.clientY - box.top - host.clientTop];
  };
  const within = (line) => {
    const [xs, ys] = [0, 1].map((k) => line.map((point) => point[k]));
    const crossed = ([x, y]) =>
      line.reduce((odd, [endX, endY], k) => {
        const [startX, startY] = line[(k || line.length) - 1];
        return startY > y !== endY > y && x < ((endX - startX) * (y - startY)) / (endY - startY) + startX ? !odd : odd;
      }, false);
    return inside(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)).filter((i) => crossed(toPixels(placeOf(i))));
  };

  host.addEventListener("click", (event) => {
    if (!tree || lassoing || event.shiftKey) return;
    const here = pixelsOf(event);
    choose(search(here, Math.hypot), toUnit(here));
  });
  host.addEventListener("pointerdown", (event) => {
    if (event.button || !(lassoing || event.shiftKey)) return;
    host.setPointerCapture(event.pointerId);
    lasso = [pixelsOf(event)];
  });
  host.addEventListener("pointermove", (event) => {
    const here = pixelsOf(event);
    if (lasso) {
      const [x, y] = lasso[lasso.length - 1];
      if (Math.hypot(here[0] - x, here[1] - y) > 3) lasso.push(here);
      redraw();
    } else if (event.pointerType === "mouse" && !event.buttons && tree) {
      hover(here);
    }
  });
  for (const name of ["pointerup", "pointercancel"])
    host.addEventListener(name, () => {
      const line = lasso;
      lasso = null;
      if (line && line.length > 2) ask(within(line));
      redraw();
    });
  host.addEventListener("pointerleave", () => (tip.hidden = true));

  const tipPicture = make("img", { alt: "", class: "pixels" });
  const tipWords = make("figcaption", {});
  tip.append(tipPicture, tipWords);
  let hovered = null;
  const hover = (here) => {
    const { best, least } = closest(around(here, TOUCHED), here);
    tip.hidden = least > TOUCHED;
    if (tip.hidden) return;
    if (best !== hovered) {
      hovered = best;
      tipPicture.src = address(best, 256);
      tipWords.textContent = describe(best);
    }
    const [x, y] = toPixels(placeOf(best));
    tip.style.left = `${x < width / 2 ? x + 14 : x - 14 - tip.offsetWidth}px`;
    tip.style.top = `${Math.min(Math.max(4, y - tip.offsetHeight / 2), height - tip.offsetHeight - 4)}px`;
  };

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const keys = {
    "+": () => gestures.scaleBy(zoomed, 1.5, chosen === null ? undefined : toPixels(placeOf(chosen))),
    "-": () => gestures.scaleBy(zoomed, 1 / 1.5),
    0: () => gestures.transform(zoomed, zoomIdentity),
    " ": () => chosen !== null && ask(selected.has(chosen) ? [...selected].filter((i) => i !== chosen) : [...selected, chosen]),
    Enter: () => chosen !== null && onopen(chosen),
    Escape: () => (tip.hidden ? ask([]) : (tip.hidden = true)),
  };
  keys["="] = keys["+"];
  host.addEventListener("keydown", (event) => {
    const arrow = arrows[event.key];
    if (!num || event.ctrlKey || event.metaKey || event.altKey || !(arrow || keys[event.key])) return;
    event.preventDefault();
    if (!arrow) return keys[event.key]();
    if (event.shiftKey) return gestures.translateBy(zoomed, (-arrow[0] * 60) / view.k, (-arrow[1] * 60) / view.k);
    const found = chosen === null ? search([width / 2, height / 2], Math.hypot) : next(...arrow);
    if (found !== null) choose(found);
  });

  const measure = () => {
    [width, height] = [host.clientWidth, host.clientHeight];
    gestures.extent([[0, 0], [width, height]]).translateExtent([[-width, -height], [2 * width, 2 * height]]);
    rest();
    redraw();
  };
  new ResizeObserver(measure).observe(host);
  usePainter(cardPainter) || usePainter(pixelPainter);

  return {
    elements: [help, host, said],
    // Takes x and y, float32 (n,), y upwards, and the titles of the axes.
    setPoints: (x, y, titles) => {
      measure();
      const scaled = (values, k) => {
        let [low, high] = [Infinity, -Infinity];
        for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
        const wide = high - low || 1;
        values.forEach((value, i) => (at[2 * i + k] = k ? (high - value) / wide : (value - low) / wide));
        return { low, wide };
      };
      const before = num;
      num = x.length;
      at = new Float32Array(2 * num);
      if (num !== before) [kinds, chosen, selected, colours] = [new Uint8Array(2 * num), null, new Set(), byNothing(num)];
      const [across, upwards] = [scaled(x, 0), scaled(y, 1)];
      tree = null;
      if (num) {
        tree = new KDBush(num, 64, Float32Array);
        for (let i = 0; i < num; i++) tree.add(at[2 * i], at[2 * i + 1]);
        tree.finish();
      }
      axes = titles;
      cross = null;
      painter.setAt(at);
      painter.setPalette(colours.palette);
      paintKinds();
      gestures.transform(zoomed, zoomIdentity);
      return ([right, down]) => [across.low + right * across.wide, upwards.low + (1 - down) * upwards.wide];
    },
    setColours: (made) => {
      colours = made;
      painter.setPalette(colours.palette);
      paintKinds();
    },
    setPictures: (wanted) => ((pictures = wanted), rest()),
    setLasso: (on) => host.classList.toggle("lassoing", (lassoing = on)),
    set,
    select: ask,
    choose,
    chosen: () => chosen,
    press: (key) => keys[key](),
    picture: () => {
      const sheet = make("canvas", {});
      fit(sheet, devicePixelRatio || 1);
      const pen = sheet.getContext("2d");
      pen.fillStyle = getComputedStyle(host).backgroundColor;
      pen.fillRect(0, 0, sheet.width, sheet.height);
      drawPoints(); // what WebGL has drawn is gone after its frame
      drawOver();
      for (const layer of [canvas, over]) pen.drawImage(layer, 0, 0, sheet.width, sheet.height);
      return sheet.toDataURL();
    },
  };
};
