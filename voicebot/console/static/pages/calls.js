import { add, h } from "../dom.js";

export const pattern = "/calls";
export const title = "Calls";

export function show(main) {
  add(main, h("h1", {}, title));
}
