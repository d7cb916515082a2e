/** The line of Python that opens a file of the gateway in a notebook. Pure; a name is never more than a string in it. */

const READERS = [
  [/\.csv(\.gz|\.bz2|\.xz|\.zst)?$/i, (at) => `import pandas as pd\n\ntable = pd.read_csv(${at})\ntable.head()`],
  [/\.tsv(\.gz)?$/i, (at) => `import pandas as pd\n\ntable = pd.read_csv(${at}, sep="\\t")\ntable.head()`],
  [/\.(parquet|pq)$/i, (at) => `import pandas as pd\n\ntable = pd.read_parquet(${at})\ntable.head()`],
  [/\.(nc|nc4|cdf)$/i, (at) => `import xarray as xr\n\ndata = xr.open_dataset(${at}, engine="h5netcdf")\ndata`],
  [
    /\.(h5|hdf5|he5)$/i,
    (at) => `import fsspec\nimport h5py\n\ndata = h5py.File(fsspec.open(${at}).open())\nlist(data)`,
  ],
  [
    /\.json$/i,
    (at) => `import json\n\nimport fsspec\n\nwith fsspec.open(${at}, "rt") as file:\n    data = json.load(file)`,
  ],
  [/\.(txt|md|log|dat)$/i, (at) => `import fsspec\n\nwith fsspec.open(${at}, "rt") as file:\n    text = file.read()`],
];

/** Python for a file or folder, by what its name says it is. */
export function snippet(storage, path) {
  if (path === "" || path.endsWith("/")) return folder(storage, path);
  if (/[*?[\]]|::/.test(path)) return literally(storage, path);
  const reader = READERS.find(([pattern]) => pattern.test(path))?.[1] ?? bytes;
  return reader(quoted(`scigate://${storage}/${path}`));
}

const bytes = (at) => `import fsspec\n\nwith fsspec.open(${at}, "rb") as file:\n    data = file.read()`;

/** For names that fsspec would take for patterns or chains of addresses. */
function literally(storage, path) {
  const at = quoted(`${storage}/${path}`);
  return `import fsspec\n\nwith fsspec.filesystem("scigate").open(${at}, "rb") as file:\n    data = file.read()`;
}

function folder(storage, path) {
  return `import fsspec\n\nfsspec.filesystem("scigate").ls(${quoted(`${storage}/${path}`)}, detail=False)`;
}

/** A string of Python: what cannot be seen, or would turn the direction of reading, is written as its number. */
export function quoted(text) {
  const inside = text.replace(/[\\"]/g, "\\$&").replace(HIDDEN, (sign) => {
    const code = sign.codePointAt(0);
    return code > 0xffff ? `\\U${hex(code, 8)}` : `\\u${hex(code, 4)}`;
  });
  return `"${inside}"`;
}

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu;
const hex = (code, digits) => code.toString(16).padStart(digits, "0");
