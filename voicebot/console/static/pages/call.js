import { add, h } from "../dom.js";

export const pattern = "/calls/:call_sid";
export const title = "Call";

export function show(main) {
  add(main, h("h1", {}, title));
}
