/** SciGate's drawing for side bars and menus, in the colours of the theme. */

const NAME = "scigate:data";
const DRAWING = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" width="16"><path class="jp-icon3" fill="#616161"
 d="M4.5 1 8 4.5 6.9 5.6 5.3 4v7H3.7V4L2.1 5.6 1 4.5zM11.5 15 8 11.500l1.100-1.100 1.600 1.600V5h1.600v7l1.600-1.600L15 11.500z"/></svg>`;

/** One icon of this name, whoever asks for it. */
export function iconOf({ LabIcon }) {
  return (iconOf.made ??= new LabIcon({ name: NAME, svgstr: DRAWING }));
}
