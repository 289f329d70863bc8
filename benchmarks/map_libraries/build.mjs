// Bundles the libraries of the page's map into one file, with their licences beside it.
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";

const vendor = "../../src/vlae/web/page/vendor/";
const packages = new Map();
const { metafile } = await build({
  entryPoints: ["index.js"],
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "mapLibraries",
  target: "es2020",
  legalComments: "none",
  metafile: true,
  outfile: `${vendor}map-libraries.js`,
});
for (const file of Object.keys(metafile.inputs)) {
  const name = /node_modules\/([^/]+)/.exec(file)?.[1];
  if (name) packages.set(name, JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")).version);
}
const licences = [...packages].sort().map(([name, version]) => {
  return `${name} ${version}\n${"=".repeat(name.length + version.length + 1)}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}\n`;
});
writeFileSync(`${vendor}map-libraries.LICENSES.txt`, `map-libraries.js holds these packages, built by benchmarks/map_libraries.\n\n${licences.join("\n\n")}`);
