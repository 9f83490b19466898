import { add, h } from "../dom.js";

export const pattern = "/deliveries";
export const title = "Deliveries";

export function show(main) {
  add(main, h("h1", {}, title));
}
