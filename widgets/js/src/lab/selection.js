/** What is selected in the file browser, as a location of the storage `home`; a folder ends in a slash. */
export const sourceOf = ({ path, type }) => `home:/${path.replace(/^\/+/, "")}${type === "directory" ? "/" : ""}`;
