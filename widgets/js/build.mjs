/** Bundles of the portlets into the Python package. hatch_build.py runs this; by hand: ./run bundles. */
import { readdir, rm } from "node:fs/promises";
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
};

const portlets = (await readdir(join(here, "src/portlets"))).filter((name) => name.endsWith(".js"));
const entries = Object.fromEntries(portlets.map((name) => [basename(name, ".js"), join(here, "src/portlets", name)]));
entries.panel = join(here, "src/lab/panel.js"); // of JupyterLab; the portlets in it are the bundles beside it

await build({ ...shared, format: "esm", entryPoints: entries });
// In front of a plug-in's own module: a variable, since a module without an address cannot be imported.
await build({ ...shared, format: "iife", globalName: "scigate", entryPoints: { scigate: join(here, "src/kit.js") } });

const made = new Set([...Object.keys(entries), "scigate"].map((name) => `${name}.js`));
for (const name of await readdir(outdir)) if (!made.has(name)) await rm(join(outdir, name), { recursive: true });
