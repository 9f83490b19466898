import { add, h } from "../dom.js";

export const pattern = "/";
export const title = "Overview";

export function show(main) {
  add(main, h("h1", {}, title));
}
