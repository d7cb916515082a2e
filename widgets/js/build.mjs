/** Bundles of the portlets into the Python package. hatch_build.py runs this; by hand: ./run bundles. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const outdir = join(here, "../scigate/widgets/static");
const shared = {
  outdir,
  bundle: true,
  target: "es2022",
  platform: "browser",
  minify: true,
  legalComments: "inline",
  loader: { ".css": "text" },
  logLevel: "warning",
  metafile: true,
};

const portlets = (await readdir(join(here, "src/portlets"))).filter((name) => name.endsWith(".js"));
const entries = Object.fromEntries(portlets.map((name) => [basename(name, ".js"), join(here, "src/portlets", name)]));
entries.panel = join(here, "src/lab/panel.js"); // of JupyterLab; the portlets in it are the bundles beside it

const modules = await build({ ...shared, format: "esm", entryPoints: entries });
// In front of a plug-in's own module: a variable, since a module without an address cannot be imported.
await build({ ...shared, format: "iife", globalName: "scigate", entryPoints: { scigate: join(here, "src/kit.js") } });

const LICENCES = "LICENSES.txt";
await writeFile(join(outdir, LICENCES), await licences(Object.keys(modules.metafile.inputs)));
const made = new Set([LICENCES, ...[...Object.keys(entries), "scigate"].map((name) => `${name}.js`)]);
for (const name of await readdir(outdir)) if (!made.has(name)) await rm(join(outdir, name), { recursive: true });

/** The licences of the packages that are in the bundles, which ask to be passed on with them. */
async function licences(inputs) {
  const packages = new Set(
    inputs.map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]).filter(Boolean),
  );
  const texts = [...packages].sort().map(async (name) => {
    const folder = join(here, "node_modules", name);
    const file = (await readdir(folder)).find((one) => /^licen[cs]e/i.test(one));
    if (!file) throw new Error(`${name} has no file with its licence`);
    return `${name}\n\n${(await readFile(join(folder, file), "utf8")).trim()}\n`;
  });
  return (await Promise.all(texts)).join(`\n${"-".repeat(80)}\n\n`);
}
