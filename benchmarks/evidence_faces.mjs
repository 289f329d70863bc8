// Draws cartoon faces, 64 × 64, each part chosen at random and independently: a folder of PNG files, and faces.csv.
//
//     npm install @dicebear/core@9.4.3 @dicebear/avataaars@9.4.3 @resvg/resvg-js@2
//     node benchmarks/evidence_faces.mjs faces 10000     # where node_modules lies
//     python benchmarks/evidence_data.py faces faces.npz --package faces
//
// The drawings are Avataaars by Pablo Stanley (https://avataaars.com, free for personal and commercial use).

import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const here = createRequire(join(process.cwd(), "package.json")); // packages are looked for where it is started
const load = (name) => import(pathToFileURL(here.resolve(name)).href);
const [{ createAvatar }, style, { Resvg }] = await Promise.all(
  ["@dicebear/core", "@dicebear/avataaars", "@resvg/resvg-js"].map(load),
);

const [folder, num] = [process.argv[2], Number(process.argv[3])];
let state = 12345;
const random = () => (state = (state * 1664525 + 1013904223) % 2 ** 32) / 2 ** 32;
const oneOf = (values) => values[Math.floor(random() * values.length)];
const kinds = style.schema.properties;
const backgrounds = ["b6e3f4", "c0aede", "d1d4f9", "ffd5dc", "ffdfbf", "65c9ff", "4a5568", "2d6a4f"];

mkdirSync(folder, { recursive: true });
const rows = [];
for (let i = 0; i < num; i++) {
  const face = {
    background: oneOf(backgrounds),
    skin: oneOf(kinds.skinColor.default),
    hair: oneOf(kinds.hairColor.default),
    clothes: oneOf(kinds.clothesColor.default),
    light: 0.6 + 0.6 * random(), // by which all colours are multiplied
    top: oneOf(kinds.top.items.enum),
    glasses: random() < 0.5 ? oneOf(kinds.accessories.default) : "",
    mouth: oneOf(kinds.mouth.default),
    eyes: oneOf(kinds.eyes.default),
    clothing: oneOf(kinds.clothing.default),
    across: Math.round(random() * 12 - 6), // in percent of the side, as down
    down: Math.round(random() * 12 - 6),
    scale: 85 + Math.round(random() * 30), // in percent
  };
  const svg = createAvatar(style, {
    seed: String(i),
    size: 64,
    skinColor: [face.skin],
    hairColor: [face.hair],
    hatColor: [face.hair],
    clothesColor: [face.clothes],
    top: [face.top],
    topProbability: 100,
    facialHairProbability: 0,
    accessories: [face.glasses || "round"],
    accessoriesProbability: face.glasses ? 100 : 0,
    accessoriesColor: ["262e33"],
    mouth: [face.mouth],
    eyes: [face.eyes],
    eyebrows: ["default"],
    clothing: [face.clothing],
    translateX: face.across,
    translateY: face.down,
    scale: face.scale,
  });
  const png = new Resvg(svg.toString(), { background: `#${face.background}` }).render().asPng();
  writeFileSync(join(folder, `${String(i).padStart(5, "0")}.png`), png);
  rows.push(Object.values(face).join(","));
  if (!i) rows.unshift(Object.keys(face).join(","));
}
writeFileSync(join(folder, "faces.csv"), `${rows.join("\n")}\n`);
